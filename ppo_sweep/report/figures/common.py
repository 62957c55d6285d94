"""What several figures share: options, which groups are highlighted, and sentences of captions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppo_sweep.report import curves, style
from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import CUT_SHORT, UNFINISHED, Group, groups, left_out, names, references
from ppo_sweep.report.style import Look

#: Inches: narrower figures have their panels one below another.
ONE_COLUMN = 5.0


class NothingToShow(Exception):
    """There is nothing to draw; the message is a sentence for the page."""


@dataclass(frozen=True)
class Options:
    """What is drawn.

    Attributes:
        x: env_steps, seconds or updates.
        band: std, interval or range.
        seeds: also a thin line for every seed.
        threshold: of the steps to a threshold, as a return; by default chosen per environment.
        width: of figures made of equal panels, in inches; below :data:`ONE_COLUMN` panels stand one below another.
    """

    x: str = "env_steps"
    band: str = "std"
    seeds: bool = False
    threshold: float | None = None
    width: float = style.WIDTH


@dataclass(frozen=True)
class Cast:
    """Which groups a figure shows, and how.

    Attributes:
        looks: label → look of the groups that are told apart; the others are grey.
        names: label → name in legends.
        by_env: environment → its groups.
        grey: how many settings are grey.
        left_out: values that names do not say.
    """

    looks: Mapping[str, Look]
    names: Mapping[str, str]
    by_env: Mapping[str, Sequence[Group]]
    grey: int
    left_out: str = ""

    @property
    def entries(self) -> list[tuple[str, object]]:
        """Of the legend; none where there is one group only."""
        if len(self.looks) < 2:
            return []
        shown: list[tuple[str, object]] = [(self.names[label], style.handle(look)) for label, look in self.looks.items()]
        return shown + ([(f"{self.grey} other settings", style.grey_handle())] if self.grey else [])

    @property
    def sentence(self) -> str:
        """Of the caption, where names are short or some groups are grey."""
        total = self.grey + len(self.looks)
        return sentences(
            f"Of {total} settings, the reference and those with the highest mean scores are in colour, the others grey."
            if self.grey
            else "",
            names_sentence(self.left_out),
        )


def cast(results: Results, among: Iterable[str] | None = None) -> Cast:
    """All groups in colour if they can be told apart; else the references and the highest mean scores.

    Args:
        among: labels that the figure shows, if not all. A group looks the same in every figure.
    """
    found = groups(results)
    by_env = {env: [group for group in found if group.env == env] for env in results.environments}
    labels = results.group_labels
    if len(labels) > style.DISTINCT:
        labels = _highlighted(results, by_env)
    looks, shown = style.looks(labels), set(results.group_labels if among is None else among)
    return Cast(
        {label: look for label, look in looks.items() if label in shown},
        names(results),
        by_env,
        len(shown - looks.keys()),
        left_out(results),
    )


def cast_of(results: Results, column: str) -> Cast:
    """:func:`cast` of what has a number in a column of ``metrics.csv`` already, or counts without; what has none is left out."""
    begun = set(results.metrics["run"][np.isfinite(results.metrics[column])])
    if column in curves.RETURNS:
        begun |= set(results.runs.index[(results.runs["state"] == "diverged") & results.runs["counted"].notna()])
    runs = results.runs.loc[results.runs.index.isin(begun)]
    shown = cast(results, runs["group"])
    return replace(shown, by_env={env: found for env, found in shown.by_env.items() if env in set(runs["env"])})


def missing_sentence(results: Results, shown: Cast) -> str:
    """Which environments a figure of :func:`cast_of` leaves out; empty if none."""
    left_out = [env for env in results.environments if env not in shown.by_env]
    return f"Nothing to draw yet of {', '.join(left_out)}." if left_out else ""


def _highlighted(results: Results, by_env: Mapping[str, Sequence[Group]]) -> list[str]:
    """References, then by turns each environment's highest means; in command order."""
    chosen = list(dict.fromkeys(item.label for item in references(results).values()))[:3]
    ordered = [[group.label for group in sorted(found, key=_mean, reverse=True)] for found in by_env.values()]
    for place in range(max(map(len, ordered))):
        for labels in ordered:
            if place < len(labels) and labels[place] not in chosen and len(chosen) < style.DISTINCT - 2:
                chosen.append(labels[place])
    return [label for label in results.group_labels if label in chosen]


def _mean(group: Group) -> float:
    return float(group.scores.mean()) if len(group.scores) else -math.inf


def across(count: int, width: float = style.WIDTH) -> int:
    """How many of so many panels stand side by side: three at most, and no row of one below a row of three; one in a narrow figure."""
    return 1 if width < ONE_COLUMN else 2 if count == 4 else min(count, 3)


def panels(count: int, height: float, width: float = style.WIDTH) -> tuple[Figure, list[Axes]]:
    """A figure of so many equal panels.

    Args:
        height: of one row, in inches.
    """
    columns = across(count, width)
    down = math.ceil(count / columns)
    figure = Figure(figsize=(width, height * down + 0.4))
    return figure, [figure.add_subplot(down, columns, place + 1) for place in range(count)]


def names_sentence(base: str) -> str:
    """What short names of settings leave out; empty where they leave out nothing."""
    return f"Names say what differs from {base}." if base else ""


def seeds_sentence(found: Sequence[Group]) -> str:
    """``5 seeds per setting``, ``3 to 5 seeds per setting``; queued runs are not counted."""
    sizes = [size for group in found if (size := int((~group.runs["state"].isin(["queued", "absent"])).sum()))]
    if not sizes:
        return "no seed has begun"
    low, high = min(sizes), max(sizes)
    words = f"{low} seed{'s' if low > 1 else ''}" if low == high else f"{low} to {high} seeds"
    return f"{words} per setting"


def states_sentence(results: Results) -> str:
    """What diverged, was cut short, failed or is not finished; empty if all is well."""
    total, states = len(results.runs), results.runs["state"]
    parts = []
    diverged = int((states == "diverged").sum())
    if diverged:
        parts.append(
            f"{diverged} of {total} runs diverged (×), and count on as the lower of their last finite score and the random policy's"
        )
    for state in CUT_SHORT:
        if count := int((states == state).sum()):
            parts.append(f"{count} of {total} were {state}, drawn thin and in no mean")
    if count := int((states == "failed").sum()):
        parts.append(f"{count} of {total} failed")
    if count := int(states.isin(UNFINISHED).sum()):
        parts.append(f"{count} of {total} are not finished")
    return f"{'; '.join(parts)}." if parts else ""


def sentences(*parts: str) -> str:
    """Sentences of a caption, those that are empty left out."""
    return " ".join(part for part in parts if part)
