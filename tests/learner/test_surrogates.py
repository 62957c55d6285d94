"""The losses against numbers derived by hand, their identities, and their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ppo_sweep.learner import gaussian
from ppo_sweep.learner.surrogates import next_kl_beta, surrogate_loss, value_loss

RATIOS = torch.tensor([0.5, 1.5, 1.5, 0.5])
ADVANTAGES = torch.tensor([1.0, 1.0, -1.0, -1.0])


def test_clip_and_cpi_side_by_side_give_the_hand_derived_losses() -> None:
    # ε = 0.2, terms of L^CLIP: min(0.5, 0.8) = 0.5; min(1.5, 1.2) = 1.2; min(−1.5, −1.2) = −1.5; min(−0.5, −0.8) = −0.8.
    # Mean (0.5 + 1.2 − 1.5 − 0.8)/4 = −0.15. ε = 0.6 clips nothing: (0.5 + 1.5 − 1.5 − 0.5)/4 = 0, and so is L^CPI.
    eps, clips = torch.tensor([0.2, 0.6, 0.2]), torch.tensor([True, True, False])
    loss = surrogate_loss(RATIOS.expand(3, 4), ADVANTAGES.expand(3, 4), eps, clips)
    torch.testing.assert_close(loss, torch.tensor([0.15, 0.0, 0.0]))


def test_gradient_of_clip_is_cut_exactly_where_the_change_has_paid_off() -> None:
    # d(−L)/dr_k: Â/4, except 0 where r > 1 + ε with Â > 0 and where r < 1 − ε with Â < 0.
    ratio = RATIOS.repeat(2, 1).requires_grad_()
    surrogate_loss(ratio, ADVANTAGES.expand(2, 4), torch.tensor([0.2, 0.2]), torch.tensor([True, False])).sum().backward()
    torch.testing.assert_close(ratio.grad, torch.tensor([[-0.25, 0.0, 0.25, 0.0], [-0.25, -0.25, 0.25, 0.25]]))


@given(
    st.lists(st.tuples(st.floats(0.0, 20.0), st.floats(-50.0, 50.0)), min_size=1, max_size=12),
    st.floats(0.01, 0.9),
)
def test_clip_objective_is_never_above_cpi(pairs: list[tuple[float, float]], eps: float) -> None:
    ratio, advantage = torch.tensor(pairs, dtype=torch.float64).T
    both = surrogate_loss(
        ratio.expand(2, -1), advantage.expand(2, -1), torch.tensor([eps, eps], dtype=torch.float64), torch.tensor([True, False])
    )
    assert -both[0] <= -both[1]
    inside = ((ratio - 1).abs() < eps).all()
    assert not inside or both[0] == both[1]


@given(st.integers(0, 2**31), st.sampled_from(["clip", "none"]))
def test_gradients_of_clip_and_cpi_equal_the_policy_gradient_at_theta_old(seed: int, surrogate: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, actions = torch.randn(1, 32, 4, generator=generator).double(), torch.randn(1, 32, 2, generator=generator).double()
    advantage = torch.randn(1, 32, generator=generator).double()
    weight = torch.randn(1, 4, 2, generator=generator).double().requires_grad_()
    log_std = (0.3 * torch.randn(1, 1, 2, generator=generator)).double().requires_grad_()
    old = gaussian.log_prob(actions, x @ weight, log_std).detach()

    def log_prob() -> torch.Tensor:
        return gaussian.log_prob(actions, x @ weight, log_std)

    ratio = torch.exp(log_prob() - old)
    loss = surrogate_loss(ratio, advantage, torch.tensor([0.2]).double(), torch.tensor([surrogate == "clip"]))
    policy_gradient = -(log_prob() * advantage).mean(-1)  # L^PG, PPO eq. 2
    found = torch.autograd.grad(loss.sum(), (weight, log_std))
    expected = torch.autograd.grad(policy_gradient.sum(), (weight, log_std))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_value_loss_takes_the_worse_of_clipped_and_unclipped() -> None:
    # V_old = 1, V = 1.5, c = 0.2, so the clipped value is 1.2.
    # R = 2: max(0.25, 0.64) = 0.64. R = 1: max(0.25, 0.04) = 0.25. Mean 0.445. Without clipping (0.25 + 0.25)/2 = 0.25.
    value, old = torch.full((2, 2), 1.5), torch.ones(2, 2)
    target = torch.tensor([[2.0, 1.0]]).expand(2, 2)
    torch.testing.assert_close(value_loss(value, old, target, torch.tensor([0.2, math.inf])), torch.tensor([0.445, 0.25]))


def test_value_loss_passes_no_gradient_through_a_clipped_value_and_a_whole_one_elsewhere() -> None:
    # Members: clipped branch worse (constant in V: 0); unclipped worse (2(V − R) = 1); clipping off (2(V − R) = −1).
    value = torch.full((3, 1), 1.5, requires_grad=True)
    target = torch.tensor([[2.0], [1.0], [2.0]])
    value_loss(value, torch.ones(3, 1), target, torch.tensor([0.2, 0.2, math.inf])).sum().backward()
    torch.testing.assert_close(value.grad, torch.tensor([[0.0], [1.0], [-1.0]]))


@pytest.mark.parametrize(
    ("kl", "expected"),
    [(0.0066, 0.5), (0.0067, 1.0), (0.01, 1.0), (0.0149, 1.0), (0.0151, 2.0), (0.0, 0.5), (math.inf, 2.0)],
)
def test_beta_halves_below_two_thirds_of_the_target_and_doubles_above_three_halves(kl: float, expected: float) -> None:
    assert next_kl_beta(1.0, kl, 0.01) == expected


def test_beta_follows_its_factor_and_tolerance() -> None:
    assert next_kl_beta(1.0, 0.021, 0.01, factor=3.0, tolerance=2.0) == 3.0
    assert next_kl_beta(1.0, 0.019, 0.01, factor=3.0, tolerance=2.0) == 1.0
    assert next_kl_beta(3.0, 0.004, 0.01, factor=3.0, tolerance=2.0) == 1.0


@given(st.lists(st.sampled_from([0.0, 0.01, 1.0]), min_size=1, max_size=80), st.floats(1.0, 100.0))
def test_beta_stays_within_its_bounds(kls: list[float], factor: float) -> None:
    beta = 1.0
    for kl in kls:
        beta = next_kl_beta(beta, kl, 0.01, factor=factor)
        assert 2.0**-20 <= beta <= 2.0**20


def test_beta_comes_back_from_its_bounds_at_once() -> None:
    assert next_kl_beta(2.0**20, 1.0, 0.01) == 2.0**20
    assert next_kl_beta(2.0**20, 0.0, 0.01) == 2.0**19
    assert next_kl_beta(2.0**-20, 0.0, 0.01) == 2.0**-20
    assert next_kl_beta(2.0**-20, 1.0, 0.01) == 2.0**-19
