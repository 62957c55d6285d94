"""Adam and gradient clipping on flat rows against torch's own, with knobs that differ per member."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ppo_sweep.learner.optimizer import Adam, GradientClip, Part, Sgd


def run_adam(params: torch.Tensor, grads: list[torch.Tensor], lr: list[float], eps: list[float], steps: list[int] | None = None) -> None:
    """Take one step per gradient, in place; each member with its own lr and ε, and ``steps`` behind it."""
    first, second, grad = torch.zeros_like(params), torch.zeros_like(params), torch.zeros_like(params)
    rows = zip(params, grad, first, second, lr, eps, steps or [0] * len(lr), strict=True)
    adam = Adam([Part(*row) for row in rows])
    for one in grads:
        grad.copy_(one)
        adam.step()


def test_two_adam_steps_by_hand() -> None:
    # g = 2 then −1, lr = 0.1, ε = 1. Step 1: m̂ = 2, v̂ = 4, θ = −0.1 · 2/(2 + 1) = −1/15.
    # Step 2: m = 0.9·0.2 − 0.1 = 0.08, m̂ = 0.08/0.19; v = 0.999·0.004 + 0.001 = 0.004996, v̂ = 0.004996/0.001999.
    params = torch.zeros(1, 1, dtype=torch.float64)
    grads = [torch.full((1, 1), g, dtype=torch.float64) for g in (2.0, -1.0)]
    run_adam(params, grads, [0.1], [1.0])
    expected = -1 / 15 - 0.1 * (0.08 / 0.19) / (math.sqrt(0.004996 / 0.001999) + 1)
    assert params.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str)
def test_adam_equals_torch_for_each_members_learning_rate_and_epsilon(dtype: torch.dtype, tolerance: float) -> None:
    lr, eps = [1e-3, 3e-4, 0.1], [1e-5, 1e-8, 1e-2]
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(3, 20, generator=generator).to(dtype)
    # Some gradients near or at 0, where ε decides.
    grads = [torch.randn(3, 20, generator=generator).to(dtype) * torch.logspace(-9, 1, 20).to(dtype) for _ in range(40)]
    for grad in grads:
        grad[:, 0] = 0.0
    slow = [torch.nn.Parameter(row.clone()) for row in params]
    optimizers = [torch.optim.Adam([p], lr=a, eps=e) for p, a, e in zip(slow, lr, eps, strict=True)]
    run_adam(params, grads, lr, eps)
    for k, (parameter, optimizer) in enumerate(zip(slow, optimizers, strict=True)):
        for grad in grads:
            parameter.grad = grad[k].clone()
            optimizer.step()
        torch.testing.assert_close(params[k], parameter.detach(), rtol=tolerance, atol=tolerance)


def test_members_that_share_a_call_get_the_bits_that_they_get_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    before = torch.randn(5, 48, generator=generator)
    grads = [torch.randn(5, 48, generator=generator) for _ in range(3)]
    lr, eps, steps = [1e-3, 1e-3, 1e-2, 1e-3, 1e-3], [1e-5, 1e-5, 1e-5, 1e-5, 1e-8], [7, 7, 7, 0, 7]
    packed = before.clone()
    run_adam(packed, grads, lr, eps, steps)
    for k in range(5):
        alone = before[k : k + 1].clone()
        run_adam(alone, [grad[k : k + 1] for grad in grads], lr[k : k + 1], eps[k : k + 1], steps[k : k + 1])
        assert torch.equal(alone[0], packed[k]), k
        # In two parts, as policy and value function step where one may stop before the other.
        halves = before[k].clone().view(3, 16)
        run_adam(halves, [grad[k].view(3, 16) for grad in grads], [lr[k]] * 3, [eps[k]] * 3, [steps[k]] * 3)
        assert torch.equal(halves.view(-1), packed[k]), k


def test_plain_descent_by_hand() -> None:
    params, grad = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, -1.0], [1.0, 0.0]])
    nothing = torch.zeros(2, 2)
    Sgd([Part(*row) for row in zip(params, grad, nothing, nothing, [0.5, 2.0], [1.0, 1.0], [0, 0], strict=True)]).step()
    assert params.tolist() == [[0.5, 2.5], [1.0, 4.0]]


def test_clipping_by_hand_joint_separate_and_off() -> None:
    # Policy gradient (3), value gradient (4); norms 3, 4, together 5.
    # Joint to 1: both times 1/5. Separate to 3.5: policy as it is, value times 3.5/4. Off: as they are.
    grad = torch.tensor([[3.0, 4.0]]).repeat(4, 1)
    limits, joint = torch.tensor([1.0, 3.5, math.inf, math.inf]), torch.tensor([True, False, True, False])
    norms, factors = GradientClip(grad, 1, limits, joint)()
    torch.testing.assert_close(grad, torch.tensor([[0.6, 0.8], [3.0, 3.5], [3.0, 4.0], [3.0, 4.0]]), rtol=1e-5, atol=0)
    assert norms.tolist() == [[3.0, 4.0]] * 4
    torch.testing.assert_close(factors, torch.tensor([[0.2, 0.2], [1.0, 0.875], [1.0, 1.0], [1.0, 1.0]]), rtol=1e-5, atol=0)


@settings(max_examples=50)
@given(st.integers(0, 2**31), st.floats(0.01, 100.0))
def test_clipping_equals_torch_for_each_member(seed: int, scale: float) -> None:
    grad = torch.randn(4, 10, generator=torch.Generator().manual_seed(seed)).double() * scale
    limits, joint = [0.5, 5.0, 0.5, 5.0], [True, True, False, False]
    expected = []
    for row, limit, together in zip(grad, limits, joint, strict=True):
        policy, value = (torch.nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in (6, 4))
        policy.grad, value.grad = row[:6].clone(), row[6:].clone()
        for group in [[policy, value]] if together else [[policy], [value]]:
            torch.nn.utils.clip_grad_norm_(group, limit)
        expected.append(torch.cat([policy.grad, value.grad]))
    before = grad.clone()
    norms, factors = GradientClip(grad, 6, torch.tensor(limits).double(), torch.tensor(joint))()
    torch.testing.assert_close(grad, torch.stack(expected))
    torch.testing.assert_close(norms, torch.stack([before[:, :6].norm(dim=1), before[:, 6:].norm(dim=1)], dim=1))
    assert (factors.amin(1) < 1).tolist() == [not torch.equal(a, b) for a, b in zip(grad, before, strict=True)]


def test_a_zero_gradient_stays_zero() -> None:
    grad = torch.zeros(2, 3)
    GradientClip(grad, 2, torch.tensor([0.5, math.inf]), torch.tensor([True, False]))()
    assert not grad.any()
