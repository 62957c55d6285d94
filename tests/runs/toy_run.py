"""A made-up trainer: real files, real checkpoints, and rows and states that follow from the iteration alone.

What it leaves is known in advance, so whatever happened on the way, ``work`` must end with the bytes
of ``reference``.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ppo_sweep.config import Config
from ppo_sweep.learner.state import MemberState
from ppo_sweep.runs import fault_points
from ppo_sweep.runs.directory import RunDirectory

CONFIG = Config.from_dict({"seed": 3, "total_steps": 12 * 2048})
BYTES = ("metrics.csv", "episodes.csv", "eval.csv", "config.yaml", "policy.safetensors", "policy.json")


def state_at(iteration: int, floats: int = 500) -> MemberState:
    """The state after an iteration."""
    rng = np.random.default_rng(iteration)
    arrays = {
        "params": rng.standard_normal(floats).astype(np.float32),
        "moments": rng.standard_normal((4, 5)),
        "episode_index": np.arange(iteration, dtype=np.int64),
        "stopped": np.array([True, False]),
        "scale": np.float64(iteration),
        "none_yet": np.zeros((0, 3), np.float32),
    }
    return MemberState(
        {name: np.asarray(array) for name, array in arrays.items()},
        {"iteration": iteration, "total": iteration / 3, "best": -np.inf, "name": "π", "flag": True, "unset": None},
    )


def same_state(a: MemberState, b: MemberState) -> bool:
    """Equal to the bit, types and shapes included."""
    same_arrays = a.arrays.keys() == b.arrays.keys() and all(
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
        for x, y in ((a.arrays[name], b.arrays[name]) for name in a.arrays)
    )
    return (
        same_arrays and a.scalars == b.scalars and {k: type(v) for k, v in a.scalars.items()} == {k: type(v) for k, v in b.scalars.items()}
    )


def work(path: Path, config: Config = CONFIG, iterations: int = 12, until: int | None = None) -> RunDirectory:
    """Train (or go on training) to the end; ``until``: leave after that iteration, as a kill would."""
    run = RunDirectory.open(config, path)
    if run.finished:
        return run
    begin = 0
    if run.state is not None:
        begin = run.state.scalars["iteration"]
        assert same_state(run.state, state_at(begin)), "resumed from a state that never was"
    rows = (path / "metrics.csv").read_bytes().count(b"\n") - 1
    assert rows == begin, f"{rows} rows beside the state of iteration {begin}"
    for k in range(begin + 1, iterations + 1):
        run.append_episodes({"env_steps": k * 2048 - 7 * e, "env": e, "return": -100 / k, "length": 200, "partial": e == 0} for e in (1, 0))
        run.append_metrics({"iteration": k, "env_steps": k * 2048, "return_mean": np.float32(1 / k), "kl": 0.1 * k, "lr": None})
        if k % 4 == 0:
            run.append_evaluations([{"env_steps": k * 2048, "mode": "deterministic", "episodes": 10, "return_mean": -1.5}])
        if k % 3 == 0 or k == iterations:
            run.checkpoint(state_at(k))
        run.append_timing({"iteration": k, "env_steps": k * 2048, "seconds": 0.25})
        run.update_status(iteration=k, env_steps=k * 2048)
        if k == until:
            run.close()
            return run
    run.save_policy(state_at(iterations).arrays, {"schema": 1, "iteration": iterations, "low": [-np.inf]})
    run.finish("done", score=-1.25)
    return run


def bytes_of(path: Path) -> dict[str, bytes]:
    """The bytes of a run, by file name."""
    return {name: (path / name).read_bytes() for name in BYTES}


def in_child(action: Callable[[], object], fault: str = "") -> int:
    """Carry out ``action`` in a forked process; its exit code, negative for the signal that ended it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            fault_points.arm(fault)
            action()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def command(path: Path) -> list[str]:
    """A command line that does :func:`work` in a process of its own."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import pathlib, toy_run; toy_run.work(pathlib.Path(sys.argv[2]))"
    return [sys.executable, "-c", code, str(Path(__file__).parent), str(path)]
