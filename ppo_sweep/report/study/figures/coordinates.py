"""Where the coordinates of a searched knob lie on an axis, and what its ticks say: the knob's own values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ppo_sweep.report.knobs import short_names, shown
from ppo_sweep.report.study.searched import Search, SearchedKnob
from ppo_sweep.sweep.study.domains import Choices, Interval

#: Characters of a tick label; longer ones are cut.
_LONGEST = 14


@dataclass(frozen=True)
class Coordinates:
    """The axis of one knob.

    Attributes:
        label: of the parameter in Optuna.
        name: on the axis.
        low, high: outermost positions.
        ticks: position and text of each.
        ordered: numbers, not choices.
    """

    knob: SearchedKnob
    name: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    ordered: bool

    @property
    def label(self) -> str:
        """Of the parameter in Optuna."""
        return self.knob.label

    def position(self, coordinate: Any) -> float:
        """Where a coordinate lies; NaN for None, a knob that a trial did not have."""
        if coordinate is None and not (isinstance(self.knob.domain, Choices) and None in self.knob.domain.values):
            return math.nan
        domain = self.knob.domain
        if isinstance(domain, Choices):
            coordinates = list(domain.coordinates)
            same = [
                place
                for place, own in enumerate(coordinates)
                if own == coordinate and isinstance(own, bool) == isinstance(coordinate, bool)
            ]
            return float(same[0]) if same else math.nan
        if domain.zero and coordinate < domain.low:
            return _zero(domain)
        return _at(domain, float(coordinate))

    def of(self, params: dict[str, Any] | Any) -> float:
        """Where a trial lies: :meth:`position` of its parameter."""
        return self.position(params[self.label]) if self.label in params else math.nan


def coordinates(search: Search) -> list[Coordinates]:
    """The axis of every searched knob, in the order of the space."""
    names = short_names(knob.key for knob in search.knobs)
    return [_axis(knob, names[knob.key]) for knob in search.knobs]


def _axis(knob: SearchedKnob, name: str) -> Coordinates:
    domain = knob.domain
    if isinstance(domain, Choices):
        texts = [_cut(shown(value)) for value in domain.values]
        return Coordinates(knob, name, -0.4, len(texts) - 0.6, tuple((float(place), text) for place, text in enumerate(texts)), False)
    low, high = _at(domain, domain.low), _at(domain, domain.high)
    numbers = _log_ticks(domain) if domain.log else _linear_ticks(domain)
    ticks = [(_at(domain, value), _number(value)) for value in numbers]
    if domain.zero:
        low = _zero(domain)
        ticks = [(low, "0"), *ticks]
    return Coordinates(knob, f"1 − {name}" if domain.one_minus else name, low, high, tuple(ticks), True)


def _at(domain: Interval, value: float) -> float:
    return math.log10(value) if domain.log and value > 0 else value


def _zero(domain: Interval) -> float:
    """Exactly 0 stands below a logarithmic interval, by an eighth of its length."""
    return _at(domain, domain.low) - (_at(domain, domain.high) - _at(domain, domain.low)) / 8


def _log_ticks(domain: Interval) -> list[float]:
    decades = math.log10(domain.high / domain.low)
    heads = (1, 2, 5) if decades < 1.2 else (1, 3) if decades < 2.2 else (1,)
    powers = range(math.floor(math.log10(domain.low)), math.ceil(math.log10(domain.high)) + 1)
    marks = [head * 10.0**power for power in powers for head in heads]
    inside = [mark for mark in marks if domain.low * 0.999 <= mark <= domain.high * 1.001]
    return inside if len(inside) > 1 else [domain.low, domain.high]


def _linear_ticks(domain: Interval) -> list[float]:
    points = domain.points()
    if points is not None and len(points) <= 5:
        return [float(point) for point in points]
    middle = (domain.low + domain.high) / 2
    return [domain.low, round(middle) if domain.whole else middle, domain.high]


def _number(value: float) -> str:
    if value and (abs(value) < 1e-3 or abs(value) >= 1e5):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def label_x(ax: Any, axis: Coordinates, *, room: int = 22) -> None:
    """Ticks and name of an x-axis."""
    texts = [text for _, text in axis.ticks]
    crowded = sum(map(len, texts)) > room
    ax.set_xticks([place for place, _ in axis.ticks], texts, rotation=30 if crowded else 0, ha="right" if crowded else "center")
    pad = 0.05 * (axis.high - axis.low)
    ax.set_xlim(axis.low - pad, axis.high + pad)
    ax.set_xlabel(axis.name)


def label_y(ax: Any, axis: Coordinates) -> None:
    """Ticks and name of a y-axis."""
    ax.set_yticks([place for place, _ in axis.ticks], [text for _, text in axis.ticks])
    pad = 0.05 * (axis.high - axis.low)
    ax.set_ylim(axis.low - pad, axis.high + pad)
    ax.set_ylabel(axis.name)


def spread_out(positions: Sequence[float], axis: Coordinates) -> list[float]:
    """Positions of choices moved apart a little, in turn, so that trials of one choice do not hide each other."""
    if axis.ordered:
        return list(positions)
    return [position + 0.22 * ((place * 0.618034) % 1 - 0.5) * 2 for place, position in enumerate(positions)]
