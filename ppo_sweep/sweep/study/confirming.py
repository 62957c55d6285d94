"""What follows the search: fresh seeds choose the winner, others say what it is worth, and ``best.yaml`` holds it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
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
from ppo_sweep.sweep.study.pieces import NoWorth, Piece, seed_scores
from ppo_sweep.sweep.study.request import StudyRequest


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
        winner = confirmation.winner({name: list(scores.values()) for name, scores in confirmed.items()}, options.objectives[0])
        if winner is None:
            self._say(["the confirmation seeds have no scores"])
            return 3
        self._say(
            [f"confirmed: {name} (trial {names[name]}) {_mean(scores)}" for name, scores in confirmed.items()]
            + [f"the winner on the confirmation seeds: {'the default configuration' if winner == DEFAULT else f'trial {names[winner]}'}"]
        )
        reported = self._train({name: overrides[name] for name in dict.fromkeys([winner, DEFAULT])}, options.reporting_seeds)
        if self._stopped():
            return 0
        if not reported[winner].keys() & reported[DEFAULT].keys():
            self._say(["the report seeds have no scores, so nothing can be said of the winner"])
            return 3
        report = confirmation.report(names[winner], reported[winner], reported[DEFAULT], results, options.objectives[0], request.seed)
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
        confirmed: Mapping[str, Mapping[int, float]],
        reported: Mapping[str, Mapping[int, float]],
        report: confirmation.Report,
    ) -> None:
        """``study.json`` has it for the report."""
        kept = {
            "of": of,
            "trials": names,
            "winner": winner,
            "confirmation": {name: {str(seed): score for seed, score in scores.items()} for name, scores in confirmed.items()},
            "report": {name: {str(seed): score for seed, score in scores.items()} for name, scores in reported.items()},
            "selection_bias": report.selection_bias,
            "control_bias": report.control_bias,
            "beaten": report.beaten,
            "lines": report.lines(),
        }
        StudyFile.open(self._study, command=self._command, members=[], other={CONFIRMED: kept})

    def _train(self, chosen: Mapping[str, Mapping[str, Any]], seeds: Sequence[int]) -> dict[str, dict[int, float]]:
        """Configurations on fresh seeds: name → seed → score; failed ones are missing."""
        request = self._request
        pieces: list[Piece] = []
        jobs: list[Job] = []
        for name, overrides in chosen.items():
            for seed in seeds:
                for environment in request.options.env or (None,):
                    config = self._config(overrides, environment, seed)
                    place = f"seed={seed}" if environment is None else f"env={environment}/seed={seed}"
                    piece = Piece(0, len(pieces), name, environment, config, self._study / "confirm" / name / place)
                    env = {"env": environment} if environment is not None else {}
                    jobs.append(Job(config, piece.path, {**request.fixed, **env, **overrides, "seed": seed}))
                    pieces.append(piece)
        results = train_all(jobs, self._study, self._options, command=self._command, interrupts=self._interrupts)
        for index, ended in results.items():
            if ended.state == "interrupted":  # a seed is missing that the same command would not miss
                raise StorageError(f"{pieces[index].path}: {ended.reason}; the same command continues once the cause is gone")
            if ended.state == "failed":
                self._failed = True
                self._say([f"{pieces[index].path} failed: {ended.reason}"])
        objective = request.options.objectives[0]
        scores: dict[str, dict[int, float]] = {}
        for name in chosen:
            scores[name] = {}
            for seed in seeds:
                own = [piece for piece in pieces if piece.name == name and piece.config.seed == seed]
                values = []
                for piece in own:
                    result = results.get(piece.index)
                    if result is not None and result.state in ("done", "diverged"):
                        piece.result, piece.length = result, 0
                        values.append(piece.score(objective))
                known = [value for value in values if value is not None]
                if len(known) == len(own):
                    with suppress(NoWorth):
                        [scores[name][seed]] = seed_scores(own, known)
        return scores

    def _export(self, trial: TrialResult, lines: Sequence[str]) -> None:
        options = self._request.options
        overrides = self._request.written(trial.overrides)
        said = [*lines, f"It was searched with the seeds below {options.seeds}."]
        best.write(self._study, overrides, self._request.groups, options.seeds, said, options.env)
        self._say([f"{self._study / BEST}: {'the default configuration' if trial.number == 0 else f'trial {trial.number}'}"])


def _pareto_sentence(best: Sequence[int], chosen: Sequence[int]) -> str:
    """Which trials no other one beats, and which of them are confirmed where that is not all of them (and not only the default)."""
    shown, confirmed = (", ".join(f"trial {number}" for number in numbers) for numbers in (best, chosen))
    left = {*best} - {*chosen, 0}
    return f"the Pareto set: {shown}; the first objective chooses among {confirmed if left and chosen else 'them'}"


def _mean(scores: Mapping[int, float]) -> str:
    return f"{sum(scores.values()) / len(scores):.5g} over {len(scores)} seeds" if scores else "no scores"
