"""Where a study stands, at any time and without touching it: its run directories, and what ``study.json`` lists."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ppo_sweep.runs import durable, places, status, stored_config, study_file
from ppo_sweep.runs.errors import CorruptFile, StorageError, storage_errors
from ppo_sweep.runs.lock import holder, is_locked
from ppo_sweep.runs.status import Status, read_status
from ppo_sweep.runs.study_file import Study, StudyMember, read_study
from ppo_sweep.runs.tables import METRIC_COLUMNS, TIMING_COLUMNS, last_row
from ppo_sweep.sweep.study.progress import StudyProgress, progress

#: States in which no step of a run is still to come, unless a later command asks for it.
_ENDED = ("done", "pruned", "diverged", "failed")

_BUDGET = re.compile(rb"^total_steps: (\d{1,18})$", re.MULTILINE)

#: Levels between a study and its runs, at most: ``trial=0007/env=hopper/seed=1``.
_DEPTH = 3
#: First folder below a study, and number of levels, of the runs whose names need hold no ``=``.
_UNNAMED = (("default", 2), ("confirm", 3))

_CONFIG_LIMIT = 2**20

_WANTED = "give the directory of a study, for example results/hopper"


@dataclass(frozen=True)
class RunOverview:
    """Where a run stands.

    Attributes:
        path: relative to the study, ``/`` between directories.
        state: as ``runs.status`` reads it; ``queued`` if it is listed and not begun yet.
        iteration, env_steps: how far it has got.
        total_steps: its budget in whole iterations once it has begun, before as asked for; None if not known.
        awaited: the sweep at work on the study will train it further.
        score, reason: of its end.
        return_100, kl, entropy: of its newest row; None where blank, or before the first.
        steps_per_s: of the whole population that it trained in, in its newest iteration.
        host, pid, updated: of its last writer.
        faults: files of it that cannot be read, in words.
    """

    path: str
    state: str
    iteration: int
    env_steps: int
    total_steps: int | None
    awaited: bool
    score: float | None
    reason: str | None
    return_100: float | None
    kl: float | None
    entropy: float | None
    steps_per_s: float | None
    host: str
    pid: int
    updated: str
    faults: tuple[str, ...] = ()

    @property
    def steps_in_all(self) -> int:
        """Environment steps when it has ended: what it has done if it has, else its budget."""
        return self.env_steps if self.state in _ENDED else max(self.total_steps or 0, self.env_steps)


@dataclass(frozen=True)
class Overview:
    """Where a study stands.

    Attributes:
        study: its directory.
        part: the only run, or folder of runs, that was looked at; empty for all.
        sweep: who is at work on it, in words; None if nobody is.
        command: the newest, as typed; None if it is not known.
        runs: in the order of ``study.json``, then by name.
        search: of an Optuna study, where its trials stand; None of others, and of a part.
        faults: files of the study itself that cannot be read, in words.
    """

    study: Path
    part: str
    sweep: str | None
    command: tuple[str, ...] | None
    runs: tuple[RunOverview, ...]
    search: StudyProgress | None = None
    faults: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Runs by state."""
        return dict(Counter(run.state for run in self.runs))

    @property
    def env_steps(self) -> int:
        """Environment steps done, over all runs."""
        return sum(run.env_steps for run in self.runs)

    @property
    def total_steps(self) -> int:
        """Environment steps when every run has ended; those that ended early count with what they did.

        Of a study's search, with the trials that are still to come.
        """
        if self.search is not None and not self.search.stage and self.search.steps_left is not None:
            return self.env_steps + self.search.steps_left
        return sum(run.steps_in_all for run in self.runs)

    @property
    def steps_per_s(self) -> float | None:
        """Environment steps per second of all workers together, in their newest iterations; None if none is known."""
        # A row of timing.csv is about a worker's whole population: each worker counts once.
        workers: dict[tuple[str, int], list[float]] = {}
        for run in self.runs:
            if run.state == "running" and run.steps_per_s is not None:
                workers.setdefault((run.host, run.pid), []).append(run.steps_per_s)
        return sum(sum(rates) / len(rates) for rates in workers.values()) if workers else None

    @property
    def seconds_left(self) -> float | None:
        """Until the sweep at work is done (of a study: its search), at the present speed; None if no sweep is, or it is not known."""
        speed = self.steps_per_s
        if self.sweep is None or not speed:
            return None
        if self.search is not None and not self.search.stage:
            return self.search.steps_left / speed if self.search.steps_left is not None else None
        return sum(run.steps_in_all - run.env_steps for run in self.runs if run.awaited) / speed


def studies_at(path: Path) -> list[tuple[Path, str]]:
    """What a path typed by a user means: ``(study, part)`` pairs; ``part`` is a run or folder of runs in it, or empty for all.

    A study means itself, a run or a folder of its seeds their study and that part, the results root all studies.

    Raises:
        StorageError: it is none of these, in a sentence.
    """
    with storage_errors("read", path):
        if not path.is_dir():
            what = "is a file" if path.exists() else "does not exist"
            raise StorageError(f"{path} {what}; {_WANTED}")
        names = set(os.listdir(path))
        if study_file.NAME in names:
            return [(path, "")]
        if _is_run(path, names):
            return [_enclosing(path)]
        below = [path / name for name in sorted(names) if not name.startswith(".") and (path / name).is_dir()]
        listed = any((child / study_file.NAME).exists() for child in below)
        runs = [] if listed else [run.split("/") for run in find_runs(path)]
        if any(run[0].startswith("seed=") for run in runs):
            return [_enclosing(path)]
        # No file says which it is, but names do: a run's hold "=", a study's do not.
        if any(len(run) == 1 or "=" in run[0] or (run[0], len(run)) in _UNNAMED for run in runs) or is_locked(path):
            return [(path, "")]
        studies = [child for child in below if (child / study_file.NAME).exists() or find_runs(child)]
    if not studies:
        raise StorageError(f"{path} holds no study and no run; {_WANTED}")
    return [(study, "") for study in studies]


def find_runs(top: Path, faults: Callable[[str], None] = lambda message: None) -> list[str]:
    """Paths of the run directories below ``top``, relative to it, in natural order; links are not followed.

    Args:
        faults: told of directories that cannot be read.
    """
    found: list[str] = []

    def unreadable(error: OSError) -> None:
        faults(f"cannot read {error.filename}: {error.strerror}")

    for directory, names, files in os.walk(top, onerror=unreadable):
        here = Path(directory)
        if here != top and _is_run(here, {*names, *files}):
            found.append(here.relative_to(top).as_posix())
            names.clear()
        names[:] = [name for name in names if not name.startswith((".", places.DAMAGED)) and name not in ("report", places.CHECKPOINT)]
    return sorted(found, key=_natural)


def look_at(study: Path, part: str = "") -> Overview:
    """The state of a study, or of a part of it, from its files; never raises for a bad one.

    Args:
        study, part: as :func:`studies_at` gives them.
    """
    faults: list[str] = []
    sweep = holder(study) if is_locked(study) else None
    listed: Study | None = None
    try:
        listed = read_study(study)
    except StorageError as error:
        faults.append(str(error))
    members = {member.path: member for member in listed.members} if listed else {}
    runs = runs_of(study, part, members, faults.append)
    # Without a list, whatever can still be trained may be what the sweep is at.
    overviews = tuple(_run(study, path, members.get(path), sweep is not None, everything=not members) for path in runs)
    search = None
    if listed is not None and not part:
        try:
            search = progress(study, listed.other, overviews)
        except StorageError as error:
            faults.append(str(error))
    return Overview(study, part, sweep, listed.command if listed else None, overviews, search, tuple(faults))


def runs_of(study: Path, part: str, members: Iterable[str], faults: Callable[[str], None]) -> list[str]:
    """Paths of all runs of a study: the listed ones first, then what else is on disk.

    Args:
        members: paths that ``study.json`` lists.
        part: only what is in this folder, or this run itself; empty for all.
    """
    there = study / part
    if part and _is_run(there, _names(there)):
        return [part]
    found = find_runs(there, faults)
    listed = [path for path in members if _within(path, part)]
    return list(dict.fromkeys([*listed, *(f"{part}/{run}" if part else run for run in found)]))


def _run(study: Path, path: str, member: StudyMember | None, alive: bool, everything: bool) -> RunOverview:
    directory, faults = study / path, []
    found = read_status(directory)
    state, reason = found.state, found.reason
    if state == "unreadable":
        faults.append(str(found.error))
    elif state == "absent" and member is not None and member.state in _ENDED:
        reason = f"was {member.state}; its {status.NAME if directory.exists() else 'directory'} is gone"
    elif state == "absent" and member is not None:
        state = "queued"
    row = _newest(directory / "metrics.csv", METRIC_COLUMNS, found, faults)
    timing = _newest(directory / "timing.csv", TIMING_COLUMNS, found, faults) if state == "running" else {}
    wanted = member.state in ("queued", "running") if member is not None else everything
    return RunOverview(
        path=path,
        state=state,
        iteration=found.iteration,
        env_steps=found.env_steps,
        total_steps=_whole_iterations(member.total_steps if member is not None else _budget(directory), found),
        awaited=alive and state not in _ENDED and (wanted or state == "running"),
        score=found.score,
        reason=reason or _last_line(found.error),
        return_100=row.get("return_100"),
        kl=row.get("kl"),
        entropy=row.get("entropy"),
        steps_per_s=timing.get("steps_per_s"),
        host=found.host,
        pid=found.pid,
        updated=found.updated,
        faults=tuple(faults),
    )


def _newest(path: Path, columns: tuple[str, ...], found: Status, faults: list[str]) -> Mapping[str, float | None]:
    """The last row of a table, column → number; nothing if it has none yet."""
    if not path.exists():
        return {}
    try:
        line = last_row(path, columns)
    except CorruptFile as error:
        # No line yet, or half of one, is what a writer at work may show and one killed at work may leave.
        foreign = error.field == "columns" and error.found != "none" and found.state != "running"
        if found.finished or foreign:
            faults.append(str(error))
        return {}
    if line == ",".join(columns):
        return {}
    return {column: _number(cell) for column, cell in zip(columns, line.split(","), strict=False)}


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _budget(directory: Path) -> int | None:
    """``total_steps`` of a run that is not listed; by its line, because parsing a thousand YAML files takes many seconds."""
    try:
        content = durable.read(directory / stored_config.NAME, limit=_CONFIG_LIMIT) or b""
    except StorageError:
        return None
    line = _BUDGET.search(content)
    return int(line[1]) if line else None


def _whole_iterations(budget: int | None, found: Status) -> int | None:
    if budget is None or not found.iteration:
        return budget
    each = max(1, found.env_steps // found.iteration)
    return budget // each * each


def _last_line(text: str | None) -> str | None:
    return text.strip().rpartition("\n")[2] if text else None


def _names(directory: Path) -> set[str]:
    """What is in a directory; nothing if it cannot be read."""
    try:
        return set(os.listdir(directory))
    except OSError:
        return set()


def _is_run(directory: Path, names: set[str]) -> bool:
    """Whether a directory with these names in it is, or has been, a run's."""
    if status.NAME in names or places.TABLES[0] in names:
        return True
    return stored_config.NAME in names and stored_config.is_stored_config(directory / stored_config.NAME)


def _enclosing(path: Path) -> tuple[Path, str]:
    """The study of a run, or of a folder of its seeds, and where in it that is."""
    here = Path(os.path.abspath(path))
    above = list(here.parents)[:_DEPTH]
    study = next((parent for parent in above if (parent / study_file.NAME).exists()), None)
    if study is None:
        named = here.name.startswith("seed=") and ("=" in here.parent.name or here.parent.name == "default")
        study = above[1] if named and len(above) > 1 else above[0]
    part, now = here.relative_to(study).as_posix(), Path.cwd()
    return (study.relative_to(now) if study.is_relative_to(now) else study), part


def _within(path: str, part: str) -> bool:
    return not part or path == part or path.startswith(f"{part}/")


def _natural(path: str) -> tuple[tuple[int, str], ...]:
    """A key that sorts ``seed=2`` before ``seed=10``."""
    return tuple((int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", path))
