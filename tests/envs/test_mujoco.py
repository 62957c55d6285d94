"""MuJoCo's silent failures show, its warnings arrive once each, and it leaves no file behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
from gymnasium.envs.registration import EnvSpec

from ppo_sweep.config import EnvConfig
from ppo_sweep.envs import Environment, SimulationDiverged, inspect

Open = Callable[..., Environment]
ROOT = Path(__file__).resolve().parents[2]
ZERO = np.zeros(6, np.float32)


def simulation(environment: Environment) -> Any:
    return environment._env.unwrapped.data


def test_an_exploded_state_is_a_fault_once_and_the_twin_has_none(opened: Open) -> None:
    environment, twin = opened("HalfCheetah-v5"), opened("HalfCheetah-v5")
    for one in (environment, twin):
        one.reset()
        one.step(ZERO)
    simulation(environment).qvel[0] = 1e20
    observation, reward, _, _ = environment.step(ZERO)
    assert np.isfinite(observation).all() and np.isfinite(reward)  # MuJoCo hid it
    assert "BADQVEL" in str(environment.fault())
    assert environment.fault() is None
    environment.step(ZERO)
    assert environment.fault() is None
    assert twin.fault() is None


def test_a_body_that_its_motors_blow_up_is_noticed(opened: Open, tmp_path: Path) -> None:
    model = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "half_cheetah.xml"
    strong = tmp_path / "strong.xml"
    strong.write_text(re.sub(r'gear="\d+"', 'gear="1e12"', model.read_text()))
    environment = opened("HalfCheetah-v5", kwargs={"xml_file": str(strong)})
    environment.reset()
    for _ in range(20):
        environment.step(np.ones(6, np.float32))
    assert "BADQ" in str(environment.fault())


@pytest.mark.parametrize(("field", "name"), [("qpos", "BADQPOS"), ("qvel", "BADQVEL"), ("qacc_warmstart", "BADQACC")])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_each_kind_of_bad_state_is_named(opened: Open, field: str, name: str, value: float) -> None:
    environment = opened("Hopper-v5")
    environment.reset()
    getattr(simulation(environment), field)[0] = value
    environment.step(np.zeros(3, np.float32))
    assert name in str(environment.fault())


def test_a_fault_survives_the_reset_that_clears_the_counters(opened: Open) -> None:
    environment = opened("HalfCheetah-v5")
    environment.reset()
    simulation(environment).qvel[0] = np.nan
    environment.step(ZERO)
    environment.reset()
    assert "BADQVEL" in str(environment.fault())
    assert environment.fault() is None


def test_a_second_explosion_is_reported_again(opened: Open) -> None:
    environment = opened("HalfCheetah-v5")
    environment.reset()
    for _ in range(2):
        simulation(environment).qpos[1] = np.nan
        environment.step(ZERO)
        assert "BADQPOS" in str(environment.fault())


def test_replay_leaves_the_fault_of_the_abandoned_state_behind(opened: Open) -> None:
    environment = opened("HalfCheetah-v5")
    environment.reset()
    simulation(environment).qvel[0] = np.nan
    environment.step(ZERO)
    environment.replay(0, np.zeros((3, 6), np.float32))
    assert environment.fault() is None


def test_asking_for_faults_changes_nothing(opened: Open) -> None:
    asked, left = opened("Walker2d-v5"), opened("Walker2d-v5")
    asked.reset(), left.reset()
    for action in np.random.default_rng(0).normal(size=(15, 6)).astype(np.float32):
        assert asked.fault() is None
        np.testing.assert_array_equal(asked.step(action)[0], left.step(action)[0])


@pytest.mark.parametrize("name", ["Pendulum-v1", "MountainCarContinuous-v0"])
def test_environments_without_mujoco_have_no_faults(opened: Open, name: str) -> None:
    environment = opened(name)
    environment.reset()
    environment.step(np.zeros(1, np.float32))
    assert environment.fault() is None


def test_diverged_physics_of_dm_control_is_an_exception_of_ours(opened: Open) -> None:
    environment = opened("dm_control/cheetah-run-v0")
    environment.reset()
    environment.step(ZERO)
    environment._env.unwrapped.physics.data.qvel[0] = 1e20
    with pytest.raises(SimulationDiverged, match="mjWARN_BADQ"):
        environment.step(ZERO)
    assert "BADQ" in str(environment.fault())
    environment.reset()
    environment.step(ZERO)  # the next episode is sound again
    assert environment.fault() is None


def test_warnings_arrive_once_and_no_file_and_no_output_is_left(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    heard: list[str] = []
    environment = opened("HalfCheetah-v5", warn=heard.append)
    for steps in range(3):  # so that the simulated time in the message differs
        environment.reset()
        for _ in range(steps):
            environment.step(ZERO)
        simulation(environment).qvel[0] = np.nan
        environment.step(ZERO)
    inspect(EnvConfig(id="HalfCheetah-v5", max_episode_steps=77))
    dm: list[str] = []
    suite = opened("dm_control/cheetah-run-v0", warn=dm.append)
    suite.reset()
    suite._env.unwrapped.physics.data.qvel[0] = np.nan
    with pytest.raises(SimulationDiverged):
        suite.step(ZERO)
    assert len(heard) == 2 and "settotalmass" in heard[0] and "QVEL" in heard[1]
    assert len(dm) == 2 and "settotalmass" in dm[0] and "unstable" in dm[1]
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_warning_goes_to_the_environment_that_caused_it(opened: Open) -> None:
    first: list[str] = []
    second: list[str] = []
    one, two = opened("Hopper-v5", warn=first.append), opened("Hopper-v5", warn=second.append)
    one.reset(), two.reset()
    simulation(two).qvel[0] = np.nan
    for environment in (one, two, one):
        environment.step(np.zeros(3, np.float32))
    assert first == [] and len(second) == 1


class Rude(HalfCheetahEnv):
    """Installs a handler of its own while it is made, as importing dm_control does."""

    def __init__(self) -> None:
        super().__init__()
        mujoco.set_mju_user_warning(None)


def test_a_handler_installed_by_somebody_else_is_replaced(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(gymnasium.registry, "Rude-v0", EnvSpec("Rude-v0", entry_point=Rude, max_episode_steps=9))
    mujoco.set_mju_user_warning(None)  # as at the start of a process: stderr and MUJOCO_LOG.TXT
    heard: list[str] = []
    environment = opened("Rude-v0", warn=heard.append)
    environment.reset()
    simulation(environment).qvel[0] = np.nan
    environment.step(ZERO)
    assert len(heard) == 2 and list(tmp_path.iterdir()) == []


def test_a_new_process_is_as_silent_and_loads_dm_control_only_where_it_is_used(tmp_path: Path) -> None:
    program = """
import sys
from ppo_sweep.config import EnvConfig
from ppo_sweep.envs import Environment, inspect
inspect(EnvConfig(id="HalfCheetah-v5"))
assert not {"torch", "dm_control", "shimmy"} & set(sys.modules), "too much is imported"
for name in ("HalfCheetah-v5", "dm_control/cheetah-run-v0"):
    heard = []
    environment = Environment(EnvConfig(id=name), run_seed=0, index=0, warn=heard.append)
    environment.reset()
    assert len(heard) == 1 and "settotalmass" in heard[0], heard
"""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
