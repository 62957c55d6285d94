"""Measure training speed on one core: ``python scripts/bench.py [ENV ...] [--members 1 9] [--repeats 5]``.

Every figure is a median over alternating repeats inside one process with one thread. The simulator
alone is the same environments, wrappers included, stepping the recorded actions of the trained
policy's own rollout from the same states.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import torch

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.config import Config
from ppo_sweep.learner.population import Population
from ppo_sweep.learner.rollout import rollout
from ppo_sweep.learner.state import MemberState

PARTS = ("simulator", "policy", "normalise", "update")


@dataclass
class Case:
    """One population under measurement, and what was measured, in µs per environment step."""

    population: Population
    samples: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in (*PARTS, "total", "alone")})

    @property
    def steps(self) -> int:
        """Environment steps of one iteration of the whole population."""
        return len(self.population) * self.population.members[0].config.steps_per_iteration

    def train(self) -> None:
        """One iteration of training."""
        self.population.iterate()
        for name in (*PARTS, "total"):
            self.samples[name].append(self.population.seconds[name] / self.steps * 1e6)

    def simulate(self) -> None:
        """One rollout's worth of the simulator alone: its actions were recorded, its states are replayed before."""
        population = self.population
        states = [population.state_of(member) for member in population.members]
        actions = rollout(population).actions.numpy()
        twin = revived(population.members[0].config, [member.config.seed for member in population.members], states)
        environments = [(p, i, e) for p, member in enumerate(twin.members) for i, e in enumerate(member.environments)]
        started = perf_counter()
        for row in actions:
            for p, i, environment in environments:
                _, _, terminated, truncated = environment.step(row[p, i])
                if terminated or truncated:
                    environment.reset()
        self.samples["alone"].append((perf_counter() - started) / self.steps * 1e6)
        close(twin)
        # The rollout above moved the population on; bring it back to where its states are.
        fresh = revived(population.members[0].config, [member.config.seed for member in population.members], states)
        close(population)
        self.population = fresh

    def median(self, name: str) -> float:
        return statistics.median(self.samples[name])


def revived(config: Config, seeds: list[int], states: list[MemberState]) -> Population:
    """A population that continues from ``states``."""
    population = Population(config)
    for seed, state in zip(seeds, states, strict=True):
        population.admit(config.replace(seed=seed), state)
    return population


def close(population: Population) -> None:
    for member in list(population.members):
        population.evict(member)


def trained(config: Config, members: int, steps: int) -> list[MemberState]:
    """States of ``members`` seeds after ``steps`` environment steps each."""
    population = Population(config)
    for seed in range(members):
        population.admit(config.replace(seed=seed))
    while population.members[0].env_steps < steps:
        population.iterate()
    states = [population.state_of(member) for member in population.members]
    close(population)
    return states


def measure(env: str, sizes: list[int], repeats: int, warm_up: int) -> Iterator[str]:
    """Rows of the table for one environment."""
    config = Config().replace(**{"env.id": env, "total_steps": 1_000_000})
    states = trained(config, max(sizes), warm_up)
    cases = {size: Case(revived(config, list(range(size)), states[:size])) for size in sizes}
    for case in cases.values():
        case.train()
        for values in case.samples.values():
            values.clear()
    for _ in range(repeats):
        for case in cases.values():
            case.train()
            case.simulate()
    for size, case in cases.items():
        total, alone = case.median("total"), case.median("alone")
        parts = " | ".join(f"{case.median(name):.1f}" for name in PARTS)
        share = statistics.median(a / t for a, t in zip(case.samples["alone"], case.samples["total"], strict=True))
        yield f"| {env} | {size} | {parts} | {total:.1f} | {alone:.1f} | {1e6 / total:,.0f} | {share:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("env", nargs="*", default=["HalfCheetah-v5", "Hopper-v5"], help="Gymnasium ids")
    parser.add_argument("--members", nargs="+", type=int, default=[1, 9], metavar="P", help="population sizes (default: 1 9)")
    parser.add_argument("--repeats", type=int, default=5, help="alternating repeats (default: 5)")
    parser.add_argument("--warm-up", type=int, default=100_000, metavar="STEPS", help="training before measuring (default: 100000)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "gymnasium", "mujoco", "numpy"))
    print(f"One thread on {platform.machine()}, Python {platform.python_version()}, {packages};")
    print(f"recipe standard, median of {arguments.repeats}, after {arguments.warm_up:,} steps of training. µs per environment step:\n")
    print(f"| environment | P | {' | '.join(PARTS)} | total | simulator alone | steps/s | share of the simulator's speed |")
    print("|" + "---|" * (len(PARTS) + 6))
    for env in arguments.env:
        for row in measure(env, arguments.members, arguments.repeats, arguments.warm_up):
            print(row, flush=True)


if __name__ == "__main__":
    main()
