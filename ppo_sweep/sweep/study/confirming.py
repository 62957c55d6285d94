"""What follows the search: fresh seeds choose the winner, others say what it is worth, and ``best.yaml`` holds it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppo_sweep.config import Config
from ppo_sweep.runs import stored_config
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.interrupts import Interrupts
from ppo_sweep.runs.study_file import StudyFile
from ppo_sweep.sweep.job import Job
from ppo_sweep.sweep.launch import train_all
from ppo_sweep.sweep.options import LauncherOptions
from ppo_sweep.sweep.study import best, confirmation
from ppo_sweep.sweep.study.confirmation import DEFAULT, TrialResult
from ppo_sweep.sweep.study.kept import BEST, CONFIRMED
from ppo_sweep.sweep.study.pieces import NoWorth, on_one_scale, run_score, seed_scores
from ppo_sweep.sweep.study.request import StudyRequest


@dataclass(frozen=True)
class FreshRun:
    """One configuration on one fresh seed.

    Attributes:
        name: of the configuration: ``rank=1``, ``default``.
        environment: a choice of ``env``, or None for the only one.
    """

    name: str
    environment: str | None
    config: Config
    path: Path


@dataclass(frozen=True)
class Fresh:
    """What fresh seeds say of one configuration; seeds on which a run failed are missing.

    Attributes:
        scores: seed → score, the mean over environments on one scale.
        by_environment: environment → scores on that scale, in the order of those seeds.
    """

    scores: Mapping[int, float]
    by_environment: Mapping[str, Sequence[float]]


class Confirming:
    """See the module.

    Args:
        study: its directory, whose lock the caller holds.
        command: as typed.
        interrupts: after its first signal, runs are checkpointed and nothing more is decided.
        say: called with lines for people.
    """

    def __init__(
        self,
        request: StudyRequest,
        study: Path,
        options: LauncherOptions,
        command: Sequence[str],
        interrupts: Interrupts,
        say: Callable[[Sequence[str]], None],
    ) -> None:
        self._request, self._study, self._options = request, study, options
        self._command, self._interrupts, self._say = command, interrupts, say
        self._failed = False

    def run(self, results: Sequence[TrialResult]) -> int:
        """Confirm, report, export; the exit code, 3 if a run failed, which means nothing after an interruption.

        Args:
            results: of the search; at least one trial is COMPLETE.

        Raises:
            DirectoryBusy, DirectoryMismatch, StorageError, WorkersDoNotStart: as :func:`~ppo_sweep.sweep.launch.train_all`.
        """
        request, options = self._request, self._request.options
        chosen = confirmation.candidates(results, options.objectives, options.confirm_top, request.configuration)
        trials = {result.number: result for result in results}
        if options.confirm_top == 0:
            lines = ["Chosen by its tuning seeds alone (sweep.confirm_top=0), so its value there is too good."]
            self._export(trials[confirmation.best(results, options.objectives[0])], lines)
            return 0
        if len(options.objectives) > 1:
            self._say([_pareto_sentence([trial.number for trial in confirmation.pareto(results, options.objectives)], chosen)])
        names = self._places({number: trials[number].overrides for number in chosen}) | {DEFAULT: 0}
        overrides = {name: trials[number].overrides if number in trials else {} for name, number in names.items()}
        confirmed = self._train(overrides, options.confirmation_seeds)
        if self._stopped():
            return 0
        winner = confirmation.winner({name: fresh.by_environment for name, fresh in confirmed.items()}, options.objectives[0])
        if winner is None:
            self._say(["the confirmation seeds have no scores"])
            return 3
        self._say(
            [f"confirmed: {name} (trial {names[name]}) {_mean(fresh.scores)}" for name, fresh in confirmed.items()]
            + [f"the winner on the confirmation seeds: {'the default configuration' if winner == DEFAULT else f'trial {names[winner]}'}"]
        )
        reported = self._train({name: overrides[name] for name in dict.fromkeys([winner, DEFAULT])}, options.reporting_seeds)
        if self._stopped():
            return 0
        best_scores, default_scores = reported[winner].scores, reported[DEFAULT].scores
        if not best_scores.keys() & default_scores.keys():
            self._say(["the report seeds have no scores, so nothing can be said of the winner"])
            return 3
        report = confirmation.report(names[winner], best_scores, default_scores, results, options.objectives[0], request.seed)
        self._say(report.lines())
        self._keep(len(results), names, winner, confirmed, reported, report)
        self._export(trials.get(names[winner]) or trials[0], report.lines())
        return 3 if self._failed else 0

    def _places(self, chosen: Mapping[int, Mapping[str, Any]]) -> dict[str, int]:
        """``rank=1`` … → trial, best first; what a shorter study has confirmed keeps its place, and others take the next free ones."""
        found = {int(path.name[5:]): path for path in (self._study / "confirm").glob("rank=*") if path.name[5:].isdigit()}
        free = itertools.count(max(found, default=0) + 1)
        places = {}
        for number, overrides in chosen.items():
            rank = next((rank for rank, path in sorted(found.items()) if self._holds(path, overrides)), None)
            places[f"rank={next(free) if rank is None else rank}"] = number
        return places

    def _holds(self, place: Path, overrides: Mapping[str, Any]) -> bool:
        """Whether the runs in a directory are those of a configuration."""
        for stored in place.rglob(stored_config.NAME):
            names = dict(part.split("=", 1) for part in stored.parent.relative_to(place).parts if "=" in part)
            with suppress(StorageError, ValueError, KeyError):
                kept = stored_config.read_config(stored.parent)
                return kept.hash == self._config(overrides, names.get("env"), int(names["seed"])).hash
        return False

    def _config(self, overrides: Mapping[str, Any], environment: str | None, seed: int) -> Config:
        return self._request.space.config(overrides, environment).replace(seed=seed, study=self._request.name, force=False)

    def _stopped(self) -> bool:
        return self._interrupts.received is not None

    def _keep(
        self,
        of: int,
        names: Mapping[str, int],
        winner: str,
        confirmed: Mapping[str, Fresh],
        reported: Mapping[str, Fresh],
        report: confirmation.Report,
    ) -> None:
        """``study.json`` has it for the report."""
        kept = {
            "of": of,
            "trials": names,
            "winner": winner,
            "confirmation": {name: {str(seed): score for seed, score in fresh.scores.items()} for name, fresh in confirmed.items()},
            "report": {name: {str(seed): score for seed, score in fresh.scores.items()} for name, fresh in reported.items()},
            "selection_bias": report.selection_bias,
            "control_bias": report.control_bias,
            "beaten": report.beaten,
            "lines": report.lines(),
        }
        StudyFile.open(self._study, command=self._command, members=[], other={CONFIRMED: kept})

    def _train(self, chosen: Mapping[str, Mapping[str, Any]], seeds: Sequence[int]) -> dict[str, Fresh]:
        """Configurations on fresh seeds, by name."""
        request = self._request
        runs: list[FreshRun] = []
        jobs: list[Job] = []
        for name, overrides in chosen.items():
            for seed in seeds:
                for environment in request.options.env or (None,):
                    config = self._config(overrides, environment, seed)
                    place = f"seed={seed}" if environment is None else f"env={environment}/seed={seed}"
                    env = {"env": environment} if environment is not None else {}
                    runs.append(FreshRun(name, environment, config, self._study / "confirm" / name / place))
                    jobs.append(Job(config, runs[-1].path, {**request.fixed, **env, **overrides, "seed": seed}))
        results = train_all(jobs, self._study, self._options, command=self._command, interrupts=self._interrupts)
        for index, ended in results.items():
            if ended.state == "interrupted":  # a seed is missing that the same command would not miss
                raise StorageError(f"{runs[index].path}: {ended.reason}; the same command continues once the cause is gone")
            if ended.state == "failed":
                self._failed = True
                self._say([f"{runs[index].path} failed: {ended.reason}"])
        objective = request.options.objectives[0]
        scored = [
            run_score(run.config, run.path, results[index], objective)[0]
            if index in results and results[index].state in ("done", "diverged")
            else None
            for index, run in enumerate(runs)
        ]
        return {name: _fresh([(run, score) for run, score in zip(runs, scored, strict=True) if run.name == name]) for name in chosen}

    def _export(self, trial: TrialResult, lines: Sequence[str]) -> None:
        options = self._request.options
        overrides = self._request.written(trial.overrides)
        said = [*lines, f"It was searched with the seeds below {options.seeds}."]
        best.write(self._study, overrides, self._request.groups, options.seeds, said, options.env)
        self._say([f"{self._study / BEST}: {'the default configuration' if trial.number == 0 else f'trial {trial.number}'}"])


def _fresh(scored: Sequence[tuple[FreshRun, float | None]]) -> Fresh:
    """Of one configuration; a seed that is without a score in an environment is left out."""
    without = {run.config.seed for run, score in scored if score is None}
    kept = [(run, score) for run, score in scored if score is not None and run.config.seed not in without]
    runs, scores = [run for run, _ in kept], [score for _, score in kept]
    try:
        by_seed = zip(dict.fromkeys(run.config.seed for run in runs), seed_scores(runs, scores), strict=True)
        return Fresh(dict(by_seed), on_one_scale(runs, scores))
    except NoWorth:
        return Fresh({}, {})


def _pareto_sentence(best: Sequence[int], chosen: Sequence[int]) -> str:
    """Which trials no other one beats, and which of them are confirmed where that is not all of them (and not only the default)."""
    shown, confirmed = (", ".join(f"trial {number}" for number in numbers) for numbers in (best, chosen))
    left = {*best} - {*chosen, 0}
    return f"the Pareto set: {shown}; the first objective chooses among {confirmed if left and chosen else 'them'}"


def _mean(scores: Mapping[int, float]) -> str:
    return f"{sum(scores.values()) / len(scores):.5g} over {len(scores)} seeds" if scores else "no scores"
