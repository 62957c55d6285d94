"""Tiny environments whose every number can be worked out by hand, and a way to make environments that are closed again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import WrapperSpec

from ppo_sweep.config import EnvConfig
from ppo_sweep.envs import Environment


class Counting(gymnasium.Env[Any, Any]):
    """Observation: steps since reset. Reward: first action component plus the previous one. Ends after ``ends_at`` steps.

    Keeps the last action without copying it, ``scribbles`` into it if asked to, and returns one and the same
    observation array, as many do.
    """

    def __init__(self, ends_at: int = 1_000_000, raises_at: int = 1_000_000, bound: float = 2.0, scribbles: bool = False) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.action_space = spaces.Box(-bound, bound, (2,))
        self.ends_at, self.raises_at, self.scribbles = ends_at, raises_at, scribbles
        self.seen = np.zeros(1)
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.last = np.zeros(2)
        self.seen[0] = 0
        return self.seen, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.seen[0] + 1 == self.raises_at:
            raise ZeroDivisionError("on purpose")
        reward = float(action[0] + self.last[0])
        self.last = action
        if self.scribbles:
            action[:] = 99
        self.seen[0] += 1
        return self.seen, reward, bool(self.seen[0] == self.ends_at), False, {}


class Forgetful(Counting):
    """Ends sooner in each further episode, whatever its seed: cannot be replayed."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        *rest, _, truncated, more = super().step(action)
        return rest[0], rest[1], bool(self.seen[0] >= 8 - len(self.seeds)), truncated, more


class Shaped(gymnasium.Env[Any, Any]):
    """Any spaces; observations are samples."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        return self.observation_space.sample(), 0.0, False, False, {}


class BonusAtTimeLimit(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """Looks at the truncation of the time limit inside it."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, more = self.env.step(action)
        return observation, float(reward) + 100 * truncated, terminated, truncated, more


# Gymnasium names wrappers by module; "conftest" is the name of every other conftest.py too.
sys.modules["counting_environments"] = sys.modules[__name__]
gymnasium.register("Counting-v0", entry_point=Counting, max_episode_steps=10)
gymnasium.register("Endless-v0", entry_point=Counting)
gymnasium.register("Forgetful-v0", entry_point=Forgetful, max_episode_steps=10)
gymnasium.register(
    "Bonus-v0",
    entry_point=Counting,
    max_episode_steps=10,
    additional_wrappers=(WrapperSpec("BonusAtTimeLimit", "counting_environments:BonusAtTimeLimit", kwargs={}),),
)


@pytest.fixture
def shaped() -> Iterator[Callable[..., EnvConfig]]:
    """Register an environment of the given spaces; returns its config."""
    names: list[str] = []

    def register(observations: spaces.Space[Any], actions: spaces.Space[Any], limit: int | None = 5) -> EnvConfig:
        name = f"Shaped{abs(hash((repr(observations), repr(actions), limit)))}-v0"
        names.append(name)
        arguments = {"observation_space": observations, "action_space": actions}
        gymnasium.register(name, entry_point=Shaped, max_episode_steps=limit, kwargs=arguments)
        return EnvConfig(id=name)

    yield register
    for name in names:
        gymnasium.registry.pop(name, None)


Open = Callable[..., Environment]


@pytest.fixture
def opened() -> Iterator[Open]:
    """``opened("Pendulum-v1", index=2, action_repeat=4)``: an Environment, closed after the test."""
    made: list[Environment] = []

    def make(
        name: str, *, run_seed: int = 3, index: int = 0, first_cut: int | None = None, warn: Callable[[str], None] = len, **knobs: Any
    ) -> Environment:
        config = EnvConfig(id=name, **knobs)
        made.append(Environment(config, run_seed=run_seed, index=index, first_cut=first_cut, warn=warn))
        return made[-1]

    yield make
    for environment in made:
        environment.close()
