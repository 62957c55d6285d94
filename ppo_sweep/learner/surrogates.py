"""The losses of PPO and their derivatives as pure functions.

Schulman et al. 2017, arXiv 1707.06347 ("PPO"). Shapes: P members, B samples; every loss is ``(…, P)``
and is to be minimised, every derivative is per sample, ``(P, B)``. No loss carries its coefficient. No reduction crosses P.
"""

from __future__ import annotations

import torch

_ZERO = torch.tensor(0.0)


def clip_range(clip_eps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """1 − ε and 1 + ε as ``(P, 1)``, from ε ``(P,)``; ε = ∞ means L^CPI (PPO eq. 6) instead of L^CLIP."""
    return 1 - clip_eps[:, None], 1 + clip_eps[:, None]


def surrogate_loss(ratio: torch.Tensor, advantage: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Minus the surrogate objective, L^CLIP = E[min(r Â, clip(r, 1 − ε, 1 + ε) Â)]  (PPO eq. 7).

    Without bounds this is L^CPI = E[r Â]  (PPO eq. 6; the KL penalty of eq. 8 comes on top).

    Args:
        ratio: r = π(a|s)/π_old(a|s), ``(…, P, B)``.
        advantage: Â, ``(…, P, B)``.
        low, high: 1 − ε and 1 + ε, ``(P, 1)``; ∓ inf where nothing is clipped.
    """
    unclipped, clipped = ratio * advantage, torch.clamp(ratio, low, high) * advantage
    # Not torch.minimum: where a ratio overflowed and Â = 0, r Â is NaN, and the clipped term 0 is the loss.
    return -torch.where(unclipped <= clipped, unclipped, clipped).mean(-1)


def surrogate_slope(ratio: torch.Tensor, advantage: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """∂/∂ log r of :func:`surrogate_loss`: −r Â/B, and exactly 0 where the clipped term is the smaller one."""
    unclipped, clipped = ratio * advantage, torch.clamp(ratio, low, high).mul_(advantage)
    return torch.where(unclipped <= clipped, unclipped, _ZERO).mul_(-1 / ratio.shape[-1])


def value_range(value_old: torch.Tensor, vf_clip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """V_old − c and V_old + c, ``(…, P, B)``, from c ``(P,)``; c = ∞ means no clipping."""
    return value_old - vf_clip[:, None], value_old + vf_clip[:, None]


def value_loss(value: torch.Tensor, target: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """L^VF = E[max((V − R)², (clip(V, V_old − c, V_old + c) − R)²)], without ½ (PPO eq. 9; 37 details, core 9).

    Args:
        value: V, ``(…, P, B)``.
        target: R, ``(…, P, B)``.
        low, high: V_old − c and V_old + c, V_old being the value when the rollout was collected, ``(…, P, B)``.
    """
    return torch.maximum((value - target).square(), (torch.clamp(value, low, high) - target).square()).mean(-1)


def value_slope(value: torch.Tensor, target: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """∂/∂V of :func:`value_loss`: 2(V − R)/B, and 0 where the clipped value is farther off."""
    error, clipped = value - target, torch.clamp(value, low, high).sub_(target)
    return error.masked_fill_(clipped.abs_() > error.abs(), 0.0).mul_(2 / value.shape[-1])


def next_kl_beta(kl_beta: float, kl: float, target: float, *, factor: float = 2.0, tolerance: float = 1.5) -> float:
    """β for the next update (PPO §4): halved if d < d_targ / 1.5, doubled if d > 1.5 d_targ, within [2⁻²⁰, 2²⁰]."""
    if kl < target / tolerance:
        kl_beta /= factor
    elif kl > target * tolerance:
        kl_beta *= factor
    return min(max(kl_beta, 2.0**-20), 2.0**20)
