"""Environments small enough to solve on paper. Importing this module registers them.

Actions are unbounded enough (± 10) that clipping never matters.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

ACTIONS = spaces.Box(-10.0, 10.0, (2,), np.float32)


class QuadraticBandit(gymnasium.Env[np.ndarray, np.ndarray]):
    """One step: the context c ∈ {−1, 1} is seen, r = −‖a − a*(c)‖², a*(c) = (½c + 0.2, −0.3).

    Under N(μ(c), diag σ²) the value is V(c) = −‖μ(c) − a*(c)‖² − Σ σ².
    """

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = ACTIONS

    @staticmethod
    def best(context: float) -> np.ndarray:
        return np.array([0.5 * context + 0.2, -0.3])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.context = float(self.np_random.choice([-1.0, 1.0]))
        return np.array([self.context], np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = -float(((action - self.best(self.context)) ** 2).sum())
        return np.array([self.context], np.float32), reward, True, False, {}


class Corridor(gymnasium.Env[np.ndarray, np.ndarray]):
    """States 0 … length − 1 in a row, whatever the action; leaving state s pays s + 1; the last step terminates.

    V(s) = Σ_{k ≥ 0} γᵏ (s + 1 + k), up to the end.
    """

    action_space = ACTIONS

    def __init__(self, length: int = 2) -> None:
        self.size = length
        self.observation_space = spaces.Box(0.0, 1.0, (length + 1,), np.float32)

    def _seen(self) -> np.ndarray:
        return np.eye(self.size + 1, dtype=np.float32)[self.state]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = 0
        return self._seen(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.state += 1
        return self._seen(), float(self.state), self.state == self.size, False, {}


class Treadmill(gymnasium.Env[np.ndarray, np.ndarray]):
    """One state, reward 1 at every step, never terminates: V = 1/(1 − γ). The time limit alone ends an episode."""

    observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
    action_space = ACTIONS

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.ones(1, np.float32), 1.0, False, False, {}


for name, cls, limit in (("Bandit", QuadraticBandit, 1), ("Corridor", Corridor, 100), ("Treadmill", Treadmill, 5)):
    if f"tiny/{name}-v0" not in gymnasium.registry:
        gymnasium.register(f"tiny/{name}-v0", entry_point=cls, max_episode_steps=limit, disable_env_checker=True)
