"""Which setting has the highest mean score of an environment, and how sure that is, in words (docs/numbers.md §2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import Reference, groups, references
from ppo_sweep.report.numbers import alike, minus, number
from ppo_sweep.report.scores import BETTER, IDENTICAL, OPEN, differences, identical, scores
from ppo_sweep.statistics import SMALLEST

#: Settings that a sentence names; of more it gives the number.
_NAMED = 3


@dataclass(frozen=True)
class Leader:
    """The setting with the highest mean score of an environment, and how sure that is.

    Attributes:
        verdict: against the reference: better, not separated, too few seeds, identical; empty if it is the reference, or alone.
        sentence: for the page and captions.
    """

    env: str
    label: str
    mean: float
    n: int
    verdict: str
    sentence: str


def leaders(results: Results, names: Mapping[str, str] | None = None) -> list[Leader]:
    """The setting with the highest mean in each environment that has a score.

    Args:
        names: label → name in the sentence; the label itself by default.
    """
    named = dict(names or {})
    against, table, compared = references(results), scores(results), differences(results)
    found = []
    for env in results.environments:
        rows = table[(table["env"] == env) & table["mean"].notna()]
        if not len(rows):
            continue
        top = _highest(rows, against.get(env))
        label = str(top["group"])
        same = _identical_to(results, env, label)
        matches = compared[(compared["env"] == env) & (compared["group"] == label)]["verdict"]
        judged = IDENTICAL if 1 < len(same) == len(rows) else str(matches.iloc[0]) if len(matches) else ""
        sentence = _sentence(env, top, judged, against.get(env), len(rows), same, named)
        found.append(Leader(env, label, float(top["mean"]), int(top["n"]), judged, sentence))
    return found


def _highest(rows: pd.DataFrame, against: Reference | None) -> pd.Series:
    """The row of the highest mean; of equal ones the reference, else the first."""
    highest = rows[rows["mean"] == rows["mean"].max()]
    base = highest[highest["group"] == against.label] if against is not None else highest
    return (base if len(base) else highest).iloc[0]


def _identical_to(results: Results, env: str, label: str) -> list[str]:
    """Labels of the settings of an environment with the scores of this one in every seed, itself included; in command order."""
    inside = [group for group in groups(results) if group.env == env]
    [top] = [group for group in inside if group.label == label]
    return [group.label for group in inside if identical(group, top)]


def _sentence(
    env: str, top: pd.Series, judged: str, against: Reference | None, settings: int, same: Sequence[str], named: Mapping[str, str]
) -> str:
    label = str(top["group"])
    spread = "" if math.isnan(top["std"]) else f" ± {alike(top['mean'], top['std'])[1]}"
    runs = f"mean {minus(number(top['mean']))}{spread} over {int(top['n'])} seed{'s' if top['n'] > 1 else ''}"
    tied, named_same = len(same) > 1, f"{_listed(same, named)} have identical scores in every seed"
    if judged == IDENTICAL:
        return f"{env}: {named_same} ({runs}): what was swept made no difference to the score."
    if settings == 1 or against is None:
        return f"{env}: {runs}."
    who = f"{named_same}, and the" if tied else f"{named.get(label, label)} has the"
    begin = f"{env}: {who} highest mean of {settings} settings ({runs})"
    base, subject = named.get(against.label, against.label), "they are" if tied else "it is"
    if label == against.label:
        return f"{begin}; {base if tied else 'it'} is the reference."
    if judged == BETTER:
        return f"{begin}; {subject} better than {base}: the adjusted interval of their difference excludes 0."
    if judged == OPEN:
        return f"{begin}; {subject} not separated from {base}: the adjusted interval of their difference contains 0."
    return f"{begin}; with fewer than {SMALLEST} seeds on a side nothing can be said about how sure that is."


def _listed(labels: Sequence[str], named: Mapping[str, str]) -> str:
    """``A and B``, ``A, B and C``, ``A, B and 4 others``; one alone is itself."""
    texts = [named.get(label, label) for label in labels]
    if len(texts) > _NAMED:
        texts = [*texts[: _NAMED - 1], f"{len(texts) - _NAMED + 1} others"]
    return " and ".join(part for part in (", ".join(texts[:-1]), texts[-1]) if part)
