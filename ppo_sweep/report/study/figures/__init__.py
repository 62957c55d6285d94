"""The figures of a study's report: one module each, listed in one table; a new figure is one entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from ppo_sweep.report.figures import FigureKind
from ppo_sweep.report.study import FIGURE_NAMES
from ppo_sweep.report.study.budget import Budget
from ppo_sweep.report.study.figures import budget, confirmation, contours, history, importance, parallel, pareto, rungs, slices
from ppo_sweep.report.study.searched import Search
from ppo_sweep.report.study.verdict import Verdict


@dataclass(frozen=True)
class Material:
    """What the figures are made of.

    Attributes:
        steps: environment steps of a whole run of the default configuration.
    """

    search: Search
    verdict: Verdict | None
    budget: Budget
    steps: int


def kinds(made: Material) -> list[FigureKind]:
    """The figures of one study, in the order of ``FIGURE_NAMES``; the Pareto set with several objectives only."""
    search, verdict = made.search, made.verdict
    table: list[tuple[str, str, Callable[[float], Figure], Callable[[], str]]] = [
        ("confirmation", "Confirmation on fresh seeds",
         lambda width: confirmation.figure(search, verdict, width), lambda: confirmation.caption(search, verdict)),
        ("pareto", "Pareto set", lambda width: pareto.figure(search), lambda: pareto.caption(search)),
        ("history", "History", lambda width: history.figure(search, width), lambda: history.caption(search)),
        ("importance", "Importance of each knob", lambda width: importance.figure(search, width), lambda: importance.caption(search)),
        ("slices", "Slices", lambda width: slices.figure(search, width), lambda: slices.caption(search)),
        ("contours", "Contours", lambda width: contours.figure(search, width), lambda: contours.caption(search)),
        ("parallel", "Parallel coordinates", lambda width: parallel.figure(search), lambda: parallel.caption(search)),
        ("rungs", "Rungs", lambda width: rungs.figure(search, made.steps, width), lambda: rungs.caption(search)),
        ("budget", "Budget", lambda width: budget.figure(made.budget, width), lambda: budget.caption(made.budget)),
    ]  # fmt: skip
    assert tuple(name for name, *_ in table) == FIGURE_NAMES
    return [_kind(*entry) for entry in table if entry[0] != "pareto" or len(search.objectives) > 1]


def _kind(name: str, title: str, figure: Callable[[float], Figure], caption: Callable[[], str]) -> FigureKind:
    """As other figures are made: of runs, which these do not need, and options."""
    return FigureKind(name, title, lambda results, options: figure(options.width), lambda results, options: caption())
