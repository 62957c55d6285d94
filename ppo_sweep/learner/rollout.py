"""Collect T steps from every environment of every member.

The one place where Python runs once per environment step, so it holds nothing that can wait: noise
is drawn before, values, log-probabilities, reward scaling and advantages are computed after, in one
batch each. Inside remain: normalise, policy, simulator.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch

from ppo_sweep.envs import Environment, SimulationDiverged
from ppo_sweep.learner.networks import Forward
from ppo_sweep.randomness import generator

if TYPE_CHECKING:
    from ppo_sweep.learner.population import Population

#: Rows of raw observations that are kept: of 9 × 64 HalfCheetahs, 2048 of them would be 160 MB, an eighth of the process.
RECENT = 128


@dataclass(frozen=True)
class Cut:
    """A step after which the episode did not go on although the task did, whose next value is bootstrapped (time limit, staggering)."""

    t: int
    env: int
    #: True next observation ``(O,)``, normalised under the statistics of that moment.
    observation: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Episode:
    """A finished training episode, in raw rewards."""

    env_steps: int
    env: int
    ret: float
    length: int
    terminated: bool
    final_reward: float
    partial: bool


@dataclass
class Failure:
    """Why a member cannot go on: ``diverged`` is a result, ``failed`` is an error of the environment's code."""

    state: Literal["diverged", "failed"]
    reason: str
    exception: BaseException | None = None


@dataclass
class Rollout:
    """What one rollout left, time-major; the learner turns it member-major.

    Attributes:
        observations: normalised, as the policy saw them, ``(T, P, N, O)`` float32.
        actions: sampled, before clipping at the bounds, ``(T, P, N, A)`` float32.
        rewards: raw, ``(T, P, N)`` float64.
        terminated, truncated: ``(T, P, N)``; ``truncated`` includes ``partial`` cuts.
        partial: cut by staggering, ``(T, P, N)``.
        last: normalised observation after the last step, ``(P, N, O)`` float32.
        cuts: per member.
        episodes: per member, in order (t, env).
        failures: by member.
        seconds: wall time by part: simulator, policy, normalise.
    """

    observations: torch.Tensor
    actions: torch.Tensor
    rewards: npt.NDArray[np.float64]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    partial: npt.NDArray[np.bool_]
    last: torch.Tensor
    cuts: list[list[Cut]]
    episodes: list[list[Episode]]
    failures: dict[int, Failure] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@torch.no_grad()
def rollout(population: Population) -> Rollout:
    """Step every environment T times under the current policies (PPO Algorithm 1, the loop over actors).

    A member whose environment raises, or whose simulator breaks, is left standing for the rest of
    the rollout and reported in ``failures``; the others do not notice.
    """
    started = perf_counter()
    collector = _Collector(population)
    simulator = policy = 0.0
    for t in range(collector.steps):
        collector.normalize(t)
        normalized = perf_counter()
        actions = collector.act(t)
        acted = perf_counter()
        policy += acted - normalized
        collector.step(t, actions)
        stepped = perf_counter()
        simulator += stepped - acted
        collector.observe(t)
    result = collector.finish()
    simulator += collector.resetting
    result.seconds = {"simulator": simulator, "policy": policy, "normalise": perf_counter() - started - simulator - policy}
    return result


class _Collector:
    """The buffers of one rollout and what happens in each step."""

    def __init__(self, population: Population) -> None:
        self.population = population
        config = population.members[0].config
        members, envs = len(population.members), config.algo.n_envs
        architecture = population.networks.architecture
        self.steps = config.algo.n_steps
        shape = (self.steps, members, envs)
        size = architecture.observation_size
        #: Raw observations, row t % len what step t acts on: the last ones, or all where a normaliser looks at them at the end.
        rows = self.steps + 1 if population.observation_normalizer.rolloutwise else min(self.steps + 1, RECENT)
        self.raw = np.empty((rows, members, envs, size))
        for p, member in enumerate(population.members):
            self.raw[0, p] = member.observations
        #: The first non-finite observation of a member, in words.
        self.spoiled: dict[int, str] = {}
        self.observations = np.empty((*shape, size), np.float32)
        self.actions = self._noise(shape)
        self.rewards = np.zeros(shape)
        self.terminated, self.truncated, self.partial = (np.zeros(shape, bool) for _ in range(3))
        self.cuts: list[list[Cut]] = [[] for _ in population.members]
        self.episodes: list[list[Episode]] = [[] for _ in population.members]
        self.failures: dict[int, Failure] = {}
        self.alive: list[tuple[int, list[Environment]]] = [(p, m.environments) for p, m in enumerate(population.members)]
        self.weights = population.layout.views(population.params)
        self.forward = Forward(population.networks, self.weights, envs, value=False)
        self.std = torch.exp(population.networks.log_std(self.weights).contiguous())
        self.ended: list[tuple[int, int]] = []
        #: Seconds spent in resets.
        self.resetting = 0.0
        device = population.device
        # On the CPU these tensors share the arrays' memory: writing row t of one writes the other.
        self.observations_t = torch.from_numpy(self.observations)
        self.actions_t = torch.from_numpy(self.actions)
        # Row by row; taking a row out of a tensor costs as much as a small operation.
        self.rows: list[tuple[torch.Tensor, torch.Tensor, npt.NDArray[np.float32]]] = list(
            zip(self.observations_t.unbind(0), self.actions_t.unbind(0), self.actions, strict=True)
        )
        self.on_cpu = device.type == "cpu"

    def _noise(self, shape: tuple[int, int, int]) -> npt.NDArray[np.float32]:
        """Standard normal ``(T, P, N, A)``, each member from its own stream of this iteration."""
        population = self.population
        size = population.networks.architecture.action_size
        noise = np.empty((*shape, size), np.float32)
        for p, member in enumerate(population.members):
            rng = generator(member.config.seed, "action_noise", member.iteration)
            noise[:, p] = rng.standard_normal((shape[0], shape[2], size), dtype=np.float32)
        return noise

    def raw_of(self, t: int) -> npt.NDArray[np.float64]:
        """What step t acts on, ``(P, N, O)``; step t − 1 writes it."""
        row: npt.NDArray[np.float64] = self.raw[t % len(self.raw)]
        return row

    def normalize(self, t: int) -> None:
        self.observations[t] = self.population.observation_normalizer.normalize(self.raw_of(t))

    def act(self, t: int) -> npt.NDArray[np.float32]:
        """Turn the noise of step t into actions μ + σ·noise, in place."""
        x, noise, action = self.rows[t]
        if self.on_cpu:
            self.forward(x)
            torch.addcmul(self.forward.mean, self.std, noise, out=noise)
        else:
            device = self.population.device
            self.forward(x.to(device))
            noise.copy_(torch.addcmul(self.forward.mean, self.std, noise.to(device)))
        return action

    def step(self, t: int, actions: npt.NDArray[np.float32]) -> None:
        raw, rewards = self.raw_of(t + 1), self.rewards[t]
        for p, environments in self.alive:
            try:
                for i, environment in enumerate(environments):
                    raw[p, i], rewards[p, i], terminated, truncated = environment.step(actions[p, i])
                    if terminated or truncated:
                        self.terminated[t, p, i] = terminated
                        self.truncated[t, p, i] = truncated and not terminated
                        self.ended.append((p, i))
            except SimulationDiverged as error:
                self._fail(p, t, Failure("diverged", str(error)))
            except (Exception, SystemExit) as error:  # an environment is the user's code: what it raises ends this member only
                _pass_on_signal(error)
                self._fail(p, t, Failure("failed", f"the environment raised {type(error).__name__}: {error}", error))

    def observe(self, t: int) -> None:
        """Let the normaliser see what followed the step, and begin new episodes where one ended."""
        self.population.observation_normalizer.saw_step(self.raw_of(t + 1))
        if self.ended:
            self._close_episodes(t)
        if (t + 2) % len(self.raw) == 0:  # the next step writes over the first row again
            self._look_back(t + 1)

    def _close_episodes(self, t: int) -> None:
        """Record what ended with step t; the normaliser sees the first observations of what begins."""
        fresh: dict[int, list[int]] = {}
        for p, i in self.ended:
            if p not in self.failures:
                self._close_episode(t, p, i)
                fresh.setdefault(p, []).append(i)
        for p, indices in fresh.items():
            if p not in self.failures:
                self.population.observation_normalizer.saw_resets(p, self.raw_of(t + 1)[p, indices])
        self.ended.clear()

    def _close_episode(self, t: int, p: int, i: int) -> None:
        member = self.population.members[p]
        environment, last = member.environments[i], self.raw_of(t + 1)[p, i]
        config = member.config
        steps = (t * config.algo.n_envs + i + 1) * config.env.action_repeat
        self.partial[t, p, i] = environment.partial
        self.episodes[p].append(
            Episode(
                env_steps=member.env_steps + steps,
                env=i,
                ret=environment.return_,
                length=environment.length,
                terminated=bool(self.terminated[t, p, i]),
                final_reward=float(self.rewards[t, p, i]),
                partial=environment.partial,
            )
        )
        if self.truncated[t, p, i] and (environment.partial or config.env.bootstrap_timeouts):
            final = self.population.observation_normalizer.normalize_one(p, last)
            self.cuts[p].append(Cut(t, i, final))
        # Asked before the reset, which clears the simulator's counters.
        broken = environment.fault()
        # The last look at what ended the episode: the reset's observation takes its place.
        if not broken and not np.isfinite(last).all():
            broken = f"non-finite observation at step {t + 1} of the rollout"
        if broken:
            self._fail(p, t, Failure("diverged", broken))
        else:
            self._begin_episode(t, p, i)

    def _begin_episode(self, t: int, p: int, i: int) -> None:
        """The observation of the reset takes the place of the last one's."""
        environment = self.population.members[p].environments[i]
        resetting = perf_counter()
        try:
            self.raw_of(t + 1)[p, i] = environment.reset()
        except (Exception, SystemExit) as error:
            _pass_on_signal(error)
            reason = f"the environment's reset raised {type(error).__name__}: {error}"
            self._fail(p, t, Failure("diverged" if isinstance(error, SimulationDiverged) else "failed", reason, error))
        self.resetting += perf_counter() - resetting

    def _fail(self, p: int, t: int, failure: Failure) -> None:
        self.failures[p] = failure
        self.alive = [(q, environments) for q, environments in self.alive if q != p]
        self.raw[:, p] = 0.0

    def _look_back(self, t: int) -> None:
        """Judge the rows written since the last look; row ``t`` is the newest."""
        first = t - t % len(self.raw)
        for p, _ in self.alive:
            finite = np.isfinite(self.raw[: t - first + 1, p]).reshape(t - first + 1, -1).all(1)
            if not finite.all():
                self.spoiled.setdefault(p, f"non-finite observation at step {first + int(np.argmin(finite))} of the rollout")

    def finish(self) -> Rollout:
        population = self.population
        if (self.steps + 1) % len(self.raw):
            self._look_back(self.steps)
        for p, environments in self.alive:
            broken = next((reason for e in environments if (reason := e.fault())), None) or self._non_finite(p)
            if broken:
                self.failures[p] = Failure("diverged", broken)
        raw = self.raw_of(self.steps)
        for p, member in enumerate(population.members):
            member.observations = raw[p].copy()
        last = population.observation_normalizer.normalize(raw).astype(np.float32)
        if population.observation_normalizer.rolloutwise:
            seen = self.raw[:-1].swapaxes(0, 1)
            population.observation_normalizer.saw_rollout(seen.reshape(seen.shape[0], -1, seen.shape[-1]))
        return Rollout(
            observations=self.observations_t,
            actions=self.actions_t,
            rewards=self.rewards,
            terminated=self.terminated,
            truncated=self.truncated,
            partial=self.partial,
            last=torch.from_numpy(last),
            cuts=self.cuts,
            episodes=self.episodes,
            failures=self.failures,
        )

    def _non_finite(self, p: int) -> str | None:
        if p in self.spoiled:
            return self.spoiled[p]
        for name, values in (("action", self.actions), ("reward", self.rewards)):
            if not np.isfinite(values[:, p]).all():
                t = int(np.argmin(np.isfinite(values[:, p]).reshape(len(values), -1).all(1)))
                return f"non-finite {name} at step {t} of the rollout"
        return None


def _pass_on_signal(error: BaseException) -> None:
    """A handler of signals may raise its own kind of SystemExit in the middle of an environment's step; that is not the environment's."""
    if isinstance(error, SystemExit) and type(error) is not SystemExit:
        raise error
