"""Measure training speed on one core.

    python scripts/bench.py                    µs per environment step by part, P = 1 and 9, against the simulator alone
    python scripts/bench.py --peers            also Stable-Baselines3 in the same minute (pip install -e '.[bench]')
    python scripts/bench.py --slots            the curve P = 1 … 32
    python scripts/bench.py --max-kl 0.02      a KL stop against none: what compacting stopped members saves
    python scripts/bench.py --memory           resident memory of a population, and its growth
    python scripts/bench.py --operations       µs of a gradient step by operation

Figures of time are medians over alternating repeats inside one process with one thread; shares and ratios are
medians of the repeats' own. The simulator alone is the same environments, wrappers included, stepping the
recorded actions of the trained policy's own rollout from the same states.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.config import Config
from ppo_sweep.learner.batch import make_batch
from ppo_sweep.learner.population import Population
from ppo_sweep.learner.rollout import rollout
from ppo_sweep.learner.state import MemberState
from ppo_sweep.learner.update import update
from ppo_sweep.machine import processor
from ppo_sweep.process import trim_memory
from ppo_sweep.runs.directory import RunDirectory
from ppo_sweep.runs.trainer import Trainer

PARTS = ("simulator", "policy", "normalise", "update", "write")
SLOTS = (1, 2, 3, 4, 6, 8, 9, 12, 16, 24, 32)
#: The peer under comparison: our recipe ``standard`` is the same T, K, B and network.
PEER = "Stable-Baselines3"


@dataclass
class Case:
    """One population under measurement, and what was measured, in µs per environment step."""

    population: Population
    #: Files are written by a trainer of its own, see :func:`writing`.
    write: float = 0.0
    samples: dict[str, list[float]] = field(default_factory=dict)
    #: Epochs that each member trained in each iteration.
    epochs: list[float] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """Environment steps of one iteration of the whole population."""
        return len(self.population) * self.population.members[0].config.steps_per_iteration

    def _add(self, name: str, seconds: float) -> None:
        self.samples.setdefault(name, []).append(seconds / self.steps * 1e6)

    def train(self) -> None:
        """One iteration of training."""
        outcomes = self.population.iterate()
        self.epochs += [float(outcome.row["epochs"] or 0) for outcome in outcomes if outcome.row is not None]
        seconds = self.population.seconds | {"write": self.write * self.steps / 1e6}
        for name in PARTS:
            self._add(name, seconds[name])
        self._add("total", seconds["total"] + seconds["write"])

    def simulate(self) -> None:
        """One rollout's worth of the simulator alone: its actions were recorded, its states are replayed before."""
        population = self.population
        configs = [member.config for member in population.members]
        states = [population.state_of(member) for member in population.members]
        actions = rollout(population).actions.numpy()
        twin = revived(configs, states)
        environments = [(p, i, e) for p, member in enumerate(twin.members) for i, e in enumerate(member.environments)]
        started = perf_counter()
        for row in actions:
            for p, i, environment in environments:
                _, _, terminated, truncated = environment.step(row[p, i])
                if terminated or truncated:
                    environment.reset()
        self._add("alone", perf_counter() - started)
        close(twin)
        # The rollout above moved the population on; bring it back to where its states are.
        self.population = revived(configs, states)
        close(population)

    def median(self, name: str) -> float:
        return statistics.median(self.samples[name])


class Peer:
    """Stable-Baselines3's PPO on the same task: its defaults are recipe ``standard``'s T, K, B and network; with VecNormalize."""

    def __init__(self, env: str, warm_up: int) -> None:
        import gymnasium
        from stable_baselines3 import PPO
        from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

        vector = VecNormalize(DummyVecEnv([lambda: gymnasium.make(env)]))
        network = {"net_arch": {"pi": [64, 64], "vf": [64, 64]}}
        self.model = PPO("MlpPolicy", vector, n_steps=2048, batch_size=64, n_epochs=10, policy_kwargs=network, device="cpu", seed=0)
        self.model.learn(warm_up)
        self.samples: list[float] = []

    def train(self) -> None:
        """One iteration of training."""
        started = perf_counter()
        self.model.learn(self.model.n_steps, reset_num_timesteps=False)
        self.samples.append((perf_counter() - started) / self.model.n_steps * 1e6)


def ratio(numerators: list[float], denominators: list[float]) -> float:
    """Median of the ratios of measurements made next to each other."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def revived(configs: list[Config], states: list[MemberState]) -> Population:
    """A population that continues from ``states``."""
    population = Population(configs[0])
    for config, state in zip(configs, states, strict=True):
        population.admit(config, state)
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


def seeded(config: Config, count: int) -> list[Config]:
    return [config.replace(seed=seed) for seed in range(count)]


def writing(config: Config, members: int, iterations: int = 3) -> float:
    """µs per environment step that a trainer spends on files, beside training: rows, episodes, status (a checkpoint is rarer)."""
    seconds = []
    config = config.replace(**{"algo.epochs": 1, "checkpoint_every": 1000})
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(config)
        for one in seeded(config, members):
            trainer.start(RunDirectory.open(one, Path(scratch, str(one.seed))))
        for _ in range(iterations):
            started = perf_counter()
            trainer.iterate()
            seconds.append(perf_counter() - started - trainer.population.seconds["total"])
        trainer.stop()
    return sum(seconds) / (iterations * members * config.steps_per_iteration) * 1e6


def described(env: str, settings: dict[str, Any]) -> Config:
    return Config().replace(**({"env.id": env, "total_steps": 1_000_000} | settings))


def setting(text: str) -> tuple[str, Any]:
    """``key=value`` with the value as JSON, or as it stands."""
    key, _, value = text.partition("=")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def by_part(env: str, given: argparse.Namespace) -> Iterator[str]:
    """Rows of the table for one environment."""
    config, sizes, warm_up = described(env, given.settings), given.members, given.warm_up
    states = trained(config, max(sizes), warm_up)
    cases = {size: Case(revived(seeded(config, size), states[:size]), writing(config, size)) for size in sizes}
    peer = Peer(env, warm_up) if given.peers else None
    for case in cases.values():
        case.train()
        case.samples.clear()
    for _ in range(given.repeats):
        for case in cases.values():
            case.train()
            case.simulate()
        if peer is not None:
            peer.train()
    for size, case in cases.items():
        total = case.median("total")
        parts = " | ".join(f"{case.median(name):.1f}" for name in PARTS)
        share = f"{ratio(case.samples['alone'], case.samples['total']):.0%}"
        against = f" {ratio(peer.samples, case.samples['total']):.1f}× |" if peer is not None else ""
        yield f"| {env} | {size} | {parts} | {total:.1f} | {case.median('alone'):.1f} | {1e6 / total:,.0f} | {share} |{against}"
    if peer is not None:
        total = statistics.median(peer.samples)
        yield f"| {env}, {PEER} {version('stable-baselines3')} | 1 |{' |' * len(PARTS)} {total:.1f} | | {1e6 / total:,.0f} | | 1 |"


def part_table(given: argparse.Namespace) -> Iterator[str]:
    against = [f"against {PEER}"] if given.peers else []
    columns = ["environment", "P", *PARTS, "total", "simulator alone", "steps/s", "share of the simulator's speed", *against]
    yield f"µs per environment step, recipe standard, after {given.warm_up:,} steps of training, medians of {given.repeats}:\n"
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for env in given.env:
        yield from by_part(env, given)


def slot_table(given: argparse.Namespace) -> Iterator[str]:
    """Steps per second of one worker over the number of its members."""
    config = described(given.env[0], given.settings)
    states = trained(config, max(SLOTS), 3 * config.steps_per_iteration)
    cases = {size: Case(revived(seeded(config, size), states[:size])) for size in SLOTS}
    for _ in range(given.repeats):
        for case in cases.values():
            case.train()
    yield f"{given.env[0]}, recipe standard, medians of {given.repeats}:\n"
    yield "| P | µs per step | update | policy + normalise | steps/s | against P = 1 |"
    yield "|" + "---|" * 6
    for size, case in cases.items():
        total, rest = case.median("total"), case.median("policy") + case.median("normalise")
        gain = ratio(cases[1].samples["total"], case.samples["total"])
        yield f"| {size} | {total:.1f} | {case.median('update'):.1f} | {rest:.1f} | {1e6 / total:,.0f} | {gain:.2f}× |"


def kl_table(given: argparse.Namespace) -> Iterator[str]:
    """A KL stop against none: stopped members leave the batch."""
    config, size = described(given.env[0], given.settings), max(given.members)
    stopping = config.replace(**{"algo.max_kl": given.max_kl})
    states = trained(config, size, given.warm_up)
    without, with_stop = (Case(revived(seeded(c, size), states)) for c in (config, stopping))
    for _ in range(given.repeats):
        without.train()
        with_stop.train()
    yield f"{given.env[0]}, P = {size}, after {given.warm_up:,} steps of training without a stop, medians of {given.repeats}:\n"
    yield "| max_kl | µs per step | update | steps/s | against none | mean epochs |"
    yield "|" + "---|" * 6
    for name, case in (("none", without), (f"{given.max_kl:g}", with_stop)):
        total, gain = case.median("total"), ratio(without.samples["total"], case.samples["total"])
        epochs = statistics.mean(case.epochs)
        yield f"| {name} | {total:.1f} | {case.median('update'):.1f} | {1e6 / total:,.0f} | {gain:.2f}× | {epochs:.1f} |"


def operation_table(given: argparse.Namespace) -> Iterator[str]:
    """Where the time of one gradient step goes, from medians per operation and shapes (an interruption spoils no median)."""
    config, size = described(given.env[0], given.settings | {"algo.epochs": 2}), max(given.members)
    population = revived(seeded(config, size), trained(config, size, given.warm_up))
    population.iterate()
    batch = make_batch(population, rollout(population))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as recorded:
        update(population, batch, range(size))
    steps = config.algo.epochs * -(-batch.size // config.algo.minibatch_size)
    durations: dict[tuple[str, str], list[float]] = {}
    for event in recorded.events() or []:
        shapes = " ".join("×".join(map(str, shape)) for shape in event.input_shapes if shape)
        durations.setdefault((event.name.removeprefix("aten::"), shapes), []).append(event.self_cpu_time_total)
    costs = {key: (statistics.median(values) * len(values) / steps, len(values) / steps) for key, values in durations.items()}
    every = {key: cost for key, cost in costs.items() if cost[1] >= 0.9}
    yield f"{given.env[0]}, P = {size}; one gradient step, {sum(cost for cost, _ in every.values()):.0f} µs in all, Python's own aside:\n"
    yield "| operation | shapes | calls | µs |"
    yield "|---|---|---|---|"
    for (name, shapes), (cost, calls) in sorted(every.items(), key=lambda item: -item[1][0])[:24]:
        yield f"| {name} | {shapes} | {calls:.0f} | {cost:.1f} |"


def memory_case(env: str, settings: dict[str, Any], members: int, envs: int, steps: int) -> tuple[float, float, float, int]:
    """In a fresh process: resident memory in MB after the second iteration, at the end, and at its highest; environment steps."""
    torch.set_num_threads(1)
    # The number of epochs costs time, not memory.
    config = described(env, settings | {"algo.n_envs": envs, "algo.epochs": 10 if envs == 1 else 1, "total_steps": 10**9})
    population = Population(config)
    for one in seeded(config, members):
        population.admit(one)
    sizes: list[float] = []
    while len(sizes) < 3 or population.members[0].env_steps * members < steps:
        population.iterate()
        sizes.append(resident("VmRSS"))
    return sizes[1], sizes[-1], resident("VmHWM"), population.members[0].env_steps * members


def turnover_case(env: str, settings: dict[str, Any], members: int, envs: int, runs: int) -> tuple[float, float]:
    """In a fresh process: resident memory in MB of the first members, and after ``runs`` others have taken their places."""
    torch.set_num_threads(1)
    config = described(env, settings | {"algo.n_envs": envs, "algo.n_steps": 32, "algo.epochs": 1, "total_steps": 10**9})
    population = Population(config)
    for one in seeded(config, members):
        population.admit(one)
    population.iterate()
    first = resident("VmRSS")
    for _ in range(runs // 3):
        for member in population.members[:3]:
            population.evict(member)
        trim_memory()  # as a worker does
        for one in seeded(config, 3):
            population.admit(one)
        population.iterate()
    return first, resident("VmRSS")


def resident(name: str) -> float:
    """MB (10⁶ bytes), from /proc (Linux), whose kB are of 1024 bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{name}:"))


def memory_table(given: argparse.Namespace) -> Iterator[str]:
    """Resident memory of a fresh process."""
    yield "| members × environments | MB after two iterations | MB at the end | environment steps | highest MB |"
    yield "|" + "---|" * 5
    context = multiprocessing.get_context("spawn")
    for envs in (1, 64):
        with ProcessPoolExecutor(1, mp_context=context) as process:
            early, late, highest, steps = process.submit(memory_case, given.env[0], given.settings, 9, envs, given.memory_steps).result()
        yield f"| {given.env[0]} 9 × {envs} | {early:.0f} | {late:.0f} | {steps:,} | {highest:.0f} |"
    runs = 90
    with ProcessPoolExecutor(1, mp_context=context) as process:
        first, last = process.submit(turnover_case, given.env[0], given.settings, 9, 64, runs).result()
    yield f"\n{given.env[0]} 9 × 64, 32 steps: {first:.0f} MB; after {runs} other runs have taken their slots, {last:.0f} MB."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5"]
    parser.add_argument("env", nargs="*", default=everything, help="Gymnasium ids (default: %(default)s); the other tables take the first")
    parser.add_argument("--members", nargs="+", type=int, default=[1, 9], metavar="P", help="population sizes (default: 1 9)")
    parser.add_argument("--repeats", type=int, default=5, help="alternating repeats (default: 5)")
    parser.add_argument("--warm-up", type=int, default=40_960, metavar="STEPS", help="training before measuring (default: 40960)")
    parser.add_argument("--peers", action="store_true", help=f"also measure {PEER}")
    parser.add_argument("--slots", action="store_true", help="the curve over P instead")
    parser.add_argument("--max-kl", type=float, metavar="KL", help="a KL stop against none instead, at the largest P")
    parser.add_argument("--memory", action="store_true", help="resident memory instead")
    parser.add_argument("--operations", action="store_true", help="a gradient step by operation instead, at the largest P")
    parser.add_argument("--memory-steps", type=int, default=1_000_000, metavar="STEPS", help="how far (default: 1000000)")
    parser.add_argument("--set", nargs="+", type=setting, default=[], metavar="KEY=VALUE", help="knobs other than recipe standard's")
    given = parser.parse_args()
    given.settings = dict(given.set)
    if given.peers and importlib.util.find_spec("stable_baselines3") is None:
        parser.error(f"--peers needs {PEER}: pip install -e '.[bench]'")
    torch.set_num_threads(1)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "gymnasium", "mujoco", "numpy"))
    print(f"One thread on {processor()}, Python {platform.python_version()}, {packages}.")
    table = part_table
    for chosen, other in ((given.slots, slot_table), (given.memory, memory_table), (given.operations, operation_table)):
        table = other if chosen else table
    table = table if given.max_kl is None else kl_table
    for line in table(given):
        print(line, flush=True)


if __name__ == "__main__":
    main()
