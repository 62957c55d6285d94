"""What one searched knob may be: a set of choices or an interval, as Optuna sees it and as the knob gets it.

Optuna searches the *coordinate*, which is the knob's value except that

- with ``one_minus`` it is 1 − value: discounts are searched on the scale on which they differ;
- with ``zero`` the value 0 stands below a logarithmic interval: the coordinate goes on downwards, by
  :data:`ZERO_SHARE` of its length, and everything there is 0. So one number says both whether and how
  much, and samplers that cannot handle conditions (``gp``, ``cmaes``) can search it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ppo_sweep.runs import naming

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

#: Share of a coordinate with ``zero`` that is 0. At 0.2 a random search tries 0 in every fifth trial.
ZERO_SHARE = 0.2

Scalar = None | bool | int | float | str


class Outside(ValueError):
    """A value that a domain does not hold."""


@dataclass(frozen=True)
class Choices:
    """One of several values, without order.

    Attributes:
        values: parsed values of the knob, or choices of a group.
    """

    values: tuple[Any, ...]

    def label(self, key: str) -> str:
        """The name of the coordinate."""
        return key

    @property
    def coordinates(self) -> tuple[Scalar, ...]:
        """The values in a form that Optuna stores: a list is written as text."""
        return tuple(value if isinstance(value, Scalar) else naming.shortest(value) for value in self.values)

    def distribution(self) -> BaseDistribution:
        """What Optuna searches."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.coordinates)

    def suggest(self, trial: Trial, label: str) -> Any:
        """Let ``trial`` choose a coordinate."""
        return trial.suggest_categorical(label, self.coordinates)

    def value(self, coordinate: Any) -> Any:
        """The knob's value at a coordinate."""
        return next(value for value, own in zip(self.values, self.coordinates, strict=True) if same(own, coordinate))

    def coordinate(self, value: Any) -> Any:
        """The coordinate of a value.

        Raises:
            Outside: it is none of the choices.
        """
        for own, coordinate in zip(self.values, self.coordinates, strict=True):
            if same(own, value):
                return coordinate
        raise Outside(value)

    def points(self) -> tuple[Any, ...]:
        """Every coordinate."""
        return self.coordinates

    def ends(self) -> tuple[Any, ...]:
        """Every value: choices have no order."""
        return self.values

    def describe(self) -> dict[str, Any]:
        """Plain values that say all of it, for ``study.json``."""
        return {"choices": list(self.values)}

    def __str__(self) -> str:
        return f"{{{', '.join(map(naming.shortest, self.values))}}}"


@dataclass(frozen=True)
class Interval:
    """Numbers from ``low`` to ``high``, both included.

    Attributes:
        low, high: of the coordinate (with ``one_minus`` of 1 − value).
        log: searched on a logarithmic scale.
        step: distance of the numbers that are tried, from ``low`` on; None = all.
        whole: whole numbers only.
        one_minus, zero: see the module.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False
    one_minus: bool = False
    zero: bool = False

    def label(self, key: str) -> str:
        """The name of the coordinate, which says how it differs from the knob."""
        name = f"1-{key}" if self.one_minus else key
        return f"{name} (0 below {self.low:g})" if self.zero else name

    @property
    def bottom(self) -> float:
        """Where the coordinate begins: at ``low``, or with ``zero`` below it."""
        return self.low * (self.low / self.high) ** (ZERO_SHARE / (1 - ZERO_SHARE)) if self.zero else self.low

    def distribution(self) -> BaseDistribution:
        """What Optuna searches."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(self.bottom, self.high, log=self.log, step=self.step)

    def suggest(self, trial: Trial, label: str) -> Any:
        """Let ``trial`` choose a coordinate."""
        if self.whole:
            return trial.suggest_int(label, int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return trial.suggest_float(label, self.bottom, self.high, log=self.log, step=self.step)

    def value(self, coordinate: Any) -> Any:
        """The knob's value at a coordinate."""
        if self.zero and coordinate < self.low:
            return 0.0
        return 1 - coordinate if self.one_minus else coordinate

    def coordinate(self, value: Any) -> Any:
        """The coordinate of a value.

        Raises:
            Outside: it is no number of this interval.
        """
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Outside(value)
        if self.zero and value == 0:
            return math.sqrt(self.low * self.bottom)
        # 1 − 0.9 is 0.09999999999999998: what is meant is the 0.1 that was typed.
        found = float(f"{1 - value:.12g}") if self.one_minus else value
        if not self.low <= found <= self.high or (self.step is not None and not _on_grid(found - self.low, self.step)):
            raise Outside(value)
        if self.whole:
            if found != int(found):
                raise Outside(value)
            return int(found)
        return float(found)

    def points(self) -> Sequence[Any] | None:
        """Every coordinate, or None if there are infinitely many."""
        if self.whole:
            return range(int(self.low), int(self.high) + 1, int(self.step or 1))
        if self.step is None:
            return None
        low, step = Decimal(repr(self.low)), Decimal(repr(self.step))  # 0.3, not 0.30000000000000004
        return tuple(float(low + index * step) for index in range(round((self.high - self.low) / self.step) + 1))

    def ends(self) -> tuple[Any, ...]:
        """The outermost values."""
        ends = (0.0,) if self.zero else ()
        return (*ends, self.value(int(self.low) if self.whole else self.low), self.value(int(self.high) if self.whole else self.high))

    def describe(self) -> dict[str, Any]:
        """Plain values that say all of it, for ``study.json``."""
        return {name: value for name, value in vars(self).items() if value is not None and value is not False}

    def __str__(self) -> str:
        words = f"[{naming.shortest(self.low)}, {naming.shortest(self.high)}]"
        words += f" in steps of {naming.shortest(self.step)}" if self.step is not None else ""
        words = f"{'log ' if self.log else ''}{words}"
        words = f"1 − x, x in {words}" if self.one_minus else words
        return f"{'{0} ∪ ' if self.zero else ''}{words}"


Domain = Choices | Interval


def duplicates(values: tuple[Any, ...]) -> Iterator[Any]:
    """Values that occurred before: 1 and 1.0 are one, 1 and true are two."""
    for index, value in enumerate(values):
        if any(same(value, earlier) for earlier in values[:index]):
            yield value


def same(one: Any, other: Any) -> bool:
    """Whether two values are one: lists are compared as tuples are, and 1 is not true."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return list(one) == list(other)
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _on_grid(distance: float, step: float) -> bool:
    return abs(distance / step - round(distance / step)) < 1e-9
