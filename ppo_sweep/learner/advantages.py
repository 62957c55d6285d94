"""Advantages and value targets from one rollout. Time-major inside: ``(T, P, N)``.

``terminated`` (the task ended: nothing follows) and ``ends`` (the episode ended, for whatever reason)
are two arrays all the way; a time limit ends an episode without being terminal.
"""

from __future__ import annotations

import torch


def generalized_advantage(
    rewards: torch.Tensor,
    values: torch.Tensor,
    next_values: torch.Tensor,
    terminated: torch.Tensor,
    ends: torch.Tensor,
    gamma: torch.Tensor,
    gae_lambda: torch.Tensor,
) -> torch.Tensor:
    """GAE: Â_t = δ_t + γλ Â_{t+1},  δ_t = r_t + γ V(s_{t+1}) − V(s_t)  (arXiv 1506.02438 eq. 16; PPO eq. 11–12).

    λ = 1 gives the finite-horizon estimator of PPO eq. 10, whose last reward is discounted by
    γ^(T−t−1); the paper prints T − t + 1 in eq. 10 and 11, which does not telescope.

    Args:
        rewards, values: ``(T, P, N)``.
        next_values: V of the true next observation, also where the next row belongs to another episode.
        terminated: bool, V(s_{t+1}) counts as 0.
        ends: bool, nothing flows back over this step (terminated, truncated or cut).
        gamma, gae_lambda: ``(P,)``.

    Returns:
        Â, ``(T, P, N)``.
    """
    discount = gamma[:, None]
    delta = torch.addcmul(rewards - values, discount * ~terminated, next_values)
    carry = (discount * gae_lambda[:, None]) * ~ends
    advantage = torch.empty_like(rewards)
    running = torch.zeros_like(rewards[0])
    for t in range(rewards.shape[0] - 1, -1, -1):
        running = torch.addcmul(delta[t], carry[t], running, out=advantage[t])
    return advantage


def discounted_returns(rewards: torch.Tensor, ends: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """R_t = r_t + γ R_{t+1} to the end of the episode or of the rollout, *without* bootstrap, ``(T, P, N)``.

    The article's first rung; a rollout's cut looks like a termination, so the target depends on
    where the cut falls and the value loss stays high.
    """
    carry = gamma[:, None] * ~ends
    returns = torch.empty_like(rewards)
    running = torch.zeros_like(rewards[0])
    for t in range(rewards.shape[0] - 1, -1, -1):
        running = torch.addcmul(rewards[t], carry[t], running, out=returns[t])
    return returns
