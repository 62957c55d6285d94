"""Real training in processes that a test can kill, and the bytes they leave."""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ppo_sweep.config import Config

#: "The bytes" of a run (README): what must not depend on kills, neighbours, slots or workers.
BYTES = ("metrics.csv", "episodes.csv", "eval.csv", "config.yaml", "policy.safetensors", "policy.json")

# A server that has imported everything once and forks: a killed process then costs milliseconds, not seconds.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["ppo_sweep.runs.trainer", "ppo_sweep.envs", "mujoco", "gymnasium.envs.mujoco", "scipy"])


def _train(values: dict[str, Any], path: str, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    from ppo_sweep.runs import fault_points
    from ppo_sweep.runs.trainer import train

    fault_points.arm(environment.get("PPO_SWEEP_FAULT", ""))
    result = train(Config.from_dict(values), path, console=False)
    raise SystemExit(result.exit_code)


def start(config: Config, path: Path, **environment: str) -> multiprocessing.process.BaseProcess:
    """Train in a process of its own."""
    process = _CONTEXT.Process(target=_train, args=(config.to_dict(), str(path), environment))
    process.start()
    return process


def train_to_the_end(config: Config, path: Path, **environment: str) -> int | None:
    """The exit code of training (negative: the signal that ended it)."""
    process = start(config, path, **environment)
    process.join(300)
    return process.exitcode


def rows(path: Path, table: str = "metrics.csv") -> int:
    """Whole rows of a table on disk by now."""
    try:
        return max((path / table).read_bytes().count(b"\n") - 1, 0)
    except FileNotFoundError:
        return 0


def kill_when(process: multiprocessing.process.BaseProcess, condition: Callable[[], bool], delay: float) -> bool:
    """SIGKILL ``delay`` seconds after ``condition`` holds; False if the process ended by itself first."""
    while process.is_alive() and not condition():
        time.sleep(0.0005)
    time.sleep(delay)
    alive = process.is_alive()
    assert process.pid is not None
    if alive:
        os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    return alive and process.exitcode == -signal.SIGKILL


def contents(path: Path) -> dict[str, bytes]:
    """The bytes of a run."""
    return {name: (path / name).read_bytes() for name in BYTES if (path / name).exists()}


def assert_same_bytes(one: Path, other: Path) -> None:
    """Both runs left the same bytes; names the first line that differs."""
    ours, theirs = contents(one), contents(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        if value == theirs[name]:
            continue
        if name.endswith((".csv", ".yaml", ".json")):
            pairs = zip(value.decode().splitlines(), theirs[name].decode().splitlines(), strict=False)
            line = next((k for k, (a, b) in enumerate(pairs, 1) if a != b), "the end")
            raise AssertionError(f"{name} differs at line {line}: {len(value)} and {len(theirs[name])} bytes")
        raise AssertionError(f"{name} differs")
