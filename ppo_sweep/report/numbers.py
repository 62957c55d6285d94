"""Numbers as text, for tables and sentences."""

from __future__ import annotations

import math


def number(value: float) -> str:
    """A score as text: three or four digits that matter, no exponent below a million."""
    return f"{value:.{_decimals(value)}f}" if math.isfinite(value) else ""


def alike(*values: float) -> list[str]:
    """Numbers that stand side by side, with as many decimals as the largest of them: ``-0.66`` beside ``99.17``."""
    decimals = min(map(_decimals, values))
    return [minus(f"{value:.{decimals}f}") for value in values]


def minus(text: str) -> str:
    """Text for reading: a minus sign is as wide as a digit, a hyphen is not."""
    return text.replace("-", "−")


def _decimals(value: float) -> int:
    size = abs(value)
    return 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 else 3
