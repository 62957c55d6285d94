"""What the page says of a study, as plain data; the template ``page/study.html`` arranges it."""

from __future__ import annotations

import math
import os
import statistics
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppo_sweep.report.frame import Results
from ppo_sweep.report.knobs import SEEDS, short_names
from ppo_sweep.report.page.tables import Cell, Table, amount, interval, setting, whole
from ppo_sweep.report.study import noise, verdict
from ppo_sweep.report.study.audit import LEAST, RungAudit
from ppo_sweep.report.study.figures import common
from ppo_sweep.report.study.searched import Search, Trial
from ppo_sweep.report.study.verdict import Verdict
from ppo_sweep.sweep.study import intervals
from ppo_sweep.sweep.study.confirmation import pareto

#: Order of states in the table of trials.
_STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")


@dataclass(frozen=True)
class Sections:
    """See the module.

    Attributes:
        standings: the result, a sentence with a verdict or "".
        said: sentences below it.
        searched: knob → what it may be.
        facts: heading → words.
        focus: which runs the page's curves, scores and diagnosis are about.
        progress: whether the search still improves.
        trials: a row per trial, the leading ones first.
        audit: a row per rung; None where there are none.
        audited: sentences below it.
        confirmed: a row per confirmed configuration; None before that.
    """

    standings: Sequence[tuple[str, str]]
    said: Sequence[str]
    searched: Mapping[str, str]
    facts: Mapping[str, str]
    focus: str
    progress: str
    trials: Table | None
    audit: Table | None
    audited: Sequence[str]
    confirmed: Table | None


def sections(search: Search, found: Verdict | None, audit: Sequence[RungAudit], results: Results, focus: str, place: Path) -> Sections:
    """Of one study.

    Args:
        results: its runs.
        focus: see :class:`Sections`.
        place: directory of the page, which links are relative to.
    """
    first, *others = verdict.sentences(search, found)
    under_way = _under_way(results) if found is None else ""
    return Sections(
        standings=[(first, found.word if found is not None else "")],
        said=[line for line in (*others, under_way, *_several(search), search.trouble) if line and line != first],
        searched={knob.key: f"{knob.domain}{_condition(knob.when)}" for knob in search.knobs},
        facts=_facts(search),
        focus=focus,
        progress=noise.sentence(search),
        trials=trials(search, place) if search.trials else None,
        audit=_audit(audit) if audit else None,
        audited=_audit_sentences(search, audit),
        confirmed=_confirmed(found, search.seed) if found is not None else None,
    )


def _several(search: Search) -> list[str]:
    """Of several objectives: which trials are the set, and what was confirmed."""
    if len(search.objectives) < 2 or not search.complete:
        return []
    chosen = pareto(search.results, search.objectives)
    names = ", ".join("the default configuration" if result.number == 0 else f"trial {result.number}" for result in chosen[:12])
    more = f" and {len(chosen) - 12} more" if len(chosen) > 12 else ""
    about = f"What is said above is about the first, {search.metrics[0]}."
    return [f"{len(search.objectives)} objectives; the Pareto set: {names}{more}. {about}"]


def _under_way(results: Results) -> str:
    if SEEDS not in results.swept:
        return ""
    fresh = results.runs[results.runs[SEEDS].isin(["confirmation", "report"])]
    done = int(fresh["state"].isin(["done", "diverged"]).sum())
    return f"The confirmation is not over: {done} of its {len(fresh)} runs so far are done." if len(fresh) else ""


def _condition(when: Mapping[str, Any]) -> str:
    parts = [f"{parent} is {' or '.join(map(str, values))}" for parent, values in when.items()]
    return f", if {' and '.join(parts)}" if parts else ""


def _facts(search: Search) -> dict[str, str]:
    options = search.options
    metrics = ", ".join(f"{metric} (to {direction})" for metric, direction in zip(search.metrics, options["direction"], strict=True))
    share = float(options.get("prune_audit") or 0)
    pruner = str(options.get("pruner"))
    return {
        "trials": f"{len(search.trials)}: {common.states(search)}" if search.trials else "none yet",
        "a trial is worth": f"{metrics}, over {options.get('seeds')} seeds",
        "sampler": str(options.get("sampler")),
        "pruner": pruner if pruner == "none" else f"{pruner}; {100 * share:g} % of the trials are never pruned",
    }


def trials(search: Search, place: Path) -> Table:
    """Every trial: complete ones by value, the leading first, then pruned and failed ones."""
    names = short_names(knob.key for knob in search.knobs)
    several = list(search.metrics[1:])
    reasons = any(trial.result.reason for trial in search.trials)
    diverged = any(trial.result.diverged for trial in search.trials)
    columns = [
        ("trial", False),
        ("state", False),
        ("value", True),
        *((name, True) for name in several),
        ("std", True),
        *([("diverged", True)] if diverged else []),
        ("steps", True),
        *((names[knob.key], _numeric(search, knob.key)) for knob in search.knobs),
        *([("remark", False)] if reasons else []),
    ]
    link = _prefix(search.directory, place)
    rows = [
        _row(search, trial, link, len(several), diverged=diverged, reasons=reasons)
        for trial in sorted(search.trials, key=lambda trial: _order(search, trial))
    ]
    return Table(
        columns,
        rows,
        "Every trial, the leading values first: they were chosen by these very numbers and are too good. std: over the trial's seeds "
        "(ddof = 1). Blank knobs: as in the default configuration. A pruned trial's value is that of its last rung.",
    )


def _row(search: Search, trial: Trial, link: str, several: int, *, diverged: bool, reasons: bool) -> list[Cell]:
    result = trial.result
    values = [*(result.values or ()), *[math.nan] * (1 + several)][: 1 + several]
    state = result.state.lower().replace("fail", "failed")
    name = "default" if trial.number == 0 else f"trial {trial.number}"
    trained = trial.number if result.same_as is None else result.same_as
    return [
        Cell(name, float(trial.number), link=f"{link}trial%3D{trained:04d}/"),
        Cell(state, state, kind=f"state {state}"),
        *(amount(value) for value in values),
        amount(statistics.stdev(result.scores) if len(result.scores) > 1 else math.nan),
        *([whole(result.diverged)] if diverged else []),
        whole(result.env_steps) if result.env_steps else Cell("", None),
        *(setting(result.overrides[knob.key]) if knob.key in result.overrides else Cell("", None) for knob in search.knobs),
        *([Cell(result.reason or "", result.reason or None, kind="remark")] if reasons else []),
    ]


def _order(search: Search, trial: Trial) -> tuple[int, float, int]:
    sign = -1.0 if search.objectives[0].maximize else 1.0
    value = trial.value() if trial.result.values is not None else math.inf
    return _STATES.index(trial.state), sign * value if math.isfinite(value) else math.inf, trial.number


def _numeric(search: Search, key: str) -> bool:
    values = [trial.result.overrides[key] for trial in search.trials if key in trial.result.overrides]
    return all(value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values)


def _prefix(study: Path, place: Path) -> str:
    return urllib.parse.quote(os.path.relpath(study.resolve(), place.resolve())) + "/"


def _confirmed(found: Verdict, seed: int) -> Table:
    columns = [("configuration", False), ("tuning mean", True), ("confirmation mean", True), ("95 % interval", True), ("report mean", True),
               ("95 % interval", True), ("tuning − fresh", True)]  # fmt: skip
    rows = []
    for one in found.confirmed:
        means = [_mean(values, seed) for values in (list(one.confirmation.values()), list(one.report.values()))]
        # The winner was chosen on the confirmation seeds: only its report seeds are fresh.
        fresh = list((one.report or one.confirmation).values())
        tuning = statistics.fmean(one.tuning) if one.tuning else math.nan
        name = f"{one.title}{', winner' if one.winner else ''}"
        cells = [Cell(name, name), amount(tuning)]
        for mean, low, high in means:
            cells += [amount(mean), interval(low, high)]
        rows.append([*cells, amount(tuning - statistics.fmean(fresh)) if fresh else amount(math.nan)])
    return Table(
        columns,
        rows,
        "Means over tuning seeds (which candidates were selected by), confirmation seeds (which chose the winner) and report seeds (which "
        "chose nothing); intervals as in the figure. Tuning − fresh: by how much the tuning mean "
        "is above the report mean or, without one, the confirmation mean.",
    )


def _mean(values: Sequence[float], seed: int) -> tuple[float, float, float]:
    if not values:
        return math.nan, math.nan, math.nan
    mean = intervals.mean(values, seed)
    return mean.mean, math.nan if mean.low is None else mean.low, math.nan if mean.high is None else mean.high


def _audit(found: Sequence[RungAudit]) -> Table:
    columns = [
        (name, True) for name in ("rung at", "trials there", "pruned there", "audited", "rank correlation", "of the top tenth, would prune")
    ]
    rows = [
        [
            whole(one.steps),
            whole(one.reached),
            whole(one.pruned),
            whole(one.audited),
            amount(one.correlation, f"{one.correlation:.2f}".replace("-", "−") if math.isfinite(one.correlation) else None),
            Cell(f"{one.killed} of {one.top}", float(one.killed)),
        ]
        for one in found
    ]
    return Table(
        columns,
        rows,
        "Audited: trials that are never pruned. Spearman's rank correlation of their values at the rung with their values at the end, "
        "and how many of their final top tenth (one at least) the rung's own rule would have pruned, against the trials before them.",
    )


def _audit_sentences(search: Search, found: Sequence[RungAudit]) -> list[str]:
    if not found:
        return []
    most = max(one.audited for one in found)
    if most < LEAST:
        return [
            f"{most} complete audited trial{'s' * (most != 1)}: too few for a rank correlation; raise sweep.prune_audit or sweep.n_trials."
        ]
    return [f"Only {most} audited trials: read these numbers as hints."] if most < 10 else []
