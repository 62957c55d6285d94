"""What a checkpoint costs, and what continuing costs: ``python scripts/bench_resume.py [--members 9] [--envs 64]``.

Trains real populations, checkpoints them, opens the same directories again and replays every episode
that was under way.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

from ppo_sweep.config import Config
from ppo_sweep.runs.directory import RunDirectory
from ppo_sweep.runs.trainer import Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="HalfCheetah-v5", help="Gymnasium id")
    parser.add_argument("--members", type=int, default=9, metavar="P", help="runs side by side (default 9)")
    parser.add_argument("--envs", type=int, default=64, metavar="N", help="environments of each (default 64)")
    parser.add_argument("--steps", type=int, default=512, help="steps of each environment before the checkpoint (default 512)")
    given = parser.parse_args()
    values = {"env.id": given.env, "algo.n_envs": given.envs, "algo.n_steps": 32, "algo.epochs": 1, "checkpoint_every": 1}
    config = Config().replace(**(values | {"total_steps": given.envs * (given.steps + 32)}))
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(config)
        for seed in range(given.members):
            trainer.start(RunDirectory.open(config.replace(seed=seed), Path(scratch, str(seed))))
        checkpoints = []
        while trainer.runs[0].member.iteration <= given.steps // 32:
            trainer.iterate()
            state = trainer.population.state_of(trainer.runs[0].member)
            started = perf_counter()
            trainer.runs[0].directory.checkpoint(state)
            checkpoints.append(perf_counter() - started)
        replayed = sum(len(environment.actions) for run in trainer.runs for environment in run.member.environments)
        size = sum(array.nbytes for array in state.arrays.values())
        trainer.stop()
        started = perf_counter()
        directories = [RunDirectory.open(config.replace(seed=seed), Path(scratch, str(seed))) for seed in range(given.members)]
        again = Trainer(config)
        for directory in directories:
            again.start(directory)
        resumed = perf_counter() - started
        again.close()
    print(f"{given.env}, {given.members} × {given.envs} environments after {given.steps} steps each")
    print(f"one checkpoint: median {statistics.median(checkpoints) * 1e3:.1f} ms of {len(checkpoints)} ({size / 1e3:.0f} kB of arrays)")
    print(f"resume of all: {resumed:.1f} s, {replayed:,} actions replayed, {resumed / max(replayed, 1) * 1e6:.0f} µs each")


if __name__ == "__main__":
    main()
