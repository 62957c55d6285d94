"""Populations of mixed knobs against the slow per-member reference: rollouts, every column, every parameter."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from reference import SlowMember, Step

import ppo_sweep.learner.minibatch as minibatch_module
import ppo_sweep.learner.population as population_module
import ppo_sweep.learner.update as update_module
from ppo_sweep.config import Config
from ppo_sweep.learner.population import Population
from ppo_sweep.learner.rollout import Rollout
from ppo_sweep.randomness import generator

#: One member each, all in one population.
SURROGATES: list[dict[str, Any]] = [
    {},
    {"algo.clip_eps": 0.05, "algo.clip_end": 0.0, "algo.lr_end": 0.5, "algo.ent_coef": 0.02},
    {"algo.surrogate": "none", "algo.clip_eps": 0.001, "algo.vf_clip": None, "algo.lr": 2e-3},
    {"algo.surrogate": "fixed_kl", "algo.kl_beta": 3.0, "algo.grad_clip": "separate"},
    {"algo.surrogate": "adaptive_kl", "algo.kl_target": 1e-4, "algo.epochs": 2},
    {"algo.surrogate": "adaptive_kl", "algo.kl_target": 1.0, "algo.kl_beta_factor": 3.0, "algo.ent_coef": 0.01},
    {"algo.surrogate": "adaptive_kl", "algo.kl_target": 1.0, "algo.kl_beta": 2.0**-20},
    {"algo.norm_adv": "batch", "algo.max_grad_norm": None, "algo.epochs": 1, "algo.lr": 3e-3},
    {"algo.norm_adv": "off", "algo.max_grad_norm": 0.05, "algo.grad_clip": "separate", "algo.norm_reward": False},
    {"algo.gamma": 0.9, "algo.gae_lambda": 1.0, "algo.clip_reward": 0.5, "algo.vf_coef": 2.0, "algo.vf_clip": 0.01},
    {"algo.gae_lambda": 0.0, "algo.norm_obs": "mean", "algo.adam_eps": 1e-3, "network.init": "default"},
    {"algo.norm_obs": "std", "algo.clip_obs": None, "network.init": "normc", "network.log_std_init": -1.0},
    {"algo.norm_obs": "off", "algo.clip_reward": None, "network.log_std_init": 0.5},
    {"algo.norm_obs_update": "rollout", "algo.clip_obs": 1.0, "algo.vf_coef": 0.0},
]
#: The KL stop: every measure, estimator and consequence. 1e-3 is passed within a few steps of lr 3e-3.
STOPS: list[dict[str, Any]] = [
    {"algo.max_kl": limit, "algo.max_kl_on": on, "algo.max_kl_stops": stops, "algo.kl_estimator": estimator,
     "algo.lr": 3e-3, "algo.lr_end": 1.0, "algo.surrogate": surrogate}
    for on, limit, surrogate in (("epoch", 3e-3, "clip"), ("minibatch", 2e-3, "none"), ("minibatch_max", 3e-3, "clip"),
                              ("minibatch_last", 3e-3, "clip"))
    for stops in ("both", "policy")
    for estimator in ("exact", "k1", "k3")
]  # fmt: skip
BASE: dict[str, Any] = {
    "env.id": "Hopper-v5", "env.max_episode_steps": 14, "network.hidden": [8, 12], "total_steps": 72 * 3,
    "algo.n_steps": 24, "algo.n_envs": 3, "algo.minibatch_size": 16, "algo.epochs": 4, "algo.lr": 1e-3, "algo.max_grad_norm": 0.5,
}  # fmt: skip
SEPARATE = [knobs for knobs in SURROGATES if knobs.get("algo.grad_clip") != "separate"]


class Pair:
    """A population and its members' slow twins, taken through the same iterations."""

    def __init__(self, configs: list[Config], monkeypatch: pytest.MonkeyPatch) -> None:
        self.population = Population(configs[0])
        self.members = [self.population.admit(config) for config in configs]
        self.slow = [SlowMember(config, self.parameters(p)) for p, config in enumerate(configs)]
        self.collected: list[Rollout] = []
        original = population_module.rollout

        def recorded(population: Population) -> Rollout:
            self.collected.append(original(population))
            return self.collected[-1]

        monkeypatch.setattr(population_module, "rollout", recorded)

    def parameters(self, p: int) -> dict[str, np.ndarray]:
        return self.population.layout.unpack(self.population.params[p].numpy())

    def iterate(self) -> tuple[list[dict[str, Any]], list[list[list[Step]]]]:
        """Rows of the population, and the reference's rollout ``[t][env]`` under the same actions, per member."""
        outcomes = self.population.iterate()
        assert all(outcome.failure is None for outcome in outcomes)
        actions = self.collected[-1].actions
        rows = [outcome.row for outcome in outcomes if outcome.row is not None]
        return rows, [slow.collect(actions[:, p].numpy()) for p, slow in enumerate(self.slow)]


def configs_of(variety: list[dict[str, Any]], **static: Any) -> list[Config]:
    return [Config().replace(**(BASE | {"seed": 50 + k} | knobs | static)) for k, knobs in enumerate(variety)]


def assert_rows_agree(row: dict[str, Any], slow: dict[str, Any], where: str) -> None:
    for name, expected in slow.items():
        if expected is None or not math.isfinite(expected):
            assert row[name] is None, f"{where}: {name} should be blank, is {row[name]}"
        else:
            # float32 against float64: losses and divergences near 0 are differences of numbers near 1.
            assert row[name] == pytest.approx(expected, rel=2e-3, abs=1e-5), f"{where}: {name}"


@pytest.mark.parametrize(
    ("variety", "static"),
    [
        (SURROGATES, {}),
        (SURROGATES, {"network.mean": "tanh", "network.activation": "relu", "env.bootstrap_timeouts": False}),
        (SURROGATES, {"algo.recompute_adv": True, "algo.bootstrap_cut": "same"}),
        (SURROGATES, {"algo.value_target": "returns", "env.bootstrap_timeouts": False, "algo.bootstrap_cut": "same"}),
        (SEPARATE, {"network.shared": True, "algo.minibatch_size": 71}),
        (SEPARATE, {"network.hidden": [], "algo.n_envs": 1, "algo.n_steps": 72}),
        (SURROGATES[:6], {"algo.optimizer": "sgd", "env.stagger": False, "algo.recompute_adv": True}),
        (STOPS, {}),
        (STOPS, {"algo.recompute_adv": True, "algo.minibatch_size": 24}),
    ],
    ids=lambda value: ",".join(f"{k}={v}" for k, v in value.items()) or "base" if isinstance(value, dict) else "",
)
def test_every_column_and_parameter_equals_the_slow_reference(
    variety: list[dict[str, Any]], static: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(configs_of(variety, **static), monkeypatch)
    for iteration in (1, 2):
        for p, (row, steps) in enumerate(zip(*pair.iterate(), strict=True)):
            where = f"iteration {iteration}, member {p} {variety[p]}"
            assert_rows_agree(row, pair.slow[p].train(steps), where)
            expected = pair.slow[p].net.named()
            found = pair.parameters(p)
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                # A tenth of one Adam step of these learning rates at most.
                np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-4, err_msg=f"{where}: {name}")


def test_the_stops_of_the_comparison_do_stop_some_and_not_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the comparison above against thresholds that are never, or always at once, passed."""
    pair = Pair(configs_of(STOPS), monkeypatch)
    taken: dict[tuple[str, str], set[tuple[int, int]]] = {}
    original = update_module.update

    def recorded(*arguments: Any) -> dict[int, update_module.UpdateProgress]:
        progress = original(*arguments)
        for p, done in progress.items():
            algo = pair.members[p].config.algo
            taken.setdefault((algo.max_kl_on, algo.max_kl_stops), set()).add((done.policy_steps, done.value_steps))
        return progress

    monkeypatch.setattr(population_module, "update", recorded)
    for _ in range(2):
        pair.population.iterate()
    minibatches, everything = 5, 20
    for (on, stops), counts in taken.items():
        policy, value = {count[0] for count in counts}, {count[1] for count in counts}
        assert min(policy) < everything, (on, stops)
        if on == "minibatch":
            assert any(count % minibatches for count in policy), "a stop in mid-epoch"
        else:
            assert all(count % minibatches == 0 for count in policy), "stops between epochs"
        assert (value == {everything}) if stops == "policy" else (value == policy), (on, stops)


@pytest.mark.parametrize("static", [{}, {"algo.n_envs": 1, "algo.n_steps": 72}, {"env.bootstrap_timeouts": False}], ids=str)
def test_rollouts_equal_those_of_the_reference(static: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    configs = configs_of(SURROGATES, **static)
    pair = Pair(configs, monkeypatch)
    for _ in range(2):
        _, steps = pair.iterate()
        collected = pair.collected[-1]
        for p, twin in enumerate(steps):

            def column(pick: Callable[[Step], Any], twin: list[list[Step]] = twin) -> np.ndarray:
                return np.array([[pick(step) for step in row] for row in twin])

            np.testing.assert_allclose(collected.observations[:, p], column(lambda s: s.x), rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(collected.rewards[:, p], column(lambda s: s.raw_reward))
            np.testing.assert_array_equal(collected.terminated[:, p], column(lambda s: s.terminated))
            np.testing.assert_array_equal(collected.truncated[:, p], column(lambda s: s.timeout or s.partial))
            np.testing.assert_array_equal(collected.partial[:, p], column(lambda s: s.partial))
            for cut in collected.cuts[p]:
                np.testing.assert_allclose(cut.observation, twin[cut.t][cut.env].after, rtol=1e-9, atol=1e-12)
        flags = {name: getattr(collected, name).any() for name in ("terminated", "truncated")}
        assert all(flags.values()), "a rollout without both kinds of end shows nothing"


def test_actions_are_mean_plus_sigma_times_the_noise_of_seed_and_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(configs_of(SURROGATES[10:13]), monkeypatch)
    for iteration in (1, 2):
        for p, (slow, steps) in enumerate(zip(pair.slow, pair.iterate()[1], strict=True)):
            actions = pair.collected[-1].actions[:, p].numpy()
            with torch.no_grad():
                pi = slow.net.policy(torch.tensor(np.array([[step.x for step in row] for row in steps])))
            noise = generator(slow.config.seed, "action_noise", iteration).standard_normal(actions.shape, dtype=np.float32)
            np.testing.assert_allclose(actions, pi.mean.numpy() + pi.stddev.numpy() * noise, rtol=1e-4, atol=1e-5)
            slow.train(steps)


def test_every_ratio_is_exactly_1_in_the_first_minibatch(monkeypatch: pytest.MonkeyPatch) -> None:
    firsts: list[float] = []
    original = minibatch_module.surrogate_slope

    def watched(ratio: Any, *rest: Any) -> Any:
        if watching:
            firsts.extend(ratio.flatten().tolist())
            watching.clear()
        return original(ratio, *rest)

    monkeypatch.setattr(minibatch_module, "surrogate_slope", watched)
    # More samples than one forward chunk, minibatches of odd sizes, and normalisers that move while collecting.
    for size, activation in ((64, "tanh"), (63, "relu"), (500, "tanh")):
        static = {"algo.minibatch_size": size, "algo.n_steps": 180, "total_steps": 2000, "network.activation": activation}
        configs = configs_of([knobs | {"algo.epochs": 1} for knobs in SURROGATES[::3]], **static)
        population = Population(configs[0])
        for config in configs:
            population.admit(config)
        for _ in range(2):
            watching = [True]
            population.iterate()
        assert len(firsts) == 2 * len(configs) * size
        assert set(firsts) == {1.0}
        firsts.clear()


def test_padded_columns_are_zero_before_and_after_training(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(configs_of(SURROGATES), monkeypatch)
    layout = pair.population.layout
    used = np.zeros(layout.size, bool)
    for block in layout.blocks:
        mask = np.zeros(block.padded, bool)
        mask[tuple(slice(0, n) for n in block.shape)] = True
        used[block.offset : block.offset + block.size] = mask.ravel()
    assert 0 < used.sum() < layout.size
    for _ in range(3):
        for name in ("params", "adam_first", "adam_second"):
            assert not getattr(pair.population, name).numpy()[:, ~used].any(), name
        pair.population.iterate()
    assert pair.population.adam_second.numpy()[:, used].any()


def test_columns_about_episodes_follow_their_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/numbers.md §1: raw rewards, whole episodes only; return_100 over the last 100, return_all over all."""
    pair = Pair(configs_of([{}, {"algo.gamma": 0.9}], total_steps=72 * 30), monkeypatch)
    kept: list[list[float]] = [[], []]
    lengths: list[list[int]] = [[], []]
    running = [[[0.0, 0] for _ in range(3)] for _ in pair.members]
    for iteration in range(1, 25):
        outcomes = pair.population.iterate()
        collected = pair.collected[-1]
        for p, outcome in enumerate(outcomes):
            assert outcome.row is not None
            expected = []
            for t in range(24):
                for i in range(3):
                    sums = running[p][i]
                    sums[0] += collected.rewards[t, p, i]
                    sums[1] += 1
                    if collected.terminated[t, p, i] or collected.truncated[t, p, i]:
                        steps = (iteration - 1) * 72 + t * 3 + i + 1
                        final = float(collected.rewards[t, p, i])
                        flags = bool(collected.terminated[t, p, i]), bool(collected.partial[t, p, i])
                        expected.append((steps, i, sums[0], sums[1], flags[0], final, flags[1]))
                        running[p][i] = [0.0, 0]
            found = [tuple(dataclasses.astuple(episode)) for episode in outcome.episodes]
            assert [episode[:2] + episode[3:] for episode in found] == [episode[:2] + episode[3:] for episode in expected]
            assert [e[2] for e in found] == pytest.approx([e[2] for e in expected])
            now = [e[2] for e in expected if not e[6]]
            kept[p] += now
            lengths[p] += [e[3] for e in expected if not e[6]]
            row = outcome.row
            assert (row["iteration"], row["env_steps"], row["episodes"]) == (iteration, iteration * 72, len(kept[p]))
            assert row["return_mean"] == (pytest.approx(np.mean(now)) if now else None)
            assert row["return_std"] == (pytest.approx(np.std(now, ddof=1)) if len(now) > 1 else None)
            assert row["length_mean"] == (pytest.approx(np.mean([e[3] for e in expected if not e[6]])) if now else None)
            assert row["return_100"] == (pytest.approx(np.mean(kept[p][-100:])) if kept[p] else None)
            assert row["length_100"] == (pytest.approx(np.mean(lengths[p][-100:])) if kept[p] else None)
            assert row["return_all"] == (pytest.approx(np.mean(kept[p])) if kept[p] else None)
    assert len(kept[0]) > 100
