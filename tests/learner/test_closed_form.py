"""Environments whose answer is known on paper, trained by the whole trainer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_environments import QuadraticBandit

from ppo_sweep.config import Config
from ppo_sweep.learner.population import Population

#: Plain PPO without anything that rescales, so that values are in the environment's own units.
PLAIN: dict[str, Any] = {
    "algo.norm_obs": "off", "algo.norm_reward": False, "algo.vf_clip": None, "algo.max_grad_norm": None, "algo.vf_coef": 1.0,
    "network.hidden": [16], "algo.lr": 1e-2, "algo.lr_end": 0.0,
}  # fmt: skip


def trained(iterations: int, *variety: dict[str, Any], **shared: Any) -> Population:
    """A population after its whole budget."""
    base = Config().replace(**(PLAIN | {"total_steps": 10**6} | shared))
    configs = [base.replace(**({"seed": k, "total_steps": iterations * base.steps_per_iteration} | v)) for k, v in enumerate(variety)]
    population = Population(configs[0])
    for config in configs:
        population.admit(config)
    for _ in range(iterations):
        assert all(outcome.failure is None for outcome in population.iterate())
    return population


@torch.no_grad()
def means_and_values(population: Population, states: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """``(P, n, A)`` and ``(P, n)`` in the given raw states."""
    weights = population.layout.views(population.params)
    x = torch.tensor(states).expand(len(population), -1, -1).contiguous()
    mean, value = population.networks.mean_and_value(weights, x)
    return mean.numpy(), value.numpy()


def test_every_surrogate_finds_the_best_action_of_the_bandit_and_its_value() -> None:
    surrogates: list[dict[str, Any]] = [
        {}, {"algo.surrogate": "none", "algo.max_kl": 0.05, "algo.max_kl_on": "minibatch"},
        {"algo.surrogate": "fixed_kl", "algo.kl_beta": 0.5}, {"algo.surrogate": "adaptive_kl", "algo.kl_target": 0.02},
    ]  # fmt: skip
    population = trained(
        30, *surrogates, **{"env.id": "tiny/Bandit-v0", "algo.n_steps": 256, "algo.minibatch_size": 64, "network.log_std_init": -0.7,
                            "algo.lr": 3e-3, "algo.lr_end": 0.0}
    )  # fmt: skip
    contexts = [-1.0, 1.0]
    means, values = means_and_values(population, [[c] for c in contexts])
    best = np.stack([QuadraticBandit.best(c) for c in contexts])
    variance = np.exp(2 * population.networks.log_std(population.layout.views(population.params))[:, 0].numpy())
    for p in range(len(population)):
        np.testing.assert_allclose(means[p], best, atol=0.05, err_msg=str(surrogates[p]))
        # V(c) = −‖μ − a*‖² − Σ σ²; σ moved while the critic learned.
        expected = -((means[p] - best) ** 2).sum(-1) - variance[p].sum()
        np.testing.assert_allclose(values[p], expected, atol=0.05, err_msg=str(surrogates[p]))


@pytest.mark.parametrize("value_target", ["gae", "returns"])
def test_critic_reaches_the_exact_values_of_the_corridor(value_target: str) -> None:
    # Rewards 1, 2, 3, then the end. γ = 0.9: V(2) = 3, V(1) = 2 + 2.7 = 4.7, V(0) = 1 + 0.9 · 4.7 = 5.23.
    # γ = 0.5: 3, 3.5, 2.75. Whole episodes only (T a multiple of 3), so that returns without bootstrap are exact, too.
    members = [{"algo.gamma": 0.9}, {"algo.gamma": 0.5, "algo.gae_lambda": 0.0}, {"algo.gamma": 0.5, "algo.gae_lambda": 1.0}]
    population = trained(
        20, *members, **{"env.id": "tiny/Corridor-v0", "env.kwargs": {"length": 3}, "algo.n_steps": 96, "algo.minibatch_size": 32,
                         "algo.value_target": value_target}
    )  # fmt: skip
    _, values = means_and_values(population, np.eye(4)[:3].tolist())
    np.testing.assert_allclose(values, [[5.23, 4.7, 3.0], [2.75, 3.5, 3.0], [2.75, 3.5, 3.0]], atol=0.03)


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("bootstrap_cut", ["next", "same"])
def test_time_limits_that_bootstrap_give_the_value_of_the_endless_task(n_envs: int, bootstrap_cut: str) -> None:
    # Reward 1 for ever, γ = ½: V = 1/(1 − ½) = 2, whatever λ, time limit (5), staggering and rollout cuts (T = 32).
    population = trained(
        20, {"algo.gamma": 0.5, "algo.gae_lambda": 1.0}, {"algo.gamma": 0.5, "algo.gae_lambda": 0.5},
        **{"env.id": "tiny/Treadmill-v0", "algo.n_steps": 32, "algo.n_envs": n_envs, "algo.minibatch_size": 32,
           "algo.bootstrap_cut": bootstrap_cut},
    )  # fmt: skip
    _, values = means_and_values(population, [[1.0]])
    np.testing.assert_allclose(values, 2.0, atol=0.02)


@pytest.mark.parametrize("value_target", ["gae", "returns"])
def test_time_limits_that_count_as_terminal_give_the_mean_over_the_steps_left(value_target: str) -> None:
    # With k = 1…5 steps left the return is 2(1 − ½ᵏ) = 1, 1.5, 1.75, 1.875, 1.9375; the state does not tell k: mean 1.6125.
    # Rollouts of whole episodes (T = 40). Returns without bootstrap say the same by themselves.
    timeouts = value_target == "returns"
    population = trained(
        20, {"algo.gamma": 0.5, "algo.gae_lambda": 1.0},
        **{"env.id": "tiny/Treadmill-v0", "algo.n_steps": 40, "algo.minibatch_size": 40, "env.bootstrap_timeouts": timeouts,
           "algo.value_target": value_target},
    )  # fmt: skip
    _, values = means_and_values(population, [[1.0]])
    np.testing.assert_allclose(values, 1.6125, atol=0.02)
