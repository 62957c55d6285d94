"""Replay: (episode, actions since its reset) is the whole state of an environment, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ppo_sweep.envs import Environment

Open = Callable[..., Environment]
Row = tuple[bytes, float, bool, bool, int, float, bool]

CASES: list[tuple[str, dict[str, Any]]] = [
    ("Pendulum-v1", {}),
    ("HalfCheetah-v5", {}),
    ("Hopper-v5", {}),
    ("Walker2d-v5", {}),
    ("dm_control/cheetah-run-v0", {}),
    ("Ant-v5", {}),
    ("Humanoid-v5", {}),
    ("Swimmer-v5", {}),
    ("Reacher-v5", {}),
    ("InvertedDoublePendulum-v5", {}),
    ("MountainCarContinuous-v0", {}),
    ("dm_control/finger-turn_hard-v0", {}),  # draws its target at each reset; an observation without axes
    ("dm_control/manipulator-bring_ball-v0", {}),  # observations that are matrices
    ("dm_control/point_mass-hard-v0", {}),  # changes its model at each reset
    ("dm_control/lqr-lqr_2_1-v0", {"max_episode_steps": 60}),  # draws its model when it is made
    ("HalfCheetah-v5", {"action_repeat": 3, "clip_action": False}),
    ("dm_control/walker-walk-v0", {"max_episode_steps": 33, "action_repeat": 2}),
]
BOX2D = ["BipedalWalker-v3", "BipedalWalkerHardcore-v3", "LunarLanderContinuous-v3"]


def drive(environment: Environment, actions: np.ndarray) -> list[Row]:
    """Step through episodes; everything that step() and the counters say, to the bit."""
    rows = []
    for action in actions:
        observation, reward, terminated, truncated = environment.step(action)
        counters = environment.length, environment.return_, environment.partial
        rows.append((observation.tobytes(), reward, terminated, truncated, *counters))
        if terminated or truncated:
            rows.append((environment.reset().tobytes(), 0.0, False, False, environment.episode, 0.0, False))
    return rows


def assert_replays(opened: Open, name: str, knobs: dict[str, Any]) -> None:
    """A fresh and a used environment, sent into the middle of an episode of a third, go on as that one does."""
    twin, fresh, used = (opened(name, first_cut=45, **knobs) for _ in range(3))
    space = twin.spec.action_low.size
    rng = np.random.default_rng(1)
    before, after, other = (rng.normal(size=(n, space)).astype(np.float32) for n in (240, 50, 70))
    twin.reset()
    drive(twin, before[:150])
    place = 150
    while twin.length < 3:  # into the middle of an episode, however short they are
        drive(twin, before[place : place + 1])
        place += 1
    episode, taken, middle = twin.episode, twin.actions.copy(), (twin.length, twin.return_)
    assert episode >= 1
    ahead = drive(twin, after)
    last = np.frombuffer(ahead[0][0])
    used.reset()
    drive(used, other)
    for environment in (fresh, used):
        now = environment.replay(episode, taken)
        assert now.shape == last.shape and (environment.length, environment.return_) == middle
        assert environment.episode == episode and np.array_equal(environment.actions, taken)
        assert drive(environment, after) == ahead


@pytest.mark.parametrize(("name", "knobs"), CASES, ids=lambda value: value if isinstance(value, str) else "-".join(value))
def test_replay_is_bit_exact_and_so_is_what_follows(opened: Open, name: str, knobs: dict[str, Any]) -> None:
    assert_replays(opened, name, knobs)


@pytest.mark.parametrize("name", BOX2D)
def test_replay_is_bit_exact_where_a_reset_keeps_the_physics_world(opened: Open, name: str) -> None:
    pytest.importorskip("Box2D")
    assert_replays(opened, name, {})


def test_replay_returns_the_current_observation(opened: Open) -> None:
    twin = opened("Hopper-v5")
    first = twin.reset()
    np.testing.assert_array_equal(opened("Hopper-v5").replay(0, twin.actions), first)
    current = [twin.step(np.full(3, 0.3, np.float32))[0] for _ in range(7)][-1]
    np.testing.assert_array_equal(opened("Hopper-v5").replay(0, twin.actions), current)


def test_replay_of_its_own_log_is_safe(opened: Open) -> None:
    environment = opened("Pendulum-v1")
    environment.reset()
    ahead = drive(environment, np.linspace(-3, 3, 20, dtype=np.float32)[:, None])
    observation = environment.replay(0, environment.actions)
    assert observation.tobytes() == ahead[-1][0] and environment.length == 20


def test_replay_into_the_first_episode_is_cut_where_the_first_was(opened: Open) -> None:
    environment = opened("Counting-v0", first_cut=6)
    environment.reset()
    environment.replay(0, np.ones((4, 2), np.float32))
    rows = drive(environment, np.ones((2, 2), np.float32))
    assert [row[3] for row in rows[:2]] == [False, True] and rows[1][6]


def test_the_episode_after_a_replayed_one_is_the_next(opened: Open) -> None:
    twin = opened("Pendulum-v1")
    starts = [twin.reset() for _ in range(5)]
    environment = opened("Pendulum-v1")
    environment.replay(3, np.zeros((2, 1), np.float32))
    np.testing.assert_array_equal(environment.reset(), starts[4])


def test_an_environment_that_does_not_repeat_itself_is_caught(opened: Open) -> None:
    environment = opened("Forgetful-v0")
    environment.reset()
    for _ in range(6):
        environment.step(np.ones(2, np.float32))
    with pytest.raises(RuntimeError, match=r"Forgetful-v0 ended after 6 of 7 recorded steps"):
        environment.replay(0, np.ones((7, 2), np.float32))
