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
    return _accumulated(delta, carry)


def discounted_returns(rewards: torch.Tensor, ends: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """R_t = r_t + γ R_{t+1} to the end of the episode or of the rollout, *without* bootstrap, ``(T, P, N)``.

    The article's first rung; a rollout's cut looks like a termination, so the target depends on
    where the cut falls and the value loss stays high.
    """
    return _accumulated(rewards, gamma[:, None] * ~ends)


def _accumulated(terms: torch.Tensor, carry: torch.Tensor) -> torch.Tensor:
    """x_t = terms_t + carry_t x_{t+1} from the last step back to the first, x_T = 0; all ``(T, P, N)``."""
    result = torch.empty_like(terms)
    running = torch.zeros_like(terms[0])
    # All rows taken apart at once: taking one costs as much as the sum itself.
    for term, factor, out in zip(*(tensor.flip(0).unbind(0) for tensor in (terms, carry)), result.unbind(0)[::-1], strict=True):
        running = torch.addcmul(term, factor, running, out=out)
    return result
