"""What the sweep and its workers say to each other: a report up, orders down, one after the other.

A worker reports when it is ready, after each run it has begun and after each iteration, and then
waits for its orders. So the two always agree on who trains what, and a free slot is filled before
the next iteration.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ppo_sweep.config import Config
from ppo_sweep.runs.trainer import RunResult

Cell = float | int | None


@dataclass(frozen=True)
class Assignment:
    """A run that a worker is to begin or continue."""

    job: int
    config: Config
    path: Path
    #: As typed, kept beside the run for people.
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Orders:
    """What a worker is to do next.

    Attributes:
        begin: a run to take into a free slot.
        population: the name of the population that this order is about: runs begun under one name train together.
            They must be of one signature.
        train: go through one iteration of all members of the population.
        prune: jobs to end where they stand, for good.
        stop: checkpoint every member of every population where it stands, and let it go.
    """

    begin: Assignment | None = None
    population: Hashable = None
    train: bool = False
    prune: tuple[int, ...] = ()
    stop: bool = False


@dataclass(frozen=True)
class MemberProgress:
    """Where a member stands after an iteration."""

    env_steps: int
    row: Mapping[str, Cell]


@dataclass(frozen=True)
class Report:
    """What a worker has done since its last report.

    Attributes:
        begun: the job it has in training from now on.
        begun_at: environment steps that job had done before, by its checkpoint.
        progress: of every member that went through the iteration, by job.
        ended: what came of the jobs that ended, by job.
        notes: what opening a run's directory found.
    """

    begun: int | None = None
    begun_at: int = 0
    progress: Mapping[int, MemberProgress] = field(default_factory=dict)
    ended: Mapping[int, RunResult] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Crash:
    """The last words of a worker that met an error it cannot blame on one run."""

    traceback: str
