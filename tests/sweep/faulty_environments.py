"""A cheap environment that goes wrong on demand, in one run at one step, without that being part of any configuration.

Importing this module registers it. What goes wrong stands in the environment variable ``FAULTS``, which
worker processes inherit: a JSON list of ``{"seed": 3, "episode": 5, "step": 2, "do": "segv"}``, where
``seed`` is the run's, and optionally ``"stream": "random"``, an evaluation's of which the first environment goes wrong,
and ``"once": PATH``, a file that is made when it happens and keeps it from happening again.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from ppo_sweep.randomness import episode_seed

#: Steps of an episode.
HORIZON = 16


class Walk(gymnasium.Env[np.ndarray, np.ndarray]):
    """A point on a line, pushed by the action; the reward is minus its squared distance from 0."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, size: float = 1.0) -> None:
        self.size = size

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.steps = float(self.np_random.uniform(-self.size, self.size)), 0
        self.faults = [
            fault for fault in faults() if episode_seed(fault["seed"], fault.get("stream", "episode"), 0, fault["episode"]) == seed
        ]
        self._go_wrong()
        return self._seen(), {}

    def _seen(self) -> np.ndarray:
        return np.array([self.at, self.steps / HORIZON])

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.at += 0.3 * float(action[0])
        reward = self._go_wrong()
        return self._seen(), -(self.at**2) if reward is None else reward, False, False, {}

    def _go_wrong(self) -> float | None:
        """What is due now, if anything; a reward to be returned in place of the true one."""
        for fault in self.faults:
            if fault["step"] == self.steps and _first_time(fault):
                return _do(fault["do"])
        return None


def faults() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(os.environ.get("FAULTS", "[]"))
    return listed


def _first_time(fault: dict[str, Any]) -> bool:
    if "once" not in fault:
        return True
    try:
        Path(fault["once"]).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _do(what: str) -> float | None:
    match what:
        case "nan":
            return float("nan")
        case "raise":
            raise ValueError("the walker fell")
        case "memory":
            raise MemoryError
        case "interrupt":
            raise KeyboardInterrupt
        case "segv":
            ctypes.string_at(0)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "pause":
            time.sleep(1)
        case "hang":
            time.sleep(3600)
        case "print":
            print("chatter " * 40_000, flush=True)
            print("\n".join(f"line {number} {'x' * 200}" for number in range(2000)), file=sys.stderr, flush=True)
        case "leave a process":
            if os.fork() == 0:
                time.sleep(3600)
            os.kill(os.getpid(), signal.SIGKILL)
        case _:
            raise AssertionError(f"no such fault: {what}")
    return None


gymnasium.register("faulty/Walk-v0", entry_point=Walk, max_episode_steps=HORIZON)
