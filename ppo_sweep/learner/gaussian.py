"""The diagonal Gaussian policy: log-probability, entropy and KL, per sample.

Shapes: ``mean, action (P, B, A)``, ``log_std (P, 1, A)``. Entropies and KLs are in nats and of the
Gaussian *before* actions are clipped to their bounds.
"""

from __future__ import annotations

import math

import torch

_LOG_2PI = math.log(2 * math.pi)


def standard_noise(action: torch.Tensor, mean: torch.Tensor, inverse_std: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """z = (a − μ)/σ, ``(P, B, A)``: the noise that leads to this action; from 1/σ ``(P, 1, A)``."""
    return torch.sub(action, mean, out=out).mul_(inverse_std)


def log_prob_of_noise(squares: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    """log π(a|s) = −½ Σ z² − Σ log σ − ½ A log 2π, as ``(P, B)``, from z² ``(P, B, A)``.

    Its derivatives: ∂/∂μ = z/σ, ∂/∂ log σ = z² − 1.
    """
    return torch.add(-log_std.sum(-1) - 0.5 * _LOG_2PI * squares.shape[-1], squares.sum(-1), alpha=-0.5)


def log_prob(action: torch.Tensor, mean: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    """log π(a|s), as ``(P, B)``."""
    return log_prob_of_noise(standard_noise(action, mean, torch.exp(-log_std)).square_(), log_std)


def entropy(log_std: torch.Tensor) -> torch.Tensor:
    """H = Σ (log σ + ½ log 2πe), as ``(P,)``; the same in every state. May be negative."""
    return log_std.sum((-2, -1)) + 0.5 * (_LOG_2PI + 1) * log_std.shape[-1]


def kl(mean_old: torch.Tensor, log_std_old: torch.Tensor, mean: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    """KL(π_old ‖ π) = Σ [log σ/σ_old + (σ_old² + (μ_old − μ)²) / 2σ² − ½], exact, as ``(P, B)``."""
    # expm1 keeps the digits of small changes: a KL of float32 stays exactly 0 against itself and never turns negative.
    narrowing = log_std_old - log_std
    spread = (0.5 * torch.expm1(2 * narrowing) - narrowing).sum(-1)
    return 0.5 * ((mean_old - mean).square() * torch.exp(-2 * log_std)).sum(-1) + spread


def kl_slopes(
    mean_old: torch.Tensor, log_std_old: torch.Tensor, mean: torch.Tensor, log_std: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Derivatives of :func:`kl` by μ and log σ, each ``(P, B, A)``: (μ − μ_old)/σ² and 1 − (σ_old² + (μ − μ_old)²)/σ²."""
    moved = mean - mean_old
    precision = torch.exp(-2 * log_std)
    by_mean = moved * precision
    return by_mean, -torch.expm1(2 * (log_std_old - log_std)) - moved * by_mean


def kl_k1(log_ratio: torch.Tensor) -> torch.Tensor:
    """k1: mean of log π_old − log π along the last axis (Schulman 2020); unbiased, may be negative."""
    return -log_ratio.mean(-1)


def kl_k3(log_ratio: torch.Tensor) -> torch.Tensor:
    """k3: mean of (r − 1) − log r along the last axis (Schulman 2020); unbiased, never negative."""
    return (torch.expm1(log_ratio) - log_ratio).mean(-1)
