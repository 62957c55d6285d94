"""Where each parameter of a member lies in its row of the flat ``(P, D)`` buffer.

One row holds all parameters of one member, so that Adam, gradient norms and copies are single
operations on ``(P, D)``. The alignment is what makes a member's bits independent of its slot and
its neighbours: every block starts on a multiple of 16 floats and every layer's output width is
rounded up to 16. The added columns start at zero, receive zero
gradient and stay zero; they are cut off when parameters are saved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

#: Floats; 64 bytes, one cache line. Matrix kernels choose their path by the alignment of a row's start.
ALIGN = 16


def aligned(size: int) -> int:
    """``size`` rounded up to a whole number of aligned blocks."""
    return -(-size // ALIGN) * ALIGN


@dataclass(frozen=True)
class Architecture:
    """What fixes the shapes and the forward pass of a member's networks.

    Attributes:
        observation_size: O.
        action_low: ``(A,)`` lower action bounds, as floats (hashable).
        action_high: ``(A,)`` upper action bounds.
        hidden: widths of the hidden layers.
        activation: ``tanh`` or ``relu``.
        shared: actor and critic share the hidden layers.
        mean: ``free``, or ``tanh`` = tanh of the last layer scaled to the bounds.
    """

    observation_size: int
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    shared: bool = False
    mean: str = "free"

    @property
    def action_size(self) -> int:
        """A."""
        return len(self.action_low)


@dataclass(frozen=True)
class Block:
    """One parameter: its shape as saved, its padded shape in the buffer, and its offset in floats."""

    name: str
    shape: tuple[int, ...]
    padded: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Padded size in floats; a multiple of ``ALIGN``, because every width is."""
        return math.prod(self.padded)


class Layout:
    """The blocks of one architecture, policy first, value function after it.

    Weights are ``(in, out)``, so that a forward pass is ``torch.baddbmm(bias, x, weight)``.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.blocks: list[Block] = []
        self._offset = 0
        trunk = self._add_hidden("policy")
        self._add_layer("policy.mean", trunk, architecture.action_size)
        self._add("policy.log_std", (architecture.action_size,), (aligned(architecture.action_size),))
        #: Floats of the policy; the value function follows. Shared hidden layers belong to the policy.
        self.policy_size = self._offset
        if not architecture.shared:
            trunk = self._add_hidden("value")
        # One output, so the head is a row vector and its product a sum along the last axis.
        self._add("value.head.weight", (trunk,), (aligned(trunk),))
        self._add("value.head.bias", (1,), (ALIGN,))
        #: D.
        self.size = self._offset

    def _add_hidden(self, network: str) -> int:
        width = self.architecture.observation_size
        for index, out in enumerate(self.architecture.hidden):
            self._add_layer(f"{network}.{index}", width, out)
            width = out
        return width

    def _add_layer(self, name: str, width: int, out: int) -> None:
        # What enters a hidden layer is as wide as the padded layer before; observations are not padded.
        rows = width if self._is_first(name) else aligned(width)
        self._add(f"{name}.weight", (width, out), (rows, aligned(out)))
        self._add(f"{name}.bias", (out,), (aligned(out),))

    def _is_first(self, name: str) -> bool:
        return name.endswith(".0") or not self.architecture.hidden

    def _add(self, name: str, shape: tuple[int, ...], padded: tuple[int, ...]) -> None:
        self.blocks.append(Block(name, shape, padded, self._offset))
        self._offset += self.blocks[-1].size

    @cached_property
    def by_name(self) -> Mapping[str, Block]:
        """Blocks by name."""
        return {block.name: block for block in self.blocks}

    def views(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Views ``(P, *padded)`` into ``flat (P, D)``; vectors come as ``(P, 1, width)`` for broadcasting over B."""
        rows = flat.shape[0]
        out = {}
        for block in self.blocks:
            shape = block.padded if len(block.padded) == 2 else (1, *block.padded)
            out[block.name] = flat[:, block.offset : block.offset + block.size].view(rows, *shape)
        return out

    def pack(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        """One member's row ``(D,)`` float32 from its named parameters at their saved shapes."""
        row = np.zeros(self.size, np.float32)
        for name, value in parameters.items():
            block = self.by_name[name]
            padded = np.zeros(block.padded, np.float32)
            padded[tuple(slice(0, n) for n in block.shape)] = value
            row[block.offset : block.offset + block.size] = padded.ravel()
        return row

    def unpack(self, row: np.ndarray) -> dict[str, np.ndarray]:
        """The inverse of :meth:`pack`: named parameters without padding."""
        out = {}
        for block in self.blocks:
            padded = row[block.offset : block.offset + block.size].reshape(block.padded)
            out[block.name] = np.ascontiguousarray(padded[tuple(slice(0, n) for n in block.shape)])
        return out
