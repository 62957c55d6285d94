"""The losses against numbers derived by hand, their identities, and their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ppo_sweep.learner import gaussian
from ppo_sweep.learner.surrogates import clip_range, next_kl_beta, surrogate_loss, surrogate_slope, value_loss, value_range, value_slope

RATIOS = torch.tensor([0.5, 1.5, 1.5, 0.5])
ADVANTAGES = torch.tensor([1.0, 1.0, -1.0, -1.0])


def test_clip_and_cpi_side_by_side_give_the_hand_derived_losses() -> None:
    # ε = 0.2, terms of L^CLIP: min(0.5, 0.8) = 0.5; min(1.5, 1.2) = 1.2; min(−1.5, −1.2) = −1.5; min(−0.5, −0.8) = −0.8.
    # Mean (0.5 + 1.2 − 1.5 − 0.8)/4 = −0.15. ε = 0.6 clips nothing: (0.5 + 1.5 − 1.5 − 0.5)/4 = 0, and so is L^CPI.
    bounds = clip_range(torch.tensor([0.2, 0.6, math.inf]))
    loss = surrogate_loss(RATIOS.expand(3, 4), ADVANTAGES.expand(3, 4), *bounds)
    torch.testing.assert_close(loss, torch.tensor([0.15, 0.0, 0.0]))


def test_gradient_of_clip_is_cut_exactly_where_the_change_has_paid_off() -> None:
    # d(−L)/d log r_k: r Â/4, except 0 where r > 1 + ε with Â > 0 and where r < 1 − ε with Â < 0.
    slope = surrogate_slope(RATIOS.repeat(2, 1), ADVANTAGES.expand(2, 4), *clip_range(torch.tensor([0.2, math.inf])))
    expected = torch.tensor([[-0.125, 0.0, 0.375, 0.0], [-0.125, -0.375, 0.375, 0.125]])
    torch.testing.assert_close(slope, expected)


def test_on_the_very_bounds_the_gradient_passes() -> None:
    # ε = 0.25 is exact in binary: r = 1.25 and 0.75 are the bounds themselves.
    ratio, advantage = torch.tensor([[1.25, 0.75]]), torch.tensor([[2.0, -2.0]])
    torch.testing.assert_close(surrogate_slope(ratio, advantage, *clip_range(torch.tensor([0.25]))), torch.tensor([[-1.25, 0.75]]))


def test_a_ratio_that_overflows_in_the_clipped_branch_has_no_gradient_and_a_finite_loss() -> None:
    # log r > 88.7 makes r infinite in float32. Â > 0: min(∞, 1.2 Â) = 1.2 Â, constant in θ. Â = 0: ∞ · 0 must not become NaN.
    ratio, advantage = torch.exp(torch.tensor([[89.0, 200.0, 1000.0, 0.0]])), torch.tensor([[0.5, 2.0, 0.0, 1.0]])
    assert torch.isinf(ratio[0, :3]).all()
    bounds = clip_range(torch.tensor([0.2]))
    torch.testing.assert_close(surrogate_loss(ratio, advantage, *bounds), torch.tensor([-(0.6 + 2.4 + 0 + 1) / 4]))
    torch.testing.assert_close(surrogate_slope(ratio, advantage, *bounds), torch.tensor([[0.0, 0.0, 0.0, -0.25]]))


def test_a_ratio_that_overflows_where_nothing_is_clipped_is_an_infinite_loss() -> None:
    ratio = torch.full((2, 1), math.inf)
    advantage, bounds = torch.tensor([[1.0], [-1.0]]), clip_range(torch.tensor([math.inf, 0.2]))
    assert surrogate_loss(ratio, advantage, *bounds).tolist() == [-math.inf, math.inf]
    assert torch.isinf(surrogate_slope(ratio, advantage, *bounds)).all()


def test_nan_stays_nan_in_both_losses() -> None:
    nan, one = torch.full((1, 1), math.nan), torch.ones(1, 1)
    for eps in (0.2, math.inf):
        bounds = clip_range(torch.tensor([eps]))
        assert surrogate_loss(nan, one, *bounds).isnan()
        assert surrogate_loss(one, nan, *bounds).isnan()
        bounds = value_range(one, torch.tensor([eps]))
        assert value_loss(nan, one, *bounds).isnan()
        assert value_slope(nan, one, *bounds).isnan()


@given(
    st.lists(st.tuples(st.floats(0.0, 20.0), st.floats(-50.0, 50.0)), min_size=1, max_size=12),
    st.floats(0.01, 0.9),
)
def test_clip_objective_is_never_above_cpi(pairs: list[tuple[float, float]], eps: float) -> None:
    ratio, advantage = torch.tensor(pairs, dtype=torch.float64).T
    bounds = clip_range(torch.tensor([eps, math.inf], dtype=torch.float64))
    both = surrogate_loss(ratio.expand(2, -1), advantage.expand(2, -1), *bounds)
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
    bounds = clip_range(torch.tensor([0.2 if surrogate == "clip" else math.inf]).double())
    loss = surrogate_loss(ratio, advantage, *bounds)
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
    torch.testing.assert_close(value_loss(value, target, *value_range(old, torch.tensor([0.2, math.inf]))), torch.tensor([0.445, 0.25]))


def test_value_loss_passes_no_gradient_through_a_clipped_value_and_a_whole_one_elsewhere() -> None:
    # Members: clipped branch worse (constant in V: 0); unclipped worse (2(V − R) = 1); clipping off (2(V − R) = −1).
    value, target = torch.full((3, 1), 1.5), torch.tensor([[2.0], [1.0], [2.0]])
    slope = value_slope(value, target, *value_range(torch.ones(3, 1), torch.tensor([0.2, 0.2, math.inf])))
    torch.testing.assert_close(slope, torch.tensor([[0.0], [1.0], [-1.0]]))


@given(st.integers(0, 2**31), st.sampled_from([0.05, 0.3, math.inf]))
def test_slopes_are_the_derivatives_of_the_losses(seed: int, limit: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    log_ratio, advantage, value, old, target = (torch.randn(2, 9, generator=generator).double() for _ in range(5))
    log_ratio, value = (0.5 * log_ratio).requires_grad_(), value.requires_grad_()
    bounds = clip_range(torch.tensor([limit, 0.2]).double())
    held = value_range(old, torch.tensor([limit, 0.2]).double())
    (by_log_ratio,) = torch.autograd.grad(surrogate_loss(log_ratio.exp(), advantage, *bounds).sum(), log_ratio)
    (by_value,) = torch.autograd.grad(value_loss(value, target, *held).sum(), value)
    with torch.no_grad():
        torch.testing.assert_close(surrogate_slope(log_ratio.exp(), advantage, *bounds), by_log_ratio)
        torch.testing.assert_close(value_slope(value, target, *held), by_value)


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
