"""Making an environment: ids, packages, arguments, and the words for whatever is wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ppo_sweep.config import ConfigError, EnvConfig
from ppo_sweep.envs import Environment, inspect, make

Open = Callable[..., Environment]


def refusal(name: str, **knobs: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        inspect(EnvConfig(id=name, **knobs))
    return [(fault.key, fault.message) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Hoper-v5", "Hopper-v5"),
        ("hopper-v5", "Hopper-v5"),
        ("Hopper", "Hopper-v5"),
        ("Hopper-v9", "Hopper-v5"),
        ("halfcheeta-v5", "HalfCheetah-v5"),
        ("dm_control/cheetah-runn-v0", "dm_control/cheetah-run-v0"),
        ("cheetah-run", "dm_control/cheetah-run-v0"),
        ("Pendulum-v2", "Pendulum-v1"),
        ("BipedalWalkr-v3", "BipedalWalker-v3"),
    ],
)
def test_an_unknown_id_is_answered_with_the_newest_close_one(name: str, near: str) -> None:
    [(key, message)] = refusal(name)
    assert key == "env.id" and repr(name) in message
    assert message.split("did you mean ")[1].split(" or ")[0].rstrip("?") == near


def test_an_id_like_nothing_known_is_answered_with_an_example() -> None:
    [(_, message)] = refusal("zzzzzzzz")
    assert "env.id=Hopper-v5" in message and "package.module:Name-v0" in message


def test_a_namespace_nobody_registered_says_how_to_import_its_package() -> None:
    [(_, message)] = refusal("Quux/Bazfoo-v0")
    assert "'Quux'" in message and "env.id=package:Quux/Bazfoo-v0" in message


def test_a_module_that_cannot_be_imported_is_named() -> None:
    [(key, message)] = refusal("no_such_module:Thing-v0")
    assert key == "env.id" and "'no_such_module'" in message and "PYTHONPATH" in message


@pytest.mark.parametrize("name", [".x:B-v0", "../../x:Foo-v0", ":B-v0", "a b:B-v0", "a:b:C-v0", "a..b:C-v0"])
def test_what_cannot_be_a_module_is_refused_with_an_example(name: str) -> None:
    [(key, message)] = refusal(name)
    assert key == "env.id" and "is not the name of a module; for example env.id=package.module:Name-v0" in message


@pytest.mark.parametrize(
    ("source", "error", "place"),
    [
        ("x = 1\nundefined_name\n", "NameError: name 'undefined_name' is not defined", "line 2 of module_with_a_fault.py"),
        ("def broken(:\n", "SyntaxError", "(module_with_a_fault.py, line 1)"),
        ("import sys\n\nsys.exit(3)\n", "SystemExit: 3", "line 3 of module_with_a_fault.py"),
        ("\nimport no_such_thing\n", "ModuleNotFoundError: No module named 'no_such_thing'", "line 2 of module_with_a_fault.py"),
        ("import json\njson.loads('x')\n", "JSONDecodeError", "line 2 of module_with_a_fault.py"),
    ],
)
def test_a_module_that_fails_on_import_is_answered_with_its_error_and_line(
    source: str, error: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module_with_a_fault.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "module_with_a_fault", raising=False)
    [(key, message)] = refusal("module_with_a_fault:B-v0")
    assert key == "env.id" and "'module_with_a_fault'" in message and error in message and place in message


def test_a_typo_in_a_module_s_own_id_is_answered_with_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import gymnasium\ngymnasium.register('Gooal-v0', entry_point='gymnasium.envs.classic_control.pendulum:PendulumEnv')\n"
    (tmp_path / "module_with_a_goal.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    [(_, message)] = refusal("module_with_a_goal:Goaal-v0")
    assert "did you mean module_with_a_goal:Gooal-v0?" in message


@pytest.mark.parametrize("name", ["Nope-v0", "Taxi-v3", "CartPol-v1", "FrozenLake-v9"])
def test_only_close_ids_that_can_be_trained_on_are_suggested(name: str) -> None:
    [(_, message)] = refusal(name)
    assert "did you mean" not in message and "env.id=Hopper-v5" in message


@pytest.mark.parametrize("name", ["Pong-v5", "PongNoFrameskip-v4", "PongDeterministic-v4", "Pong-ram-v4"])
def test_old_names_of_atari_games_are_answered_with_the_new_one_and_its_extra(name: str) -> None:
    [(_, message)] = refusal(name)
    assert "ALE/Pong-v5" in message and "pip install -e '.[atari]'" in message


@pytest.mark.parametrize("limit", [None, 1000])
def test_time_limit_of_a_task_is_a_knob_of_its_own(limit: int | None) -> None:
    [(key, message)] = refusal("dm_control/cheetah-run-v0", kwargs={"task_kwargs": {"time_limit": 5}}, max_episode_steps=limit)
    assert key == "env.kwargs.task_kwargs.time_limit" and "env.max_episode_steps=1000" in message


@pytest.mark.parametrize(
    ("name", "kwargs", "says"),
    [
        ("Pendulum-v1", {"g": "hello"}, "could not be stepped"),
        ("Hopper-v5", {"ctrl_cost_weight": float("inf")}, "in its first step"),
        ("Hopper-v5", {"reset_noise_scale": float("inf")}, "could not be reset"),
    ],
)
def test_arguments_that_only_a_step_finds_unfit_are_refused(name: str, kwargs: dict[str, Any], says: str) -> None:
    [(key, message)] = refusal(name, kwargs=kwargs)
    assert key == "env.kwargs" and says in message and name in message


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ("[0.0, float('nan'), 0.0], 0.0, False, False, {}", "has NaN or infinity in its first observations"),
        ("[0.0, 0.0], 0.0, False, False, {}", "returns observations of shape (2,)"),
        ("[0.0, 0.0, 0.0], float('nan'), False, False, {}", "has a reward of nan in its first step"),
        ("[0.0, 0.0, 0.0], 0.0, False, {}", "could not be stepped: ValueError: not enough values to unpack"),
    ],
)
def test_an_environment_whose_first_step_is_unusable_is_refused(
    returned: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "import gymnasium\n"
        "from gymnasium.envs.classic_control.pendulum import PendulumEnv\n"
        "class Odd(PendulumEnv):\n"
        "    def step(self, action):\n"
        f"        return {returned}\n"
        "gymnasium.register('Odd-v0', entry_point=Odd, max_episode_steps=9)\n"
    )
    name = f"module_of_an_odd_env_{abs(hash(returned))}"
    (tmp_path / f"{name}.py").write_text(source.replace("Odd-v0", f"Odd{abs(hash(returned))}-v0"))
    monkeypatch.syspath_prepend(str(tmp_path))
    [(key, message)] = refusal(f"{name}:Odd{abs(hash(returned))}-v0")
    assert key == "env.id" and says in message


def test_infinity_is_accepted_where_it_does_no_harm(opened: Open) -> None:
    assert opened("Hopper-v5", kwargs={"healthy_z_range": [0.7, float("inf")]}).spec.horizon == 1000


def test_a_module_registers_its_environment_on_import(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "import gymnasium\n"
        "gymnasium.register('ns/Mine-v0', entry_point='gymnasium.envs.classic_control.pendulum:PendulumEnv', max_episode_steps=9)\n"
    )
    (tmp_path / "my_registering_module.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    environment = opened("my_registering_module:ns/Mine-v0", kwargs={"g": 3.0})
    assert environment.spec.horizon == 9 and environment._env.unwrapped.g == 3.0
    assert refusal("my_registering_module:ns/Mine-v0", kwargs={"gg": 3.0})[0][0] == "env.kwargs.gg"


@pytest.mark.parametrize("name", ["LunarLanderContinuous-v3", "BipedalWalker-v3"])
def test_a_missing_box2d_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [module for module in sys.modules if module.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "Box2D", None)
    [(key, message)] = refusal(name)
    assert key == "env.id" and message == f"{name} needs Box2D; install it with pip install -e '.[box2d]'"


def test_a_missing_atari_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    [(key, message)] = refusal("ALE/Pong-v5")
    assert key == "env.id" and "pip install -e '.[atari]'" in message


def test_a_missing_shimmy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shimmy", None)
    [(key, message)] = refusal("dm_control/walker-stand-v0")
    assert key == "env.id" and "pip install dm_control shimmy" in message


@pytest.mark.parametrize("name", ["Hopper-v2", "Hopper-v3"])
def test_mujoco_py_environments_say_use_v5(name: str) -> None:
    [(key, message)] = refusal(name)
    assert key == "env.id" and "use Hopper-v5" in message


def test_vision_tasks_are_refused_before_their_renderer_can_end_the_process() -> None:
    [(key, message)] = refusal("dm_control/reach_site_vision-v0")
    assert key == "env.id" and "images" in message


@pytest.mark.parametrize(
    ("name", "kwargs", "key", "says"),
    [
        ("HalfCheetah-v5", {"ctrl_cost_wieght": 1}, "env.kwargs.ctrl_cost_wieght", "did you mean ctrl_cost_weight"),
        ("HalfCheetah-v5", {"widht": 1}, "env.kwargs.widht", "did you mean width"),  # of its parent class
        ("Pendulum-v1", {"gravity": 1}, "env.kwargs.gravity", "it takes render_mode, g"),
        ("dm_control/cheetah-run-v0", {"task_kwarg": {}}, "env.kwargs.task_kwarg", "did you mean task_kwargs"),
        ("Hopper-v5", {"max_episode_steps": 3}, "env.kwargs.max_episode_steps", "env.max_episode_steps=1000"),
        ("Hopper-v5", {"render_mode": "human"}, "env.kwargs.render_mode", "watch.py"),
        ("Hopper-v5", {"xml_file": "/no/such.xml"}, "env.kwargs", "/no/such.xml"),
        ("dm_control/cheetah-run-v0", {"task_kwargs": {"nonsense": 1}}, "env.kwargs", "nonsense"),
    ],
)
def test_kwargs_are_checked_against_the_constructor(name: str, kwargs: dict[str, Any], key: str, says: str) -> None:
    [(found, message)] = refusal(name, kwargs=kwargs)
    assert found == key and says in message


def test_every_wrong_argument_is_reported() -> None:
    assert [key for key, _ in refusal("Hopper-v5", kwargs={"aaa": 1, "id": 2})] == ["env.kwargs.id", "env.kwargs.aaa"]


def test_kwargs_reach_the_environment(opened: Open) -> None:
    assert opened("HalfCheetah-v5", kwargs={"frame_skip": 7, "ctrl_cost_weight": 0.5})._env.unwrapped.frame_skip == 7
    suite = opened("dm_control/cheetah-run-v0", kwargs={"environment_kwargs": {"control_timestep": 0.02}})
    assert suite.spec.horizon == 500


def test_the_warning_about_an_old_version_is_passed_on_in_plain_text(opened: Open) -> None:
    heard: list[str] = []
    opened("Hopper-v4", warn=heard.append)
    assert [message for message in heard if "Hopper-v4 is out of date" in message and "v5" in message and "\x1b" not in message]
    assert len(set(heard)) == len(heard)


def test_making_for_rendering_makes_the_same_environment() -> None:
    env = make(EnvConfig(id="Pendulum-v1", kwargs={"g": 4.0}), len, render_mode="rgb_array")
    assert env.render_mode == "rgb_array" and env.unwrapped.g == 4.0
    env.close()


def test_the_sky_of_dm_control_is_painted_only_for_rendering() -> None:
    config = EnvConfig(id="dm_control/pendulum-swingup-v0")
    sizes = []
    for render_mode in (None, "rgb_array"):
        env: Any = make(config, len, render_mode=render_mode)
        sizes.append(env.unwrapped.physics.model.ntexdata)
        env.close()
    assert sizes[0] < 1e6 < 1e7 < sizes[1]  # bytes


def test_an_environment_that_cannot_start_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "import gymnasium\n"
        "from gymnasium.envs.classic_control.pendulum import PendulumEnv\n"
        "class Broken(PendulumEnv):\n"
        "    def reset(self, **rest):\n"
        "        raise OSError('no display')\n"
        "gymnasium.register('Broken-v0', entry_point=Broken, max_episode_steps=9)\n"
    )
    (tmp_path / "module_of_a_broken_env.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    [(key, message)] = refusal("module_of_a_broken_env:Broken-v0")
    assert key == "env.id" and "could not be reset: OSError: no display" in message
