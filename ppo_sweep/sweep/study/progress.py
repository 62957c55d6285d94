"""How far a study has got, by its files alone: ``trials.csv``, ``study.json`` and its run directories.

No storage is opened, so looking needs no Optuna, no database and no lock.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ppo_sweep.runs import durable
from ppo_sweep.runs.errors import CorruptFile
from ppo_sweep.sweep.study.kept import AIM, CONFIRMED, IDENTITY, REPORT_FROM, TABLE

#: What a row must have of its columns.
_NEEDED = ("number", "state", "value", "value_std", "env_steps")

_SIZE_LIMIT = 2**28
_ENDED = ("done", "pruned", "diverged", "failed")


class Run(Protocol):
    """What must be known of a run (:class:`~ppo_sweep.sweep.overview.RunOverview`)."""

    @property
    def path(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def env_steps(self) -> int: ...
    @property
    def steps_in_all(self) -> int: ...


@dataclass(frozen=True)
class RunningTrial:
    """A trial that has not ended.

    Attributes:
        rung: how many rungs all its runs have passed.
        rungs: how many there are; 0 if nothing is pruned.
    """

    number: int
    rung: int
    rungs: int


@dataclass(frozen=True)
class StudyProgress:
    """How far a study has got.

    Attributes:
        n_trials: how many there are to be at most; None if it is not known.
        counts: ended trials by state.
        running: trials that have not ended.
        best: number, value and standard deviation over seeds (None: one seed) of the best complete trial, by the first objective.
        stage: what follows the search, in words; empty before it.
        steps_left: environment steps that the search will still take, if trials go on as they did; None if it is not known.
    """

    n_trials: int | None
    counts: Mapping[str, int]
    running: tuple[RunningTrial, ...]
    best: tuple[int, float, float | None] | None
    stage: str
    steps_left: int | None


def progress(study: Path, kept: Mapping[str, Any], runs: Sequence[Run]) -> StudyProgress | None:
    """Where a study stands; None if it is none.

    Args:
        study: its directory.
        kept: what ``study.json`` holds beside the runs.
        runs: all of them.

    Raises:
        CorruptFile, StorageError: ``trials.csv`` cannot be read.
    """
    identity = kept.get(IDENTITY)
    if not isinstance(identity, dict):
        return None
    aim = kept.get(AIM)
    aim = aim if isinstance(aim, dict) else {}
    n_trials = aim.get("n_trials") if isinstance(aim.get("n_trials"), int) else None
    limit = aim.get("max_env_steps") if isinstance(aim.get("max_env_steps"), int) else None
    rows = read_table(study)
    ended = {int(row["number"]) for row in rows}
    trials: dict[int, list[Run]] = {}
    for run in runs:
        number = run.path.partition("/")[0].removeprefix("trial=")
        if number.isdigit() and run.path.startswith("trial=") and int(number) not in ended:
            trials.setdefault(int(number), []).append(run)
    shares = [share for share in aim.get("rungs", ()) if isinstance(share, float)]
    size = _trial_size(identity)
    running = tuple(RunningTrial(number, _passed(own, size, shares), len(shares)) for number, own in sorted(trials.items()))
    return StudyProgress(
        n_trials,
        dict(Counter(row["state"] for row in rows)),
        running,
        _best(rows, identity),
        "" if trials else _stage(kept, runs, len(rows)),
        _steps_left(n_trials, limit, rows, trials),
    )


def read_table(study: Path) -> list[dict[str, str]]:
    """The rows of ``trials.csv``; none if there is no such file.

    Raises:
        CorruptFile: it is no such table.
        StorageError: it cannot be read.
    """
    path = study / TABLE
    content = durable.read(path, limit=_SIZE_LIMIT)
    if content is None:
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        for row in rows:
            int(row["number"]), int(row["env_steps"]), [float(row[name]) for name in ("value", "value_std") if row[name]]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise CorruptFile(path, "rows", ",".join(_NEEDED), str(error)) from error
    return rows


def _trial_size(identity: Mapping[str, Any]) -> int:
    """How many runs a trial has: seeds × environments."""
    options = identity.get("options")
    options = options if isinstance(options, dict) else {}
    seeds, environments = options.get("seeds"), options.get("env")
    return (seeds if isinstance(seeds, int) else 1) * max(1, len(environments) if isinstance(environments, list) else 1)


def _passed(runs: Sequence[Run], size: int, shares: Sequence[float]) -> int:
    """Rungs that all runs of a trial, of which there are ``size``, have passed; those that are not listed have not begun."""
    if len(runs) < size:
        return 0
    done = min(run.env_steps / max(1, run.steps_in_all) for run in runs)
    return sum(done >= share for share in shares)


def _best(rows: Sequence[Mapping[str, str]], identity: Mapping[str, Any]) -> tuple[int, float, float | None] | None:
    options = identity.get("options")
    directions = options.get("direction") if isinstance(options, dict) else None
    maximize = not directions or directions[0] != "minimize"
    complete = [(float(row["value"]), row) for row in rows if row["state"] == "COMPLETE" and row["value"]]
    if not complete:
        return None
    value, row = max(complete, key=lambda entry: entry[0] if maximize else -entry[0])
    return int(row["number"]), value, float(row["value_std"]) if row["value_std"] else None


def _stage(kept: Mapping[str, Any], runs: Sequence[Run], ended: int) -> str:
    """What follows the search of so many ended trials; a study that is made longer has been confirmed with fewer, and searches again."""
    confirming = [run for run in runs if run.path.startswith("confirm/")]
    if not confirming:
        return ""
    reporting = [run for run in confirming if _seed(run) >= REPORT_FROM]
    shown = reporting or confirming
    over = sum(run.state in _ENDED for run in shown)
    confirmed = kept.get(CONFIRMED)
    if over == len(shown) and isinstance(confirmed, dict):
        if confirmed.get("of") != ended:
            return ""
        winner = confirmed.get("trials", {}).get(confirmed.get("winner"))
        return f"confirmed: {'the default configuration' if winner == 0 else f'trial {winner}'}"
    return f"{'report' if reporting else 'confirmation'} seeds: {over} of {len(shown)} runs"


def _seed(run: Run) -> int:
    digits = run.path.rpartition("seed=")[2]
    return int(digits) if digits.isdigit() else 0


def _steps_left(
    n_trials: int | None, max_env_steps: int | None, rows: Sequence[Mapping[str, str]], running: Mapping[int, Sequence[Run]]
) -> int | None:
    """Trials that are to come cost what those that have ended did on average, pruned ones included."""
    if n_trials is None or not rows:
        return None
    spent = sum(int(row["env_steps"]) for row in rows)
    whole = spent / len(rows) * max(n_trials, len(rows))
    begun = sum(run.env_steps for runs in running.values() for run in runs)
    if max_env_steps is not None:  # trials that have begun are finished
        whole = min(whole, max(max_env_steps, spent + sum(run.steps_in_all for runs in running.values() for run in runs)))
    return max(0, round(whole - spent - begun))
