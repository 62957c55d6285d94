"""The diagonal Gaussian policy: log-probability, entropy and KL, per sample.

Shapes: ``mean, action (P, B, A)``, ``log_std (P, 1, A)``. Entropies and KLs are in nats and of the
Gaussian *before* actions are clipped to their bounds.
"""

from __future__ import annotations

import math

import torch

_LOG_2PI = math.log(2 * math.pi)


def log_prob(action: torch.Tensor, mean: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    """log π(a|s) = −½ Σ ((a − μ)/σ)² − Σ log σ − ½ A log 2π, as ``(P, B)``."""
    z = (action - mean) * torch.exp(-log_std)
    constant = 0.5 * _LOG_2PI * action.shape[-1]
    return z.square().sum(-1).mul(-0.5) - (log_std.sum(-1) + constant)


def entropy(log_std: torch.Tensor) -> torch.Tensor:
    """H = Σ (log σ + ½ log 2πe), as ``(P,)``; the same in every state. May be negative."""
    return log_std.sum((-2, -1)) + 0.5 * (_LOG_2PI + 1) * log_std.shape[-1]


def kl(mean_old: torch.Tensor, log_std_old: torch.Tensor, mean: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    """KL(π_old ‖ π) = Σ [log σ/σ_old + (σ_old² + (μ_old − μ)²) / 2σ² − ½], exact, as ``(P, B)``."""
    # expm1 keeps the digits of small changes: a KL of float32 stays exactly 0 against itself and never turns negative.
    narrowing = log_std_old - log_std
    spread = (0.5 * torch.expm1(2 * narrowing) - narrowing).sum(-1)
    return 0.5 * ((mean_old - mean).square() * torch.exp(-2 * log_std)).sum(-1) + spread


def kl_k1(log_ratio: torch.Tensor) -> torch.Tensor:
    """k1: mean of log π_old − log π along the last axis (Schulman 2020); unbiased, may be negative."""
    return -log_ratio.mean(-1)


def kl_k3(log_ratio: torch.Tensor) -> torch.Tensor:
    """k3: mean of (r − 1) − log r along the last axis (Schulman 2020); unbiased, never negative."""
    return (torch.expm1(log_ratio) - log_ratio).mean(-1)
