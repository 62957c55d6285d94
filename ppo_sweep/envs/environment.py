"""One environment of one member: episodes with seeds of their own, and the way back into the middle of one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppo_sweep.config import EnvConfig
from ppo_sweep.envs import dm_control, observation
from ppo_sweep.envs.making import make, peel
from ppo_sweep.envs.mujoco import SimulationDiverged, is_physics_error, once, relay_said, said, take_bad_state
from ppo_sweep.envs.spec import describe, time_limit
from ppo_sweep.randomness import episode_seed

# Looked up once: step() is called once per environment step and everything in it counts.
_array, _float64, _maximum, _minimum = np.array, np.float64, np.maximum, np.minimum

Observation = NDArray[np.float64]


class Environment:
    """Environment ``index`` of one member; knows nothing of learning.

    Its state at any moment is a function of (config, run_seed, stream, index, episode, actions since reset):
    that is what makes :meth:`replay` exact. Exceptions of the environment pass through unchanged,
    except dm_control's report of a diverged simulation, which becomes :class:`SimulationDiverged`.

    Args:
        config: which environment, and how it is stepped.
        run_seed: seed of the run; episode k starts with ``reset(seed=episode_seed(run_seed, stream, index, k))``.
        index: place among the N environments of the member.
        stream: name of the random stream, so that evaluation and training start differently.
        first_cut: episode 0 is cut after that many agent steps, if that is before its time limit
            (docs/numbers.md §1: environments of a member start out of phase).
        warn: gets each warning of Gymnasium and MuJoCo, once per Environment.

    Raises:
        ConfigError: as :func:`ppo_sweep.envs.inspect`.
    """

    def __init__(
        self,
        config: EnvConfig,
        *,
        run_seed: int,
        index: int,
        stream: str = "episode",
        first_cut: int | None = None,
        warn: Callable[[str], None],
    ) -> None:
        self._config, self._warn = config, once(warn)
        self._seed_of = run_seed, stream, index
        self._open()
        self.episode = -1
        self.length = 0
        self.return_ = 0.0
        self.partial = False
        self._first_cut = None if first_cut is None or first_cut >= self.spec.horizon else first_cut
        self._stop = self._limit
        self._log = np.empty((min(self.spec.horizon, 1024), self.spec.action_size), np.float32)
        self._fault: str | None = None

    def _open(self) -> None:
        self._env = make(self._config, self._warn)
        self.spec = describe(self._config, self._env)
        self._core, limited = peel(self._env)
        # In agent steps; where a wrapper or the environment itself keeps the time limit, its word counts.
        self._limit = self.spec.horizon if limited else sys.maxsize
        self._low, self._high = self.spec.action_low, self.spec.action_high
        self._clip = self._config.clip_action
        shape = self._env.action_space.shape
        self._action_shape = None if shape is None or len(shape) == 1 else shape
        self._flatten = observation.flattener(self._env.observation_space)
        self._repeat = self._config.action_repeat
        self._env_limit = (time_limit(self._env) or sys.maxsize) if limited else sys.maxsize
        self._step_once = dm_control.direct_step(self._core) or self._core.step
        self._step_env = self._step_once if self._repeat == 1 else self._step_repeatedly
        self._fresh, self._remake = True, False

    @property
    def actions(self) -> NDArray[np.float32]:
        """``(n, A)`` the actions of the running episode as given to :meth:`step`; a view, valid until the next reset."""
        return self._log[: self.length]

    def reset(self) -> Observation:
        """Start the next episode (0 after construction); returns the first observation, ``(O,)``."""
        self._fault = self._fault or take_bad_state(self._env.unwrapped)
        if self._remake and not self._fresh:
            self._env.close()
            self._open()
        self.episode += 1
        self.length, self.return_, self.partial = 0, 0.0, False
        cut = self._first_cut if self.episode == 0 else None
        self._stop = self._limit if cut is None else min(cut, self._limit)
        world = _box2d_world(self._env)
        run_seed, stream, index = self._seed_of
        try:
            raw, _ = self._core.reset(seed=episode_seed(run_seed, stream, index, self.episode))
        except RuntimeError as error:
            _raise_if_diverged(error)
            raise
        # A Box2D world that outlives a reset keeps contacts of the episode before (BipedalWalker):
        # the next episode then needs an environment of its own to be a function of its seed.
        self._remake = world is not None and _box2d_world(self._env) is world
        self._fresh = False
        if said:
            relay_said(self._warn)
        return _array(raw, _float64) if self._flatten is None else self._flatten(raw)

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool]:
        """One agent step: ``action_repeat`` environment steps, fewer where the episode ends.

        Args:
            action: (A,) as drawn; recorded as it is, clipped at the bounds on its way in if ``clip_action``.

        Returns:
            observation (O,), a copy; reward, summed over the repeats; terminated; truncated (time limit or first cut).

        Raises:
            SimulationDiverged: dm_control found its physics diverged.
        """
        n = self.length
        try:
            self._log[n] = action
        except IndexError:
            self._log = np.concatenate([self._log, np.empty_like(self._log)])
            self._log[n] = action
        # From the log, so that a replay hands over the very same float32. Never the log's own memory
        # and never one buffer for all steps: environments keep their last action, or write into it.
        given = self._log[n]
        given = _minimum(_maximum(given, self._low), self._high) if self._clip else given.copy()
        if self._action_shape is not None:
            given = given.reshape(self._action_shape)
        try:
            raw, reward, terminated, truncated, _ = self._step_env(given)
        except RuntimeError as error:
            _raise_if_diverged(error)
            raise
        finally:
            if said:
                relay_said(self._warn)
        reward = float(reward)
        self.return_ += reward
        self.length = n = n + 1
        if n >= self._stop:
            self.partial = n < self._limit and not (terminated or truncated)
            truncated = True
        return (_array(raw, _float64) if self._flatten is None else self._flatten(raw)), reward, bool(terminated), bool(truncated)

    def _step_repeatedly(self, action: NDArray[np.float32]) -> tuple[Any, float, bool, bool, Any]:
        total = 0.0
        for _ in range(min(self._repeat, self._env_limit - self.length * self._repeat)):
            raw, reward, terminated, truncated, rest = self._step_once(action)
            total += float(reward)
            if terminated or truncated:
                break
        return raw, total, terminated, truncated, rest

    def replay(self, episode: int, actions: NDArray[np.float32]) -> Observation:
        """Go to the exact state after ``actions`` of ``episode``, from whatever state; returns the current observation ``(O,)``.

        ``length``, ``return_``, ``actions`` and all that follows are as they were when the actions were first taken.

        Args:
            episode: index of the episode.
            actions: (n, A) float32, its actions since reset, n ≥ 0.

        Raises:
            RuntimeError: the episode ends before its recorded actions do: this environment does not repeat itself.
        """
        self.episode = episode - 1
        current = self.reset()
        self._fault = None  # of the state that was left
        for n, action in enumerate(actions, start=1):
            current, _, terminated, truncated = self.step(action)
            if (terminated or truncated) and n < len(actions):
                raise RuntimeError(
                    f"replay of {self._config.id} ended after {n} of {len(actions)} recorded steps of episode {episode}: "
                    "the environment, its version or its files are not those of the first time, or it is not deterministic"
                )
        return current

    def fault(self) -> str | None:
        """Why the simulator broke since last asked (episodes that have ended included), or None.

        MuJoCo repairs a state that exploded by a silent reset in mid-episode; this is where it shows.
        """
        found = self._fault or take_bad_state(self._env.unwrapped)
        self._fault = None
        return found

    def close(self) -> None:
        """Release the simulator; the object is of no use afterwards."""
        self._env.close()


def _box2d_world(env: Any) -> object | None:
    """The physics world of a Box2D environment, None for all others."""
    world: object = getattr(env.unwrapped, "world", None)
    return world if type(world).__module__.startswith("Box2D") else None


def _raise_if_diverged(error: RuntimeError) -> None:
    if is_physics_error(error):
        raise SimulationDiverged(str(error)) from error
