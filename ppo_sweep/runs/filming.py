"""One episode of a trained policy as a film (mp4, gif) or a film strip (png).

Runs in a process of its own, ``python -m ppo_sweep.runs.filming``, started by
:mod:`ppo_sweep.runs.watching`: MuJoCo binds to a graphics library when it is imported, and a broken
driver may take the whole process with it.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ppo_sweep.config import ConfigError, EnvConfig
from ppo_sweep.envs import make, observation
from ppo_sweep.envs.making import Made
from ppo_sweep.randomness import episode_seed, generator
from ppo_sweep.runs.errors import StorageError

if TYPE_CHECKING:
    from ppo_sweep.learner.policy import Policy

Picture = NDArray[np.uint8]

#: Frames per second at most: a gif counts in hundredths of a second and is large.
MP4_FPS, GIF_FPS = 50.0, 25.0
#: Pixels: height of a frame in a strip, width of a gif at most, height of the caption under a frame.
STRIP_HEIGHT, GIF_WIDTH, CAPTION = 240, 320, 16
#: Frames side by side in a strip; more go into further rows.
STRIP_COLUMNS = 8
#: Exit codes of this process: this graphics library cannot draw it; none can for want of a package; the run or the
#: file is at fault; the environment could not be made; it cannot be drawn by anything.
CANNOT_DRAW, MISSING_PACKAGE, BAD_RUN, NOT_MADE, NOT_DRAWABLE = 10, 11, 12, 13, 14
#: ``mjtCamLight``: a camera that keeps its distance to the centre of mass of a body.
TRACKCOM = 2
#: ``mjtCamera``: a free camera that follows ``trackbodyid``.
TRACKING = 1


@dataclass(frozen=True)
class Request:
    """What to film: the episode ``seed`` of the policy in ``run``, into ``out`` (its suffix says as what)."""

    run: str
    out: str
    frames: int = 8
    seed: int = 0
    mode: str = "deterministic"


@dataclass(frozen=True)
class Filmed:
    """What came of it; ``length`` in agent steps."""

    out: str
    frames: int
    return_: float
    length: int


@dataclass(frozen=True)
class Moment:
    """The state after ``step`` agent steps, ``return_`` so far."""

    step: int
    return_: float


class CannotDraw(RuntimeError):
    """The environment cannot be rendered in this process."""


class NotDrawable(RuntimeError):
    """The environment has no pictures, whatever is installed."""


class Stage:
    """The environment of a policy, made to be looked at, and one episode of it.

    Made anew for each showing, so that the episode is the same each time (a Box2D world remembers).
    """

    def __init__(self, policy: Policy, request: Request) -> None:
        self._policy, self._request = policy, request
        self.config = policy.env_config
        self.env = _drawable(self.config)
        dt = getattr(self.env.unwrapped, "dt", None)
        per_step = float(dt) if isinstance(dt, (int, float)) and dt > 0 else 1.0 / self.env.metadata.get("render_fps", 30)
        #: Seconds of simulated time in one agent step.
        self.seconds = per_step * self.config.action_repeat

    def episode(self) -> Iterator[Moment]:
        """Yield the start and the state after each agent step, to the end of the episode."""
        seed, space = self._request.seed, self.env.action_space
        low, high = self._policy.spec.action_low, self._policy.spec.action_high
        flatten = observation.flattener(self.env.observation_space) or np.asarray
        noise = generator(seed, "watch_noise")
        raw, _ = self.env.reset(seed=episode_seed(seed, "watch"))
        return_ = 0.0
        yield Moment(0, return_)
        for step in itertools.count(1):
            action = self._policy.act(flatten(raw), deterministic=self._request.mode == "deterministic", rng=noise)
            given = np.clip(action, low, high).reshape(space.shape or (-1,))
            over = False
            for _ in range(self.config.action_repeat):
                raw, reward, terminated, truncated, _ = self.env.step(given)
                return_ += float(reward)
                over = bool(terminated or truncated)
                if over:
                    break
            yield Moment(step, return_)
            if over:
                return

    def picture(self) -> Picture:
        """The current state, ``(height, width, 3)``."""
        follow(self.env.unwrapped, self.config)
        try:
            drawn: Any = self.env.render()
        except NotImplementedError:
            drawn = None
        if drawn is None:
            raise _not_drawable(self.config, self.env.metadata)
        return np.asarray(drawn, np.uint8)


def _drawable(config: EnvConfig) -> Made:
    """The environment, made to be drawn.

    Raises:
        ConfigError: it cannot be made like this; with another graphics library it may be.
        NotDrawable: it can be made, only not to be drawn.
    """
    try:
        return make(config, lambda message: None, render_mode="rgb_array")
    except ConfigError:
        blind = make(config, lambda message: None)
        blind.close()
        if "rgb_array" in blind.metadata.get("render_modes", ()):
            raise
        raise _not_drawable(config, blind.metadata) from None


def _not_drawable(config: EnvConfig, metadata: Mapping[str, Any]) -> NotDrawable:
    modes = ", ".join(map(str, metadata.get("render_modes", ()))) or "none"
    return NotDrawable(f"{config.id} draws no pictures: a film needs render_mode 'rgb_array', and its render modes are: {modes}")


def follow(base: Any, config: EnvConfig) -> None:
    """Let the camera of a MuJoCo environment go with the body, unless ``env.kwargs`` chose one.

    Gymnasium 1.4 looks from a free camera that stands still, whatever ``trackbodyid`` says: a runner is
    out of the picture after a second. Most models bring a camera that follows; dm_control's that bring
    none have a fixed one first that shows the scene.
    """
    renderer, render_kwargs = getattr(base, "mujoco_renderer", None), getattr(base, "render_kwargs", None)
    if renderer is not None:
        if renderer.camera_id != -1 or {"camera_id", "camera_name", "default_camera_config"} & set(config.kwargs):
            return
        looks = renderer.default_cam_config or {}
        following = _following_camera(renderer.model)
        if following is not None:
            renderer.camera_id = following
        elif looks.get("trackbodyid", -1) > 0:  # 0 is the world
            renderer.default_cam_config = {"type": TRACKING, **looks}
    elif isinstance(render_kwargs, dict) and hasattr(base, "physics"):
        model = base.physics.model
        following = _following_camera(model)
        render_kwargs.setdefault("camera_id", following if following is not None else 0 if model.ncam else -1)


def _following_camera(model: Any) -> int | None:
    """The first camera of a MuJoCo model that follows a centre of mass; cameras on hands and eyes are of other kinds."""
    return next((i for i, mode in enumerate(model.cam_mode) if int(mode) == TRACKCOM), None)


@contextmanager
def stage(policy: Policy, request: Request, *, drawn: bool = True) -> Iterator[Stage]:
    """A :class:`Stage`, known to draw if ``drawn``; one that draws must be the only one of this process.

    Raises:
        CannotDraw: if it does not; its cause says why.
        ConfigError: it could not even be made.
        NotDrawable: nothing draws it.
    """
    try:
        opened = Stage(policy, request)
        if drawn:
            opened.env.reset(seed=0)
            if not np.ptp(opened.picture()):
                raise CannotDraw("pictures come out in a single colour")
    except (CannotDraw, ConfigError, NotDrawable):
        raise
    except Exception as error:
        raise CannotDraw(" ".join(f"{type(error).__name__}: {error}".split())) from error
    try:
        yield opened
    finally:
        opened.env.close()


def film(policy: Policy, request: Request) -> Filmed:
    """Film one episode into ``request.out``, which appears when it is complete."""
    out = Path(request.out)
    part = out.with_name(f".{out.stem}.part{out.suffix}")
    record = {".mp4": _mp4, ".gif": _gif, ".png": _strip}[out.suffix]
    if not out.parent.is_dir():
        raise StorageError(f"cannot write {out}: there is no directory {out.parent}")
    try:
        try:
            filmed = record(policy, request, part)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error.strerror or error}") from error
    return filmed


def strip_moments(length: int, frames: int) -> list[int]:
    """Steps 0 … ``length`` at ``frames`` equal distances, first and last included; fewer if the episode is shorter."""
    return sorted({round(step) for step in np.linspace(0, length, min(frames, length + 1))})


def playing_speed(seconds: float, fps: float) -> tuple[int, float]:
    """``(every k-th agent step, frames per second)`` that show steps of so many seconds in real time with at most ``fps``."""
    every = max(1, math.ceil(1 / (seconds * fps) - 1e-9))
    return every, 1 / (seconds * every)


def _mp4(policy: Policy, request: Request, path: Path) -> Filmed:
    from imageio_ffmpeg import write_frames

    with stage(policy, request) as played:
        every, fps = playing_speed(played.seconds, MP4_FPS)
        writer, frames, moment = None, 0, Moment(0, 0.0)
        try:
            for moment in played.episode():
                if moment.step % every:
                    continue
                picture = played.picture()
                height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2  # H.264 wants even sides
                if writer is None:
                    writer = write_frames(str(path), (width, height), fps=fps, macro_block_size=2, ffmpeg_log_level="error")
                    writer.send(None)
                writer.send(np.ascontiguousarray(picture[:height, :width]).tobytes())
                frames += 1
        finally:
            if writer is not None:
                writer.close()
    return Filmed(request.out, frames, moment.return_, moment.step)


def _gif(policy: Policy, request: Request, path: Path) -> Filmed:
    with stage(policy, request) as played:
        every, fps = playing_speed(played.seconds, GIF_FPS)
        pictures, moment = [], Moment(0, 0.0)
        for moment in played.episode():
            if moment.step % every == 0:
                image = Image.fromarray(played.picture())
                image.thumbnail((GIF_WIDTH, GIF_WIDTH))
                pictures.append(image.quantize(64))
    first, *more = pictures
    first.save(path, save_all=True, append_images=more, duration=max(20, round(100 / fps) * 10), loop=0)
    return Filmed(request.out, len(pictures), moment.return_, moment.step)


def _strip(policy: Policy, request: Request, path: Path) -> Filmed:
    """Two showings: drawing is slow, and only the second knows where equal times are."""
    # Not drawn: MuJoCo's graphics context of a closed environment, when collected, blinds the next one.
    with stage(policy, request, drawn=False) as played:
        *_, last = played.episode()
    chosen = set(strip_moments(last.step, request.frames))
    with stage(policy, request) as played:
        pictures = [_captioned(played.picture(), moment) for moment in played.episode() if moment.step in chosen]
    width, height = pictures[0].size
    columns = min(len(pictures), STRIP_COLUMNS)
    sheet = Image.new("RGB", (columns * width, math.ceil(len(pictures) / columns) * height), "white")
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % columns * width, i // columns * height))
    sheet.save(path)
    return Filmed(request.out, len(pictures), last.return_, last.step)


def _captioned(picture: Picture, moment: Moment) -> Image.Image:
    image = Image.fromarray(picture)
    image.thumbnail((4 * STRIP_HEIGHT, STRIP_HEIGHT))
    framed = Image.new("RGB", (image.width + 2, image.height + CAPTION), "white")
    framed.paste(image, (1, 0))
    ImageDraw.Draw(framed).text((3, image.height + 2), f"step {moment.step}  return {moment.return_:.1f}", fill="black")
    return framed


def main() -> int:
    """Film the request in the first argument (JSON); the answer is a line of JSON, or an exit code and a reason.

    With a second argument ``make`` the environment is only made, not drawn.
    """
    from ppo_sweep.runs.policy import load_policy

    request = Request(**json.loads(sys.argv[1]))
    try:
        policy = load_policy(request.run)
        if sys.argv[2:] == ["make"]:
            make(policy.env_config, lambda message: None).close()
            return 0
        filmed = film(policy, request)
    except (CannotDraw, ConfigError, NotDrawable, StorageError) as error:
        print(error, file=sys.stderr)
        return _exit_code(error)
    print(json.dumps(asdict(filmed)))
    return 0


def _exit_code(error: CannotDraw | ConfigError | NotDrawable | StorageError) -> int:
    if isinstance(error, CannotDraw):
        return MISSING_PACKAGE if isinstance(error.__cause__, DependencyNotInstalled) else CANNOT_DRAW
    if isinstance(error, ConfigError):
        return NOT_MADE
    return NOT_DRAWABLE if isinstance(error, NotDrawable) else BAD_RUN


if __name__ == "__main__":
    sys.exit(main())
