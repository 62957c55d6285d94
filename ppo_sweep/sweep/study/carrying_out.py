"""A study from its first trial to ``best.yaml``; taken up again by the same command, whatever ended it."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from ppo_sweep.runs.errors import CorruptFile, DirectoryMismatch
from ppo_sweep.runs.interrupts import Interrupts
from ppo_sweep.runs.lock import RunLock
from ppo_sweep.runs.places import make_directory
from ppo_sweep.runs.study_file import StudyFile, read_study
from ppo_sweep.sweep.board import Board
from ppo_sweep.sweep.launch import train_all
from ppo_sweep.sweep.ledger import Job, Ledger
from ppo_sweep.sweep.options import LauncherOptions
from ppo_sweep.sweep.study import best, confirmation, identity
from ppo_sweep.sweep.study.conduct import Conductor
from ppo_sweep.sweep.study.confirmation import COMPLETE, DEFAULT, FAIL, PRUNED, TrialResult
from ppo_sweep.sweep.study.pieces import Piece, seed_scores
from ppo_sweep.sweep.study.record import Record
from ppo_sweep.sweep.study.request import StudyRequest
from ppo_sweep.sweep.study.search import Search
from ppo_sweep.sweep.study.storage import OpenStudy, open_study

#: What ``study.json`` keeps of the slots that the order of events depends on, and of what followed the search.
LAYOUT, CONFIRMED = "layout", "confirmed"

#: Study attributes in the storage: whose a database's study is, and what share of their time its workers waited for each other.
_OWNER, IDLE = "directory", "idle"


def carry_out(request: StudyRequest, options: LauncherOptions, command: Sequence[str]) -> int:
    """Search, confirm, export; returns the exit code.

    Raises:
        DirectoryBusy, DirectoryMismatch: the study is in use, or another one.
        StorageError, WorkersDoNotStart: see :meth:`Search.run`.
    """
    study = directory(request)
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        make_directory(study)
        lock = RunLock(study)
        stack.callback(lock.release)
        return _Study(request, study, options, command, interrupts).run()


def directory(request: StudyRequest) -> Path:
    """Of a study."""
    [root] = {config.results for config in request.defaults.values()}
    return Path(root, request.name)


def identity_of(request: StudyRequest) -> dict[str, Any]:
    """See :mod:`~ppo_sweep.sweep.study.identity`."""
    return identity.identity(request.space, request.options, request.seed, list(request.defaults.values()))


class _Study:
    """One command at work on a study; holds its lock."""

    def __init__(
        self, request: StudyRequest, study: Path, options: LauncherOptions, command: Sequence[str], interrupts: Interrupts
    ) -> None:
        self._request, self._study, self._options = request, study, options
        self._command, self._interrupts = command, interrupts
        self._board: Board | None = None
        self._began = time.monotonic()

    def run(self) -> int:
        """See :func:`carry_out`."""
        wanted = identity_of(self._request)
        with suppress(CorruptFile):  # the ledger keeps the damaged file, says so, and begins a new one
            identity.compare(self._study, wanted)
        opened = open_study(self._study, self._request.name, self._request.options.direction, self._request.options.storage)
        if opened.shared:
            self._own(opened)
        workers, slots = self._layout()
        results = self._search(opened, wanted, workers, slots)
        if self._stopped():
            return self._interrupted()
        self._say(_table(results))
        if not any(result.state == COMPLETE for result in results):
            first = next((result.reason for result in results if result.reason), None)
            self._say([f"no trial is complete, so there is nothing to confirm; the first one: {first or 'it did not begin'}"])
            return 3
        code = self._confirm(results)
        if self._stopped():
            return self._interrupted()
        return 3 if any(result.state == FAIL for result in results) else code

    def _own(self, opened: OpenStudy) -> None:
        """Refuse a database's study that is worked on from elsewhere: its trials would be taken for this directory's."""
        here = f"{socket.gethostname()}:{self._study.absolute()}"
        owner = opened.study.user_attrs.get(_OWNER)
        if owner is None and not opened.study.get_trials(deepcopy=False):
            opened.study.set_user_attr(_OWNER, here)
        elif owner != here:
            raise DirectoryMismatch(
                f"the study {self._request.name!r} in this storage belongs to {owner or 'another program'}; give study="
            )

    def _stopped(self) -> bool:
        return self._interrupts.received is not None

    def _interrupted(self) -> int:
        print("interrupted; the same command continues", flush=True)
        return self._interrupts.exit_code

    def _say(self, lines: Sequence[str]) -> None:
        print(*lines, sep="\n", flush=True)

    def _note(self, message: str) -> None:
        if self._board is not None:
            self._board.note(message)

    def _layout(self) -> tuple[int, int]:
        """Workers and slots: those that the study was begun with, because the order of its events depends on them."""
        wanted = self._options.worker_count, self._options.slot_count
        try:
            found = read_study(self._study)
        except CorruptFile:
            found = None
        kept = found.other.get(LAYOUT) if found is not None else None
        if not isinstance(kept, dict) or not all(isinstance(kept.get(name), int) for name in ("workers", "slots")):
            return wanted
        stored = int(kept["workers"]), int(kept["slots"])
        if stored != wanted:
            size = f"{stored[0]} workers × {stored[1]} slots"
            self._say([f"the study was begun with {size} and goes on so: the order of its trials depends on it"])
        return stored

    # ------------------------------------------------------------------ the search

    def _search(self, opened: OpenStudy, wanted: Mapping[str, Any], workers: int, slots: int) -> list[TrialResult]:
        request, options = self._request, self._request.options
        ledger = Ledger(
            [],
            self._study,
            command=self._command,
            max_restarts=self._options.max_restarts,
            ended=lambda job, result: None,
            note=self._note,
            other={identity.KEY: dict(wanted), LAYOUT: {"workers": workers, "slots": slots}},
        )
        record = Record(opened.study, request.space, options.sampler, request.seed)
        conductor = Conductor(
            request,
            self._study,
            record,
            ledger,
            [worker for worker in range(workers) for _ in range(slots)],
            begins=self._begins,
            note=self._note,
        )
        a_trial = sum(config.iterations * config.steps_per_iteration for config in request.defaults.values()) * options.seeds
        size = f"{options.n_trials} trials of {options.seeds} seeds, {workers} worker{'s' * (workers != 1)} × {slots} slots"
        board = Board(title=f"{self._study}: {size}", total_steps=a_trial * options.n_trials, counts={})
        with ExitStack() as stack:
            stack.callback(ledger.close)
            self._board = stack.enter_context(board)
            for line in (*opened.notes, *ledger.notes):
                board.note(line)
            search = Search(conductor, ledger, self._options, workers, board, self._interrupts)
            stack.callback(search.close)
            search.run()
            if search.trained:
                opened.study.set_user_attr(IDLE, [*opened.study.user_attrs.get(IDLE, []), list(search.idle)])
        self._board = None
        if search.trained:
            waited, spent = search.idle
            self._say([f"workers waited for each other {100 * waited / spent:.0f} % of their time"])
        results = conductor.results()
        if results:
            conductor.write_table()
        return results

    def _begins(self) -> bool:
        limit = self._request.options.timeout
        return limit is None or time.monotonic() - self._began < limit

    # ------------------------------------------------------------------ what follows it

    def _confirm(self, results: Sequence[TrialResult]) -> int:
        """Fresh seeds choose the winner, others say what it is worth; ``best.yaml`` holds it."""
        request, options = self._request, self._request.options
        objective = options.objectives[0]
        chosen = confirmation.candidates(results, options.objectives, options.confirm_top)
        trials = {result.number: result for result in results}
        if options.confirm_top == 0:
            [number, *_] = confirmation.candidates(results, options.objectives, 1) or [0]
            self._export(trials[number], ["Chosen by its tuning seeds alone (sweep.confirm_top=0), so its value there is too good."])
            return 0
        if len(options.objectives) > 1:
            self._say([f"the Pareto set: {', '.join(f'trial {number}' for number in chosen)}; the first objective chooses among them"])
        names = {f"rank={rank}": number for rank, number in enumerate(chosen, start=1)} | {DEFAULT: 0}
        overrides = {name: trials[number].overrides if number in trials else {} for name, number in names.items()}
        confirmed = self._train(overrides, options.confirmation_seeds)
        if self._stopped():
            return 0
        winner = confirmation.winner({name: list(scores.values()) for name, scores in confirmed.items()}, objective)
        self._say(
            [f"confirmed: {name} (trial {names[name]}) {_mean(scores)}" for name, scores in confirmed.items()]
            + [f"the winner on the confirmation seeds: {'the default configuration' if winner == DEFAULT else f'trial {names[winner]}'}"]
        )
        reported = self._train({name: overrides[name] for name in dict.fromkeys([winner, DEFAULT])}, options.reporting_seeds)
        if self._stopped():
            return 0
        if not reported[winner] or not reported[DEFAULT]:
            self._say(["the report seeds have no scores, so nothing can be said of the winner; look at the failed runs above"])
            return 3
        report = confirmation.report(names[winner], reported[winner], reported[DEFAULT], results, objective, request.seed)
        self._say(report.lines())
        kept = {
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
        self._export(trials.get(names[winner]) or trials[0], report.lines())
        return 0

    def _train(self, chosen: Mapping[str, Mapping[str, Any]], seeds: Sequence[int]) -> dict[str, dict[int, float]]:
        """Configurations on fresh seeds: name → seed → score; failed ones are missing."""
        request = self._request
        pieces: list[Piece] = []
        jobs: list[Job] = []
        for name, overrides in chosen.items():
            for seed in seeds:
                for environment in request.options.env or (None,):
                    config = request.space.config(overrides, environment).replace(seed=seed, study=request.name, force=False)
                    place = f"seed={seed}" if environment is None else f"env={environment}/seed={seed}"
                    piece = Piece(0, len(pieces), name, environment, config, self._study / "confirm" / name / place)
                    env = {"env": environment} if environment is not None else {}
                    jobs.append(Job(config, piece.path, {**request.fixed, **env, **overrides, "seed": seed}))
                    pieces.append(piece)
        results = train_all(jobs, self._study, self._options, command=self._command, interrupts=self._interrupts)
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
                    [scores[name][seed]] = seed_scores(own, known)
        return scores

    def _export(self, trial: TrialResult, lines: Sequence[str]) -> None:
        best.write(self._study, {**self._request.fixed, **trial.overrides}, self._request.groups, lines)
        self._say([f"{self._study / best.NAME}: {'the default configuration' if trial.number == 0 else f'trial {trial.number}'}"])


def _mean(scores: Mapping[int, float]) -> str:
    return f"{sum(scores.values()) / len(scores):.5g} over {len(scores)} seeds" if scores else "no scores"


def _table(results: Sequence[TrialResult]) -> list[str]:
    """The trials in a few lines."""
    states = {state: sum(result.state == state for result in results) for state in (COMPLETE, PRUNED, FAIL)}
    lines = [f"{len(results)} trials: " + ", ".join(f"{count} {state}" for state, count in states.items())]
    failed = [result for result in results if result.state == FAIL]
    lines += [f"trial {result.number} failed: {result.reason}" for result in failed[:5]]
    return lines
