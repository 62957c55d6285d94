"""The population: P members that are collected, evaluated and updated in the same batched operations.

One iteration maps the population to the next and yields one outcome per member:
``rollout → make_batch (advantages) → update``. Members come and go between iterations; what a member
computes depends on itself alone, to the last bit, whatever its slot and its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ppo_sweep.config import Config, ConfigError
from ppo_sweep.envs import Environment, EnvSpec, inspect
from ppo_sweep.learner.batch import make_batch
from ppo_sweep.learner.diagnostics import EpisodeStatistics, metrics_rows
from ppo_sweep.learner.knobs import Knobs
from ppo_sweep.learner.layout import Architecture
from ppo_sweep.learner.networks import Networks, initial_parameters
from ppo_sweep.learner.normalizers import ObservationNormalizer, RewardScaler, RunningMoments
from ppo_sweep.learner.rollout import Episode, Failure, rollout
from ppo_sweep.learner.state import MemberState, Scalar
from ppo_sweep.learner.surrogates import next_kl_beta
from ppo_sweep.learner.update import update
from ppo_sweep.machine import device_faults
from ppo_sweep.randomness import generator

Row = dict[str, float | int | None]


def architecture_of(config: Config, spec: EnvSpec) -> Architecture:
    """The networks that ``config`` asks for in the environment ``spec``."""
    network = config.network
    return Architecture(
        observation_size=spec.observation_size,
        action_low=tuple(spec.action_low.tolist()),
        action_high=tuple(spec.action_high.tolist()),
        hidden=network.hidden,
        activation=network.activation,
        shared=network.shared,
        mean=network.mean,
    )


@dataclass
class Member:
    """One run inside a population: its configuration, counters and environments."""

    config: Config
    environments: list[Environment]
    #: Raw observations the next step acts on, ``(N, O)`` float64.
    observations: npt.NDArray[np.float64]
    #: The iteration to come, 1-based.
    iteration: int = 1
    policy_steps: int = 0
    value_steps: int = 0
    kl_beta: float = 1.0
    statistics: EpisodeStatistics = field(default_factory=EpisodeStatistics)

    @property
    def env_steps(self) -> int:
        """Environment steps done so far."""
        return (self.iteration - 1) * self.config.steps_per_iteration

    @property
    def finished(self) -> bool:
        """Whether the budget is spent."""
        return self.iteration > self.config.iterations

    def close(self) -> None:
        for environment in self.environments:
            environment.close()


@dataclass
class Outcome:
    """What one iteration was for one member: a row and its episodes, or the reason it cannot go on."""

    row: Row | None
    episodes: list[Episode]
    failure: Failure | None = None


class Population:
    """P members of one static signature, and everything of theirs that changes.

    Attributes:
        members: in slot order.
        params, adam_first, adam_second: ``(P, D)`` float32.
        observation_normalizer, reward_scaler: statistics of all members.
        knobs: of the iteration in progress, ``(P,)``.
        seconds: wall time of the last iteration by part.
    """

    def __init__(self, config: Config) -> None:
        """An empty population with the static signature of ``config``."""
        # One core, one thread: threads inside a process would only wait for each other.
        torch.set_num_threads(1)
        self.signature = config.signature
        self.device = torch.device(config.device)
        self.spec = inspect(config.env)
        faults = [*self.spec.faults(config), *device_faults(config)]
        if faults:
            raise ConfigError(faults)
        self.networks = Networks(architecture_of(config, self.spec), self.device)
        self.layout = self.networks.layout
        self.members: list[Member] = []
        empty = torch.zeros(0, self.layout.size, device=self.device)
        self.params, self.adam_first, self.adam_second = empty, empty.clone(), empty.clone()
        self._normalizers_of([])
        self.knobs = Knobs.of([], [], [], self.device)
        self.seconds: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self.members)

    # ------------------------------------------------------------------ coming and going

    def admit(self, config: Config, state: MemberState | None = None, warn: Callable[[str], None] = lambda message: None) -> Member:
        """Add a member in the next slot, new or continued from ``state``; ``warn`` receives its environments' warnings.

        Raises:
            ValueError: if its static signature is another.
            StateMismatch: if ``state`` is not one of such a member.
            ReplayDiverged: if the recorded actions lead to another state than they did.
            Exception: whatever its environment raises while it is made, reset or replayed.
        """
        if config.signature != self.signature:
            differing = [a[0] for a, b in zip(config.signature, self.signature, strict=True) if a != b]
            raise ValueError(f"not the population's signature: {', '.join(differing)} differ")
        if state is not None:
            self._check_state(config, state)
        environments = self._environments(config, warn)
        member = Member(config, environments, np.empty((0, 0)), kl_beta=config.algo.kl_beta)
        try:
            if state is None:
                member.observations = np.stack([environment.reset() for environment in environments])
            else:
                member.observations = _replay(environments, state)
        except BaseException:
            member.close()
            raise
        self.members.append(member)
        self._resize([*range(len(self) - 1), None])
        if state is None:
            self._begin(len(self) - 1)
        else:
            self._restore(len(self) - 1, state)
        return member

    def evict(self, member: Member) -> None:
        """Remove a member; those behind it move up one slot."""
        slot = self.members.index(member)
        member.close()
        del self.members[slot]
        self._resize([p for p in range(len(self) + 1) if p != slot])

    def _environments(self, config: Config, warn: Callable[[str], None]) -> list[Environment]:
        n, horizon = config.algo.n_envs, self.spec.horizon
        # Environment i's first episode ends after (i + 1)/N of the horizon, the last one's is whole (docs/numbers.md §1).
        cuts = [-(-(i + 1) * horizon // n) if config.stagger and i < n - 1 else None for i in range(n)]
        return [Environment(config.env, run_seed=config.seed, index=i, first_cut=cut, warn=warn) for i, cut in enumerate(cuts)]

    def _normalizers_of(self, algos: Sequence[Any]) -> None:
        self.observation_normalizer = ObservationNormalizer(algos, self.spec.observation_size)
        self.reward_scaler = RewardScaler(algos, algos[0].n_envs if algos else 1)

    def _resize(self, sources: Sequence[int | None]) -> None:
        """Rebuild every ``(P, …)`` array; new row k is old row ``sources[k]``, or a fresh one for None."""

        def rows(tensor: torch.Tensor) -> torch.Tensor:
            fresh = torch.zeros(len(sources), tensor.shape[1], device=self.device)
            for k, source in enumerate(sources):
                if source is not None:
                    fresh[k] = tensor[source]
            return fresh

        self.params, self.adam_first, self.adam_second = map(rows, (self.params, self.adam_first, self.adam_second))
        before, acc = (self.observation_normalizer.moments, self.reward_scaler.moments), self.reward_scaler.acc
        self._normalizers_of([m.config.algo for m in self.members])
        for old, new in zip(before, (self.observation_normalizer.moments, self.reward_scaler.moments), strict=True):
            for k, source in enumerate(sources):
                if source is not None:
                    for name in RunningMoments.FIELDS:
                        getattr(new, name)[k] = getattr(old, name)[source]
        for k, source in enumerate(sources):
            if source is not None:
                self.reward_scaler.acc[k] = acc[source]

    def _begin(self, p: int) -> None:
        """A new member's parameters, and its normaliser's first look at the world."""
        member = self.members[p]
        network = member.config.network
        rng = generator(member.config.seed, "network")
        parameters = initial_parameters(self.layout, network.init, network.log_std_init, rng)
        self.params[p] = torch.from_numpy(self.layout.pack(parameters))
        self.observation_normalizer.saw_resets(p, member.observations)

    # ------------------------------------------------------------------ one iteration

    def iterate(self) -> list[Outcome]:
        """Collect one rollout and train on it; one outcome per member, in slot order.

        A member with a failure keeps parameters, optimiser state and normalisers of the iteration's
        start; its environments are spent, so it can only be evicted.
        """
        started = perf_counter()
        members = self.members
        self.knobs = Knobs.of([m.config for m in members], [m.iteration for m in members], [m.kl_beta for m in members], self.device)
        start = self._normalizer_copies()
        with np.errstate(all="ignore"):  # a diverging member's numbers; judged below, member by member
            collected = rollout(self)
            counted = perf_counter()
            batch = make_batch(self, collected)
            batched = perf_counter()
            failures, episodes, parts = dict(collected.failures), collected.episodes, collected.seconds
            del collected  # its samples are in the batch, member by member
            progress = update(self, batch, [p for p in range(len(members)) if p not in failures])
            failures |= {p: Failure("diverged", done.failure) for p, done in progress.items() if done.failure}
            for p, member in enumerate(members):
                if p not in failures:
                    member.statistics.add(episodes[p])
            rows = metrics_rows(self, batch, episodes, progress)
        outcomes = []
        for p, member in enumerate(members):
            if p in failures:
                # As they were when the iteration began; parameters were never written back.
                self._set_normalizers(p, {name: copy[p] for name, copy in start.items()})
                outcomes.append(Outcome(None, [], failures[p]))
                continue
            self._adapt_beta(member, rows[p])
            member.policy_steps += progress[p].policy_steps
            member.value_steps += progress[p].value_steps
            member.iteration += 1
            outcomes.append(Outcome(rows[p], episodes[p]))
        self.seconds = parts | {"normalise": parts["normalise"] + batched - counted, "update": perf_counter() - batched}
        self.seconds["total"] = perf_counter() - started
        return outcomes

    @staticmethod
    def _adapt_beta(member: Member, row: Row) -> None:
        algo = member.config.algo
        if algo.surrogate == "adaptive_kl":
            divergence = math.inf if row["kl"] is None else row["kl"]  # a row has no infinity
            member.kl_beta = next_kl_beta(
                member.kl_beta, divergence, algo.kl_target, factor=algo.kl_beta_factor, tolerance=algo.kl_beta_tolerance
            )

    def _normalizer_copies(self) -> dict[str, npt.NDArray[np.float64]]:
        moments = {"observation": self.observation_normalizer.moments, "reward": self.reward_scaler.moments}
        copies = {f"{name}_{field}": getattr(m, field).copy() for name, m in moments.items() for field in RunningMoments.FIELDS}
        return copies | {"reward_acc": self.reward_scaler.acc.copy()}

    def _set_normalizers(self, p: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Normalisers of one member from arrays named as :meth:`_normalizer_copies` names them."""
        for name, moments in (("observation", self.observation_normalizer.moments), ("reward", self.reward_scaler.moments)):
            for column in RunningMoments.FIELDS:
                getattr(moments, column)[p] = arrays[f"{name}_{column}"]
        self.reward_scaler.acc[p] = arrays["reward_acc"]

    # ------------------------------------------------------------------ state on disk

    def state_of(self, member: Member) -> MemberState:
        """Everything of a member at this iteration boundary (docs/architecture.md, "On disk")."""
        p = self.members.index(member)
        arrays = {
            "params": self.params[p].cpu().numpy().copy(),
            "adam_first": self.adam_first[p].cpu().numpy().copy(),
            "adam_second": self.adam_second[p].cpu().numpy().copy(),
            "episode_index": np.array([e.episode for e in member.environments], np.int64),
            "episode_steps": np.array([len(e.actions) for e in member.environments], np.int64),
            "actions": np.concatenate([e.actions for e in member.environments]),
            "observations": member.observations.copy(),
        }
        arrays |= {name: copy[p].copy() for name, copy in self._normalizer_copies().items()}
        arrays |= member.statistics.arrays()
        scalars: dict[str, Scalar] = {
            "iteration": member.iteration,
            "policy_steps": member.policy_steps,
            "value_steps": member.value_steps,
            "kl_beta": member.kl_beta,
        }
        return MemberState(arrays, scalars | member.statistics.scalars())

    def _check_state(self, config: Config, state: MemberState) -> None:
        """Names and shapes of a state, before anything is made of it.

        Raises:
            StateMismatch: with tensor, expected and found.
        """
        n, o, a, d = config.algo.n_envs, self.spec.observation_size, self.spec.action_size, self.layout.size
        steps = int(state.arrays["episode_steps"].sum()) if "episode_steps" in state.arrays else 0
        moments: dict[str, tuple[int | None, ...]] = {"observation_mean": (o,), "observation_m2": (o,), "observation_count": (1,)}
        moments |= {"reward_mean": (1,), "reward_m2": (1,), "reward_count": (1,), "reward_acc": (n,)}
        shapes: dict[str, tuple[int | None, ...]] = dict.fromkeys(("params", "adam_first", "adam_second"), (d,))
        shapes |= {"episode_index": (n,), "episode_steps": (n,), "actions": (steps, a), "observations": (n, o)} | moments
        shapes |= {"last_returns": (None,), "last_lengths": (None,)}
        for name, shape in shapes.items():
            found = state.arrays[name].shape if name in state.arrays else None
            if found is None or len(found) != len(shape) or any(want not in (None, got) for want, got in zip(shape, found, strict=True)):
                raise StateMismatch(f"tensor {name}: expected shape {shape}, found {found or 'none'}")
        missing = {"iteration", "policy_steps", "value_steps", "kl_beta", "episodes", "return_total"} - state.scalars.keys()
        if missing:
            raise StateMismatch(f"scalar {min(missing)}: expected a number, found none")

    def _restore(self, p: int, state: MemberState) -> None:
        member, arrays, scalars = self.members[p], state.arrays, state.scalars
        for name in ("params", "adam_first", "adam_second"):
            getattr(self, name)[p] = torch.from_numpy(arrays[name])
        self._set_normalizers(p, arrays)
        member.iteration = int(scalars["iteration"] or 0)
        member.policy_steps, member.value_steps = int(scalars["policy_steps"] or 0), int(scalars["value_steps"] or 0)
        member.kl_beta = float(scalars["kl_beta"] or 0.0)
        member.statistics = EpisodeStatistics.restored(arrays, scalars)


class StateMismatch(ValueError):
    """A state that is not one of this configuration's: another version of this code wrote it."""


class ReplayDiverged(RuntimeError):
    """The recorded actions lead to another state than they did: the run cannot be continued as it was."""


def _replay(environments: list[Environment], state: MemberState) -> npt.NDArray[np.float64]:
    """Bring every environment to where it was; the current observations ``(N, O)``."""
    episodes, steps, actions = (state.arrays[name] for name in ("episode_index", "episode_steps", "actions"))
    ends = np.cumsum(steps)
    current = np.stack(
        [environment.replay(int(episodes[i]), actions[ends[i] - steps[i] : ends[i]]) for i, environment in enumerate(environments)]
    )
    different = np.flatnonzero((current != state.arrays["observations"]).any(1))
    if len(different):
        raise ReplayDiverged(
            f"environment {different[0]} is in another state after the same {steps[different[0]]} actions: it is not deterministic, "
            "or it, the simulator or the machine is not that of the first time; force=true starts anew"
        )
    return current
