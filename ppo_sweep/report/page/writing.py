"""The whole report of some runs: ``index.html``, ``figures/``, ``tables/`` and ``scores.csv`` in one directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ppo_sweep.report import figures, random_scores, tables
from ppo_sweep.report.doctor import Diagnosis, examine
from ppo_sweep.report.errors import ReportError
from ppo_sweep.report.figures import FIGURES, FigureKind, Options
from ppo_sweep.report.frame import Results
from ppo_sweep.report.page.content import content
from ppo_sweep.report.page.rendering import render
from ppo_sweep.report.study import FIGURE_NAMES, FIGURES_FOR_PHONES, REPLACED, account_of
from ppo_sweep.runs import durable
from ppo_sweep.runs.errors import StorageError, storage_errors

if TYPE_CHECKING:
    from ppo_sweep.report.study.account import Account

PAGE = "index.html"
SCORES = "scores.csv"

#: Figures of equal panels, which the page has a second time as narrow as a phone; in inches.
_FOR_PHONES, _PHONE = ("learning_curves", "steps_to_threshold", *FIGURES_FOR_PHONES), 3.7

#: Figures of all runs, also where a study's page is about a few of them.
_OF_ALL = ("speed",)

#: Unfinished reports, beside the finished one; the number of the process that writes it follows.
_MAKING = ".making-"


@dataclass(frozen=True)
class Written:
    """What a report came to.

    Attributes:
        page: the page.
        missing: figure → why there is none.
        diagnosis: what the doctor says.
    """

    page: Path
    missing: dict[str, str]
    diagnosis: Diagnosis


def write(
    results: Results, place: Path, options: Options | None = None, *, title: str, progress: Callable[[str], None] = lambda what: None
) -> Written:
    """Make a report and put it into ``place``, over an earlier one; files that are not a report's stay.

    Everything is made beside it first and moved in at the end, the page last: a kill leaves the earlier report, or none.

    Args:
        title: of the page.
        progress: told what is being made, in a word.

    Raises:
        ReportError: ``place`` cannot be written.
    """
    try:
        with _workshop(place) as making:
            progress("tables")
            tables.write(results, making / "tables")
            durable.replace(making / SCORES, (making / "tables" / SCORES).read_bytes(), "report", durable=False)
            account = account_of(results)
            shown = results if account is None else account.focus.results
            drawn, narrow = [], {}
            for kind in _kinds(account):
                progress(kind.title.lower())
                drawn += figures.write(results if kind.name in _OF_ALL else shown, making / "figures", options, [kind])
                if kind.name in _FOR_PHONES and drawn[-1].svg is not None:
                    phone = replace(options or Options(), width=_PHONE)
                    narrow[kind.name] = figures.encoded(figures.draw(kind, shown, phone), "svg")
            progress("diagnosis")
            diagnosis = examine(shown)
            progress("page")
            files = [path.relative_to(making).as_posix() for path in _files(making)]
            html = render(content(results, drawn, diagnosis, place, title=title, files=files, narrow=narrow, account=account))
            durable.replace(making / PAGE, html.encode(), "report", durable=False)
            _move_in(making, place)
            random_scores.keep(results.measured)
    except StorageError as error:
        raise ReportError(f"the report cannot be written into {place}: {error}; choose another directory with --out") from error
    return Written(place / PAGE, {figure.name: figure.caption for figure in drawn if figure.png is None}, diagnosis)


@contextmanager
def _workshop(place: Path) -> Iterator[Path]:
    """A directory inside ``place`` to make the report in; what a killed process left of its own is removed."""
    with storage_errors("make", place):
        place.mkdir(parents=True, exist_ok=True)
        for left in place.glob(f"{_MAKING}*"):
            if not _alive(left.name.removeprefix(_MAKING)):
                shutil.rmtree(left, ignore_errors=True)
        making = place / f"{_MAKING}{os.getpid()}"
        shutil.rmtree(making, ignore_errors=True)
        for part in ("tables", "figures"):
            (making / part).mkdir(parents=True)
    try:
        yield making
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _alive(number: str) -> bool:
    return number.isdigit() and Path(f"/proc/{number}").exists()


def _move_in(making: Path, place: Path) -> None:
    """Put every file in place, the page last; figures that this report has not got are removed."""
    fresh = [path.relative_to(making) for path in _files(making)]
    for name in [*fresh, Path(PAGE)]:
        with storage_errors("write", place / name):
            (place / name).parent.mkdir(exist_ok=True)
            os.replace(making / name, place / name)
    for name in _known_figures():
        if name not in fresh:
            (place / name).unlink(missing_ok=True)


def _kinds(account: Account | None) -> Sequence[FigureKind]:
    """Of a study its own figures first; they take the place of some."""
    return FIGURES if account is None else [*account.figures, *(kind for kind in FIGURES if kind.name not in REPLACED)]


def _known_figures() -> Sequence[Path]:
    names = [*(kind.name for kind in FIGURES), *FIGURE_NAMES]
    return [Path("figures") / f"{name}.{suffix}" for name in names for suffix in ("png", "svg")]


def _files(making: Path) -> list[Path]:
    """All files but the page."""
    return sorted(path for path in making.rglob("*") if path.is_file() and path.name != PAGE)
