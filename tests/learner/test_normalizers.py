"""Running statistics, observation normaliser and reward scaler against numpy and hand-derived values."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_sweep.config import AlgoConfig
from ppo_sweep.learner.normalizers import PRIOR_COUNT, ObservationNormalizer, RewardScaler, RunningMoments


def algos(*knobs: dict[str, Any]) -> list[AlgoConfig]:
    return [AlgoConfig(**k) for k in knobs]


def with_prior(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance over axis 0 of the samples and of a prior of weight 1e-4 with mean 0 and variance 1."""
    count = len(samples) + PRIOR_COUNT
    mean = samples.sum(0) / count
    second = ((samples - mean) ** 2).sum(0) + PRIOR_COUNT * (1 + mean**2)
    return mean, second / count


@given(st.integers(0, 2**31), st.lists(st.integers(1, 5), min_size=1, max_size=6), st.floats(-1e3, 1e3))
def test_chans_merge_equals_numpy_over_everything_seen(seed: int, sizes: list[int], offset: float) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(offset, 2.0, (3, n, 4)) for n in sizes]
    moments = RunningMoments(3, 4)
    for part in parts:
        moments.push(part)
    seen = np.concatenate(parts, axis=1)
    for p in range(3):
        mean, variance = with_prior(seen[p])
        np.testing.assert_allclose(moments.mean[p], mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(moments.variance[p], variance, rtol=1e-7)


def test_the_prior_is_forgotten_after_a_few_samples() -> None:
    samples = np.random.default_rng(0).normal(3.0, 2.0, (1, 200, 2))
    moments = RunningMoments(1, 2)
    moments.push(samples)
    np.testing.assert_allclose(moments.mean[0], samples[0].mean(0), rtol=1e-6)
    np.testing.assert_allclose(moments.variance[0], samples[0].var(0), rtol=1e-5)


def test_members_do_not_see_each_others_observations() -> None:
    normalizer = ObservationNormalizer(algos({}, {}, {"norm_obs_update": "rollout"}, {"norm_obs": "off"}), 2)
    raw = np.arange(16.0).reshape(4, 2, 2)
    normalizer.saw_step(raw)
    normalizer.saw_resets(1, np.full((1, 2), 50.0))
    normalizer.saw_resets(2, np.full((1, 2), 50.0))
    assert normalizer.moments.count[:, 0].tolist() == pytest.approx([2, 3, 0, 0], abs=1e-3)
    normalizer.saw_rollout(raw)
    assert normalizer.moments.count[:, 0].tolist() == pytest.approx([2, 3, 2, 0], abs=1e-3)
    np.testing.assert_allclose(normalizer.moments.mean[1], with_prior(np.array([[4.0, 5], [6, 7], [50, 50]]))[0])
    np.testing.assert_allclose(normalizer.moments.mean[2], with_prior(raw[2])[0])


def test_four_modes_and_the_clip_side_by_side_by_hand() -> None:
    # Seen: 0 and 4 (mean 2, standard deviation 2, the prior aside); x = 7.
    # mean_std: 2.5, clipped at 2: 2. mean: 5, clipped at 4: 4. std: 3.5. off: 7, never clipped.
    modes = [{"norm_obs": "mean_std", "clip_obs": 2.0}, {"norm_obs": "mean", "clip_obs": 4.0}, {"norm_obs": "std", "clip_obs": None}]
    normalizer = ObservationNormalizer(algos(*modes, {"norm_obs": "off", "clip_obs": 1.0}), 1)
    normalizer.saw_step(np.tile([[[0.0], [4.0]]], (4, 1, 1)))
    found = normalizer.normalize(np.tile([[[7.0], [-7.0]]], (4, 1, 1)))
    np.testing.assert_allclose(found[..., 0], [[2.0, -2.0], [4.0, -4.0], [3.5, -3.5], [7.0, -7.0]], rtol=1e-3)
    assert found[0, 0, 0] == 2.0
    assert found[3, 0, 0] == 7.0


@pytest.mark.parametrize("update", ["step", "rollout"])
@pytest.mark.parametrize(("mode", "clip"), itertools.product(["mean_std", "mean", "std", "off"], [None, 1.0]))
def test_one_observation_is_normalised_as_in_the_batch(mode: str, clip: float | None, update: str) -> None:
    rng = np.random.default_rng(0)
    normalizer = ObservationNormalizer(algos({}, {"norm_obs": mode, "clip_obs": clip, "norm_obs_update": update}), 3)
    normalizer.saw_step(rng.normal(2, 3, (2, 5, 3)))
    normalizer.saw_rollout(rng.normal(2, 3, (2, 5, 3)))
    raw = rng.normal(2, 3, (2, 4, 3))
    together = normalizer.normalize(raw)
    for n in range(4):
        np.testing.assert_array_equal(normalizer.normalize_one(1, raw[1, n]), together[1, n])


def test_a_normaliser_without_samples_lets_observations_through() -> None:
    # Prior mean 0 and variance 1: x/√(1 + 1e-8).
    normalizer = ObservationNormalizer(algos({"clip_obs": None}), 1)
    np.testing.assert_allclose(normalizer.normalize(np.array([[[3.0], [-200.0]]])), [[[3.0], [-200.0]]], rtol=1e-7)


def slowly_scaled(algo: AlgoConfig, rollouts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[list[np.ndarray], float]:
    """One member's scaled rewards per rollout ``(T, N)`` and its last divisor: acc, push, divide, reset; numpy over all seen."""
    seen: list[float] = []
    acc = np.zeros(rollouts[0][0].shape[1])
    scaled = []
    for rewards, ends in rollouts:
        out = np.zeros_like(rewards)
        for t in range(len(rewards)):
            acc = algo.gamma * acc + rewards[t]
            seen += acc.tolist()
            divisor = math.sqrt(with_prior(np.array(seen)[:, None])[1][0] + 1e-8)
            limit = math.inf if algo.clip_reward is None else algo.clip_reward
            out[t] = np.clip(rewards[t] / divisor, -limit, limit)
            acc = np.where(ends[t], 0.0, acc)
        scaled.append(out)
    return scaled, divisor


@given(st.integers(0, 2**31), st.integers(1, 4))
def test_reward_scaler_equals_the_slow_loop_over_rollouts_and_episode_ends(seed: int, envs: int) -> None:
    rng = np.random.default_rng(seed)
    knobs = algos({"gamma": 0.9, "clip_reward": None}, {"norm_reward": False}, {"gamma": 0.99, "clip_reward": 0.7}, {"gamma": 0.0})
    scaler = RewardScaler(knobs, envs)
    rollouts = [(rng.normal(1, 2, (6, 4, envs)), rng.random((6, 4, envs)) < 0.3) for _ in range(3)]
    found = [scaler.scale(*rollout) for rollout in rollouts]
    for p in (0, 2, 3):
        expected, divisor = slowly_scaled(knobs[p], [(rewards[:, p], ends[:, p]) for rewards, ends in rollouts])
        for (scaled, _), slow in zip(found, expected, strict=True):
            np.testing.assert_allclose(scaled[:, p], slow, rtol=1e-5, atol=1e-6)
        assert scaler.divisor[p] == pytest.approx(divisor)
    for (scaled, share), (rewards, _) in zip(found, rollouts, strict=True):
        np.testing.assert_array_equal(scaled[:, 1], rewards[:, 1].astype(np.float32))
        assert share[[0, 1]].tolist() == [0.0, 0.0]
        assert share[2] == pytest.approx((np.abs(scaled[:, 2]) == np.float32(0.7)).mean())
    assert scaler.divisor[1] == 1.0


def test_reward_scale_by_hand() -> None:
    # γ = ½, rewards 2, 2, 2, the episode ends at the second: acc = 2, 3, 2 (not 3.5). Variances over what was seen
    # (the prior of weight 1e-4 aside): {2}: 4e-4·… ≈ 5e-4; {2, 3}: ¼; {2, 3, 2}: 2/9. Rewards 2/½ = 4 and 2/√(2/9) = 4.2426.
    scaler = RewardScaler(algos({"gamma": 0.5, "clip_reward": None}), 1)
    rewards, ends = np.full((3, 1, 1), 2.0), np.array([False, True, False])[:, None, None]
    scaled, _ = scaler.scale(rewards, ends)
    assert scaled[1:, 0, 0].tolist() == pytest.approx([4.0, 4.2426], rel=2e-3)
    assert scaler.acc.tolist() == [[2.0]]


def test_reward_scaler_leaves_the_rollouts_rewards_as_they_are() -> None:
    scaler = RewardScaler(algos({}), 1)
    rewards = np.ones((4, 1, 1))
    scaler.scale(rewards, np.zeros((4, 1, 1), bool))
    assert (rewards == 1.0).all()
