"""One minibatch of all training members: forward pass, losses, and what is measured on the way."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ppo_sweep.learner import gaussian
from ppo_sweep.learner.knobs import Knobs
from ppo_sweep.learner.networks import Networks, Weights
from ppo_sweep.learner.surrogates import surrogate_loss, value_loss


@dataclass(frozen=True)
class Minibatch:
    """B samples of each of n members.

    Attributes:
        observations: normalised, ``(n, B, O)``.
        actions, mean_old: ``(n, B, A)``.
        log_std_old: ``(n, 1, A)``.
        log_prob_old, value_old, advantages, targets: ``(n, B)``; advantages as the loss uses them.
    """

    observations: torch.Tensor
    actions: torch.Tensor
    mean_old: torch.Tensor
    log_std_old: torch.Tensor
    log_prob_old: torch.Tensor
    value_old: torch.Tensor
    advantages: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True)
class Forward:
    """A minibatch after its forward pass.

    Attributes:
        total: what is descended on, with its graph, ``(n,)``.
        policy_loss, value_loss, clip_fraction, value_clip_fraction: columns of the same name, ``(n,)``.
        mean, log_std: the current policy, ``(n, B, A)`` and ``(n, 1, A)``.
        log_ratio: log π/π_old, ``(n, B)``.
    """

    total: torch.Tensor
    policy_loss: torch.Tensor
    value_loss: torch.Tensor
    clip_fraction: torch.Tensor
    value_clip_fraction: torch.Tensor
    mean: torch.Tensor
    log_std: torch.Tensor
    log_ratio: torch.Tensor


def forward(networks: Networks, weights: Weights, knobs: Knobs, minibatch: Minibatch, penalises: bool) -> Forward:
    """Losses of one minibatch: −L^CLIP+VF+S (PPO eq. 9), plus β·KL for members that are penalised (eq. 8).

    Args:
        penalises: whether any member is; the penalty's operations are left out where none is.
    """
    mean, value = networks.mean_and_value(weights, minibatch.observations)
    log_std = networks.log_std(weights)
    log_ratio = gaussian.log_prob(minibatch.actions, mean, log_std) - minibatch.log_prob_old
    ratio = torch.exp(log_ratio)
    policy = surrogate_loss(ratio, minibatch.advantages, knobs.clip_eps, knobs.clips)
    critic = value_loss(value, minibatch.value_old, minibatch.targets, knobs.vf_clip)
    total = policy + knobs.vf_coef * critic - knobs.ent_coef * gaussian.entropy(log_std)
    if penalises:
        total = total + _penalty(knobs, minibatch, mean, log_std)
    with torch.no_grad():
        clipped = ((ratio - 1).abs() > knobs.counted_eps[:, None]).float().mean(-1)
        value_clipped = ((value - minibatch.value_old).abs() > knobs.vf_clip[:, None]).float().mean(-1)
    return Forward(total, policy.detach(), critic.detach(), clipped, value_clipped, mean.detach(), log_std.detach(), log_ratio.detach())


def _penalty(knobs: Knobs, minibatch: Minibatch, mean: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    """β · KL(π_old ‖ π) of members that are penalised, 0 for the others, ``(n,)``."""
    # Members without a penalty enter with π = π_old, so that no gradient of theirs passes an overflow.
    chosen = knobs.penalised[:, None, None]
    divergence = gaussian.kl(
        minibatch.mean_old,
        minibatch.log_std_old,
        torch.where(chosen, mean, minibatch.mean_old),
        torch.where(chosen, log_std, minibatch.log_std_old),
    )
    return torch.where(knobs.penalised, knobs.kl_beta * divergence.mean(-1), 0.0)
