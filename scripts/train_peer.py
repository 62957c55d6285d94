#!/usr/bin/env python
"""Stable-Baselines3's PPO on our tasks, scored as our runs are: what docs/results.md compares with (extra ``bench``).

python scripts/train_peer.py                                       # HalfCheetah, Hopper, Walker2d × seeds 100–104, 1 M steps
python scripts/train_peer.py --env Hopper-v5 --seeds 100 101 --workers 1

Its defaults (PPO's and VecNormalize's), one environment; whole rollouts of 2048 steps, rounded down as ours are. Every run
leaves its finished training episodes, with raw rewards, in OUT/<environment>/steps=<budget>/seed=<n>.csv; a run that has
its file is not trained again, one that was interrupted begins anew.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.process import settle

TASKS = ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5"]
SEEDS = [100, 101, 102, 103, 104]
STEPS = 1_000_000
#: Environment steps of a rollout under its defaults.
ROLLOUT = 2048
COLUMNS = ["env_steps", "return", "length"]


def place(out: Path, env: str, steps: int, seed: int) -> Path:
    """Where the episodes of one run are kept."""
    return out / env / f"steps={steps}" / f"seed={seed}.csv"


def budget(steps: int) -> int:
    """What is trained of ``steps``: whole rollouts (it would round up by itself)."""
    return steps // ROLLOUT * ROLLOUT


def train(env: str, seed: int, steps: int, path: Path) -> float:
    """Train one run and write ``path``.

    Returns:
        ``return_100``: mean raw return of the last 100 finished training episodes.
    """
    import gymnasium
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    torch.set_num_threads(1)
    monitor: Monitor[object, object] = Monitor(gymnasium.make(env))
    PPO("MlpPolicy", VecNormalize(DummyVecEnv([lambda: monitor])), device="cpu", seed=seed).learn(budget(steps))
    returns, lengths = monitor.get_episode_rewards(), monitor.get_episode_lengths()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.partial")
    with unfinished.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        ended = 0
        for value, length in zip(returns, lengths, strict=True):
            ended += length
            writer.writerow([ended, value, length])
    os.replace(unfinished, path)
    last = [float(value) for value in returns[-100:]]
    return sum(last) / len(last)


def main() -> int:
    """Parse arguments and train what is missing; 0, or 2 with a message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", nargs="+", default=TASKS, help=f"registered environments (default: {' '.join(TASKS)})")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="default: 100 … 104")
    parser.add_argument("--steps", type=int, default=STEPS, help="environment steps per run (default: 1 M)")
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes, one thread each (default: one per core)"
    )
    parser.add_argument("--out", type=Path, default=Path("results/stable_baselines3"), help="default: results/stable_baselines3")
    given = parser.parse_args()
    if find_spec("stable_baselines3") is None:
        print("Stable-Baselines3 is not installed; it comes with the extra bench: pip install -e '.[bench]'", file=sys.stderr)
        return 2

    runs = {(env, seed): place(given.out, env, given.steps, seed) for seed in given.seeds for env in given.env}
    missing_runs = {key: path for key, path in runs.items() if not path.exists()}
    print(f"{len(runs) - len(missing_runs)} of {len(runs)} runs are there", flush=True)
    # A process per run: what one run leaves behind in torch or MuJoCo reaches no other.
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
        futures = {processes.submit(train, env, seed, given.steps, path): (env, seed) for (env, seed), path in missing_runs.items()}
        for future in as_completed(futures):
            env, seed = futures[future]
            print(f"{env} seed {seed}: {future.result():.1f}", flush=True)
    return 0


if __name__ == "__main__":
    settle()
    sys.exit(main())
