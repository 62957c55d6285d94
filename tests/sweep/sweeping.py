"""Real sweeps with real worker processes, small enough for a test."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ppo_sweep.config import Config
from ppo_sweep.runs import naming
from ppo_sweep.runs.interrupts import Interrupts
from ppo_sweep.runs.trainer import RunResult, train
from ppo_sweep.sweep.job import Job
from ppo_sweep.sweep.launch import launch
from ppo_sweep.sweep.options import LauncherOptions

sys.path.insert(0, str(Path(__file__).parents[1] / "runs"))
sys.path.insert(0, str(Path(__file__).parent))

from training_processes import assert_same_bytes, contents

__all__ = ["assert_same_bytes", "contents"]

TRAIN = Path(__file__).resolve().parents[2] / "train.py"
#: Environment steps of one iteration of :func:`walk`.
ITERATION = 32


def walk(seed: int, iterations: int = 6, **values: Any) -> Config:
    """Some iterations, of a few milliseconds each, on the environment that goes wrong on demand."""
    return Config.from_dict(
        merged(
            {
                "env": {"id": "faulty_environments:faulty/Walk-v0"},
                "algo": {"n_envs": 1, "n_steps": ITERATION, "minibatch_size": 16, "epochs": 2},
                "network": {"hidden": [8]},
                "checkpoint_every": 2,
                "total_steps": ITERATION * iterations,
                "seed": seed,
            },
            values,
        )
    )


def merged(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings, the second one's values winning."""
    out = dict(values)
    for key, value in others.items():
        out[key] = merged(out[key], value) if isinstance(value, Mapping) and isinstance(out.get(key), Mapping) else value
    return out


def jobs(study: Path, configs: Mapping[str, Config] | Iterable[Config]) -> list[Job]:
    """Jobs by name; without names, those of one run and several seeds."""
    named = configs if isinstance(configs, Mapping) else {f"walk/seed={config.seed}": config for config in configs}
    return [Job(config, study / name, {"seed": config.seed}, (f"seed={config.seed}",)) for name, config in named.items()]


def sweep(
    study: Path,
    configs: Mapping[str, Config] | Iterable[Config],
    *,
    interrupts: Interrupts | None = None,
    begun: Callable[[int], None] = lambda job: None,
    ended: Callable[[int, RunResult], None] = lambda job, result: None,
    **options: Any,
) -> dict[str, RunResult]:
    """Carry out a sweep in this process; results by name of the run below the study."""
    listed = jobs(study, configs)
    chosen = LauncherOptions(**({"workers": 1} | options))
    results = launch(listed, study, chosen, begun=begun, ended=ended, interrupts=interrupts or Interrupts())
    return {listed[number].path.relative_to(study).as_posix(): result for number, result in results.items()}


def states(results: Mapping[str, RunResult]) -> dict[str, str]:
    """Run → state."""
    return {name: result.state for name, result in results.items()}


def alone(directory: Path, config: Config) -> Path:
    """Train one run by itself, as ``train.py`` without ``-m`` does; its directory."""
    path = directory / naming.shortest(config.hash[:12])
    assert train(config, path, console=False).state in ("done", "diverged", "failed")
    return path


def assert_as_alone(study: Path, configs: Mapping[str, Config] | Iterable[Config], directory: Path) -> None:
    """Every run of the sweep has the bytes of its single run."""
    for job in jobs(study, configs):
        assert_same_bytes(job.path, alone(directory, job.config))


def go_wrong(monkeypatch: pytest.MonkeyPatch, *faults: Mapping[str, Any]) -> None:
    """Let runs go wrong; see ``faulty_environments``."""
    defaults = {"episode": 4, "step": 3}  # in the third iteration
    monkeypatch.setenv("FAULTS", json.dumps([defaults | dict(fault) for fault in faults]))


def processes(parent: int) -> list[int]:
    """Pids of the living worker processes of ``parent``, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                after = (entry / "stat").read_text().rpartition(")")[2].split()
                program = (entry / "cmdline").read_text()
            except OSError:
                continue
            if int(after[1]) == parent and after[0] != "Z" and "ppo_sweep.sweep.worker" in program:
                found.append(int(entry.name))
    return found


def started_with(text: str) -> list[str]:
    """The living processes, whosever, that were started with ``text`` in their environment variables."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and text.encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text())
    return found


def is_gone(pid: int) -> bool:
    """Whether the process has ended, waited for or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Until ``condition`` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def mixed() -> dict[str, Config]:
    """Twelve runs of several signatures, environments, recipes, surrogates and budgets."""
    pendulum = {"env": {"id": "Pendulum-v1"}}
    wide = {"network": {"hidden": [16, 16]}}
    penalty = {"algo": {"surrogate": "adaptive_kl"}}
    stopped = {"algo": {"max_kl": 0.003, "lr": 1e-2, "max_kl_on": "minibatch"}}
    return {
        "default/seed=0": walk(0),
        "default/seed=1": walk(1, 9),
        "default/seed=2": walk(2, 3),
        "stopped/seed=0": walk(0, 7, **stopped),
        "stopped/seed=1": walk(1, 1, **stopped),
        "penalty/seed=0": walk(0, 5, **penalty),
        "plain/seed=0": walk(0, 4, algo={"norm_obs": "off", "norm_reward": False, "epochs": 1}),
        "pendulum/seed=0": walk(0, 8, **pendulum),
        "pendulum/seed=3": walk(3, 2, **pendulum, algo={"gamma": 0.9}),
        "wide/seed=0": walk(0, 5, **wide),
        "wide/seed=1": walk(1, 12, **wide, eval={"every": 3, "episodes": 2}),
        "size/seed=0": walk(0, 4, env={"kwargs": {"size": 2.0}}, algo={"n_envs": 2}),
    }


def environment() -> dict[str, str]:
    """The environment for a process of ours that is to find the test modules."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@contextmanager
def train_in(directory: Path) -> Iterator[Callable[[str], int]]:
    """``train.py`` in this process and that working directory: a command line in, its exit code out. What it sets globally is undone."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(directory)
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
        spec = importlib.util.spec_from_file_location("train", TRAIN)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "train", module)
        spec.loader.exec_module(module)
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        try:
            yield lambda line: module.main(shlex.split(line))
        finally:
            for handler in set(root.handlers) - set(handlers):
                handler.close()
            root.handlers[:], root.level = handlers, level
