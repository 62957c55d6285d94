"""An Optuna study under ``fsck``: is its journal whole, and do trials, their runs, ``trials.csv`` and ``best.yaml`` agree.

A torn last line of the journal is cut off, as the next command would do. What a trial is worth stands in the journal (or the database) and
follows from its runs; where the two disagree, neither is changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from ppo_sweep.runs import durable
from ppo_sweep.runs.errors import CorruptFile, StorageError
from ppo_sweep.runs.status import read_status
from ppo_sweep.runs.study_file import Study as Listed
from ppo_sweep.sweep.fsck_repairs import remove
from ppo_sweep.sweep.fsck_run import RunFault
from ppo_sweep.sweep.study.kept import BEST, IDENTITY, JOURNAL, OWNER, TABLE
from ppo_sweep.sweep.study.progress import read_table

_LIMIT = 2**24

_COPY = "restore it from a copy; without it the trials are lost, and their runs can only be read one by one"
#: Whoever goes through a study's events again asks for the same trials.
_AGAIN = "restore it from a copy, or do without it (move it away if it is there): the same command makes it again from the runs"
_ANEW = "the same command writes it anew"
_RUN = "restore the run from a copy; what is kept of the trial stays as it is"
_STRANGER = "give it its name back, or move it out of the study"


def check_study(study: Path, listed: Listed | None, *, in_use: bool) -> list[RunFault]:
    """What is wrong with a study's own files, in the order in which it is to be repaired; only reads.

    Args:
        study: its directory.
        listed: its ``study.json``; None if there is none that can be read.
        in_use: a sweep is at work on it, so that what is being written is no damage.
    """
    faults = [] if in_use else list(_left_behind(study))
    kept = listed.other if listed is not None else {}
    if (study / JOURNAL).exists():
        faults += [*_torn(study, in_use=in_use), *_trials(study, listed, "journal")]
    elif OWNER in kept and listed is not None and _names_its_database(listed):
        faults += _trials(study, listed, "database")
    elif IDENTITY in kept and OWNER not in kept and not in_use:
        faults.append(RunFault(JOURNAL, "is gone", _AGAIN))
    return [*faults, *_best(study)]


def _left_behind(study: Path) -> Iterator[RunFault]:
    for name in (TABLE, BEST):
        temporary = study / f".{name}.tmp"
        if os.path.lexists(temporary):
            yield RunFault(temporary.name, "left behind by a study that was killed", "removed", partial(remove, temporary))
    lock = study / f"{JOURNAL}.lock"
    if os.path.lexists(lock):
        yield RunFault(lock.name, "left by a process that was killed while it wrote the journal", "removed", partial(remove, lock))


def _torn(study: Path, *, in_use: bool) -> Iterator[RunFault]:
    """The journal's last line, if an interrupted write left it torn."""
    from ppo_sweep.sweep.study import storage  # loads Optuna, which a grid need not wait for

    path = study / JOURNAL
    with suppress(StorageError):  # _trials meets the same, and reports it
        torn = storage.torn(path)
        if torn and not in_use:
            what = f"its last line is torn: {torn} bytes that an interrupted write left"
            yield RunFault(JOURNAL, what, "cut off; nothing else was lost", partial(storage.mend, path))


def _names_its_database(listed: Listed) -> bool:
    """Whether a command does; where only a configuration file does, its trials cannot be found from here."""
    from ppo_sweep.sweep.study import reading

    return reading.database_of(listed) is not None


def _trials(study: Path, listed: Listed | None, where: str) -> Iterator[RunFault]:
    """Complete trials and the table of all.

    Args:
        where: ``journal`` or ``database``, which holds them.
    """
    from ppo_sweep.sweep.study import reading, stored_trials

    place = JOURNAL if where == "journal" else where
    rows, unreadable = _rows(study)  # first: a trial's row comes after its end, also while others write
    yield from unreadable
    try:
        trials = reading.read(study, listed or Listed((), ())).trials
    except CorruptFile as error:
        remedy = _AGAIN if where == "journal" else _COPY
        yield RunFault(place, f"{error.field}: expected {error.expected}, found {error.found}", remedy)
        return
    except StorageError as error:
        yield RunFault(place, f"the trials cannot be read: {error}", "once the cause is gone, run fsck again")
        return
    options = _options({} if listed is None else listed.other)
    for trial in trials:
        if trial.state.name == "COMPLETE" and stored_trials.SAME_AS not in trial.user_attrs:  # else it has no runs
            yield from _trial(study, trial.number, list(trial.user_attrs.get("scores", [])), options, where)
    yield from _contradictions(
        rows, {trial.number: (trial.state.name, trial.values) for trial in trials if trial.state.is_finished()}, where
    )


def _options(kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """``sweep.*`` that is part of the study."""
    identity = kept.get(IDENTITY)
    options = identity.get("options") if isinstance(identity, dict) else None
    return options if isinstance(options, dict) else {}


def _single(options: Mapping[str, Any]) -> bool:
    """Whether the scores of a trial are those of its runs: one environment, one objective, of the runs' own score."""
    return not options.get("env") and all("." not in str(metric) for metric in options.get("metric", ["."]))


def _trial(study: Path, number: int, scores: list[float], options: Mapping[str, Any], where: str) -> Iterator[RunFault]:
    """The runs of a complete trial are those of its seeds and environments, have ended, and have the scores that it has."""
    name = f"trial={number:04d}"
    runs = sorted(path.parent.relative_to(study / name) for path in (study / name).rglob("status.json"))
    places = [f"env={environment}/" for environment in options.get("env") or ()] or [""]
    seeds = {Path(f"{place}seed={seed}"): seed for seed in range(len(scores)) for place in places}
    for run in runs:
        if not {run, *run.parents} & seeds.keys():  # what fsck itself sets aside lies in the run
            yield RunFault(f"{name}/{run.as_posix()}", "is no run of its trial", _STRANGER)
    gone = len(seeds.keys() - set(runs))
    if gone:
        yield RunFault(name, f"is COMPLETE in the {where}, and {gone} of its runs are gone", _RUN)
    for run, seed in seeds.items():
        if run not in runs:
            continue
        place = f"{name}/{run.as_posix()}"
        found = read_status(study / place)
        if found.state not in ("done", "diverged"):
            yield RunFault(place, f"its trial is COMPLETE in the {where}, and the run is {found.state}", _RUN)
        elif _single(options) and found.state == "done" and found.score != scores[seed]:
            yield RunFault(place, f"its score is {found.score}, and its trial has {scores[seed]} in the {where}", _RUN)


def _rows(study: Path) -> tuple[list[dict[str, str]], list[RunFault]]:
    """``trials.csv``, or what keeps it from being read."""
    try:
        return read_table(study), []
    except CorruptFile as error:
        return [], [RunFault(TABLE, str(error.found), _ANEW)]
    except StorageError as error:
        return [], [RunFault(TABLE, str(error), "once the cause is gone, run fsck again")]


def _contradictions(rows: Sequence[Mapping[str, str]], ended: Mapping[int, tuple[str, Any]], where: str) -> Iterator[RunFault]:
    """Rows that the trials contradict; missing ones are only late."""
    for row in rows:
        state, values = ended.get(int(row["number"]), ("none", None))
        value = repr(float(values[0])) if values else ""
        if (row["state"], row["value"]) != (state, value):
            what = f"trial {row['number']} is {row['state']} {row['value']}, and in the {where} {state} {value}".rstrip()
            yield RunFault(TABLE, what, _ANEW)


def _best(study: Path) -> Iterator[RunFault]:
    try:
        content = durable.read(study / BEST, limit=_LIMIT)
        whole = content is None or isinstance(yaml.safe_load(content), dict)
    except (StorageError, yaml.YAMLError, UnicodeDecodeError):
        whole = False
    if not whole:
        yield RunFault(BEST, "is no configuration that can be read", _ANEW)
