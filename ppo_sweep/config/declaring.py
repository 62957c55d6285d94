"""A knob as the sections declare it: a dataclass field that knows its unit, range and where its default comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Knob:
    """What is known of one knob beside its type and default (kept as dataclass field metadata)."""

    doc: str
    source: str = "ours"
    unit: str = ""
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    choices: tuple[str, ...] = ()
    example: Any = None
    #: True: may differ between members of one population. False: part of the static signature.
    member: bool = False

    @property
    def range(self) -> str:
        """The allowed values in words: ``> 0``, ``0 … 1``, ``a | b``."""
        if self.choices:
            return " | ".join(self.choices)
        low, high = self.low, self.high
        if low is None and high is None:
            return ""
        if high is None:
            return f"{'>' if self.open_low else '≥'} {low:g}"
        if low is None:
            return f"{'<' if self.open_high else '≤'} {high:g}"
        left, right = ("(" if self.open_low else "["), (")" if self.open_high else "]")
        return f"{left}{low:g}, {high:g}{right}"


def knob_field(default: Any, doc: str, **about: Any) -> Any:
    """A dataclass field that carries a :class:`Knob`."""
    meta = {"knob": Knob(doc, **about)}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=meta)
    return field(default=default, metadata=meta)
