"""A member's numbers are the same to the last bit whether it trains alone, with any neighbours, in any slot."""

from __future__ import annotations

from typing import Any

import pytest

from ppo_sweep.config import Config
from ppo_sweep.learner.population import Member, Population

#: Knobs that may differ inside one population, chosen so that neighbours stop early, freeze, penalise and clip differently.
VARIETY: list[dict[str, Any]] = [
    {"algo.surrogate": "none", "algo.lr": 1e-2, "algo.vf_clip": None, "algo.max_kl": 1e-3},
    {"algo.surrogate": "adaptive_kl", "algo.kl_target": 0.003, "algo.norm_adv": "batch", "algo.norm_obs_update": "rollout"},
    {"algo.surrogate": "fixed_kl", "algo.kl_beta": 3.0, "algo.grad_clip": "separate", "algo.epochs": 1},
    {"algo.clip_eps": 0.1, "algo.ent_coef": 0.01, "algo.max_grad_norm": None, "algo.norm_obs": "off"},
    {"algo.max_kl": 1e-3, "algo.max_kl_on": "minibatch", "algo.kl_estimator": "k3", "algo.lr": 3e-3},
    {"algo.max_kl": 1e-3, "algo.max_kl_on": "minibatch_last", "algo.kl_estimator": "k3", "algo.lr": 1e-3},
    {"algo.max_kl": 1e-3, "algo.max_kl_on": "minibatch_max", "algo.kl_estimator": "k1", "algo.max_kl_stops": "policy"},
    {"algo.norm_adv": "off", "algo.norm_reward": False, "algo.gamma": 0.9, "algo.gae_lambda": 0.8},
    {"network.init": "normc", "network.log_std_init": -0.5, "algo.norm_obs": "std", "algo.clip_obs": None},
    {"network.init": "default", "algo.adam_eps": 1e-8, "algo.vf_coef": 1.0, "algo.norm_obs": "mean"},
    {"algo.epochs": 2, "algo.lr_end": 1.0, "algo.clip_end": 0.0, "algo.max_kl": 0.5, "algo.max_kl_stops": "policy"},
    {"algo.surrogate": "none", "algo.max_kl": 1e-4, "algo.max_kl_on": "minibatch", "algo.max_kl_stops": "policy"},
    {},
]


def member_bytes(population: Population, member: Member) -> dict[str, bytes]:
    """Everything of a member that reaches a file."""
    state = population.state_of(member)
    return {name: array.tobytes() for name, array in state.arrays.items()} | {"scalars": repr(state.scalars).encode()}


def trace(configs: list[Config], iterations: int) -> list[tuple[list[str], dict[str, bytes]]]:
    """Train ``configs`` side by side; each member's rows (shortest round-trip text) and final bytes."""
    population = Population(configs[0])
    members = [population.admit(config) for config in configs]
    rows: list[list[str]] = [[] for _ in configs]
    for _ in range(iterations):
        for kept, outcome in zip(rows, population.iterate(), strict=True):
            assert outcome.failure is None
            kept.append(f"{outcome.row!r} {outcome.episodes!r}")
    return [(kept, member_bytes(population, member)) for kept, member in zip(rows, members, strict=True)]


def varied(base: Config, count: int) -> list[Config]:
    return [base.replace(**(VARIETY[k % len(VARIETY)] | {"seed": k})) for k in range(count)]


def shaped(env: str, n_envs: int, n_steps: int, hidden: list[int], **more: Any) -> Config:
    values = {"env.id": env, "algo.n_envs": n_envs, "algo.n_steps": n_steps, "network.hidden": hidden, "total_steps": 10**6}
    return Config().replace(**(values | {"algo.minibatch_size": 32, "algo.epochs": 3} | more))


def assert_same(alone: tuple[list[str], dict[str, bytes]], packed: tuple[list[str], dict[str, bytes]], where: str) -> None:
    for k, (one, other) in enumerate(zip(alone[0], packed[0], strict=True)):
        assert one == other, f"{where}: iteration {k + 1} differs"
    assert alone[1].keys() == packed[1].keys()
    for name, value in alone[1].items():
        assert value == packed[1][name], f"{where}: {name} differs"


@pytest.mark.parametrize("hidden", [[64, 64], [256, 256], [50, 30]], ids=str)
@pytest.mark.parametrize(("env", "n_envs"), [("Pendulum-v1", 1), ("Hopper-v5", 3), ("HalfCheetah-v5", 9), ("Pendulum-v1", 64)])
def test_every_slot_of_every_population_size_gives_the_same_bits(env: str, n_envs: int, hidden: list[int]) -> None:
    base = shaped(env, n_envs, max(96 // n_envs, 3), hidden)
    configs = varied(base, len(VARIETY))
    alone = [trace([config], 2)[0] for config in configs]
    for size in (2, 3, 5, 9, 12):
        # Rotated, so that each configuration is met in different slots.
        order = [(k + 5 * size) % len(configs) for k in range(size)]
        for slot, packed in enumerate(trace([configs[k] for k in order], 2)):
            assert_same(alone[order[slot]], packed, f"P = {size}, slot {slot}, configuration {order[slot]}")


@pytest.mark.parametrize(
    "more",
    [
        {"network.activation": "relu", "network.mean": "tanh"},
        {"network.shared": True},
        {"algo.recompute_adv": True, "algo.value_target": "returns"},
        {"algo.bootstrap_cut": "same", "env.bootstrap_timeouts": False, "env.max_episode_steps": 20},
        {"algo.minibatch_size": 63},
        {"algo.minibatch_size": 9},
        {"algo.optimizer": "sgd"},
        {"network.hidden": []},
        {"env.action_repeat": 2, "env.max_episode_steps": 30, "algo.recompute_adv": True},
    ],
    ids=str,
)
def test_every_static_choice_gives_the_same_bits_alone_and_packed(more: dict[str, Any]) -> None:
    base = shaped("Pendulum-v1", 3, 50, [64, 64], **more)
    apart = {"algo.grad_clip": "separate", "algo.max_kl_stops": "policy"}  # what shared layers do not allow
    varieties = [v for v in VARIETY if not (more.get("network.shared") and v.items() & apart.items())]
    configs = [base.replace(**(variety | {"seed": k})) for k, variety in enumerate(varieties)]
    packed = trace(configs, 2)
    for k, config in enumerate(configs):
        assert_same(trace([config], 2)[0], packed[k], f"slot {k}")


@pytest.mark.parametrize(
    ("env", "n_envs", "n_steps", "minibatch"),
    [
        ("Hopper-v5", 1, 600, 64),
        ("Pendulum-v1", 3, 20, 1),
        ("Humanoid-v5", 2, 64, 64),
        ("HalfCheetah-v5", 64, 9, 63),
        ("Hopper-v5", 9, 8, 3),
    ],
)
def test_wide_observations_long_rollouts_and_every_minibatch_size_give_the_same_bits(
    env: str, n_envs: int, n_steps: int, minibatch: int
) -> None:
    base = shaped(env, n_envs, n_steps, [64, 64], **{"algo.minibatch_size": minibatch})
    configs = varied(base, 7)
    packed = trace(configs, 1)
    for k in (0, 3, 6):
        assert_same(trace([configs[k]], 1)[0], packed[k], f"slot {k}")


def test_members_that_come_and_go_leave_no_trace_in_the_others() -> None:
    base = shaped("Pendulum-v1", 2, 64, [64, 64])
    stayer, *visitors = varied(base, 4)
    population = Population(base)
    guests = [population.admit(config) for config in visitors[:2]]
    member = population.admit(stayer)
    rows = []
    for iteration in range(5):
        if iteration == 1:
            population.evict(guests[0])
        if iteration == 3:
            population.admit(visitors[2])
            population.evict(guests[1])
        slot = population.members.index(member)
        outcome = population.iterate()[slot]
        rows.append(f"{outcome.row!r} {outcome.episodes!r}")
    assert_same(trace([stayer], 5)[0], (rows, member_bytes(population, member)), "among guests")
