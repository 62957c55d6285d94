"""A study from its first trial to ``best.yaml``; taken up again by the same command, whatever ended it.

Its trials are kept in the journal of one process, or in a database that several processes share (``sweep.storage``),
with one directory. One of them holds the study's lock; the others come and go. Who finishes the last trial confirms.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from ppo_sweep.runs.errors import CorruptFile, DirectoryBusy
from ppo_sweep.runs.interrupts import Interrupts
from ppo_sweep.runs.lock import holder
from ppo_sweep.runs.places import make_directory
from ppo_sweep.sweep.board import Board
from ppo_sweep.sweep.ledger import Ledger
from ppo_sweep.sweep.options import LauncherOptions
from ppo_sweep.sweep.study import identity
from ppo_sweep.sweep.study.conduct import Conductor
from ppo_sweep.sweep.study.confirmation import COMPLETE, FAIL, PRUNED, TrialResult
from ppo_sweep.sweep.study.confirming import Confirming
from ppo_sweep.sweep.study.improvement import no_improvement
from ppo_sweep.sweep.study.kept import AIM, IDLE, LAYOUT, OWNER
from ppo_sweep.sweep.study.part import DIRECTORY, Part, several
from ppo_sweep.sweep.study.record import Record
from ppo_sweep.sweep.study.request import StudyRequest
from ppo_sweep.sweep.study.search import Search
from ppo_sweep.sweep.study.storage import OpenStudy, in_use, open_study


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
        process = _Process(request, study, options, command, interrupts)
        stack.callback(process.leave)
        return process.run()


def directory(request: StudyRequest) -> Path:
    """Of a study."""
    [root] = {config.results for config in request.defaults.values()}
    return Path(root, request.name)


def identity_of(request: StudyRequest) -> dict[str, Any]:
    """See :mod:`~ppo_sweep.sweep.study.identity`."""
    return identity.identity(request.space, request.options, request.seed, list(request.defaults.values()))


class _Process:
    """One command at work on a study."""

    def __init__(
        self, request: StudyRequest, study: Path, options: LauncherOptions, command: Sequence[str], interrupts: Interrupts
    ) -> None:
        self._request, self._study, self._options = request, study, options
        self._command, self._interrupts = command, interrupts
        self._board: Board | None = None
        self._began = time.monotonic()
        self._part = Part(study, request.name, shared=request.options.storage is not None)

    def run(self) -> int:
        """See :func:`carry_out`."""
        if not self._part.lock() and self._part.claims is None:
            raise DirectoryBusy(
                f"{self._study} is in use by {holder(self._study)}; wait for it or stop it, then the same command continues"
            )
        wanted = identity_of(self._request)
        with suppress(CorruptFile):  # the ledger keeps the damaged file, says so, and begins a new one
            self._part.wait_for_study_file()
            identity.compare(self._study, wanted)
        identity.check_storage(self._study, shared=self._part.claims is not None)
        opened = open_study(self._study, self._request.name, self._request.options.direction, self._request.options.storage)
        with closing(opened), in_use(self._request.options.storage):
            conductor = self._search(opened, wanted, self._part.join(opened))
            while not self._stopped() and conductor.left_behind():
                conductor = self._search(opened, wanted, None)
            left = self._part.leave(opened, self._stopped)
            if self._stopped():
                return self._interrupted()
            results = conductor.trials.results()
            if not left and several(opened):
                conductor.trials.write_table()
                self._list_runs(conductor)
        self._say(_closing_lines(results, self._request))
        if left:
            self._say([left])
        elif not any(result.state == COMPLETE for result in results):
            first = next((result.reason for result in results if result.reason), None)
            self._say([f"no trial is complete, so there is nothing to confirm; the first one: {first or 'it did not begin'}"])
            return 3
        else:
            code = Confirming(self._request, self._study, self._options, self._command, self._interrupts, self._say).run(results)
            if self._stopped():
                return self._interrupted()
            if code:
                return code
        return 3 if any(result.state == FAIL for result in results) else 0

    def leave(self) -> None:
        """Let go of the study."""
        self._part.close()

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

    def _list_runs(self, conductor: Conductor) -> None:
        """Enter the runs of all processes into ``study.json``."""
        ledger = Ledger(
            conductor.trials.jobs(),
            self._study,
            command=self._command,
            max_restarts=self._options.max_restarts,
            ended=lambda job, result: None,
            note=lambda message: None,
        )
        ledger.close()

    # ------------------------------------------------------------------ the search

    def _layout(self) -> tuple[int, int]:
        """Workers and slots: those that the study was begun with, because the order of its events depends on them."""
        wanted = self._options.worker_count, self._options.slot_count
        kept = self._part.kept().get(LAYOUT)
        if not isinstance(kept, dict) or not all(isinstance(kept.get(name), int) for name in ("workers", "slots")):
            return wanted
        stored = int(kept["workers"]), int(kept["slots"])
        if stored != wanted:
            size = f"{stored[0]} workers × {stored[1]} slots"
            self._say([f"the study was begun with {size} and goes on so: the order of its trials depends on it"])
        return stored

    def _search(self, opened: OpenStudy, wanted: Mapping[str, Any], before: Sequence[FrozenTrial] | None) -> Conductor:
        """Ask for trials and train them until there are none for this process.

        Args:
            before: see :class:`Record`.
        """
        again = before is not None
        request, options = self._request, self._request.options
        workers, slots = self._layout() if again else (self._options.worker_count, self._options.slot_count)
        kept: dict[str, Any] = {
            identity.KEY: dict(wanted),
            AIM: {
                "n_trials": request.most_trials,
                "max_env_steps": options.max_env_steps,
                "rungs": [rung.share for rung in request.rungs],
            },
        }
        if again:
            kept[LAYOUT] = {"workers": workers, "slots": slots}
        if opened.shared:
            kept[OWNER] = opened.study.user_attrs[DIRECTORY]
        ledger = Ledger(
            [],
            self._study,
            command=self._command,
            max_restarts=self._options.max_restarts,
            ended=lambda job, result: None,
            note=self._note,
            other=kept,
            listed=self._part.lists_runs,
        )
        with ExitStack() as stack:
            stack.callback(ledger.close)
            conductor = Conductor(
                request,
                self._study,
                Record(opened.study, request.space, options.sampler, request.seed, self._part.claims, before=before),
                ledger,
                [worker for worker in range(workers) for _ in range(slots)],
                begins=self._begins,
                stopped=self._stopped,
                note=self._note,
            )
            size = f"{request.most_trials} trials of {options.seeds} seeds, {workers} worker{'s' * (workers != 1)} × {slots} slots"
            title = f"{self._study}: {size}{'' if again else ', with other processes'}"
            board = Board(title=title, total_steps=request.most_steps, counts={})
            self._board = stack.enter_context(board)
            for line in (*opened.notes, *ledger.notes):
                board.note(line)
            if not again:
                conductor.end_pruned_runs()
            search = Search(conductor, ledger, self._options, workers, board, self._interrupts)
            stack.callback(search.close)
            search.run()
            if search.trained:
                with self._part.alone():
                    opened.study.set_user_attr(IDLE, [*opened.study.user_attrs.get(IDLE, []), list(search.idle)])
        self._board = None
        if search.trained:
            waited, spent = search.idle
            self._say([f"workers waited for each other {100 * waited / spent:.0f} % of their time"])
        if conductor.trials.own:
            conductor.trials.write_table()
        return conductor

    def _begins(self) -> bool:
        """Whether there is time for another trial."""
        self._part.lock()  # whoever had it may be gone
        limit = self._request.options.timeout
        return limit is None or time.monotonic() - self._began < limit


def _closing_lines(results: Sequence[TrialResult], request: StudyRequest) -> list[str]:
    """The trials in a few lines."""
    states = {state: sum(result.state == state for result in results) for state in (COMPLETE, PRUNED, FAIL)}
    lines = [f"{len(results)} trials: " + ", ".join(f"{count} {state}" for state, count in states.items())]
    again = sum(result.same_as is not None for result in results)
    lines += [f"{again} of them had the configuration of an earlier one and took what it came to"] if again else []
    failed = [result for result in results if result.state == FAIL]
    lines += [f"trial {result.number} failed: {result.reason}" for result in failed[:5]]
    if len(request.options.objectives) == 1:
        complete = [result if result.state == COMPLETE else None for result in results]
        values = [result.values[0] if result is not None and result.values else None for result in complete]
        stds = [result.own_std if result is not None else None for result in complete]
        stalled = no_improvement(values, stds, request.options.seeds, maximize=request.options.objectives[0].maximize)
        lines += [str(stalled)] if stalled is not None else []
    return lines
