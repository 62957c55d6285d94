"""Adam and gradient clipping on flat parameter rows, one learning rate per member.

Kingma & Ba 2015 (arXiv 1412.6980), with the bias corrections arranged as ``torch.optim.Adam`` has
them, so that a member equals a run of torch's optimiser up to rounding.
"""

from __future__ import annotations

import torch

BETA1, BETA2 = 0.9, 0.999


def adam_step(
    params: torch.Tensor,
    grad: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    step_size: torch.Tensor,
    second_scale: torch.Tensor,
    eps: torch.Tensor,
) -> None:
    """One step in place: θ −= lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε).

    Args:
        params, grad, first, second: ``(P, D)``; θ, g, m, v.
        step_size: lr/(1 − β₁ᵗ), ``(P, 1)``.
        second_scale: 1/√(1 − β₂ᵗ), ``(P, 1)``.
        eps: ε, ``(P, 1)``.
    """
    first.lerp_(grad, 1 - BETA1)
    second.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
    denominator = second.sqrt().mul_(second_scale).add_(eps)
    params.sub_(torch.div(first, denominator).mul_(step_size))


def bias_corrections(steps: int, lr: float) -> tuple[float, float]:
    """``(lr/(1 − β₁ᵗ), 1/√(1 − β₂ᵗ))`` for the ``steps``-th step, t = 1, 2, …"""
    return lr / (1 - BETA1**steps), (1 - BETA2**steps) ** -0.5


def clip_gradients(
    grad: torch.Tensor, policy_size: int, max_norm: torch.Tensor, joint: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scale gradients longer than ``max_norm`` down to it, in place, per member (37 details, core 11).

    g ← g · min(1, c / (‖g‖₂ + 1e-6)), as ``torch.nn.utils.clip_grad_norm_``: one norm over policy and
    value function where ``joint``, one each elsewhere.

    Args:
        grad: ``(P, D)``, the policy's ``policy_size`` floats first.
        max_norm: c, ``(P,)``; inf = off.
        joint: bool ``(P,)``.

    Returns:
        Norms before clipping of policy and value function, and whether anything was clipped, each ``(P,)``.
    """
    policy, value = grad[:, :policy_size], grad[:, policy_size:]
    policy_norm = torch.linalg.vector_norm(policy, dim=-1)
    value_norm = torch.linalg.vector_norm(value, dim=-1)
    both = (policy_norm.square() + value_norm.square()).sqrt()
    policy_scale = (max_norm / (torch.where(joint, both, policy_norm) + 1e-6)).clamp_(max=1.0)
    value_scale = (max_norm / (torch.where(joint, both, value_norm) + 1e-6)).clamp_(max=1.0)
    policy.mul_(policy_scale[:, None])
    value.mul_(value_scale[:, None])
    clipped = torch.minimum(policy_scale, value_scale) < 1
    return policy_norm, value_norm, clipped
