"""What a rule hands back when its symptom is there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ppo_sweep.report.doctor.record import RunRecord


@dataclass(frozen=True)
class Evidence:
    """Why a symptom is believed to be there.

    Attributes:
        iterations: first and last iteration it shows in; None for a group of runs, or a run without rows.
        value, threshold: the number that was judged, and what it was judged by, in the same unit.
        sentence: both in words, for a person.
        series: columns of the metrics that show it, for a small figure.
        line: height of a line in that figure, in the first series' unit.
        knob, advice: in place of the rule's own, where the evidence points to another remedy.
    """

    iterations: tuple[int, int] | None
    value: float
    threshold: float
    sentence: str
    series: tuple[str, ...] = ()
    line: float | None = None
    knob: str | None = None
    advice: str | None = None


def extent(record: RunRecord, rows: npt.NDArray[np.bool_] | slice) -> tuple[int, int] | None:
    """First and last iteration number of some rows; None if there are none."""
    numbers = record.iterations[rows]
    return (int(numbers[0]), int(numbers[-1])) if len(numbers) else None


def median(values: npt.NDArray[np.float64]) -> float:
    """Median of the finite values; NaN, without a warning, if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def percent(share: float) -> str:
    """``0.876`` as ``88 %``; small shares keep their first digit."""
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.2g} %"
