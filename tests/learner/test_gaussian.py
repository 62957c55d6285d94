"""Log-probability, entropy and the three KL estimates against torch.distributions and hand-derived values."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, kl_divergence

from ppo_sweep.learner import gaussian

P, B = 3, 5


def drawn(seed: int, actions: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Actions and means ``(P, B, A)``, log-stds ``(P, 1, A)``, different in every member."""
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(P, B, actions, generator=generator).double(),
        torch.randn(P, B, actions, generator=generator).double(),
        torch.randn(P, 1, actions, generator=generator).double(),
    )


@given(st.integers(0, 2**31), st.integers(1, 6))
def test_log_prob_entropy_and_exact_kl_equal_torch_distributions(seed: int, actions: int) -> None:
    action, mean, log_std = drawn(seed, actions)
    _, mean_old, log_std_old = drawn(seed + 1, actions)
    pi, pi_old = (Independent(Normal(m, s.exp()), 1) for m, s in ((mean, log_std), (mean_old, log_std_old)))
    torch.testing.assert_close(gaussian.log_prob(action, mean, log_std), pi.log_prob(action))
    torch.testing.assert_close(gaussian.entropy(log_std), pi.entropy()[:, 0])
    torch.testing.assert_close(gaussian.kl(mean_old, log_std_old, mean, log_std), kl_divergence(pi_old, pi))


@given(st.integers(0, 2**31), st.integers(1, 6), st.floats(-5, 0))
def test_exact_kl_in_float32_keeps_small_divergences_and_is_0_only_against_itself(seed: int, actions: int, magnitude: float) -> None:
    _, mean, log_std = (x.float() for x in drawn(seed, actions))
    _, *change = (10**magnitude * x.float() for x in drawn(seed + 1, actions))
    other = mean + change[0], log_std + change[1]
    exact = gaussian.kl(mean.double(), log_std.double(), other[0].double(), other[1].double())
    found = gaussian.kl(mean, log_std, *other).double()
    # Of the order of a change d there is a divergence of d², and its rounding is that of d, not that of 1.
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-6 * 10**magnitude)
    assert (found[exact > 1e-9] > 0).all()
    assert (gaussian.kl(mean, log_std, mean, log_std) == 0).all()


def test_entropy_of_six_unit_dimensions_is_8_513_and_may_be_negative() -> None:
    # 6 · ½ log 2πe = 8.5136; σ = e⁻² takes 2 nats from each dimension.
    entropy = gaussian.entropy(torch.stack([torch.zeros(1, 6), torch.full((1, 6), -2.0)]))
    torch.testing.assert_close(entropy, torch.tensor([8.51363, 8.51363 - 12]), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # KL(N(μ₀, σ₀²) ‖ N(μ₁, σ₁²)) = log σ₁/σ₀ + (σ₀² + (μ₀ − μ₁)²)/(2σ₁²) − ½
        ((0.0, 1.0), (1.0, 1.0), 0.5),
        ((0.0, 1.0), (0.0, 2.0), math.log(2) + 1 / 8 - 1 / 2),
        ((0.0, 2.0), (0.0, 1.0), -math.log(2) + 2 - 1 / 2),
        ((1.0, 1.0), (3.0, 2.0), math.log(2) + 5 / 8 - 1 / 2),
    ],
)
def test_exact_kl_of_old_to_new_by_hand(old: tuple[float, float], new: tuple[float, float], expected: float) -> None:
    def row(value: float) -> torch.Tensor:
        return torch.full((1, 1, 1), value)

    found = gaussian.kl(row(old[0]), row(math.log(old[1])), row(new[0]), row(math.log(new[1])))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_k1_and_k3_by_hand() -> None:
    # Ratios 2 and ½: log r = ± log 2. k1 = −(log 2 − log 2)/2 = 0. k3 = ((1 − log 2) + (−½ + log 2))/2 = ¼.
    # Ratios 2 and 2: k1 = −log 2 (negative is allowed), k3 = 1 − log 2.
    log_ratio = torch.log(torch.tensor([[2.0, 0.5], [2.0, 2.0]]))
    torch.testing.assert_close(gaussian.kl_k1(log_ratio), torch.tensor([0.0, -math.log(2)]))
    torch.testing.assert_close(gaussian.kl_k3(log_ratio), torch.tensor([0.25, 1 - math.log(2)]))


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20))
def test_k3_is_never_negative(log_ratios: list[float]) -> None:
    assert gaussian.kl_k3(torch.tensor([log_ratios], dtype=torch.float64)) >= 0


def test_k1_and_k3_estimate_the_exact_kl_without_bias() -> None:
    # 400 000 samples of π_old = N(0, 1) against π = N(0.3, 1.2²): the standard error of k1 is about 6e-4.
    samples = torch.randn(1, 400_000, 1, generator=torch.Generator().manual_seed(0)).double()
    zero, mean, log_std = (torch.full((1, 1, 1), v, dtype=torch.float64) for v in (0.0, 0.3, math.log(1.2)))
    log_ratio = gaussian.log_prob(samples, mean, log_std) - gaussian.log_prob(samples, zero, zero)
    exact = gaussian.kl(zero, zero, mean, log_std).item()
    assert gaussian.kl_k1(log_ratio).item() == pytest.approx(exact, abs=3e-3)
    assert gaussian.kl_k3(log_ratio).item() == pytest.approx(exact, abs=3e-3)
