"""Episodes, limits and repeats of one environment; replay is tested in test_replay.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

from ppo_sweep.envs import Environment
from ppo_sweep.randomness import episode_seed

Open = Callable[..., Environment]
ONE = np.array([1, 0], np.float32)


def play(environment: Environment, action: np.ndarray = ONE) -> tuple[float, bool, bool]:
    """One whole episode of one action."""
    environment.reset()
    while True:
        _, _, terminated, truncated = environment.step(action)
        if terminated or truncated:
            return environment.return_, terminated, truncated


@pytest.mark.parametrize(
    "name", ["Pendulum-v1", "HalfCheetah-v5", "Hopper-v5", "dm_control/cheetah-run-v0", "dm_control/finger-turn_hard-v0"]
)
def test_an_episode_has_the_numbers_of_plain_gymnasium(opened: Open, name: str) -> None:
    environment = opened(name, run_seed=5, index=2)
    plain = gymnasium.make(name, disable_env_checker=True)
    space = plain.action_space
    assert isinstance(space, gymnasium.spaces.Box)
    rng = np.random.default_rng(0)
    observation = environment.reset()
    raw, _ = plain.reset(seed=episode_seed(5, "episode", 2, 0))
    for n in range(1, 1001):
        assert observation.dtype == np.float64
        np.testing.assert_array_equal(observation, gymnasium.spaces.flatten(plain.observation_space, raw))
        action = rng.normal(size=space.shape).astype(np.float32) * 2
        observation, reward, terminated, truncated = environment.step(action)
        raw, plain_reward, *plain_ends, _ = plain.step(np.clip(action, space.low, space.high).astype(np.float32))
        assert (reward, terminated, truncated, environment.length) == (plain_reward, *plain_ends, n)
        if terminated or truncated:
            break
    assert terminated or truncated


def test_every_episode_index_and_stream_has_a_seed_of_its_own(opened: Open) -> None:
    starts = []
    for index in range(3):
        environment = opened("Pendulum-v1", index=index)
        starts += [tuple(environment.reset()) for _ in range(3)]
        assert environment.episode == 2
    assert len(set(starts)) == 9
    assert tuple(opened("Pendulum-v1", index=1).reset()) == starts[3]
    environment = opened("Counting-v0", run_seed=8, index=4)
    environment.reset()
    environment.reset()
    counting: Any = environment._env.unwrapped
    assert counting.seeds == [episode_seed(8, "episode", 4, 0), episode_seed(8, "episode", 4, 1)]


def test_first_episode_is_cut_and_marked_and_the_second_is_whole(opened: Open) -> None:
    environment = opened("Counting-v0", first_cut=4)
    # rewards 1, then 1 + 1 for each further step
    assert play(environment) == (7.0, False, True)
    assert environment.partial and environment.length == 4
    assert play(environment) == (19.0, False, True)
    assert not environment.partial and environment.length == 10


@pytest.mark.parametrize("cut", [10, 11, 1000])
def test_a_first_cut_not_below_the_horizon_leaves_the_episode_whole(opened: Open, cut: int) -> None:
    environment = opened("Counting-v0", first_cut=cut)
    assert play(environment) == (19.0, False, True)
    assert environment.length == 10 and not environment.partial


def test_an_episode_that_terminates_where_it_is_cut_is_not_partial(opened: Open) -> None:
    environment = opened("Counting-v0", first_cut=4, kwargs={"ends_at": 4})
    _, terminated, _ = play(environment)
    assert terminated and not environment.partial


def test_an_episode_that_ends_before_its_cut_uses_the_cut_up(opened: Open) -> None:
    environment = opened("Counting-v0", first_cut=6, kwargs={"ends_at": 4})
    play(environment)
    assert not environment.partial
    environment._env.unwrapped.ends_at = 1_000_000
    play(environment)
    assert environment.length == 10 and not environment.partial


def test_action_repeat_sums_rewards_and_stops_at_the_time_limit(opened: Open) -> None:
    environment = opened("Counting-v0", action_repeat=4)
    assert environment.spec.horizon == 3
    environment.reset()
    steps = [environment.step(ONE) for _ in range(3)]
    # 1 + 2 + 2 + 2, then 4 · 2, then only two steps are left of ten
    assert [reward for _, reward, _, _ in steps] == [7.0, 8.0, 4.0]
    assert [float(observation[0]) for observation, *_ in steps] == [4, 8, 10]
    assert [truncated for *_, truncated in steps] == [False, False, True]
    assert environment.length == 3 and environment.return_ == 19.0


def test_action_repeat_stops_where_the_episode_terminates(opened: Open) -> None:
    environment = opened("Counting-v0", action_repeat=4, kwargs={"ends_at": 6})
    environment.reset()
    environment.step(ONE)
    observation, reward, terminated, truncated = environment.step(ONE)
    assert (float(observation[0]), reward, terminated, truncated) == (6, 4.0, True, False)


def test_the_cut_counts_agent_steps_under_action_repeat(opened: Open) -> None:
    environment = opened("Counting-v0", action_repeat=4, first_cut=2)
    play(environment)
    assert environment.length == 2 and environment.partial


@pytest.mark.parametrize("name", ["Pendulum-v1", "HalfCheetah-v5", "dm_control/cheetah-run-v0", "Endless-v0"])
@pytest.mark.parametrize("limit", [7, 1010])
def test_max_episode_steps_is_the_time_limit_shorter_and_longer(opened: Open, name: str, limit: int) -> None:
    environment = opened(name, max_episode_steps=limit)
    zero = np.zeros(environment.spec.action_size, np.float32)
    assert environment.spec.horizon == limit
    assert play(environment, zero)[1:] == (False, True)
    assert environment.length == limit


def test_dm_control_ends_at_its_own_limit_as_a_truncation(opened: Open) -> None:
    environment = opened("dm_control/pendulum-swingup-v0")
    assert environment.spec.horizon == 1000
    assert play(environment, np.zeros(1, np.float32))[1:] == (False, True)
    assert environment.length == 1000 and not environment.partial


def test_a_registered_wrapper_still_sees_the_time_limit_inside_it(opened: Open) -> None:
    environment = opened("Bonus-v0")
    assert play(environment) == (119.0, False, True)
    assert environment.length == 10


def test_a_registered_wrapper_is_cut_and_marked_too(opened: Open) -> None:
    environment = opened("Bonus-v0", first_cut=4)
    assert play(environment) == (7.0, False, True)
    assert environment.partial
    assert play(environment) == (119.0, False, True)


def test_actions_are_clipped_on_their_way_in_and_recorded_as_given(opened: Open) -> None:
    environment = opened("Counting-v0", kwargs={"bound": 0.5})
    environment.reset()
    _, reward, _, _ = environment.step(np.array([3, -7], np.float32))
    assert reward == 0.5
    np.testing.assert_array_equal(environment.actions, np.array([[3, -7]], np.float32))
    free = opened("Counting-v0", kwargs={"bound": 0.5}, clip_action=False)
    free.reset()
    assert free.step(np.array([3, -7], np.float32))[1] == 3.0


@pytest.mark.parametrize("clip", [True, False])
def test_an_environment_that_keeps_its_last_action_keeps_the_right_one(opened: Open, clip: bool) -> None:
    environment = opened("Counting-v0", clip_action=clip)
    environment.reset()
    buffer = np.empty(2, np.float32)
    rewards = []
    for value in (0.5, 1.0, 1.5):
        buffer[:] = value
        rewards.append(environment.step(buffer)[1])
    assert rewards == [0.5, 1.5, 2.5]


@pytest.mark.parametrize("clip", [True, False])
def test_an_environment_that_writes_into_its_action_leaves_the_record_alone(opened: Open, clip: bool) -> None:
    environment = opened("Counting-v0", clip_action=clip, kwargs={"scribbles": True})
    environment.reset()
    given = ONE.copy()
    environment.step(given)
    np.testing.assert_array_equal(environment.actions, [ONE])
    np.testing.assert_array_equal(given, ONE)


def test_observations_handed_out_do_not_change_later(opened: Open) -> None:
    environment = opened("Counting-v0")
    seen = [environment.reset()] + [environment.step(ONE)[0] for _ in range(3)]
    assert [float(observation[0]) for observation in seen] == [0, 1, 2, 3]


def test_the_action_log_grows_with_the_episode(opened: Open) -> None:
    environment = opened("Endless-v0", max_episode_steps=5000)
    environment.reset()
    taken = np.random.default_rng(0).normal(size=(3000, 2)).astype(np.float32)
    for action in taken:
        environment.step(action)
    np.testing.assert_array_equal(environment.actions, taken)
    environment.reset()
    assert environment.actions.shape == (0, 2)


@pytest.mark.parametrize("repeat", [1, 3])
def test_exceptions_of_the_environment_pass_through_unchanged(opened: Open, repeat: int) -> None:
    environment = opened("Counting-v0", kwargs={"raises_at": 2}, action_repeat=repeat)
    environment.reset()
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        for _ in range(2):
            environment.step(ONE)
