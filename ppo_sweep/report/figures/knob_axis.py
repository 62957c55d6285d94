"""An axis for the values of a swept knob: linear, logarithmic or one after another, with null by itself."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ppo_sweep.report import style
from ppo_sweep.report.knobs import told_apart
from ppo_sweep.runs.naming import shortest

#: Values that get a tick each; more are drawn on a plain axis.
_TICKS = 8
#: Characters of tick labels that fit side by side below a third of a figure.
_ROOM = 24
#: A wide span without a pattern of its own is logarithmic from this ratio on.
_WIDE = 8


@dataclass(frozen=True)
class KnobAxis:
    """Where the values of a knob lie.

    Attributes:
        place: value as text → position.
        log: positions of numbers are their decimal logarithms.
        off: position of null beside numbers; NaN if there is none.
    """

    place: Mapping[str, float]
    log: bool
    off: float

    @property
    def numbers(self) -> list[float]:
        """Positions of numbers, rising; empty where values stand one after another."""
        return sorted(position for text, position in self.place.items() if text != "null" and is_number_text(text))


def knob_axis(values: Sequence[Any]) -> KnobAxis:
    """Numbers on a linear axis, or a logarithmic one if they were swept so; null beside them; anything else one after another."""
    numeric = sorted({float(value) for value in values if is_number(value)})
    others = list(dict.fromkeys(shortest(value) for value in values if not is_number(value)))
    if len(numeric) < 2 or set(others) - {"null"}:
        texts = [*map(shortest, numeric), *others]
        return KnobAxis({text: float(index) for index, text in enumerate(texts)}, False, math.nan)
    log = geometric(numeric)
    at = [math.log10(value) for value in numeric] if log else numeric
    place = dict(zip(map(shortest, numeric), at, strict=True))
    if not others:
        return KnobAxis(place, log, math.nan)
    span = at[-1] - at[0]
    off = at[-1] + max(0.25 * span, 0.7 * span / (len(at) - 1))
    return KnobAxis({**place, "null": off}, log, off)


def geometric(values: Sequence[float]) -> bool:
    """Whether rising values are spaced by factors rather than by differences."""
    if values[0] <= 0:
        return False
    if len(values) == 2 or len(values) > _TICKS:
        return values[-1] / values[0] >= _WIDE
    factors, steps = np.diff(np.log(values)), np.diff(values)
    return bool(factors.std() / factors.mean() < steps.std() / steps.mean())


def draw_ticks(ax: Axes, axis: KnobAxis) -> None:
    """Label every value, or round ones where there are many; a dotted line parts null from the numbers."""
    marks = sorted((position, text) for text, position in axis.place.items())
    if len(marks) > _TICKS and axis.numbers:
        marks = _round_marks(axis) + ([(axis.off, "null")] if math.isfinite(axis.off) else [])
    texts = told_apart([float(text) if is_number_text(text) and "." in text else text for _, text in marks])
    crowded = _crowded([position for position, _ in marks], texts)
    ax.set_xticks([position for position, _ in marks], texts, rotation=35 if crowded else 0, ha="right" if crowded else "center")
    if crowded:
        ax.tick_params(axis="x", pad=1)
    ax.margins(x=0.08)
    if math.isfinite(axis.off):
        ax.axvline((axis.numbers[-1] + axis.off) / 2, color=style.INK, linewidth=0.6, linestyle=(0, (1, 3)))


def _crowded(positions: Sequence[float], texts: Sequence[str]) -> bool:
    """Whether labels side by side would touch: all of them together, or two neighbours that are close to each other."""
    span = (positions[-1] - positions[0]) or 1.0
    close = any(
        _ROOM * (right - left) / span < (len(first) + len(second)) / 2 + 1
        for left, right, first, second in zip(positions, positions[1:], texts, texts[1:], strict=False)
    )
    return close or sum(map(len, texts)) > _ROOM


def _round_marks(axis: KnobAxis) -> list[tuple[float, str]]:
    low, high = axis.numbers[0], axis.numbers[-1]
    if not axis.log:
        return [(float(mark), f"{mark:.3g}") for mark in np.linspace(low, high, 4)]
    heads = (1, 3) if high - low < 2.5 else (1,)
    marks = [math.log10(head) + power for power in range(math.floor(low), math.ceil(high) + 1) for head in heads]
    return [(mark, f"{10**mark:.3g}") for mark in marks if low - 0.05 <= mark <= high + 0.05]


def is_number(value: Any) -> bool:
    """Whether a knob's value is a number (a bool is a word)."""
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def is_number_text(text: str) -> bool:
    """Whether a value as text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
