"""The few runs of a study that a page's curves, scores and diagnosis are about; hundreds of trials would tell nobody anything."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ppo_sweep.report.frame import Results
from ppo_sweep.report.study.searched import Search
from ppo_sweep.report.study.verdict import Confirmed, Verdict, leading
from ppo_sweep.sweep.study.kept import REPORT_FROM

#: Trials that stand beside the default one before anything is confirmed.
LEADING = 4


@dataclass(frozen=True)
class Focus:
    """A choice of runs.

    Attributes:
        results: these runs only, with names for their groups.
        sentence: which they are.
    """

    results: Results
    sentence: str


def focus(results: Results, search: Search, found: Verdict | None) -> Focus:
    """Winner and default on the report seeds and the others on the confirmation seeds; before that the leading trials.

    Runs of none of them (a study that has just begun): all.
    """
    names: dict[str, str] = {}
    if found is not None:
        for one in found.confirmed:
            names |= _confirmed(one)
        what = (
            "Of the study's runs: the winner and the default configuration on the report seeds, the other candidates on the "
            "confirmation seeds."
        )
        if not any(one.report for one in found.confirmed):
            what = "Of the study's runs: the configurations that were confirmed, on the confirmation seeds."
    else:
        chosen = [trial.number for trial in leading(search, len(search.trials)) if trial.result.same_as is None]
        numbers = list(dict.fromkeys([0, *chosen]))[: LEADING + 1]
        names = {f"trial={number:04d}": "default" if number == 0 else f"trial {number}" for number in numbers}
        what = (
            "Of the study's runs: the default configuration and the trials with the leading values, on the tuning seeds, "
            "which they were chosen by."
        )
    by_run = {str(run): name for run in results.runs.index for place, name in names.items() if _inside(str(run), place)}
    if not by_run:
        return Focus(results, "")
    order = {name: place for place, name in enumerate(dict.fromkeys(names.values()))}
    chosen_runs = sorted(by_run, key=lambda run: order[by_run[run]])  # stable: seeds stay in their order
    selected = results.select(chosen_runs)
    selected = replace(selected, runs=selected.runs.loc[chosen_runs])
    labels = {str(selected.runs.at[run, "group"]): name for run, name in by_run.items()}
    return Focus(replace(selected, named=labels), what)


def _confirmed(one: Confirmed) -> dict[str, str]:
    """Directory inside the study, with the first digit of the seeds → name."""
    if one.report:
        return {f"confirm/{one.name}/2": f"{one.title}, winner" if one.winner and one.name != "default" else one.title}
    return {f"confirm/{one.name}/1": f"{one.title}, confirmation seeds"}


def _inside(run: str, place: str) -> bool:
    """Whether a run lies in ``trial=0007``, or in ``confirm/rank=1/2``: of that configuration, with a seed from 2000 on."""
    parts = run.split("/")
    if not place.startswith("confirm/"):
        return place in parts
    _, name, thousand = place.split("/")
    seed = parts[-1].removeprefix("seed=")
    return "confirm" in parts and name in parts and seed.isdigit() and int(seed) // 1000 == int(thousand)


def every_name(results: Results, search: Search) -> dict[str, str]:
    """Label of every group → what it is: ``trial 7``, ``default, report seeds``."""
    numbers = {name: int(trial) for name, trial in dict(search.confirmed.get("trials", {})).items()}
    named = {}
    for run, label, seed in zip(results.runs.index, results.runs["group"], results.runs["seed"], strict=True):
        parts = str(run).split("/")
        trial = next((part.removeprefix("trial=") for part in parts if part.startswith("trial=")), "")
        if trial.isdigit():
            named[str(label)] = "default" if int(trial) == 0 else f"trial {int(trial)}"
        elif "confirm" in parts:
            name = parts[parts.index("confirm") + 1]
            who = f"trial {numbers[name]}" if numbers.get(name) else name
            named[str(label)] = f"{who}, {'report' if seed >= REPORT_FROM else 'confirmation'} seeds"
    return named
