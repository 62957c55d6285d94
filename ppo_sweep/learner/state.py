"""A member at an iteration boundary, as arrays and numbers: what a checkpoint holds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Scalar = int | float | str | bool | None


@dataclass
class MemberState:
    """Everything of one member that changes, between two iterations.

    Attributes:
        arrays: parameters, optimiser moments, normalisers, and per environment the actions since
            its reset; float32, float64, int64, uint8 or bool.
        scalars: counters and other single values.
    """

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    scalars: dict[str, Scalar] = field(default_factory=dict)
