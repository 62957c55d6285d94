"""A study as its files say it is: what was searched, and every trial; read without a lock, so also while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.study_file import Study as Listed
from ppo_sweep.runs.study_file import read_study
from ppo_sweep.sweep.study import reading, stored_trials
from ppo_sweep.sweep.study.asking import OUTSIDE, OVERRIDES
from ppo_sweep.sweep.study.confirmation import COMPLETE, FAIL, PRUNED, TrialResult
from ppo_sweep.sweep.study.domains import Choices, Domain, Interval
from ppo_sweep.sweep.study.kept import AIM, CONFIRMED, IDENTITY, IDLE
from ppo_sweep.sweep.study.objective import Objective
from ppo_sweep.sweep.study.rungs import audited

ENDED = (COMPLETE, PRUNED, FAIL)


@dataclass(frozen=True)
class SearchedKnob:
    """One knob of the space.

    Attributes:
        key: full key, or a group's name.
        domain: what it may be.
        when: key → values under which it is searched at all.
    """

    key: str
    domain: Domain
    when: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The parameter's name in Optuna."""
        return self.domain.label(self.key)


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        result: as the study itself sees it; ``state`` is RUNNING or WAITING before its end.
        params: label → coordinate.
        reported: rung, in environment steps of the default configuration → its value there.
        seeds_at: rung's number → run of the trial → its raw score there.
        audited: one of the random share that is never pruned.
        outside: knobs of which the default configuration is not in the space; of trial 0 only.
    """

    result: TrialResult
    params: Mapping[str, Any]
    reported: Mapping[int, float]
    seeds_at: Mapping[int, Mapping[object, float]]
    audited: bool
    outside: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """0 is the default configuration."""
        return self.result.number

    @property
    def state(self) -> str:
        """COMPLETE, PRUNED, FAIL, RUNNING or WAITING."""
        return self.result.state

    def value(self, objective: int = 0) -> float:
        """What it is worth.

        Raises:
            ValueError: it has no such value.
        """
        if self.result.values is None or len(self.result.values) <= objective:
            raise ValueError(f"trial {self.number} has no value {objective}")
        return self.result.values[objective]


@dataclass(frozen=True)
class Search:
    """A study.

    Attributes:
        directory: of the study.
        knobs: what was searched.
        options: ``sweep.*`` as far as they are part of the study (``study.json``).
        seed: of the sampler.
        judged_at: how many rungs its trials are judged at, whether or not one has come so far.
        trials: by number.
        idle: seconds that workers waited for each other, and seconds that they were there; zeros before a search has ended.
        confirmed: what ``study.json`` keeps of the confirmation; empty before it has ended.
        trouble: why the trials cannot be read, as a sentence; empty if they can.
    """

    directory: Path
    knobs: tuple[SearchedKnob, ...]
    options: Mapping[str, Any]
    seed: int
    judged_at: int = 0
    trials: tuple[Trial, ...] = ()
    idle: tuple[float, float] = (0.0, 0.0)
    confirmed: Mapping[str, Any] = field(default_factory=dict)
    trouble: str = ""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is optimised."""
        metrics, directions = self.options["metric"], self.options["direction"]
        weight = float(self.options.get("std_weight", 1.0))
        return tuple(Objective.of(metric, direction, weight) for metric, direction in zip(metrics, directions, strict=True))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the objectives, as typed."""
        return tuple(map(str, self.options["metric"]))

    @property
    def complete(self) -> list[Trial]:
        """Trials that have a value."""
        return [trial for trial in self.trials if trial.state == COMPLETE and trial.result.values is not None]

    @property
    def ended(self) -> list[Trial]:
        """Trials that are over."""
        return [trial for trial in self.trials if trial.state in ENDED]

    @property
    def results(self) -> list[TrialResult]:
        """Trials that are over, as the study itself sees them."""
        return [trial.result for trial in self.ended]

    @property
    def rungs(self) -> list[int]:
        """Where trials have reported, in environment steps of the default configuration."""
        return sorted({steps for trial in self.trials for steps in trial.reported})

    def states(self, state: str) -> list[Trial]:
        """Trials in a state."""
        return [trial for trial in self.trials if trial.state == state]


def read(directory: Path) -> Search | None:
    """The study in a directory; None if it holds none.

    Nothing is written and no lock is taken. What keeps the trials from being read becomes ``trouble``.
    """
    try:
        found = read_study(directory)
    except StorageError:  # whoever lists the runs says so
        return None
    identity = None if found is None else found.other.get(IDENTITY)
    if found is None or not isinstance(identity, dict):
        return None
    try:
        options = dict(identity["options"])
        search = Search(
            directory=directory,
            knobs=tuple(_knob(key, entry) for key, entry in dict(identity["space"]).items()),
            options=options,
            seed=int(identity["seed"]),
            judged_at=len(dict(found.other.get(AIM) or {}).get("rungs") or ()),
            confirmed=dict(found.other.get(CONFIRMED) or {}),
        )
        assert search.objectives
    except (KeyError, TypeError, ValueError, AssertionError):
        return None  # of another version
    try:
        trials, idle = _trials(search, found)
    except StorageError as error:
        return Search(**{**vars(search), "trouble": f"The trials cannot be read: {error}."})
    return Search(**{**vars(search), "trials": trials, "idle": idle})


def _knob(key: str, entry: Mapping[str, Any]) -> SearchedKnob:
    words = {name: value for name, value in entry.items() if name != "when"}
    # A bound of 0 may be left out.
    domain: Domain = Choices(tuple(words["choices"])) if "choices" in words else Interval(**{"low": 0.0, "high": 0.0, **words})
    return SearchedKnob(str(key), domain, dict(entry.get("when", {})))


def _trials(search: Search, study: Listed) -> tuple[tuple[Trial, ...], tuple[float, float]]:
    """Trials, and how long workers waited.

    Raises:
        StorageError: with what keeps them from being read.
    """
    held = reading.read(search.directory, study)
    share = float(search.options.get("prune_audit") or 0)
    pairs = held.attributes.get(IDLE, [])
    trials = tuple(_trial(trial, search.seed, share) for trial in held.trials)
    return trials, (sum(float(pair[0]) for pair in pairs), sum(float(pair[1]) for pair in pairs))


def _trial(frozen: FrozenTrial, seed: int, share: float) -> Trial:
    kept = frozen.user_attrs
    running = TrialResult(frozen.number, frozen.state.name, None, (), dict(kept.get(OVERRIDES, {})), 0)
    return Trial(
        stored_trials.result(frozen) or running,
        params=dict(frozen.params),
        reported=dict(sorted(frozen.intermediate_values.items())),
        seeds_at=_seeds_at(kept),
        audited=audited(seed, frozen.number, share),
        outside=tuple(kept.get(OUTSIDE, ())),
    )


def _seeds_at(kept: Mapping[str, Any]) -> dict[int, dict[object, float]]:
    """From the attributes of ``stored_trials.rung_key``; runs without a score at a rung are left out."""
    found: dict[int, dict[object, float]] = {}
    for key, value in kept.items():
        number, _, run = key.removeprefix("rung ").partition(" ")
        if number.isdigit() and key == stored_trials.rung_key(int(number), run) and value is not None:
            found.setdefault(int(number), {})[run] = float(value)
    return found
