"""The per-member knobs that enter tensor operations, as ``(P,)`` tensors; a knob that is off is written as infinity.

Knobs that decide what is done at all (epochs, the KL stop, Adam's ε, the adaptive penalty's target) are read from each member's
config, in ``update`` and ``population``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ppo_sweep.config import Config


def annealed(start: float, end_fraction: float, iteration: int, iterations: int) -> float:
    """x_i = x · (1 − (1 − end)(i − 1)/I), i = 1…I: the knob in iteration ``iteration`` (docs/numbers.md §1)."""
    return start * (1 - (1 - end_fraction) * (iteration - 1) / iterations)


@dataclass(frozen=True)
class Knobs:
    """What the learner reads in one iteration. Floats are float32 ``(P,)`` on the learner's device."""

    gamma: torch.Tensor
    gae_lambda: torch.Tensor
    lr: tuple[float, ...]
    max_grad_norm: torch.Tensor
    joint_clip: torch.Tensor
    #: ε; infinite for members that do not clip.
    clip_eps: torch.Tensor
    #: ε for counting clipped ratios: 0.2 for members that do not clip.
    counted_eps: torch.Tensor
    penalised: torch.Tensor
    kl_beta: torch.Tensor
    ent_coef: torch.Tensor
    vf_coef: torch.Tensor
    vf_clip: torch.Tensor
    norm_adv_minibatch: torch.Tensor
    norm_adv_batch: torch.Tensor

    @classmethod
    def of(cls, configs: Sequence[Config], iterations: Sequence[int], kl_betas: Sequence[float], device: torch.device) -> Knobs:
        """Read the knobs of members that are in iteration ``iterations[p]`` (1-based)."""
        algos = [config.algo for config in configs]
        schedule = [(config.iterations, iteration) for config, iteration in zip(configs, iterations, strict=True)]

        def number(values: Sequence[float | None]) -> torch.Tensor:
            return torch.tensor([math.inf if v is None else v for v in values], dtype=torch.float32, device=device)

        def flag(values: Sequence[bool]) -> torch.Tensor:
            return torch.tensor(list(values), device=device)

        eps = [annealed(a.clip_eps, a.clip_end, i, n) for a, (n, i) in zip(algos, schedule, strict=True)]
        return cls(
            gamma=number([a.gamma for a in algos]),
            gae_lambda=number([a.gae_lambda for a in algos]),
            lr=tuple(annealed(a.lr, a.lr_end, i, n) for a, (n, i) in zip(algos, schedule, strict=True)),
            max_grad_norm=number([a.max_grad_norm for a in algos]),
            joint_clip=flag([a.grad_clip == "joint" for a in algos]),
            clip_eps=number([e if a.surrogate == "clip" else None for a, e in zip(algos, eps, strict=True)]),
            counted_eps=number([e if a.surrogate == "clip" else 0.2 for a, e in zip(algos, eps, strict=True)]),
            penalised=flag([a.surrogate in ("adaptive_kl", "fixed_kl") for a in algos]),
            kl_beta=number(list(kl_betas)),
            ent_coef=number([a.ent_coef for a in algos]),
            vf_coef=number([a.vf_coef for a in algos]),
            vf_clip=number([a.vf_clip for a in algos]),
            norm_adv_minibatch=flag([a.norm_adv == "minibatch" for a in algos]),
            norm_adv_batch=flag([a.norm_adv == "batch" for a in algos]),
        )

    def rows(self, index: torch.Tensor) -> Knobs:
        """The knobs of some members, in the order of ``index`` (int64)."""
        picked: dict[str, Any] = {
            name: tuple(value[i] for i in index.tolist()) if name == "lr" else value[index] for name, value in vars(self).items()
        }
        return Knobs(**picked)
