"""Where the runs are: from what was typed to run directories and the studies that they belong to."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ppo_sweep.report.errors import ReportError
from ppo_sweep.runs import status, stored_config, study_file
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.study_file import Study, StudyMember, read_study

#: Levels between a study and its runs, at most: ``confirm/rank=1/env=hopper/seed=1000``.
_DEPTH = 4

#: Directories that hold no runs of their own.
_SKIPPED = ("report", "checkpoint")


@dataclass(frozen=True)
class Place:
    """One run directory.

    Attributes:
        directory: absolute.
        study: the study's directory: the nearest one above with a ``study.json``, else the run's grandparent.
        member: what ``study.json`` says of the run; None if it does not list it.
        order: its place in the study's commands; runs that are not listed come after those that are.
    """

    directory: Path
    study: Path
    member: StudyMember | None
    order: int


def find(paths: Sequence[str | Path], notes: list[str]) -> list[Place]:
    """The run directories below some paths, each once, studies one after another, runs in command order.

    Args:
        paths: a run, a study, a results root, or patterns (``results/hopper*``).
        notes: receives what is wrong with a ``study.json``, and which of its runs have no directory, in words.

    Raises:
        ReportError: a path is not there, is no directory, or no run is below any of them.
    """
    directories = [found.resolve() for path in paths for found in _expand(path)]
    studies: dict[Path, Study | None] = {}
    places: dict[Path, Place] = {}
    for directory in directories:
        for run in _runs(directory):
            places.setdefault(run, _place(run, studies, notes))
    if not places:
        raise ReportError(
            f"no run below {' or '.join(map(str, paths))}; give a directory that train.py has written, for example results/hopper"
        )
    for above, study in studies.items():
        if study is not None and any(above == top or top in above.parents for top in directories):
            _note_missing(above, study, places, notes)
    return sorted(places.values(), key=lambda place: (str(place.study), place.order, _natural(place.directory)))


def study_of(directory: Path, studies: dict[Path, Study | None], notes: list[str]) -> Path:
    """The study that a run belongs to; ``studies`` remembers what has been read."""
    for above in list(directory.parents)[:_DEPTH]:
        if above not in studies:
            studies[above] = _read(above, notes)
        if studies[above] is not None:
            return above
    return directory.parent.parent


def _place(run: Path, studies: dict[Path, Study | None], notes: list[str]) -> Place:
    above = study_of(run, studies, notes)
    study = studies.get(above)
    members = {} if study is None else {member.path: (order, member) for order, member in enumerate(study.members)}
    order, member = members.get(run.relative_to(above).as_posix(), (len(members), None))
    return Place(run, above, member, order)


def _note_missing(above: Path, study: Study, places: Mapping[Path, Place], notes: list[str]) -> None:
    missing = [member for member in study.members if above / member.path not in places]
    if missing:
        runs = "1 run that its commands asked for has" if len(missing) == 1 else f"{len(missing)} runs that its commands asked for have"
        first = f"{missing[0].path} ({missing[0].state}){' …' * (len(missing) > 1)}"
        notes.append(f"{above}: {runs} no directory, and so no part in anything here: {first}")


def _expand(path: str | Path) -> list[Path]:
    """A typed path, or what a pattern stands for; brackets in the name of a directory that exists are no pattern."""
    text = str(path)
    found = [Path(text)] if os.path.lexists(text) else [Path(name) for name in sorted(glob.glob(text))]
    if not found:
        raise ReportError(f"{text} does not exist; give the directory of a run or of a study, for example results/hopper")
    if len(found) == 1 and not found[0].is_dir():
        raise ReportError(f"{text} is not a directory; give the directory of the run or of the study that it is in")
    return [item for item in found if item.is_dir()]


def _runs(top: Path) -> Iterator[Path]:
    """Run directories at or below ``top``; nothing inside a run is looked at, and no link is followed."""
    for directory, below, files in os.walk(top, onerror=_refuse):
        here = Path(directory)
        if is_run(here, files):
            below.clear()
            yield here
        below[:] = sorted(name for name in below if name not in _SKIPPED and not name.startswith("."))


def is_run(directory: Path, names: Sequence[str]) -> bool:
    """Whether a directory that holds files of these names is a run's."""
    if "metrics.csv" in names or status.NAME in names:
        return True
    return stored_config.NAME in names and stored_config.is_stored_config(directory / stored_config.NAME)


def _refuse(error: OSError) -> None:
    raise ReportError(f"cannot read {error.filename}: {error.strerror}")


def _read(study: Path, notes: list[str]) -> Study | None:
    try:
        return read_study(study)
    except StorageError as error:
        notes.append(f"{error}; the runs of this study are taken from its directories instead")
        # Known as a study all the same: nobody else writes a file of this name.
        return Study((), ()) if (study / study_file.NAME).exists() else None


def _natural(directory: Path) -> tuple[tuple[int, float, str], ...]:
    """Sorts ``seed=2`` before ``seed=10``, and ``lr=3e-4`` before ``lr=1e-3``."""
    key = []
    for piece in directory.as_posix().replace("/", ",").split(","):
        name, _, value = piece.rpartition("=")
        try:
            key.append((0, float(value), name))
        except ValueError:
            key.append((1, 0.0, piece))
    return tuple(key)
