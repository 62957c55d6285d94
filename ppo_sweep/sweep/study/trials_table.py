"""``trials.csv``: one row per trial that has ended, for people and spreadsheets."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ppo_sweep.runs import durable, naming
from ppo_sweep.sweep.study.confirmation import TrialResult
from ppo_sweep.sweep.study.kept import TABLE

COLUMNS = ("number", "state", "value", "value_std", "seeds", "env_steps", "diverged", "reason")


def write(study: Path, results: Sequence[TrialResult], knobs: Sequence[str], default: Mapping[str, Any]) -> None:
    """Write a study's table, whole.

    Args:
        study: its directory.
        results: of all trials that have ended.
        knobs: searched keys, each a column; blank where a trial has none, as under a condition that does not hold.
        default: key → value in the default configuration, which is trial 0.

    Raises:
        StorageError: the disk refuses.
    """
    durable.replace(study / TABLE, content(results, knobs, default).encode(), "study", durable=False)


def content(results: Sequence[TrialResult], knobs: Sequence[str], default: Mapping[str, Any]) -> str:
    """The text of :func:`write`; with several objectives the further ones are ``value_2`` …, behind ``reason``."""
    objectives = max((len(result.values) for result in results if result.values is not None), default=1)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*COLUMNS, *(f"value_{index}" for index in range(2, objectives + 1)), *knobs])
    for result in sorted(results, key=lambda result: result.number):
        first, *others = [_number(value) for value in result.values] if result.values is not None else [""] * objectives
        spread = _number(statistics.stdev(result.scores)) if len(result.scores) > 1 else ""
        row = [result.number, result.state, first, spread, len(result.scores), result.env_steps, result.diverged, result.reason or ""]
        row += others
        values = result.overrides if result.number else default
        row += [naming.shortest(values[knob]) if knob in values else "" for knob in knobs]
        table.writerow(row)
    return text.getvalue()


def _number(value: float) -> str:
    return repr(float(value))
