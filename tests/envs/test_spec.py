"""What is read off an environment, and which environments are refused."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from ppo_sweep.config import ConfigError, EnvConfig
from ppo_sweep.envs import Environment, inspect

Shape = Callable[..., EnvConfig]
VECTOR = spaces.Box(-1, 1, (3,))
IMAGE = spaces.Box(0, 255, (84, 84, 3), np.uint8)


def refusal(config: EnvConfig) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        inspect(config)
    return [(fault.key, fault.message) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("Pendulum-v1", (3, 1, 200)),
        ("HalfCheetah-v5", (17, 6, 1000)),
        ("Hopper-v5", (11, 3, 1000)),
        ("Walker2d-v5", (17, 6, 1000)),
        ("dm_control/cheetah-run-v0", (17, 6, 1000)),
        ("dm_control/manipulator-bring_ball-v0", (44, 5, 1000)),
    ],
)
def test_sizes_and_horizon_are_those_of_the_environment(name: str, sizes: tuple[int, int, int]) -> None:
    spec = inspect(EnvConfig(id=name))
    assert (spec.observation_size, spec.action_size, spec.horizon) == sizes
    assert spec.action_low.shape == spec.action_high.shape == (sizes[1],)


def test_horizon_is_in_agent_steps_rounded_up() -> None:
    assert inspect(EnvConfig(id="Pendulum-v1", action_repeat=3)).horizon == 67
    assert inspect(EnvConfig(id="Pendulum-v1", action_repeat=3, max_episode_steps=7)).horizon == 3


def test_bounds_are_those_of_the_environment_and_cannot_be_written() -> None:
    spec = inspect(EnvConfig(id="Pendulum-v1"))
    assert spec.action_low.dtype == np.float32 and spec.action_low.tolist() == [-2] and spec.action_high.tolist() == [2]
    with pytest.raises(ValueError, match="read-only"):
        spec.action_high[0] = 9


def test_bounds_that_float32_does_not_hold_are_rounded_inwards(shaped: Shape) -> None:
    # 0.1 is 0.10000000149 in float32, above the bound; 0.3 is 0.30000001192.
    space = spaces.Box(np.array([-0.1, -np.inf]), np.array([0.3, np.inf]), dtype=np.float64)
    spec = inspect(shaped(VECTOR, space))
    assert -0.1 <= float(spec.action_low[0]) < -0.0999999 and 0.2999999 < float(spec.action_high[0]) <= 0.3
    assert spec.action_low[1] == -np.inf and spec.action_high[1] == np.inf


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1, 1, ()),
        spaces.Box(-1, 1, (2, 3)),
        spaces.Box(0, 255, (4,), np.uint8),
        spaces.Dict({"b": VECTOR, "a": spaces.Box(-1, 1, ()), "m": spaces.Box(-9, 9, (2, 2), np.int64)}),
        spaces.Tuple((VECTOR, spaces.Dict({"deep": spaces.Tuple((VECTOR, spaces.Box(0, 1, (2,))))}))),
    ],
    ids=["scalar", "matrix", "bytes", "dict", "nested"],
)
def test_observations_are_flattened_in_the_order_of_gymnasium(shaped: Shape, space: spaces.Space) -> None:
    config = shaped(space, VECTOR)
    environment = Environment(config, run_seed=0, index=0, warn=len)
    flat = environment.reset()
    twin = gymnasium.make(config.id, disable_env_checker=True)
    raw, _ = twin.reset(seed=environment._env.unwrapped.np_random_seed)
    assert flat.dtype == np.float64 and flat.shape == (inspect(config).observation_size,)
    np.testing.assert_array_equal(flat, spaces.flatten(space, raw))
    assert environment.step(np.zeros(3, np.float32))[0].shape == flat.shape


def test_an_action_with_several_axes_reaches_the_environment_in_its_shape(shaped: Shape) -> None:
    config = shaped(VECTOR, spaces.Box(-1, 1, (2, 3)))
    assert inspect(config).action_size == 6
    environment = Environment(config, run_seed=0, index=0, warn=len)
    environment.reset()
    environment.step(np.full(6, 7, np.float32))  # the environment asserts that its space contains it
    assert environment.actions.shape == (1, 6)


@pytest.mark.parametrize(
    ("observations", "says"),
    [
        (spaces.Discrete(5), "Discrete(5)"),
        (spaces.MultiBinary(3), "MultiBinary(3)"),
        (IMAGE, "an image of 84×84×3 uint8"),
        (spaces.Box(0, 255, (64, 64), np.uint8), "an image of 64×64 uint8"),
        (spaces.Box(0, 1, (3, 64, 64), np.float32), "an image of 3×64×64 float32"),
        (spaces.Dict({"eye": IMAGE, "joints": VECTOR}), "eye = an image"),
        (spaces.Tuple((VECTOR, spaces.Discrete(2))), "1 = Discrete(2)"),
        (spaces.Dict({}), "no observations"),
    ],
)
def test_observations_that_are_no_vectors_are_refused(shaped: Shape, observations: spaces.Space, says: str) -> None:
    [(key, message)] = refusal(shaped(observations, VECTOR))
    assert key == "env.id" and says in message and "for example Hopper-v5" in message


@pytest.mark.parametrize(
    "actions", [spaces.Discrete(3), spaces.MultiDiscrete([2, 2]), spaces.Box(0, 9, (2,), np.int64), spaces.Dict({"a": VECTOR})]
)
def test_actions_that_are_not_continuous_are_refused(shaped: Shape, actions: spaces.Space) -> None:
    [(key, message)] = refusal(shaped(VECTOR, actions))
    assert key == "env.id" and str(actions) in message and "for example Pendulum-v1" in message


def test_a_shipped_environment_with_discrete_actions_is_refused() -> None:
    [(key, message)] = refusal(EnvConfig(id="CartPole-v1"))
    assert key == "env.id" and "CartPole-v1 has actions Discrete(2)" in message


def test_an_environment_without_time_limit_is_refused_with_an_example() -> None:
    [(key, message)] = refusal(EnvConfig(id="Endless-v0"))
    assert key == "env.max_episode_steps" and "Endless-v0 has no time limit" in message and "env.max_episode_steps=1000" in message
    assert inspect(EnvConfig(id="Endless-v0", max_episode_steps=30)).horizon == 30


def test_a_task_without_time_limit_of_dm_control_is_refused() -> None:
    [(key, _)] = refusal(EnvConfig(id="dm_control/lqr-lqr_2_1-v0"))
    assert key == "env.max_episode_steps"


def test_all_faults_of_an_environment_come_at_once(shaped: Shape) -> None:
    faults = refusal(shaped(spaces.Discrete(2), spaces.Discrete(3), limit=None))
    assert [key for key, _ in faults] == ["env.id", "env.id", "env.max_episode_steps"]


def test_an_environment_is_made_once_for_all_inspections() -> None:
    first = inspect(EnvConfig(id="Pendulum-v1", kwargs={"g": 9.0}, score_random=-1200.0))
    assert inspect(EnvConfig(id="Pendulum-v1", kwargs={"g": 9.0})) is first
    assert inspect(EnvConfig(id="Pendulum-v1", kwargs={"g": 8.0})) is not first
