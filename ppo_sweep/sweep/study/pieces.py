"""A trial and the runs it is made of: one per seed and environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ppo_sweep.config import Config
from ppo_sweep.runs.directory import reached
from ppo_sweep.runs.score import diverged_score, random_score, score
from ppo_sweep.runs.trainer import RunResult
from ppo_sweep.sweep.study.confirmation import TrialResult
from ppo_sweep.sweep.study.objective import Objective, normalised


@dataclass
class Piece:
    """One run of a trial.

    Attributes:
        trial, index: of it; events of one time are handled in this order.
        name: its path below the trial's directory.
        environment: a choice of ``env``, or None for the only one.
        slot: where it has been placed; None before.
        placed_at: the slot's clock then.
        job: its number in the ledger.
        iteration: how far it has come on its slot's clock.
        on_disk: how far its files say it has come; up to there nothing needs to be trained.
        length: iterations after which it ends, if what came of it is known.
        result: what came of it.
        values: rung → its score there; None where it had none.
        over: its end has been handled, or its trial was pruned.
        loaded: it is a member in its worker, in the population of this name.
        at: the iteration that the member stands at.
    """

    trial: int
    index: int
    name: str
    environment: str | None
    config: Config
    path: Path
    slot: int | None = None
    placed_at: int = 0
    job: int = -1
    iteration: int = 0
    on_disk: int = 0
    length: int | None = None
    result: RunResult | None = None
    values: dict[int, float | None] = field(default_factory=dict)
    over: bool = False
    loaded: bool = False
    population: Any = None
    at: int = 0

    @property
    def must_train(self) -> bool:
        """Whether its next iteration is on no disk yet."""
        return self.length is None and self.iteration >= self.on_disk

    @property
    def has_ended(self) -> bool:
        """Whether its slot's clock has come to its end."""
        return self.length is not None and self.iteration >= self.length

    @property
    def diverged(self) -> bool:
        """Whether it ended so."""
        return self.has_ended and self.result is not None and self.result.state == "diverged"

    def look(self) -> None:
        """Find out how far its files say it has come; nobody may be writing them."""
        # The last iteration also has an end, which the worker makes when it is given the run.
        self.on_disk = min(reached(self.config, self.path), self.config.iterations - 1)

    def score(self, objective: Objective) -> float | None:
        """What the run is worth as its files are, raw; None if it has no score."""
        return self.scored(objective)[0]

    def score_after(self, iteration: int, objective: Objective) -> float | None:
        """What the run was worth after an iteration; None if it had no score then.

        Its files may hold more: it was trained by an earlier process, of whose judgements the storage may know nothing.
        """
        return score(_measured_by(objective, self.config), self.path, at=iteration * self.config.steps_per_iteration)[0]

    def scored(self, objective: Objective) -> tuple[float | None, str | None]:
        """Its score as :meth:`score`, and why there is none if there is none."""
        return run_score(self.config, self.path, self.result if self.has_ended else None, objective)


def run_score(config: Config, path: Path, result: RunResult | None, objective: Objective) -> tuple[float | None, str | None]:
    """What a run is worth as its files are, raw, and why there is no score if there is none.

    Args:
        result: what it ended with; None if it has not.
    """
    wanted = _measured_by(objective, config)
    if result is None or result.state != "diverged":
        return score(wanted, path)
    return diverged_score(wanted, path, worse=objective.worse_score), result.reason


def _measured_by(objective: Objective, config: Config) -> Config:
    return config if objective.score is None else config.replace(score=objective.score)


class NoWorth(ValueError):
    """A trial is worth nothing that could be compared: a run has no score, or those of several environments are on no common scale."""


@dataclass
class TrialRuns:
    """A trial in progress.

    Attributes:
        worker: that all its runs are trained by.
        values: rung → what it was worth there.
        judged: rungs that are dealt with.
        state: COMPLETE, PRUNED or FAIL; None while it runs.
        final: what it is worth, one number per objective.
        reason: why it was pruned or failed.
        same_as: what the same configuration came to before; then it has no runs.
    """

    number: int
    worker: int
    overrides: Mapping[str, Any]
    pieces: list[Piece]
    values: dict[int, float] = field(default_factory=dict)
    judged: set[int] = field(default_factory=set)
    state: str | None = None
    final: tuple[float, ...] | None = None
    scores: tuple[float, ...] = ()
    reason: str | None = None
    same_as: TrialResult | None = None

    @property
    def diverged(self) -> int:
        """How many of its runs did."""
        return sum(piece.diverged for piece in self.pieces) if self.same_as is None else self.same_as.diverged

    @property
    def env_steps(self) -> int:
        """That its runs have taken together."""
        return sum(min(piece.iteration, piece.config.iterations) * piece.config.steps_per_iteration for piece in self.pieces)

    def weigh(self, objectives: Sequence[Objective]) -> None:
        """Find out what the trial is worth, now that all its runs have ended.

        Raises:
            NoWorth: nothing, and why.
        """
        final = []
        for objective in objectives:
            found = [(piece, *piece.scored(objective)) for piece in self.pieces]
            known = [value for _, value, _ in found if value is not None]
            without = next((f"{piece.name} has no score: {why}" for piece, value, why in found if value is None), None)
            if without is not None:
                raise NoWorth(without)
            final.append(worth(objective, self.pieces, known))
            self.scores = self.scores or seed_scores(self.pieces, known)
        self.final = tuple(final)


class Measured(Protocol):
    """A run that has a score: a piece of a trial, or of a confirmation."""

    @property
    def environment(self) -> str | None:
        """A choice of ``env``, or None for the only one."""

    @property
    def config(self) -> Config:
        """Its configuration."""


def on_one_scale(pieces: Sequence[Measured], scores: Sequence[float]) -> dict[str, list[float]]:
    """Scores by environment, in order of the seeds; normalised if there are several environments.

    Raises:
        NoWorth: the random policy's score cannot be measured.
    """
    environments = dict.fromkeys(str(piece.environment) for piece in pieces)
    scaled: dict[str, list[float]] = {environment: [] for environment in environments}
    for piece, value in zip(pieces, scores, strict=True):
        env = piece.config.env
        if len(environments) > 1:
            assert env.score_reference is not None  # a study without is refused
            try:
                random = random_score(env)
            except ValueError as error:
                raise NoWorth(f"env.score_random of {piece.environment} is not set, and {error}") from error
            value = normalised(value, random, env.score_reference)
        scaled[str(piece.environment)].append(value)
    return scaled


def worth(objective: Objective, pieces: Sequence[Measured], scores: Sequence[float]) -> float:
    """What a trial is worth.

    Args:
        scores: of its pieces, raw.

    Raises:
        NoWorth: as :func:`on_one_scale`.
    """
    return objective.over_environments(on_one_scale(pieces, scores))


def seed_scores(pieces: Sequence[Measured], scores: Sequence[float]) -> tuple[float, ...]:
    """One number per seed: the mean over environments.

    Raises:
        NoWorth: as :func:`on_one_scale`.
    """
    columns = list(on_one_scale(pieces, scores).values())
    return tuple(sum(values) / len(values) for values in zip(*columns, strict=True))
