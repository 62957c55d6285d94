"""Everything that a report says of one study, from its files and its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ppo_sweep.report.figures import FigureKind
from ppo_sweep.report.frame import Results
from ppo_sweep.report.knobs import SEEDS
from ppo_sweep.report.study import figures
from ppo_sweep.report.study.audit import RungAudit, audit
from ppo_sweep.report.study.budget import Budget, budget
from ppo_sweep.report.study.focus import Focus, every_name, focus
from ppo_sweep.report.study.searched import Search, read
from ppo_sweep.report.study.sections import Sections, sections
from ppo_sweep.report.study.verdict import Verdict, verdict


@dataclass(frozen=True)
class Account:
    """See the module.

    Attributes:
        search: the study.
        results: all its runs, each group named after its trial.
        focus: the few that curves, scores and diagnosis are about.
    """

    search: Search
    results: Results
    focus: Focus
    verdict: Verdict | None

    @cached_property
    def audit(self) -> list[RungAudit]:
        """Every rung."""
        return audit(self.search)

    @cached_property
    def budget(self) -> Budget:
        """Steps spent and saved."""
        return budget(self.search, self.results)

    @property
    def figures(self) -> Sequence[FigureKind]:
        """The study's own figures."""
        runs = self.results.runs
        default = runs[[("trial=0000" in run.split("/")) for run in map(str, runs.index)]]
        steps = int((default if len(default) else runs)["total_steps"].max())
        return figures.kinds(figures.Material(self.search, self.verdict, self.budget, steps))

    def sections(self, place: Path) -> Sections:
        """What the page says."""
        return sections(self.search, self.verdict, self.audit, self.results, self.focus.sentence, place)


def account(results: Results, study: Path) -> Account | None:
    """Of a study; None if its ``study.json`` is of another version.

    Args:
        results: its runs.
        study: its directory.
    """
    search = read(study)
    if search is None:
        return None
    found = verdict(search)
    # What may be quoted before what was searched.
    order = {"report": 0, "confirmation": 1}
    kinds = results.runs[SEEDS] if SEEDS in results.swept else results.runs["seed"].map(str)
    runs = results.runs.iloc[sorted(range(len(kinds)), key=lambda place: order.get(kinds.iloc[place], 2))]
    named = replace(results, runs=runs, named=every_name(results, search))
    return Account(search, named, focus(named, search, found), found)
