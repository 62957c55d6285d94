"""Adam, plain gradient descent and gradient clipping on flat parameter rows, knobs per member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

BETA1, BETA2 = 0.9, 0.999


@dataclass(frozen=True)
class Part:
    """Parameters of one member that step together: all of them, its policy's, or its value function's; vectors of one length.

    Attributes:
        params, grad, first, second: θ, g, m, v.
        lr, eps: of Adam.
        steps: taken before.
    """

    params: torch.Tensor
    grad: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    lr: float
    eps: float
    steps: int


class Adam:
    """m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², θ ← θ − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε), in place.

    Kingma & Ba 2015 (arXiv 1412.6980), by the kernel of ``torch.optim.Adam(fused=True)``, which reads and writes
    everything once. Parts with the same knobs share a call; each is computed by itself all the same.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        groups: dict[tuple[float, float, int], list[Part]] = {}
        for part in parts:
            groups.setdefault((part.lr, part.eps, part.steps), []).append(part)
        self._groups = [
            (
                torch.tensor(float(steps), device=group[0].params.device),
                lr,
                eps,
                [[getattr(part, name) for part in group] for name in ("params", "grad", "first", "second")],
            )
            for (lr, eps, steps), group in groups.items()
        ]

    def step(self) -> None:
        """Descend once along the parts' gradients."""
        for steps, lr, eps, (params, grads, firsts, seconds) in self._groups:
            steps.add_(1)
            torch._fused_adam_(
                params, grads, firsts, seconds, [], [steps] * len(params), lr=lr, beta1=BETA1, beta2=BETA2, eps=eps,
                weight_decay=0.0, amsgrad=False, maximize=False,
            )  # fmt: skip


class Sgd:
    """θ ← θ − lr · g, in place."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    def step(self) -> None:
        """Descend once along the parts' gradients."""
        for part in self._parts:
            part.params.sub_(part.grad, alpha=part.lr)


class GradientClip:
    """Scales gradients longer than c down to it, in place, per member (37 details, core 11).

    g ← g · min(1, c / (‖g‖₂ + 1e-6)), as ``torch.nn.utils.clip_grad_norm_``: one norm over policy and
    value function where ``joint``, one each elsewhere.
    """

    def __init__(self, grad: torch.Tensor, policy_size: int, max_norm: torch.Tensor, joint: torch.Tensor) -> None:
        """``grad (P, D)``, the policy's ``policy_size`` floats first; c as ``max_norm (P,)``, inf = off; ``joint`` bool ``(P,)``."""
        self._policy, self._value = grad[:, :policy_size], grad[:, policy_size:]
        self._max_norm, self._joint = max_norm[:, None], joint[:, None]
        self._margin = torch.tensor(1e-6, dtype=grad.dtype)

    def __call__(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Norms before clipping, and the factors that policy and value function were scaled by, each ``(P, 2)``."""
        norms = torch.stack((torch.linalg.vector_norm(self._policy, dim=-1), torch.linalg.vector_norm(self._value, dim=-1)), dim=-1)
        both = torch.linalg.vector_norm(norms, dim=-1, keepdim=True)
        factors = (self._max_norm / torch.where(self._joint, both, norms).add_(self._margin)).clamp_(max=1.0)
        self._policy.mul_(factors[:, :1])
        self._value.mul_(factors[:, 1:])
        return norms, factors
