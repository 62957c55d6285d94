"""The losses of PPO as pure functions: tensors in, one number per member out.

Schulman et al. 2017, arXiv 1707.06347 ("PPO"). Shapes: P members, B samples; every loss is ``(P,)``
and is to be minimised. No loss carries its coefficient. No reduction crosses P.
"""

from __future__ import annotations

import torch


def surrogate_loss(ratio: torch.Tensor, advantage: torch.Tensor, clip_eps: torch.Tensor, clips: torch.Tensor) -> torch.Tensor:
    """Minus the surrogate objective, for clipping and non-clipping members side by side.

    L^CLIP = E[min(r Â, clip(r, 1 − ε, 1 + ε) Â)]  (PPO eq. 7) where ``clips``, else
    L^CPI  = E[r Â]                                 (PPO eq. 6; the KL penalty of eq. 8 comes on top)

    Args:
        ratio: r = π(a|s)/π_old(a|s), ``(P, B)``.
        advantage: Â, ``(P, B)``.
        clip_eps: ε, ``(P,)``.
        clips: bool ``(P,)``.
    """
    unclipped = ratio * advantage
    eps = clip_eps[:, None]
    clipped = torch.minimum(torch.maximum(ratio, 1 - eps), 1 + eps) * advantage
    objective = torch.where(clips[:, None], torch.minimum(unclipped, clipped), unclipped)
    return -objective.mean(-1)


def value_loss(value: torch.Tensor, value_old: torch.Tensor, target: torch.Tensor, vf_clip: torch.Tensor) -> torch.Tensor:
    """L^VF = E[max((V − R)², (V_old + clip(V − V_old, ± c) − R)²)], without ½ (PPO eq. 9; 37 details, core 9).

    Args:
        value: V, ``(P, B)``.
        value_old: V when the rollout was collected, ``(P, B)``.
        target: R, ``(P, B)``.
        vf_clip: c, ``(P,)``; inf = no clipping.
    """
    c = vf_clip[:, None]
    moved = torch.minimum(torch.maximum(value - value_old, -c), c)
    clipped = torch.where(torch.isinf(c), value, value_old + moved)
    return torch.maximum((value - target).square(), (clipped - target).square()).mean(-1)


def next_kl_beta(kl_beta: float, kl: float, target: float, *, factor: float = 2.0, tolerance: float = 1.5) -> float:
    """β for the next update (PPO §4): halved if d < d_targ / 1.5, doubled if d > 1.5 d_targ, within [2⁻²⁰, 2²⁰]."""
    if kl < target / tolerance:
        kl_beta /= factor
    elif kl > target * tolerance:
        kl_beta *= factor
    return min(max(kl_beta, 2.0**-20), 2.0**20)
