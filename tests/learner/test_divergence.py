"""A member whose numbers break ends alone, in that iteration; the others never notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ppo_sweep.config import Config
from ppo_sweep.learner.population import Outcome, Population
from ppo_sweep.learner.rollout import RECENT
from tests.learner.test_alone_equals_packed import assert_same, member_bytes, trace, varied

Poison = Callable[[Population, int], None]
BASE = Config().replace(
    **{"env.id": "Hopper-v5", "algo.n_envs": 2, "algo.n_steps": 64, "algo.minibatch_size": 32, "algo.epochs": 3, "total_steps": 10**6}
)


def set_parameter(name: str, value: float) -> Poison:
    def poison(population: Population, slot: int) -> None:
        population.layout.views(population.params)[name][slot, 0, 0] = value

    return poison


def patch_step(change: Callable[[tuple[Any, ...], Any], tuple[Any, ...]]) -> Poison:
    """Change what the 20th step of the member's second environment returns."""

    def poison(population: Population, slot: int) -> None:
        environment = population.members[slot].environments[1]
        step, calls = environment.step, []

        def patched(action: Any) -> tuple[Any, ...]:
            calls.append(1)
            result = step(action)
            return change(result, environment) if len(calls) == 20 else result

        environment.step = patched  # type: ignore[method-assign,assignment]

    return poison


def nan_reward(result: tuple[Any, ...], _: Any) -> tuple[Any, ...]:
    return result[0], float("nan"), *result[2:]


def infinite_observation(result: tuple[Any, ...], _: Any) -> tuple[Any, ...]:
    return np.where(np.arange(len(result[0])) == 3, np.inf, result[0]), *result[1:]


def terminal_infinity(result: tuple[Any, ...], _: Any) -> tuple[Any, ...]:
    return np.full_like(result[0], np.inf), result[1], True, False


def explode(result: tuple[Any, ...], environment: Any) -> tuple[Any, ...]:
    environment._env.unwrapped.data.qvel[:] = 1e30
    return result


def leave(result: tuple[Any, ...], _: Any) -> tuple[Any, ...]:
    raise SystemExit(0)


def raise_error(result: tuple[Any, ...], _: Any) -> tuple[Any, ...]:
    raise ZeroDivisionError("the user's environment is broken")


POISONS: dict[str, tuple[Poison, str, str]] = {
    "reward": (patch_step(nan_reward), "diverged", "non-finite reward"),
    "observation": (patch_step(infinite_observation), "diverged", "non-finite observation"),
    "last observation": (patch_step(terminal_infinity), "diverged", "non-finite observation"),
    "action": (set_parameter("policy.log_std", 1000.0), "diverged", "non-finite action"),
    "loss": (set_parameter("value.head.bias", 1e30), "diverged", "non-finite"),
    "parameter": (set_parameter("value.0.weight", float("nan")), "diverged", "non-finite"),
    "simulator": (patch_step(explode), "diverged", "BADQ"),
    "exit": (patch_step(leave), "failed", "SystemExit: 0"),
    "exception": (patch_step(raise_error), "failed", "ZeroDivisionError: the user's environment is broken"),
}


@pytest.mark.parametrize("kind", POISONS)
def test_a_fault_ends_its_member_in_that_iteration_and_no_other(kind: str) -> None:
    poison, state, reason = POISONS[kind]
    configs = varied(BASE, 4)
    sick = 2
    population = Population(BASE)
    members = [population.admit(config) for config in configs]
    rows: list[list[str]] = [[] for _ in configs]

    def keep(outcomes: list[Outcome], slots: list[int]) -> None:
        for slot, outcome in zip(slots, outcomes, strict=True):
            rows[slot].append(f"{outcome.row!r} {outcome.episodes!r}")

    keep(population.iterate(), [0, 1, 2, 3])
    poison(population, sick)
    start = {name: value for name, value in member_bytes(population, members[sick]).items() if name.startswith(("params", "observation_"))}
    outcomes = population.iterate()
    failure = outcomes[sick].failure
    assert failure is not None
    assert failure.state == state
    assert reason in failure.reason
    assert outcomes[sick].row is None
    assert outcomes[sick].episodes == []
    assert members[sick].iteration == 2
    after = member_bytes(population, members[sick])
    assert {name: after[name] for name in start} == start, "policy and normaliser stay those of the iteration's start"
    population.evict(members[sick])
    keep([outcome for slot, outcome in enumerate(outcomes) if slot != sick], [0, 1, 3])
    keep(population.iterate(), [0, 1, 3])
    for slot in (0, 1, 3):
        healthy = trace([configs[slot]], 3)[0]
        assert_same(healthy, (rows[slot], member_bytes(population, members[slot])), f"beside a bad {kind}, slot {slot}")


@pytest.mark.parametrize("observed", ["step", "rollout"])
@pytest.mark.parametrize("steps", [20, RECENT - 1, RECENT, 2 * RECENT + 30])
def test_a_non_finite_observation_is_named_by_its_step_however_long_the_rollout(steps: int, observed: str) -> None:
    config = BASE.replace(**{"algo.n_steps": steps, "algo.minibatch_size": 20, "algo.epochs": 1, "algo.norm_obs_update": observed})
    population = Population(config)
    for one in varied(config, 2):
        population.admit(one)
    patch_step(infinite_observation)(population, 1)
    healthy, sick = population.iterate()
    assert healthy.row is not None
    assert sick.failure is not None and sick.failure.reason == "non-finite observation at step 20 of the rollout"


def test_a_loss_that_is_not_finite_is_seen_although_the_kl_stops_its_member_in_mid_epoch() -> None:
    config = BASE.replace(**{"algo.max_kl": 1e-12, "algo.max_kl_on": "minibatch", "algo.grad_clip": "separate"})
    population = Population(config)
    for one in varied(config, 2):
        population.admit(one)
    set_parameter("value.head.bias", 1e20)(population, 1)  # (V − R)² is infinite, the policy and its KL are not
    healthy, sick = population.iterate()
    assert healthy.row is not None and healthy.row["epochs"] == 1, "otherwise nothing was stopped"
    assert sick.row is None and sick.failure is not None and "non-finite loss" in sick.failure.reason


def test_a_population_whose_every_member_fails_says_so_for_each() -> None:
    configs = varied(BASE, 2)
    population = Population(BASE)
    for config in configs:
        population.admit(config)
    for slot in (0, 1):
        set_parameter("policy.log_std", 1000.0)(population, slot)
    assert [outcome.failure is not None for outcome in population.iterate()] == [True, True]
