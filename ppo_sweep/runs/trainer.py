"""The loop: a population on one side, run directories on the other.

``Trainer`` trains any number of runs of one static signature side by side; ``train`` is the same with
a single run. Between two iterations everything is on disk or can be computed again, so the loop may
be killed at any instruction.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from ppo_sweep.config import Config
from ppo_sweep.learner.population import Member, Outcome, Population, ReplayDiverged, Row, StateMismatch
from ppo_sweep.learner.rollout import Episode, Failure
from ppo_sweep.runs.directory import FinalState, RunDirectory
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.evaluation import FINAL_EPISODES, evaluate
from ppo_sweep.runs.interrupts import Interrupts
from ppo_sweep.runs.loggers import Logger, logger_of
from ppo_sweep.runs.naming import job_directory, study_directory, study_name
from ppo_sweep.runs.policy import policy_of
from ppo_sweep.runs.progress import ProgressScreen
from ppo_sweep.runs.score import score
from ppo_sweep.runs.status import Status

#: Seconds of work that a kill may cost at most, beside ``checkpoint_every`` iterations.
CHECKPOINT_SECONDS = 60.0
#: Exit codes by final state; ``stopped`` has its signal's (``train.py --help``).
EXIT_CODES = {"done": 0, "pruned": 0, "diverged": 3, "failed": 3, "interrupted": 3}


@dataclass(frozen=True)
class RunResult:
    """What came of a run.

    Attributes:
        directory: its files.
        state: done, pruned, diverged, failed, stopped, or interrupted (the disk refused).
        score: null with a ``reason`` where there is none.
        exit_code: of a process that ran it alone.
        already: it was finished before; nothing was run.
    """

    directory: Path
    state: str
    score: float | None
    reason: str | None = None
    exit_code: int = 0
    already: bool = False

    @classmethod
    def of(cls, directory: Path, status: Status, *, already: bool = True) -> RunResult:
        """Of a run that is finished, by its status."""
        return cls(directory, status.state, status.score, status.reason, EXIT_CODES.get(status.state, 0), already)


class EvaluationFailed(RuntimeError):
    """An environment raised while a policy was being evaluated in it."""


@dataclass
class Run:
    """A run in training: its member in the population and its files."""

    member: Member
    directory: RunDirectory
    logger: Logger
    checkpointed: float
    latest: Row | None = None


class Trainer:
    """Runs of one static signature in one population.

    Attributes:
        population: the learner.
        runs: those in training, in slot order.
    """

    def __init__(self, config: Config) -> None:
        self.population = Population(config)
        self.runs: list[Run] = []

    def start(self, directory: RunDirectory) -> RunResult | None:
        """Give a run the next slot, continuing from its checkpoint; a result if it ends right here."""
        try:
            member = self.population.admit(directory.config, directory.state, warn=directory.log)
        except StateMismatch as error:
            message = (
                f"{directory.path / 'checkpoint'}: {error}: another version wrote it; continue with that one, or force=true starts anew"
            )
            return _abandoned(directory, StorageError(message))
        except ReplayDiverged as error:
            return _end(directory, Failure("failed", str(error)))
        except Exception as error:  # an environment is the user's code; it ends its own run only
            return _end(directory, Failure("failed", f"the environment raised {type(error).__name__}: {error}", error))
        logger = logger_of(directory.config, directory.path, member.iteration - 1, directory.log)
        run = Run(member, directory, logger, monotonic())
        self.runs.append(run)
        # A kill between the last checkpoint and the last file leaves nothing to train.
        return self._guarded(run, lambda: self._complete(run)) if member.finished else None

    def iterate(self) -> list[RunResult]:
        """One iteration of every run: train, write, evaluate, checkpoint; results of the runs that ended with it."""
        started = perf_counter()
        outcomes = self.population.iterate()
        writing = perf_counter()
        trained = list(zip(self.runs, outcomes, strict=True))
        ended = [self._guarded(run, partial(self._follow, run, outcome)) for run, outcome in trained]
        # The files of all are part of the time that this iteration took each of them.
        timing = self._timing(started, writing, len(trained))
        ended += [self._guarded(run, partial(self._close_iteration, run, timing)) for run in list(self.runs)]
        return [result for result in ended if result is not None]

    def stop(self) -> list[RunResult]:
        """Checkpoint every run where it stands and let it go; the same command continues it."""
        ended = [self._guarded(run, partial(self._stop, run)) for run in list(self.runs)]
        return [result for result in ended if result is not None]

    def prune(self, runs: Sequence[Run]) -> list[RunResult]:
        """End some runs where they stand, for good: with a policy, and the score that they have there."""
        ended = [self._guarded(run, partial(self._prune, run)) for run in runs]
        return [result for result in ended if result is not None]

    def _guarded(self, run: Run, action: Callable[[], RunResult | None]) -> RunResult | None:
        """What came of ``action``; trouble with a run's environment or files ends that run and no other."""
        try:
            try:
                return action()
            except EvaluationFailed as error:
                return self._fail(run, Failure("failed", str(error), error.__cause__))
        except StorageError as error:
            if run in self.runs:
                self._leave(run)
            return _abandoned(run.directory, error)

    def _timing(self, started: float, writing: float, members: int) -> dict[str, float]:
        """What the iteration that began at ``started`` took; ``members`` trained in it, some of which may have left since."""
        now = perf_counter()
        parts = {name: seconds for name, seconds in self.population.seconds.items() if name != "total"}
        return {"seconds": now - started, "members": members} | parts | {"write": now - writing}

    def _follow(self, run: Run, outcome: Outcome) -> RunResult | None:
        if outcome.failure is not None:
            return self._fail(run, outcome.failure)
        self._write(run, outcome)
        return None

    def _close_iteration(self, run: Run, timing: dict[str, float]) -> RunResult | None:
        at = {"iteration": run.member.iteration - 1, "env_steps": run.member.env_steps}
        steps = timing["members"] * run.member.config.steps_per_iteration
        run.directory.append_timing(timing | at | {"steps_per_s": steps / timing["seconds"]})
        run.directory.update_status(**at)
        return self._complete(run) if run.member.finished else None

    def _stop(self, run: Run) -> RunResult:
        self._checkpoint(run)
        return self._finish(run, "stopped")

    def _prune(self, run: Run) -> RunResult:
        self._checkpoint(run)
        self._save_policy(run)
        return self._finish(run, "pruned")

    def _finish(self, run: Run, state: FinalState) -> RunResult:
        """Let a run go with the score that its files have."""
        path = run.directory.path
        value, reason = score(run.member.config, path)
        run.logger.finish(state, value)
        self._leave(run)
        run.directory.finish(state, score=value, reason=reason)
        return RunResult(path, state, value, reason)

    def close(self) -> None:
        """Release environments and locks of whatever is still in training, writing nothing."""
        for run in list(self.runs):
            self._leave(run)
            run.directory.close()

    def _leave(self, run: Run) -> None:
        self.population.evict(run.member)
        self.runs.remove(run)
        run.logger.close()

    def _write(self, run: Run, outcome: Outcome) -> None:
        """The iteration's rows; then, if due, an evaluation and a checkpoint, which covers them."""
        member, directory, config = run.member, run.directory, run.member.config
        assert outcome.row is not None
        run.latest = outcome.row
        directory.append_episodes([_episode_row(episode) for episode in outcome.episodes])
        directory.append_metrics(outcome.row)
        run.logger.row(member.env_steps, outcome.row)
        done = member.iteration - 1
        if config.eval.every and done % config.eval.every == 0 and not member.finished:
            self._evaluate(run, config.eval.episodes)
        if done % config.checkpoint_every == 0 or member.finished or monotonic() - run.checkpointed > CHECKPOINT_SECONDS:
            self._checkpoint(run)

    def _evaluate(self, run: Run, episodes: int) -> None:
        config = run.member.config
        policy = policy_of(self.population, run.member)
        modes = ("deterministic", "sampled") if config.eval.mode == "both" else (config.eval.mode,)
        for mode in modes:
            try:
                result = evaluate(policy, episodes=episodes, seed=config.seed, mode=mode, warn=run.directory.log)
            except Exception as error:  # an environment is the user's code; it ends its own run only
                raise EvaluationFailed(f"an environment raised {type(error).__name__} in evaluation: {error}") from error
            row = result.row(run.member.env_steps)
            run.directory.append_evaluations([row])
            run.logger.evaluation(run.member.env_steps, row)

    def _checkpoint(self, run: Run) -> None:
        run.directory.checkpoint(self.population.state_of(run.member))
        run.checkpointed = monotonic()

    def _complete(self, run: Run) -> RunResult:
        """The budget is spent: last evaluation, policy, score."""
        config = run.member.config
        if config.eval.every or config.score == "eval":
            self._evaluate(run, FINAL_EPISODES)
        self._save_policy(run)
        return self._finish(run, "done")

    def _fail(self, run: Run, failure: Failure) -> RunResult:
        if failure.state == "diverged":
            self._save_policy(run)  # that of the iteration's start
        run.logger.finish(failure.state, None)
        self._leave(run)
        return _end(run.directory, failure)

    def _save_policy(self, run: Run) -> None:
        policy = policy_of(self.population, run.member)
        run.directory.save_policy(policy.arrays(), policy.header())


def _abandoned(directory: RunDirectory, error: StorageError) -> RunResult:
    """The disk refused a run's files, or they are not what was written; what they hold is left as it is."""
    directory.log(f"interrupted: {error}")
    directory.close()
    return RunResult(directory.path, "interrupted", None, str(error), EXIT_CODES["interrupted"])


def _end(directory: RunDirectory, failure: Failure) -> RunResult:
    """Close the files of a run that diverged or failed; its score is null (reports substitute)."""
    error = None
    if failure.exception is not None:
        error = "".join(traceback.format_exception(failure.exception))
    directory.log(f"{failure.state}: {failure.reason}\n{error or ''}".rstrip())
    directory.finish(failure.state, score=None, reason=failure.reason, error=error)
    return RunResult(directory.path, failure.state, None, failure.reason, EXIT_CODES[failure.state])


def _episode_row(episode: Episode) -> dict[str, float | int | bool]:
    return {
        "env_steps": episode.env_steps,
        "env": episode.env,
        "return": episode.ret,
        "length": episode.length,
        "terminated": episode.terminated,
        "final_reward": episode.final_reward,
        "partial": episode.partial,
    }


def default_directory(config: Config) -> Path:
    """Where a run started from Python is kept: named after the knobs that differ from the typed defaults."""
    changed = {key: value for key, value in _flat(config).items() if _flat(Config())[key] != value}
    study = study_name([config.env.id]) if config.study is None else study_directory(config.study)
    return Path(config.results) / study / job_directory(changed, config.seed)


def _flat(config: Config) -> dict[str, Any]:
    return {key: value for key, _, value in config.walk()}


def train(
    config: Config | Mapping[str, Any],
    directory: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    console: bool = True,
) -> RunResult:
    """Train one run to its end, or continue it; a population of one.

    Args:
        config: a :class:`Config`, or nested plain values for :meth:`Config.from_dict`.
        directory: where its files go; default: ``results/<study>/<run>/seed=<n>``.
        overrides: what was typed, kept beside the run for people.
        console: show progress on standard output.

    Raises:
        ConfigError: if the configuration is wrong.
        DirectoryBusy, DirectoryMismatch: if the directory is in use or of another configuration.
        StorageError: if the disk refuses.
    """
    config = config if isinstance(config, Config) else Config.from_dict(config)
    path = Path(directory) if directory is not None else default_directory(config)
    with Interrupts() as interrupts:
        result = _train(config, path, overrides, console, interrupts)
    # A signal in a run's last moments lets it end, but whoever goes on to another run must hear of it.
    return replace(result, exit_code=interrupts.exit_code) if interrupts.received else result


def _train(config: Config, path: Path, overrides: Sequence[str], console: bool, interrupts: Interrupts) -> RunResult:
    trainer = Trainer(config)
    run_directory = RunDirectory.open(config, path, overrides=overrides)
    if run_directory.finished is not None:
        return RunResult.of(path, run_directory.finished)
    try:
        if console and run_directory.state is not None:
            print("continuing: the episodes under way are replayed first", flush=True)
        ended = trainer.start(run_directory)
        if ended is not None:
            return ended
        [run] = trainer.runs
        with _progress(run, trainer) if console else nullcontext() as progress:
            while True:
                results = trainer.iterate()
                _show(progress, run, trainer)
                if not results and interrupts.received is not None:
                    results = trainer.stop()
                if results:
                    return results[0]
    finally:
        trainer.close()
        run_directory.close()


@contextmanager
def _progress(run: Run, trainer: Trainer) -> Iterator[ProgressScreen]:
    config, spec = run.member.config, trainer.population.spec
    lines = [
        f"observations ({spec.observation_size},), actions ({spec.action_size},), horizon {spec.horizon} agent steps",
        f"results in {run.directory.path}",
    ]
    with ProgressScreen(total_steps=config.budget, title=f"{config.env.id} seed {config.seed}", lines=lines) as progress:
        for note in run.directory.notes:
            progress.note(note)
        yield progress


def _show(progress: ProgressScreen | None, run: Run, trainer: Trainer) -> None:
    if progress is not None and run.latest is not None:
        steps_per_s = run.member.config.steps_per_iteration / trainer.population.seconds["total"]
        progress.update(run.member.env_steps, run.latest, steps_per_s)
