"""A results tree as tidy frames: one row per run, and one per run and iteration.

Whatever is missing, torn or of another version becomes a note, never an error: a report of a study that
is running, or has suffered, shows what there is and says what there is not.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ppo_sweep.report import knobs, random_scores
from ppo_sweep.report.configurations import asked, configuration, default_choices, seed_kind, typed
from ppo_sweep.report.csv_files import read_tables
from ppo_sweep.report.errors import ReportError
from ppo_sweep.report.knobs import Asked
from ppo_sweep.report.places import Place, find
from ppo_sweep.runs import stored_config
from ppo_sweep.runs.status import Status, read_status
from ppo_sweep.runs.tables import EPISODE_COLUMNS, EVAL_COLUMNS, METRIC_COLUMNS, TIMING_COLUMNS

__all__ = ["ReportError", "Results", "episodes", "evaluations", "load", "timing"]

#: Scores that stand in a column of metrics.csv; others are computed from more files.
_COLUMN_SCORES = ("return_100", "return_all")


@dataclass(frozen=True)
class Results:
    """Many runs.

    Attributes:
        runs: a row per run, in the order of the commands; index ``run``, its id: the directory relative to
            ``root`` (``hopper/algo.max_kl=0.02/seed=1``). Columns:

            - ``path`` (absolute, str), ``study`` (name of its directory), ``env`` (short name of the choice if
              known, else the id), ``env_id``, ``seed``, ``group`` (label of the swept knobs only: ``max_kl=0.02``);
            - ``state`` (as ``runs.status`` reads it), ``final_score`` (as in ``status.json``; blank where there is none),
              ``reason`` (why there is no score, or what a failed run died of), ``iteration``, ``env_steps`` (reached),
              ``total_steps`` (its budget in whole iterations), ``kind`` (what is scored: ``return_100`` …);
            - ``random``, ``reference`` (``env.score_random``, ``env.score_reference``; where the first is not set, as kept
              in ``study.json`` or measured, if anything here needs it; else blank);
            - ``counted``: what the run counts as in means (docs/numbers.md §2): the score of a run that is done; of a
              diverged one the lower of its last finite score and the random policy's; blank for all others;
            - one column per swept knob, by its full key.
        metrics: a row per run and iteration: ``run`` (categorical), the columns of ``metrics.csv``, and ``seconds``:
            wall seconds of the population it trained in, summed up to and with this iteration.
        swept: full keys of the knobs that differ between runs of one environment.
        configs: run id → full key → value, resolved; empty for a run whose configuration cannot be read.
        notes: what is wrong with files, in words.
        root: the directory that ids are relative to.
    """

    runs: pd.DataFrame
    metrics: pd.DataFrame
    swept: tuple[str, ...]
    configs: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...] = ()
    root: Path = Path()
    #: Run id → full key → value of what was typed.
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Random scores that were measured for these runs and are not in ``study.json`` yet.
    measured: random_scores.Measured = field(default_factory=dict)
    #: Label of a group → its name in figures and tables, where the label would not say what it is: of trials.
    named: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def rows(self) -> Mapping[str, pd.DataFrame]:
        """Run → its rows of ``metrics``; a run without any has none here."""
        return {str(run): part for run, part in self.metrics.groupby("run", observed=True)}

    @property
    def environments(self) -> list[str]:
        """Short names, in the order of the commands."""
        return list(dict.fromkeys(self.runs["env"]))

    @property
    def group_labels(self) -> list[str]:
        """Groups in the order of the commands."""
        return list(dict.fromkeys(self.runs["group"]))

    def select(self, chosen: Iterable[str]) -> Results:
        """The same, with these runs only; what was swept stays as it is."""
        wanted = set(chosen)
        return Results(
            self.runs[self.runs.index.isin(wanted)],
            self.metrics[self.metrics["run"].isin(wanted)].reset_index(drop=True),
            self.swept,
            {run: config for run, config in self.configs.items() if run in wanted},
            self.notes,
            self.root,
            {run: words for run, words in self.overrides.items() if run in wanted},
            self.measured,
            self.named,
        )


def load(*paths: str | Path) -> Results:
    """Read a run, a study, several, a results root, or what patterns stand for.

    Raises:
        ReportError: a path is unusable, or no run is found; one sentence.
    """
    notes: list[str] = []
    places = find(paths, notes)
    root = Path(os.path.commonpath([place.study.parent for place in places]))
    ids = {place.directory.relative_to(root).as_posix(): place for place in places}
    configs = {run: configuration(place.directory, notes) for run, place in ids.items()}
    statuses = {run: read_status(place.directory) for run, place in ids.items()}
    for run in [run for run in ids if statuses[run].state == "unreadable"]:
        notes.append(f"{statuses[run].error}; the state of this run is not known")
    overrides = {run: typed(place, statuses[run], configs[run]) for run, place in ids.items()}
    for run in _twins(ids, configs, statuses, notes):
        for table in (ids, configs, statuses, overrides):
            del table[run]
    metrics = read_tables({run: place.directory / "metrics.csv" for run, place in ids.items()}, METRIC_COLUMNS, notes)
    metrics["seconds"] = _seconds(metrics, timing_of({run: place.directory for run, place in ids.items()}, notes))
    requests = asked(ids, configs, overrides)
    defaults = default_choices()
    swept = knobs.swept(list(requests.values()), defaults)
    settings = {run: {key: knobs.value(requests[run], key, defaults) for key in swept} for run in ids}
    named = dict(zip(ids, knobs.labels(list(settings.values())), strict=True))
    rows = {run: _row(ids[run], requests[run], statuses[run], named[run], settings[run]) for run in ids}
    runs = pd.DataFrame.from_dict(rows, orient="index")
    runs.index.name = "run"
    for key in swept:  # pandas would turn the null of a column of numbers into NaN
        runs[key] = pd.Series([rows[run][key] for run in rows], index=runs.index, dtype=object)
    _reach(runs, metrics)
    measured, unknown = random_scores.complete(runs, {run: place.study for run, place in ids.items()}, configs)
    runs["counted"] = _counted(runs, metrics, unknown, notes)
    return Results(runs, metrics, swept, configs, tuple(notes), root, overrides, measured)


def episodes(results: Results, run: str) -> pd.DataFrame:
    """``episodes.csv`` of a run: one row per finished training episode."""
    return read_tables({run: _directory(results, run) / "episodes.csv"}, EPISODE_COLUMNS, []).drop(columns="run")


def evaluations(results: Results, run: str) -> pd.DataFrame:
    """``eval.csv`` of a run: one row per evaluation."""
    return read_tables({run: _directory(results, run) / "eval.csv"}, EVAL_COLUMNS, [], texts=("mode",)).drop(columns="run")


def timing(results: Results) -> pd.DataFrame:
    """``timing.csv`` of all runs, with ``run``: wall seconds of the population that each trained in."""
    return timing_of({run: _directory(results, run) for run in results.runs.index}, [])


def timing_of(directories: Mapping[str, Path], notes: list[str]) -> pd.DataFrame:
    """``timing.csv`` of some run directories."""
    return read_tables({run: directory / "timing.csv" for run, directory in directories.items()}, TIMING_COLUMNS, notes)


def _directory(results: Results, run: str) -> Path:
    return Path(results.runs.at[run, "path"])


def _row(place: Place, request: Asked, status: Status, group: str, setting: Mapping[str, Any]) -> dict[str, Any]:
    config, member = request.config, place.member
    seed = config.get("seed", None if member is None else member.seed)
    state = member.state if status.state == "absent" and member is not None else status.state
    return {
        "path": str(place.directory),
        "study": place.study.name,
        "env": request.env,
        "env_id": str(config.get("env.id", "")),
        "seed": int(seed) if isinstance(seed, int) else -1,
        "group": group,
        "state": state,
        "final_score": math.nan if status.score is None else status.score,
        "reason": status.reason or _last_line(status.error) or "",
        "iteration": status.iteration,
        "env_steps": status.env_steps,
        "total_steps": _budget(config, status),
        "kind": str(config.get("score", "return_100")),
        "random": _number(config.get("env.score_random")),
        "reference": _number(config.get("env.score_reference")),
        **setting,
    }


def _budget(config: Mapping[str, Any], status: Status) -> int:
    """``total_steps`` rounded down to whole rollouts, as training does."""
    try:
        per_iteration = config["algo.n_steps"] * config["algo.n_envs"] * config["env.action_repeat"]
        return int(config["total_steps"] // per_iteration * per_iteration)
    except (KeyError, TypeError, ZeroDivisionError):
        return status.env_steps


def _number(item: Any) -> float:
    return float(item) if isinstance(item, (int, float)) and not isinstance(item, bool) else math.nan


def _last_line(error: str | None) -> str:
    lines = (error or "").strip().splitlines()
    return lines[-1][:200] if lines else ""


def _twins(
    ids: Mapping[str, Place], configs: Mapping[str, Mapping[str, Any]], statuses: Mapping[str, Status], notes: list[str]
) -> list[str]:
    """Runs of the same configuration and seed as another that has got further: counted twice they would feign precision."""
    best: dict[str, str] = {}
    surplus = []
    for run in ids:
        # The scale of normalised scores is no part of what was trained.
        trained = sorted((key, repr(item)) for key, item in configs[run].items() if not key.startswith("env.score_"))
        key = repr((trained, seed_kind(ids[run]))) if configs[run] else run
        other = best.get(key)
        if other is None:
            best[key] = run
            continue
        behind = run if statuses[run].env_steps <= statuses[other].env_steps else other
        surplus.append(behind)
        best[key] = other if behind == run else run
    for run in surplus[:5]:
        notes.append(
            f"{ids[run].directory}: the same configuration and seed as another run here; left out, so that it does not count twice"
        )
    if len(surplus) > 5:
        notes.append(f"{len(surplus) - 5} more runs were left out as equal to others")
    return surplus


def _seconds(metrics: pd.DataFrame, timings: pd.DataFrame) -> pd.Series:
    """Training seconds up to each row of ``metrics``; blank where timing.csv has none."""
    summed = timings.assign(seconds=timings.groupby("run", observed=True)["seconds"].cumsum())
    summed = summed.drop_duplicates(["run", "iteration"], keep="last")
    joined = metrics[["run", "iteration"]].merge(summed[["run", "iteration", "seconds"]], on=["run", "iteration"], how="left")
    return joined["seconds"].to_numpy()


def _reach(runs: pd.DataFrame, metrics: pd.DataFrame) -> None:
    """How far each run has got, by its rows: its status is written less often."""
    reached = metrics.groupby("run", observed=True)[["iteration", "env_steps"]].max()
    for name in ("iteration", "env_steps"):
        found = reached[name].reindex(runs.index).fillna(0)
        runs[name] = np.maximum(runs[name], found).astype(int)
    # Where budgets were swept, that of a run of unknown configuration is a word.
    budget = pd.to_numeric(runs["total_steps"], errors="coerce").fillna(0)
    runs["total_steps"] = np.where(budget > 0, budget, runs["env_steps"]).astype(int)


def _counted(runs: pd.DataFrame, metrics: pd.DataFrame, unknown: Mapping[str, str], notes: list[str]) -> pd.Series:
    """See ``Results.runs``.

    Args:
        unknown: run → why the random policy's score is not known.
    """
    counted = runs["final_score"].where(runs["state"] == "done")
    for run in runs.index[runs["state"] == "diverged"]:
        counted[run] = _diverged(runs.loc[run], metrics[metrics["run"] == run], unknown.get(run, ""), notes)
    missing = Counter(runs.loc[(runs["state"] == "done") & counted.isna(), "reason"])
    for reason, count in missing.items():
        notes.append(f"{count} finished run{'s have' if count > 1 else ' has'} no score: {reason or 'not said why'}")
    return counted


def _diverged(run: pd.Series, rows: pd.DataFrame, why: str, notes: list[str]) -> float:
    """The lower of its last finite score and the random policy's (docs/numbers.md §2)."""
    directory, known = Path(run["path"]), [float(run["random"])]
    if run["kind"] in _COLUMN_SCORES:
        known += list(rows[run["kind"]].dropna().iloc[-1:])
    else:
        # What has to be computed from more files is behind this import, and torch with it.
        from ppo_sweep.runs.score import score

        try:
            last, _ = score(stored_config.read_config(directory), directory)
            known += [] if last is None else [last]
        except Exception as error:  # a damaged file, or an environment that is not installed here
            why = " ".join(str(error).split())[:120]
    counted = min((value for value in known if math.isfinite(value)), default=math.nan)
    if why:
        words = f"counts as {counted:g}" if math.isfinite(counted) else "is in no mean"
        notes.append(f"{directory}: diverged, and the random policy's or its own last score is not known ({why}); it {words}")
    return counted
