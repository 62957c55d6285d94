"""What a study has cost and what pruning has saved, in environment steps."""

from __future__ import annotations

from dataclasses import dataclass

from ppo_sweep.report.frame import Results
from ppo_sweep.report.knobs import SEEDS
from ppo_sweep.report.study.searched import ENDED, Search
from ppo_sweep.sweep.study.confirmation import COMPLETE, FAIL, PRUNED

#: Of the phases after the search, as the column ``seeds`` of a report's runs calls them.
AFTER = ("confirmation", "report")


@dataclass(frozen=True)
class Budget:
    """Environment steps, of all runs together.

    Attributes:
        complete, pruned, failed, running: spent by trials in these states.
        saved: that pruned trials would have taken to their ends.
        confirmation, report: spent on confirmation and report seeds.
        idle: share of their time that workers waited for each other; None if not known yet.
    """

    complete: int
    pruned: int
    failed: int
    running: int
    saved: int
    confirmation: int
    report: int
    idle: float | None

    @property
    def search(self) -> int:
        """Spent by all trials."""
        return self.complete + self.pruned + self.failed + self.running

    @property
    def saved_share(self) -> float:
        """Of what the search would have taken without pruning."""
        return self.saved / (self.search + self.saved) if self.search + self.saved else 0.0


def budget(search: Search, results: Results) -> Budget:
    """Steps of trials that are over from the study, of all others from their runs.

    Args:
        results: the study's runs.
    """
    runs = results.runs
    belongs = {str(run): _trial(str(run)) for run in runs.index}
    state = {trial.number: trial.state for trial in search.trials}
    spent = {name: sum(trial.result.env_steps for trial in search.trials if trial.state == name) for name in ENDED}
    running = sum(
        int(runs.at[run, "env_steps"]) for run, number in belongs.items() if number is not None and state.get(number) not in ENDED
    )
    # A trial that was pruned before its last seed began has fewer runs than a whole one.
    seeds = int(search.options.get("seeds", 1))
    saved = 0
    for trial in search.states(PRUNED):
        own = [run for run, number in belongs.items() if number == trial.number]
        whole = sum({runs.at[run, "env"]: int(runs.at[run, "total_steps"]) for run in own}.values()) * seeds
        saved += max(0, whole - trial.result.env_steps)
    phases = {name: int(runs.loc[_of_kind(results, name), "env_steps"].sum()) for name in AFTER}
    waited, there = search.idle
    return Budget(
        complete=spent[COMPLETE],
        pruned=spent[PRUNED],
        failed=spent[FAIL],
        running=running,
        saved=saved,
        confirmation=phases["confirmation"],
        report=phases["report"],
        idle=waited / there if there else None,
    )


def _trial(run: str) -> int | None:
    """``small/trial=0007/seed=1`` → 7."""
    name = next((part for part in run.split("/") if part.startswith("trial=")), "")
    digits = name.removeprefix("trial=")
    return int(digits) if digits.isdigit() else None


def _of_kind(results: Results, kind: str) -> list[str]:
    if SEEDS in results.swept:
        return [str(run) for run in results.runs.index[results.runs[SEEDS] == kind]]
    return []


def sentences(found: Budget) -> list[str]:
    """The same in words."""
    said = []
    if found.saved:
        said.append(
            f"Pruning saved {_count(found.saved)} environment steps, {100 * found.saved_share:.0f} % of what the search would have taken "
            f"without it; it took {_count(found.search)}."
        )
    else:
        said.append(f"The search took {_count(found.search)} environment steps; pruning saved none.")
    if found.confirmation or found.report:
        said.append(f"Confirmation took {_count(found.confirmation)} more, the report seeds {_count(found.report)}.")
    if found.idle is not None:
        said.append(
            f"Workers waited for each other {100 * found.idle:.1f} % of their time: the price of a study that can be repeated exactly."
        )
    return said


def _count(steps: int) -> str:
    return f"{steps:,}".replace(",", "\u202f")
