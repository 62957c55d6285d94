"""What each setting is worth, and what separates it from the reference (docs/numbers.md §2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ppo_sweep.report import environments, knobs
from ppo_sweep.report.csv_files import read_tables
from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import UNFINISHED, Group, groups, references
from ppo_sweep.report.normalised import normalised_scores
from ppo_sweep.runs.tables import EVAL_COLUMNS
from ppo_sweep.statistics import ENOUGH, SMALLEST, holm, holm_levels, mean_interval, paired, smallest_rank_p, welch

#: Rows over all environments, on normalised scores.
ALL = "all"

#: Columns of ``scores.csv`` after the swept knobs.
SCORE_COLUMNS = ("env", "n", "mean", "std", "median", "iqm", "ci_low", "ci_high", "min", "max", "diverged", "eval_mean")

#: Columns of ``differences.csv`` after the swept knobs.
DIFFERENCE_COLUMNS = (
    "env", "n", "n_reference", "difference", "low", "high", "p", "p_holm", "holm_low", "holm_high",
    "pairs", "paired_difference", "paired_low", "paired_high", "verdict",
)  # fmt: skip

BETTER, WORSE, OPEN, TOO_FEW, IDENTICAL = "better", "worse", "not separated", "too few seeds", "identical"


def scores(results: Results) -> pd.DataFrame:
    """A row per group, and with several environments one more per setting over all of them.

    Returns:
        ``group``, the swept knobs, :data:`SCORE_COLUMNS`. In rows of one environment ``ci_low`` and ``ci_high`` are
        the interval of the mean. Rows ``env=all`` are about normalised scores, of settings that have a score in every
        environment: mean over environments, ``iqm`` over all runs, and the interval is that of the IQM.
    """
    evaluated = last_evaluations(results)
    found = groups(results)
    rows = [_score_row(group, evaluated) for group in found]
    if len(results.environments) > 1:
        rows += [_all_row(label, scored, found) for label, scored in normalised_scores(results).items()]
    return _table(rows, results.swept, SCORE_COLUMNS)


def _table(rows: Sequence[Mapping[str, object]], swept: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a frame; knobs as they are (pandas would make NaN of the null in a column of numbers)."""
    table = pd.DataFrame(list(rows), columns=["group", *swept, *columns])
    for key in swept:
        table[key] = pd.Series([row[key] for row in rows], dtype=object)
    return table


def last_evaluations(results: Results) -> dict[str, float]:
    """Run → mean return of its last deterministic evaluation; runs without one are missing."""
    paths = {str(run): Path(path) / "eval.csv" for run, path in results.runs["path"].items()}
    rows = read_tables(paths, EVAL_COLUMNS, [], texts=("mode",))
    rows = rows[rows["mode"] == "deterministic"].drop_duplicates("run", keep="last")
    return {str(run): float(value) for run, value in zip(rows["run"], rows["return_mean"], strict=True)}


def _score_row(group: Group, evaluated: Mapping[str, float]) -> dict[str, object]:
    values = group.scores.to_numpy()
    interval = mean_interval(values)
    counted = group.runs["counted"].dropna().index
    last = [_evaluated(group.runs.loc[run], evaluated.get(str(run))) for run in counted]
    return {
        "group": group.label,
        **group.setting,
        "env": group.env,
        "n": len(values),
        **_summary(values),
        "iqm": math.nan,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "diverged": group.diverged,
        # Of some runs only, it would be the mean of a chosen few.
        "eval_mean": float(np.mean(last)) if any(str(run) in evaluated for run in counted) else math.nan,
    }


def _all_row(label: str, scored: environments.Scores, found: Sequence[Group]) -> dict[str, object]:
    inside = [group for group in found if group.label == label and group.env in scored]
    pooled = np.concatenate(list(scored.values()))
    interval = environments.iqm_interval(scored)
    return {
        "group": label,
        **inside[0].setting,
        "env": ALL,
        "n": len(pooled),
        **_summary(pooled),
        "mean": environments.mean(scored),
        "iqm": environments.iqm(scored),
        "ci_low": interval.low,
        "ci_high": interval.high,
        "diverged": sum(group.diverged for group in inside),
        "eval_mean": math.nan,
    }


def _evaluated(run: pd.Series, last: float | None) -> float:
    """What a run adds to the mean of evaluations: of a diverged one the lower of its last and the random policy's, as its score."""
    known = [value for value in (last, run["random"] if run["state"] == "diverged" else None) if value is not None]
    return min(known, default=math.nan)


def _summary(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return dict.fromkeys(("mean", "std", "median", "min", "max"), math.nan)
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        "median": float(np.median(values)),
        "min": float(values.min()),
        "max": float(values.max()),
    }


def differences(results: Results) -> pd.DataFrame:
    """Every group against the reference of its environment.

    ``low``, ``high``, ``p``: Welch. ``p_holm`` and ``holm_low``, ``holm_high``: Holm over all rows of this table.
    ``paired_…``: over the seeds that both have. ``verdict``: ``better`` or ``worse`` only where the adjusted
    interval excludes 0, ``identical`` where every seed has the same score on both sides.

    Returns:
        ``group``, the swept knobs, :data:`DIFFERENCE_COLUMNS`; no row without a second group.
    """
    against, found = references(results), groups(results)
    base = {group.env: group for group in found if group.env in against and group.label == against[group.env].label}
    others = [group for group in found if group.env in base and group is not base[group.env] and _comparable(group, base[group.env])]
    compared = [welch(group.scores, base[group.env].scores) for group in others]
    p_values = [difference.p for difference in compared]
    rows = []
    for group, difference, p_holm, level in zip(others, compared, holm(p_values), holm_levels(p_values), strict=True):
        first, second = group.scores, base[group.env].scores
        adjusted = difference.at(float(level))
        pairs = paired(first.to_dict(), second.to_dict())
        rows.append(
            {
                "group": group.label,
                **group.setting,
                "env": group.env,
                "n": len(first),
                "n_reference": len(second),
                "difference": difference.value,
                "low": difference.low,
                "high": difference.high,
                "p": difference.p,
                "p_holm": float(p_holm),
                "holm_low": adjusted.low,
                "holm_high": adjusted.high,
                "pairs": pairs.n,
                "paired_difference": pairs.value,
                "paired_low": pairs.low,
                "paired_high": pairs.high,
                "verdict": IDENTICAL if identical(group, base[group.env]) else verdict(adjusted.low, adjusted.high),
            }
        )
    return _table(rows, results.swept, DIFFERENCE_COLUMNS)


def verdict(low: float, high: float) -> str:
    """What may be said of a difference, from its adjusted interval: in reports the only place that says ``better`` (a study's
    confirmation is one comparison, and has :attr:`~ppo_sweep.sweep.study.confirmation.Report.word`)."""
    if not math.isfinite(low) or not math.isfinite(high):
        return TOO_FEW
    return BETTER if low > 0 else WORSE if high < 0 else OPEN


def identical(group: Group, other: Group) -> bool:
    """Whether two settings have the same seeds with exactly the same scores: no tie by chance, what differs between them did nothing."""
    scored = [sorted(zip(one.scores.index, one.scores, strict=True)) for one in (group, other)]
    return bool(scored[0]) and scored[0] == scored[1]


def _comparable(group: Group, base: Group) -> bool:
    """Tuning seeds are not compared with report seeds (docs/studies.md)."""
    return knobs.SEEDS not in group.setting or group.setting[knobs.SEEDS] == base.setting[knobs.SEEDS]


def cautions(results: Results) -> list[str]:
    """What to keep in mind about the numbers of these tables, in sentences."""
    found = groups(results)
    sizes = sorted({len(group.scores) for group in found})
    said = []
    if any(SMALLEST <= size < ENOUGH for size in sizes):
        said.append(f"Fewer than {ENOUGH} seeds: intervals (Student t) are only indicative.")
    if any(0 < size < SMALLEST for size in sizes):
        said.append(f"Fewer than {SMALLEST} seeds: no interval and no comparison.")
    against = references(results)
    base = {group.env: len(group.scores) for group in found if group.env in against and group.label == against[group.env].label}
    pairs = {(len(group.scores), base[group.env]) for group in found if group.env in base and group.label != against[group.env].label}
    for n, m in sorted(pairs):
        if min(n, m) >= SMALLEST and smallest_rank_p(n, m) >= 0.1:
            said.append(f"{n} against {m}: no rank test can reach p < 0.1.")
    diverged = sum(group.diverged for group in found)
    if diverged:
        said.append(
            f"{diverged} of {len(results.runs)} runs diverged; each counts as the lower of its last finite score and the random policy's."
        )
    for state, where in (("pruned", "in no mean"), ("stopped", "in no mean"), ("failed", "in no score")):
        count = int((results.runs["state"] == state).sum())
        if count:
            said.append(f"{count} of {len(results.runs)} runs {'were' if state != 'failed' else 'have'} {state}: {where}.")
    waiting = int(results.runs["state"].isin(UNFINISHED).sum())
    if waiting:
        said.append(f"{waiting} of {len(results.runs)} runs are not finished: they are in the curves as far as they go, and in no score.")
    return said
