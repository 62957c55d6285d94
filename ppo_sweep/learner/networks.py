"""Actor and critic of all members at once: batched forward passes and initial weights.

Shapes: P members, B samples, O observation, A action. ``w`` is ``Layout.views(...)``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from ppo_sweep.learner.layout import Architecture, Block, Layout

Weights = Mapping[str, torch.Tensor]

#: Samples per member in one forward pass outside the update: keeps activations of about ten members inside the L2 cache.
CHUNK = 512
#: Products with fewer rows than this take another kernel, which rounds differently; from here on a row's bits
#: do not depend on how many rows there are.
LEAST_ROWS = 4


def _chunks(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """``x (P, M, O)`` along M in parts of about ``CHUNK``, none with fewer rows than ``LEAST_ROWS`` unless M has."""
    sizes = [CHUNK] * (x.shape[1] // CHUNK)
    rest = x.shape[1] % CHUNK
    if sizes and 0 < rest < LEAST_ROWS:
        sizes[-1] += rest
    elif rest or not sizes:
        sizes.append(rest)
    return torch.split(x, sizes, dim=1)


class Networks:
    """The forward passes of one architecture; holds no parameters."""

    def __init__(self, architecture: Architecture, device: torch.device | str = "cpu") -> None:
        self.architecture = architecture
        self.layout = Layout(architecture)
        if architecture.mean == "tanh":
            low, high = np.array(architecture.action_low), np.array(architecture.action_high)
            self._centre = torch.tensor((high + low) / 2, dtype=torch.float32, device=device)
            self._half = torch.tensor((high - low) / 2, dtype=torch.float32, device=device)
        self._activate = torch.tanh_ if architecture.activation == "tanh" else torch.relu_

    def _hidden(self, w: Weights, x: torch.Tensor, network: str) -> torch.Tensor:
        # In-place activations are safe under autograd: both backward passes need the output only.
        for index in range(len(self.architecture.hidden)):
            x = self._activate(torch.baddbmm(w[f"{network}.{index}.bias"], x, w[f"{network}.{index}.weight"]))
        return x

    def _mean_of(self, w: Weights, features: torch.Tensor) -> torch.Tensor:
        out = torch.baddbmm(w["policy.mean.bias"], features, w["policy.mean.weight"])
        if self.architecture.mean == "tanh":
            # tanh before the slice: a non-contiguous tensor takes another, differently rounded kernel.
            return self._centre + self._half * torch.tanh(out)[..., : self.architecture.action_size]
        return out[..., : self.architecture.action_size]

    @staticmethod
    def _value_of(w: Weights, features: torch.Tensor) -> torch.Tensor:
        return (features * w["value.head.weight"][..., : features.shape[-1]]).sum(-1) + w["value.head.bias"][:, 0, :1]

    def mean(self, w: Weights, x: torch.Tensor) -> torch.Tensor:
        """Mean action ``(P, B, A)`` of normalised observations ``(P, B, O)``."""
        return self._mean_of(w, self._hidden(w, x, "policy"))

    def value(self, w: Weights, x: torch.Tensor) -> torch.Tensor:
        """Value ``(P, B)`` of normalised observations ``(P, B, O)``."""
        return self._value_of(w, self._hidden(w, x, "policy" if self.architecture.shared else "value"))

    def mean_and_value(self, w: Weights, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both, computing shared hidden layers once."""
        if not self.architecture.shared:
            return self.mean(w, x), self.value(w, x)
        features = self._hidden(w, x, "policy")
        return self._mean_of(w, features), self._value_of(w, features)

    def log_std(self, w: Weights) -> torch.Tensor:
        """State-independent log σ, ``(P, 1, A)``."""
        return w["policy.log_std"][..., : self.architecture.action_size]

    @torch.no_grad()
    def mean_of_all(self, w: Weights, x: torch.Tensor) -> torch.Tensor:
        """:meth:`mean` over a whole batch ``(P, M, O)``, in chunks; row by row the same bits."""
        return torch.cat([self.mean(w, part) for part in _chunks(x)], dim=1)

    @torch.no_grad()
    def value_of_all(self, w: Weights, x: torch.Tensor) -> torch.Tensor:
        """:meth:`value` over a whole batch ``(P, M, O)``, in chunks; row by row the same bits."""
        return torch.cat([self.value(w, part) for part in _chunks(x)], dim=1)


def initial_parameters(layout: Layout, init: str, log_std_init: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One member's parameters at the start, at their saved shapes.

    ``orthogonal``: gain √2 in hidden layers, 0.01 in the policy's head, 1 in the value's (37 details, core 2).
    ``normc``: columns of unit norm, times 0.01 in the policy's head (openai/baselines ppo1).
    ``default``: uniform in ± 1/√in, weights and biases (torch.nn.Linear).
    """
    out: dict[str, np.ndarray] = {}
    for block in layout.blocks:
        if block.name == "policy.log_std":
            out[block.name] = np.full(block.shape, log_std_init, np.float32)
        elif block.name.endswith("bias") and init != "default":
            out[block.name] = np.zeros(block.shape, np.float32)
        else:
            out[block.name] = _initial(layout, block, init, rng)
    return out


def _initial(layout: Layout, block: Block, init: str, rng: np.random.Generator) -> np.ndarray:
    weight = block if block.name.endswith("weight") else layout.by_name[block.name.replace("bias", "weight")]
    fan_in, fan_out = weight.shape if len(weight.shape) == 2 else (weight.shape[0], 1)
    if init == "default":
        bound = fan_in**-0.5
        return rng.uniform(-bound, bound, block.shape).astype(np.float32)
    head_gain = {"policy.mean.weight": 0.01, "value.head.weight": 1.0}
    # Drawn and factorised in float64: rounding to float32 hides the last bits, where LAPACK builds may differ.
    normal = rng.standard_normal((fan_in, fan_out))
    if init == "normc":
        columns = normal / np.sqrt((normal**2).sum(0, keepdims=True))
        return np.asarray(head_gain.get(block.name, 1.0) * columns, np.float32).reshape(block.shape)
    gain = head_gain.get(block.name, 2**0.5)
    tall = normal if fan_in >= fan_out else normal.T
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return np.asarray(gain * (q if fan_in >= fan_out else q.T), np.float32).reshape(block.shape)
