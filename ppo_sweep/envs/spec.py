"""What the learner must know of an environment, and whether it can be learned at all."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from ppo_sweep.config import Config, ConfigError, EnvConfig, Fault
from ppo_sweep.envs import dm_control, observation
from ppo_sweep.envs.making import Made, accepted_kwargs, make
from ppo_sweep.envs.mujoco import relay_said


@dataclass(frozen=True, eq=False)
class EnvSpec:
    """Sizes, bounds and time limit of one environment."""

    observation_size: int
    """O"""
    action_size: int
    """A"""
    action_low: NDArray[np.float32]
    """(A,) never below the environment's own bound, infinite where there is none"""
    action_high: NDArray[np.float32]
    """(A,) never above the environment's own bound"""
    horizon: int
    """time limit in agent steps: environment steps / action_repeat, rounded up"""

    def faults(self, config: Config) -> list[Fault]:
        """What of ``config`` does not go with this environment, though each is fine by itself."""
        if config.network.mean == "tanh" and not np.isfinite([self.action_low, self.action_high]).all():
            return [
                Fault(
                    "network.mean",
                    f"tanh scales the mean to the action bounds, but {config.env.id} has actions without bounds; use network.mean=free",
                )
            ]
        return []


_inspected: dict[str, EnvSpec] = {}


def inspect(config: EnvConfig) -> EnvSpec:
    """Make the environment once, check that it can be trained on, and close it. Cached.

    Raises:
        ConfigError: with every fault found, each saying what is supported and an example.
    """
    key = json.dumps([config.id, config.kwargs, config.max_episode_steps, config.action_repeat], sort_keys=True, default=repr)
    if key not in _inspected:
        env = make(config, warn=lambda message: None)  # every Environment says it again, into its run's log
        try:
            spec = describe(config, env)
            _try(config, env, spec)
        finally:
            env.close()
        _inspected[key] = spec
    return _inspected[key]


def describe(config: EnvConfig, env: Made) -> EnvSpec:
    """The spec of a made environment.

    Raises:
        ConfigError: unsupported observations or actions, or no time limit.
    """
    faults = [*_observation_faults(config, env.observation_space), *_action_faults(config, env.action_space)]
    limit = time_limit(env)
    if limit is None:
        faults.append(
            Fault(
                "env.max_episode_steps",
                f"{config.id} has no time limit, and episodes without end cannot be resumed; "
                "give it one in environment steps, for example env.max_episode_steps=1000",
            )
        )
    if faults or limit is None:
        raise ConfigError(faults)
    assert isinstance(env.action_space, spaces.Box)
    low, high = _inner_float32(env.action_space)
    return EnvSpec(observation.size(env.observation_space), low.size, low, high, math.ceil(limit / config.action_repeat))


def time_limit(env: Made) -> int | None:
    """Environment steps after which an episode is truncated at the latest, if anything says so."""
    registered = env.spec.max_episode_steps if env.spec is not None else None
    return registered if registered is not None else dm_control.step_limit(env.unwrapped)


def _observation_faults(config: EnvConfig, space: spaces.Space[Any]) -> Iterator[Fault]:
    supported = "supported are Box observations (vectors of numbers) and Dict or Tuple of them, for example Hopper-v5"
    found = list(observation.leaves(space))
    for path, leaf in found:
        where = f"{'.'.join(map(str, path))} = " if path else ""
        if not isinstance(leaf, spaces.Box):
            yield Fault("env.id", f"{config.id} has observations {where}{leaf}; {supported}")
        elif observation.is_image(leaf):
            shape = "×".join(map(str, leaf.shape))
            yield Fault("env.id", f"{config.id} has observations {where}an image of {shape} {leaf.dtype}; {supported}")
    if not found:
        yield Fault("env.id", f"{config.id} has no observations ({space}); {supported}")


def _action_faults(config: EnvConfig, space: spaces.Space[Any]) -> Iterator[Fault]:
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating) and space.shape != (0,):
        return
    hint = ""
    if "continuous" in (accepted_kwargs(config.id.rpartition(":")[2]) or ()):  # LunarLander, CarRacing, Atari
        hint = ", or env.kwargs={continuous: true} with this one"
    yield Fault("env.id", f"{config.id} has actions {space}; supported are continuous Box actions, for example Pendulum-v1{hint}")


def _inner_float32(space: spaces.Box) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The bounds in float32, rounded inwards so that a clipped action is one the environment allows."""
    exact_low, exact_high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
    low, high = exact_low.astype(np.float32), exact_high.astype(np.float32)
    low = np.where(low < exact_low, np.nextafter(low, np.float32(np.inf)), low)
    high = np.where(high > exact_high, np.nextafter(high, np.float32(-np.inf)), high)
    for bound in (low, high):
        bound.setflags(write=False)
    return low, high


def _try(config: EnvConfig, env: Made, spec: EnvSpec) -> None:
    """One reset and one step.

    Some environments can be made but not started (no display, missing assets), or are not what their
    space says; and arguments of the wrong kind often do no harm before the first step.
    """
    action = np.clip(np.zeros_like(spec.action_low), spec.action_low, spec.action_high).reshape(env.action_space.shape or ())
    flatten = observation.flattener(env.observation_space)
    doing = "reset"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            first, _ = env.reset(seed=0)
            vectors = [np.array(first, np.float64) if flatten is None else flatten(first)]
            doing = "stepped"
            second, reward, _, _, _ = env.step(action)
            vectors.append(np.array(second, np.float64) if flatten is None else flatten(second))
            reward = float(reward)
    except Exception as error:
        raise _unfit(config, f"could not be {doing}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    finally:
        relay_said(lambda message: None)
    for vector in vectors:
        if vector.shape != (spec.observation_size,):
            raise _unfit(config, f"returns observations of shape {vector.shape}, but its observation_space is {env.observation_space}")
    if not np.isfinite(vectors).all():
        raise _unfit(config, "has NaN or infinity in its first observations")
    if not math.isfinite(reward):
        raise _unfit(config, f"has a reward of {reward} in its first step")


def _unfit(config: EnvConfig, what: str) -> ConfigError:
    """A fault of the environment, or of the arguments it was given."""
    if not config.kwargs:
        return ConfigError([Fault("env.id", f"{config.id} {what}")])
    return ConfigError([Fault("env.kwargs", f"{config.id} with {config.kwargs} {what}")])
