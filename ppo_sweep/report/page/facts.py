"""Of what a report is made: runs, environments, seeds, budgets, swept values, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ppo_sweep.report.figures.knob_axis import is_number
from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import compared_with, references
from ppo_sweep.report.knobs import told_apart
from ppo_sweep.runs.naming import shortest

#: Values of a swept knob that are listed.
_VALUES = 12


def facts(results: Results, *, study: bool = False) -> dict[str, str]:
    """Heading → words: runs, environments, seeds, budget, score, and what the settings are compared with.

    Args:
        study: of an Optuna study, which has no settings and compares by itself.
    """
    table = results.runs
    states = Counter(table["state"])
    seeds = sorted(set(table["seed"]))
    budgets = sorted(set(table["total_steps"]))
    said = {
        "runs": f"{len(table)}: " + ", ".join(f"{count} {state}" for state, count in states.most_common()),
        "environments": ", ".join(
            dict.fromkeys(
                f"{env} ({full})" if full and full != env else env for env, full in zip(table["env"], table["env_id"], strict=True)
            )
        ),
        **({} if study else {"settings": str(table["group"].nunique())}),
        "seeds": _spans(seeds),
        "budget": " or ".join(_count(budget) for budget in budgets[:3]) + (" …" if len(budgets) > 3 else "") + " environment steps per run",
        "score": " and ".join(sorted(set(table["kind"]))),
    }
    against = {} if study else references(results)
    if against:
        said["compared with"] = compared_with(against)
    return said


def _spans(numbers: Sequence[int]) -> str:
    """``0–4, 7``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return ", ".join(f"{span[0]}" if len(span) == 1 else f"{span[0]}–{span[-1]}" for span in spans)


def _count(steps: int) -> str:
    return f"{steps:,}".replace(",", "\u202f")


def values(column: pd.Series) -> str:
    """The values of a swept knob, numbers first, of very many the first ones."""
    found: dict[str, Any] = {shortest(item): item for item in column}
    ordered = sorted(found.values(), key=lambda item: (not is_number(item), item if is_number(item) else str(item)))
    words = told_apart(ordered)
    return ", ".join(words[:_VALUES]) + (f" and {len(words) - _VALUES} more" if len(words) > _VALUES else "")
