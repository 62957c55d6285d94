"""Measure what a sweep gains: ``python scripts/bench_sweep.py [--steps 100000] [--peers] [--makespan]``.

Each case is a whole command in a directory of its own, start-up included; figures are environment
steps of all runs per second of wall time. Budgets are whole rollouts, so that all train as far as
they are told. The peers are what one would do otherwise: two Stable-Baselines3 processes side by
side, and Hydra's joblib launcher with one process per job running our own trainer (``pip install
stable-baselines3 hydra-joblib-launcher``).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[1]
#: Environment steps of a rollout under this recipe, which has the peer's defaults.
ROLLOUT = 2048
TASK = ["env=halfcheetah", "recipe=standard"]

#: Budgets of the makespan case, in shares of ``--steps``: 24 runs, the longest 24 times the shortest.
SHARES = [share / 12 for share in range(1, 25)]

#: PPO of Stable-Baselines3 with the same T, K, B, network, normalisers and number of steps.
SB3 = """
import sys, time, torch
import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
torch.set_num_threads(1)
seed, steps = int(sys.argv[1]), int(sys.argv[2])
env = VecNormalize(DummyVecEnv([lambda: gym.make("HalfCheetah-v5")]))
PPO("MlpPolicy", env, n_steps=2048, batch_size=64, n_epochs=10, seed=seed, device="cpu").learn(steps)
"""


def timed(commands: list[list[str]]) -> float:
    """Wall seconds until all of these have ended, side by side."""
    with tempfile.TemporaryDirectory() as empty:
        started = perf_counter()
        running = [subprocess.Popen(command, cwd=empty, stdout=subprocess.DEVNULL) for command in commands]
        codes = [process.wait() for process in running]
        seconds = perf_counter() - started
    if any(codes):
        raise SystemExit(f"a command ended with {codes}: {commands}")
    return seconds


def whole(steps: float) -> int:
    """The nearest number of whole rollouts, at least two."""
    return max(2, round(steps / ROLLOUT)) * ROLLOUT


def sweep(*words: str) -> list[list[str]]:
    return [[sys.executable, str(ROOT / "train.py"), "-m", *words]]


def single(steps: int, seed: int = 0) -> list[list[str]]:
    return [[sys.executable, str(ROOT / "train.py"), *TASK, f"total_steps={steps}", f"seed={seed}"]]


def throughput(steps: int, repeats: int, peers: bool) -> dict[str, float]:
    """Median steps/s by case; prints a table."""
    budget = f"total_steps={steps}"
    cases: dict[str, tuple[int, Callable[[], float]]] = {
        "1 worker, 9 runs": (9, lambda: timed(sweep(*TASK, budget, "seed=range(9)", "hydra.launcher.workers=1"))),
        "2 workers, 18 runs": (18, lambda: timed(sweep(*TASK, budget, "seed=range(18)", "hydra.launcher.workers=2"))),
    }
    if peers:
        joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
        cases["joblib launcher, 2 processes, one job each, 6 runs"] = (6, lambda: timed(sweep(*TASK, budget, "seed=range(6)", *joblib)))
        sb3 = [[sys.executable, "-c", SB3, str(seed), str(steps)] for seed in range(2)]
        cases["Stable-Baselines3, 2 processes, 2 runs"] = (2, lambda: timed(sb3))
    measured: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, (runs, run) in cases.items():
            measured[name].append(runs * steps / run())
            print(f"  {name}: {measured[name][-1]:,.0f} steps/s", file=sys.stderr, flush=True)
    medians = {name: statistics.median(values) for name, values in measured.items()}
    fastest = medians["2 workers, 18 runs"]
    print(f"\n| HalfCheetah-v5, {steps:,} steps a run | steps/s, all runs | the sweep's 2 workers against it |\n|---|---|---|")
    for name, value in medians.items():
        print(f"| {name} | {value:,.0f} | {fastest / value:.2f}× |")
    return medians


def makespan(steps: int, rate: float) -> None:
    """24 runs of very different length against the bound max(total work ÷ full rate, longest run alone)."""
    budgets = [whole(steps * share) for share in SHARES]
    alone = timed(single(max(budgets)))
    seconds = timed(sweep(*TASK, f"total_steps={','.join(map(str, budgets))}", "hydra.launcher.workers=2"))
    bound = max(sum(budgets) / rate, alone)
    print(f"\n24 runs of {min(budgets):,} to {max(budgets):,} steps, 2 workers: {seconds:.1f} s;")
    print(f"total work ÷ full rate {sum(budgets) / rate:.1f} s, the longest run alone {alone:.1f} s: {seconds / bound:.2f} × the larger.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000, help="environment steps a run, about (default: 100000)")
    parser.add_argument("--repeats", type=int, default=3, help="alternating repeats (default: 3)")
    parser.add_argument("--peers", action="store_true", help="also Stable-Baselines3 and Hydra's joblib launcher")
    parser.add_argument("--makespan", action="store_true", help="also 24 runs of very different length")
    arguments = parser.parse_args()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "gymnasium", "mujoco", "hydra-core"))
    print(f"Whole commands, start-up included; {packages}; median of {arguments.repeats} alternating repeats.")
    steps = whole(arguments.steps)
    medians = throughput(steps, arguments.repeats, arguments.peers)
    if arguments.makespan:
        makespan(steps, medians["2 workers, 18 runs"])


if __name__ == "__main__":
    main()
