"""Films of a policy in a real environment, and what is said where nothing draws."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from ppo_sweep.config import Config, ConfigError
from ppo_sweep.envs import make
from ppo_sweep.learner.policy import Policy
from ppo_sweep.learner.population import Population
from ppo_sweep.runs import watching
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.filming import Request, film, follow, playing_speed, strip_moments
from ppo_sweep.runs.policy import policy_of
from ppo_sweep.runs.watching import NoRenderer, graphics_libraries, watch

ROOT = Path(__file__).parents[2]

pygame = pytest.importorskip("pygame", reason="Pendulum is drawn by pygame")


def untrained(env_id: str = "Pendulum-v1", limit: int = 30, **env: object) -> Policy:
    values = {"id": env_id, "max_episode_steps": limit, **env}
    config = Config.from_dict({"env": values, "algo": {"n_steps": 64}, "total_steps": 640})
    population = Population(config)
    return policy_of(population, population.admit(config, None, warn=lambda message: None))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The directory of a run that has trained for an iteration."""
    import ppo_sweep

    values = {"env": {"id": "Pendulum-v1", "max_episode_steps": 30}, "algo": {"n_steps": 64}, "total_steps": 64}
    return ppo_sweep.train(values, tmp_path / "run", console=False).directory


def test_a_strip_shows_frames_at_equal_times_from_start_to_end(tmp_path: Path) -> None:
    filmed = film(untrained(), Request("", str(tmp_path / "strip.png"), frames=4))
    with Image.open(filmed.out) as strip:
        pixels = np.asarray(strip)
    frames = np.split(pixels[:220], 4, axis=1)
    assert filmed.frames == 4 and filmed.length == 30
    assert all((a != b).any() for a, b in itertools.pairwise(frames)), "the pendulum has moved"


@pytest.mark.parametrize(("length", "frames", "steps"), [(30, 4, [0, 10, 20, 30]), (1000, 3, [0, 500, 1000]), (2, 8, [0, 1, 2])])
def test_strip_moments_are_equidistant(length: int, frames: int, steps: list[int]) -> None:
    assert strip_moments(length, frames) == steps


def test_a_gif_plays_in_real_time(tmp_path: Path) -> None:
    filmed = film(untrained(), Request("", str(tmp_path / "watch.gif")))
    with Image.open(filmed.out) as gif:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
    # 30 steps of 0.05 s, and the start; equal neighbours may have been merged by the writer.
    assert sum(durations) == pytest.approx(31 * 50)


def test_an_mp4_is_a_film_of_the_whole_episode(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    filmed = film(untrained(), Request("", str(tmp_path / "watch.mp4")))
    frames, seconds = ffmpeg.count_frames_and_secs(filmed.out)
    assert frames == filmed.frames == 31
    assert seconds == pytest.approx(31 * 0.05, abs=0.06)


@pytest.mark.parametrize(
    ("seconds", "fps", "every", "shown"), [(0.05, 50, 1, 20.0), (0.008, 25, 5, 25.0), (0.008, 50, 3, 125 / 3), (0.02, 50, 1, 50.0)]
)
def test_playing_speed_is_real_time_below_a_limit(seconds: float, fps: float, every: int, shown: float) -> None:
    assert playing_speed(seconds, fps) == (every, pytest.approx(shown))


def test_the_same_seed_shows_the_same_episode_and_another_seed_another(tmp_path: Path) -> None:
    policy = untrained()
    one, again, other = (film(policy, Request("", str(tmp_path / f"{i}.png"), frames=2, seed=seed)) for i, seed in enumerate((1, 1, 2)))
    assert one.return_ == again.return_ != other.return_
    assert (tmp_path / "0.png").read_bytes() == (tmp_path / "1.png").read_bytes()


def test_action_repeat_makes_steps_longer(tmp_path: Path) -> None:
    filmed = film(untrained(action_repeat=4), Request("", str(tmp_path / "strip.png"), frames=2))
    assert filmed.length == 8, "30 environment steps in fours, the last one shorter"


def test_a_film_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    policy = untrained()
    policy.parameters.clear()
    policy._weights.clear()
    with pytest.raises(RuntimeError):
        film(policy, Request("", str(tmp_path / "watch.gif")))
    assert list(tmp_path.iterdir()) == []


def test_watching_a_run_writes_the_film(run: Path) -> None:
    filmed = watch(Request(str(run), str(run / "strip.png"), frames=3))
    assert filmed.frames == 3 and (run / "strip.png").stat().st_size > 1000


def test_a_mujoco_run_is_drawn_or_says_what_to_install(tmp_path: Path) -> None:
    import ppo_sweep

    values = {"env": {"id": "Hopper-v5", "max_episode_steps": 20}, "algo": {"n_steps": 64}, "total_steps": 64}
    run = ppo_sweep.train(values, tmp_path / "run", console=False).directory
    try:
        filmed = watch(Request(str(run), str(tmp_path / "strip.png"), frames=2))
    except NoRenderer as error:
        assert "egl:" in str(error) and "apt install" in str(error)
    else:
        with Image.open(filmed.out) as strip:
            frames = np.split(np.asarray(strip)[:240], 2, axis=1)
        assert all(np.unique(frame[:, 1:-1]).size > 10 for frame in frames), "a picture, not a black rectangle"


def test_without_a_renderer_the_message_says_what_was_tried(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ppo_sweep

    values = {"env": {"id": "Hopper-v5", "max_episode_steps": 20}, "algo": {"n_steps": 64}, "total_steps": 64}
    hopper = ppo_sweep.train(values, run.parent / "hopper", console=False).directory
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    with pytest.raises(NoRenderer, match=r"(?s)tried.*disabled: .*apt install") as caught:
        watch(Request(str(hopper), str(run / "strip.png"), frames=2))
    assert "Traceback" not in str(caught.value)
    assert not (run / "strip.png").exists()


def test_a_missing_drawing_package_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = run.parent / "shadow" / "pygame"
    empty.mkdir(parents=True)
    (empty / "__init__.py").write_text("raise ImportError('not installed')")
    monkeypatch.setenv("PYTHONPATH", str(empty.parent))
    with pytest.raises(NoRenderer, match=r"not installed.*pygame"):
        watch(Request(str(run), str(run / "strip.png"), frames=2))


@pytest.mark.parametrize(
    "env_id", ["Hopper-v5", "HalfCheetah-v5", "Walker2d-v5", "Ant-v5", "Swimmer-v5", "Hopper-v4", "dm_control/cheetah-run-v0"]
)
def test_the_camera_goes_with_the_body(env_id: str) -> None:
    mujoco = pytest.importorskip("mujoco")
    config = Config.from_dict({"env": {"id": env_id}}).env
    env = make(config, lambda message: None, render_mode="rgb_array")
    env.reset(seed=0)
    base: Any = env.unwrapped
    follow(base, config)
    if hasattr(base, "mujoco_renderer"):
        model, data, camera = base.model, base.data, base.mujoco_renderer.camera_id
    else:
        model, data, camera = base.physics.model.ptr, base.physics.data.ptr, base.render_kwargs["camera_id"]
    mujoco.mj_forward(model, data)
    before = data.cam_xpos[camera].copy()
    data.qpos[0] += 10
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.cam_xpos[camera] - before, [10, 0, 0], atol=1e-6)
    env.close()


@pytest.mark.parametrize("kwargs", [{"camera_name": "track"}, {"camera_id": 0}, {"default_camera_config": {"distance": 9.0}}], ids=str)
def test_a_camera_chosen_in_env_kwargs_is_kept(kwargs: dict[str, Any]) -> None:
    config = Config.from_dict({"env": {"id": "Hopper-v5", "kwargs": kwargs}}).env
    env = make(config, lambda message: None, render_mode="rgb_array")
    renderer = env.unwrapped.mujoco_renderer  # type: ignore[attr-defined]
    chosen = renderer.camera_id, renderer.default_cam_config
    follow(env.unwrapped, config)
    assert (renderer.camera_id, renderer.default_cam_config) == chosen
    env.close()


#: Draws Hopper at the start and 10.0 m further on (the floor repeats every metre); needs a process of its own.
FAR_AWAY = """
import sys
import numpy as np
from ppo_sweep.config import Config
from ppo_sweep.runs.filming import Request, Stage
from types import SimpleNamespace
stage = Stage(SimpleNamespace(env_config=Config.from_dict({"env": {"id": "Hopper-v5"}}).env), Request("", ""))
stage.env.reset(seed=0)
base, pictures = stage.env.unwrapped, []
for x in (0.0, 10.0):
    base.set_state(np.r_[x, base.data.qpos[1:]], base.data.qvel)
    pictures.append(stage.picture().astype(int))
np.save(sys.argv[1], pictures)
"""


@pytest.mark.parametrize("library", ["egl", "osmesa"])
def test_a_body_far_from_the_start_is_still_in_the_picture(library: str, tmp_path: Path) -> None:
    out = tmp_path / "pictures.npy"
    environ = os.environ | {"MUJOCO_GL": library, "PYTHONPATH": str(ROOT)}
    # In a directory of its own: without a handler MuJoCo writes into a MUJOCO_LOG.TXT, and none is left while a process ends.
    done = subprocess.run([sys.executable, "-c", FAR_AWAY, out], env=environ, capture_output=True, text=True, check=False, cwd=tmp_path)
    if not out.exists():
        pytest.skip(f"{library} does not draw here: {done.stderr[-200:]}")
    near, far = np.load(out)
    brown = [(picture[..., 0] > picture[..., 2] + 40).sum() for picture in (near, far)]  # the body; floor and sky are grey, green, blue
    assert brown[0] > 1000
    assert brown[1] == pytest.approx(brown[0], rel=0.1)


def module_run(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Path:
    """A run in an environment of the user's own module ``bare``; ``body`` is in the class."""
    source = f"""
import gymnasium, numpy as np
class Bare(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
{body}
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2), {{}}
    def step(self, action):
        return np.zeros(2), 0.0, False, False, {{}}
gymnasium.register("Bare-v0", Bare, max_episode_steps=10)
"""
    (folder / "bare.py").write_text(source)
    environ = os.environ | {"PYTHONPATH": str(folder)}
    code = """
import sys, pathlib, ppo_sweep
values = {"env": {"id": "bare:Bare-v0"}, "algo": {"n_steps": 64}, "total_steps": 64}
ppo_sweep.train(values, pathlib.Path(sys.argv[1]), console=False)
"""
    command = [sys.executable, "-c", code, str(folder / "run")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder / "run"


@pytest.mark.parametrize(
    "body",
    ["    pass", "    metadata = {'render_modes': ['ansi']}\n    def __init__(self, render_mode=None): self.render_mode = render_mode"],
    ids=["takes no render_mode", "draws text only"],
)
def test_an_environment_without_pictures_is_not_blamed_on_the_graphics_library(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = module_run(tmp_path, monkeypatch, body)
    with pytest.raises(NoRenderer, match=r"bare:Bare-v0 draws no pictures.*rgb_array") as caught:
        watch(Request(str(run), str(tmp_path / "strip.png")))
    assert "apt install" not in str(caught.value)


def test_a_module_that_is_not_found_is_not_blamed_on_the_graphics_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = module_run(tmp_path, monkeypatch, "    pass")
    monkeypatch.delenv("PYTHONPATH")
    with pytest.raises(ConfigError, match=r"bare.*PYTHONPATH"):
        watch(Request(str(run), str(tmp_path / "strip.png")))
    done = script("watch.py", str(run), "--out", str(tmp_path / "strip.png"))
    assert done.returncode == 2
    assert "PYTHONPATH" in done.stderr and "apt install" not in done.stderr and "Traceback" not in done.stderr


def test_a_graphics_library_that_is_not_there_is_not_blamed_on_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ppo_sweep

    values = {"env": {"id": "Hopper-v5", "max_episode_steps": 20}, "algo": {"n_steps": 64}, "total_steps": 64}
    run = ppo_sweep.train(values, tmp_path / "run", console=False).directory
    monkeypatch.setenv("MUJOCO_GL", "none such")
    with pytest.raises(NoRenderer, match=r"none such(.|\n)*apt install"):
        watch(Request(str(run), str(tmp_path / "strip.png")))


def test_a_film_into_a_directory_that_is_not_there_is_refused_in_words_of_its_own(run: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*a\.png: there is no directory .*nowhere$"):
        watch(Request(str(run), str(tmp_path / "nowhere" / "a.png")))


def test_a_killed_driver_is_a_reason_not_a_crash(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = subprocess.CompletedProcess([], -11, "", "")
    monkeypatch.setattr(watching, "_film_with", lambda library, request: killed)
    with pytest.raises(NoRenderer, match="SIGSEGV"):
        watch(Request(str(run), str(run / "strip.png")))


def test_no_policy_is_said_once(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no policy"):
        watch(Request(str(tmp_path), str(tmp_path / "strip.png")))


def test_without_ffmpeg_an_mp4_is_refused_and_a_gif_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "has_ffmpeg", lambda: False)
    assert watching.default_film(tmp_path).name == "watch.gif"
    with pytest.raises(NoRenderer, match="ffmpeg"):
        watch(Request(str(tmp_path), str(tmp_path / "watch.mp4")))


@pytest.mark.parametrize(
    ("environ", "platform", "libraries"),
    [
        ({}, "linux", ("egl", "osmesa")),
        ({"DISPLAY": ":0"}, "linux", ("egl", "osmesa", "glfw")),
        ({"MUJOCO_GL": "osmesa", "DISPLAY": ":0"}, "linux", ("osmesa",)),
        ({}, "darwin", ("",)),
    ],
)
def test_the_users_choice_of_graphics_library_is_the_only_one(environ: dict[str, str], platform: str, libraries: tuple[str, ...]) -> None:
    assert graphics_libraries(environ, platform) == libraries


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "scripts" / name, *arguments], capture_output=True, text=True, check=False)


def test_the_watch_script_says_where_the_film_is(run: Path) -> None:
    done = script("watch.py", str(run), "--out", str(run / "strip.png"), "--frames", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{run / 'strip.png'}: 2 frames of an episode of 30 steps, return -")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no policy"),
        (["nowhere", "--out", "film.avi"], "a film ends in .mp4, .gif, .png"),
        (["nowhere", "--frames", "1"], "at least 2"),
    ],
)
def test_the_watch_script_answers_bad_input_with_a_sentence(arguments: list[str], words: str) -> None:
    done = script("watch.py", *arguments)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr


def test_the_eval_script_prints_the_evaluation(run: Path) -> None:
    from ppo_sweep import load_policy
    from ppo_sweep.runs.evaluation import evaluate

    done = script("eval.py", str(run), "--episodes", "3", "--seed", "5", "--mode", "sampled")
    assert done.returncode == 0, done.stderr
    returns = evaluate(load_policy(run), episodes=3, seed=5, mode="sampled").returns
    assert f"mean {returns.mean():.2f}  sd {returns.std(ddof=1):.2f}" in done.stdout and "n 3" in done.stdout


def test_the_eval_script_measures_uniform_actions() -> None:
    done = script("eval.py", "--random", "env=pendulum", "env.max_episode_steps=20", "--episodes", "2")
    assert done.returncode == 0, done.stderr
    assert "Pendulum-v1, uniform actions, 2 episodes" in done.stdout and "length  mean 20.0" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "either a RUN or --random"),
        (["nowhere"], "no policy"),
        (["--random", "env=hoper"], "hopper"),
        (["nowhere", "--episodes", "0"], "at least 1"),
    ],
)
def test_the_eval_script_answers_bad_input_with_a_sentence(arguments: list[str], words: str) -> None:
    done = script("eval.py", *arguments)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr


def test_requests_survive_the_way_to_the_other_process() -> None:
    assert all(isinstance(value, (str, int)) for value in dataclasses.asdict(Request("run", "out.png")).values())
