"""Who won by how much, and how much of what it looked worth was selection (docs/studies.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ppo_sweep.report.numbers import number
from ppo_sweep.report.study.searched import Search, Trial
from ppo_sweep.sweep.study import confirmation
from ppo_sweep.sweep.study.confirmation import DEFAULT, Report

Scores = Mapping[int, float]


@dataclass(frozen=True)
class Confirmed:
    """One configuration that was confirmed.

    Attributes:
        name: ``rank=1`` or ``default``, as its directory.
        trial: its number.
        tuning: its scores in the search; empty if they cannot be read.
        confirmation, report: seed → score.
        winner: on the confirmation seeds.
    """

    name: str
    trial: int
    tuning: tuple[float, ...]
    confirmation: Scores
    report: Scores
    winner: bool

    @property
    def title(self) -> str:
        """For figures: ``trial 4``, ``default``."""
        return "default" if self.name == DEFAULT else f"trial {self.trial}"


@dataclass(frozen=True)
class Verdict:
    """What the fresh seeds say.

    Attributes:
        confirmed: winner first, then by rank, the default last (or first, if it won).
        report: winner against default on the report seeds; None without them.
        of: how many trials had ended then; None if that was not kept.
    """

    confirmed: tuple[Confirmed, ...]
    report: Report | None
    of: int | None

    @property
    def word(self) -> str:
        """Of the winner against the default (see :attr:`Report.word`); empty without report seeds."""
        return "" if self.report is None else self.report.word


def verdict(search: Search) -> Verdict | None:
    """What ``study.json`` keeps of the confirmation; None before it has ended, or without one."""
    kept = search.confirmed
    try:
        numbers = {str(name): int(trial) for name, trial in kept["trials"].items()}
        chosen, reported = ({name: _seeds(scores) for name, scores in kept[phase].items()} for phase in ("confirmation", "report"))
        winner, of = str(kept["winner"]), int(kept["of"]) if "of" in kept else None
    except (KeyError, AttributeError, TypeError, ValueError):
        return None
    if winner not in numbers:
        return None
    tuning = {trial.number: trial.result.scores for trial in search.complete}
    found = [
        Confirmed(name, trial, tuning.get(trial, ()), chosen.get(name, {}), reported.get(name, {}), name == winner)
        for name, trial in numbers.items()
    ]
    found.sort(key=lambda one: (not one.winner, one.name == DEFAULT))
    said = None
    if reported.get(winner) and reported.get(DEFAULT):
        said = confirmation.report(
            numbers[winner], reported[winner], reported[DEFAULT], search.results, search.objectives[0], search.seed
        )  # fmt: skip
    return Verdict(tuple(found), said, of)


def _seeds(scores: Mapping[str, float]) -> dict[int, float]:
    return {int(seed): float(score) for seed, score in scores.items()}


def sentences(search: Search, found: Verdict | None) -> list[str]:
    """The result in words, the verdict first."""
    # A minus sign is as wide as a digit, a hyphen is not.
    return [re.sub(r"(?<!\w)-(?=\d)", "−", line) for line in _lines(search, found)]


def _lines(search: Search, found: Verdict | None) -> list[str]:
    if found is None or found.report is None:
        return [_unconfirmed(search)]
    first, *others = found.report.lines()
    if found.of not in (None, len(search.ended)):
        others.insert(0, f"What was confirmed are the first {found.of} trials: {len(search.ended)} have ended by now.")
    return [first, *others]


def leading(search: Search, count: int = 1) -> list[Trial]:
    """Complete trials of the highest values of the first objective (lowest, where it is minimised)."""
    sign = 1.0 if search.objectives[0].maximize else -1.0
    return sorted(search.complete, key=lambda trial: (-sign * trial.value(), trial.number))[:count]


def _unconfirmed(search: Search) -> str:
    if search.trouble:
        return search.trouble
    if not search.complete:
        return "No trial is complete yet." if not search.ended else "No trial is complete, so there is nothing to confirm."
    [top] = leading(search)
    extreme = "highest" if search.objectives[0].maximize else "lowest"
    who = "the default configuration" if top.number == 0 else f"trial {top.number}"
    return (
        f"Not confirmed on fresh seeds: {who} has the {extreme} value on the tuning seeds ({number(top.value())}) of "
        f"{len(search.complete)} complete trials. It was chosen among noisy values, for its luck as well, so this value is too good "
        "to be quoted."
    )
