"""Watching a trained policy: find a graphics library that draws here, and film with it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ppo_sweep.config import ConfigError, Fault
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.filming import BAD_RUN, CANNOT_DRAW, MISSING_PACKAGE, NOT_DRAWABLE, NOT_MADE, Filmed, Request

FORMATS = (".mp4", ".gif", ".png")

_ADVICE = """Without a screen, drawing needs one of two libraries. On Debian and Ubuntu:
  apt install libegl1 libgl1      (tried as MUJOCO_GL=egl)
  apt install libosmesa6          (tried as MUJOCO_GL=osmesa)"""


class NoRenderer(RuntimeError):
    """Nothing on this machine draws this environment; the message says what was tried and what to install."""


def watch(request: Request) -> Filmed:
    """Film one episode of a run's policy.

    Raises:
        NoRenderer: with what was tried, and what to install.
        ConfigError: the environment of the run cannot be made any more.
        StorageError: no policy there, or the film cannot be written.
        ValueError: the suffix of ``request.out`` is none of :data:`FORMATS`.
    """
    if Path(request.out).suffix not in FORMATS:
        raise ValueError(f"{request.out}: a film ends in {', '.join(FORMATS)}")
    if Path(request.out).suffix == ".mp4" and not has_ffmpeg():
        raise NoRenderer("an mp4 needs ffmpeg: pip install imageio-ffmpeg, or choose a .gif or .png with --out")
    reasons: dict[str, str] = {}
    for library in graphics_libraries(os.environ):
        done = _film_with(library, request)
        if done.returncode == 0:
            return Filmed(**json.loads(done.stdout.splitlines()[-1]))
        reason = _reason(done)
        if done.returncode == BAD_RUN:
            raise StorageError(reason)
        if done.returncode == MISSING_PACKAGE:
            raise NoRenderer(f"what draws this environment is not installed: {reason}")
        if done.returncode == NOT_DRAWABLE:
            raise NoRenderer(reason)
        if done.returncode == NOT_MADE and not reasons:
            _check_environment(request)
        if done.returncode > 0 and done.returncode not in (CANNOT_DRAW, NOT_MADE):
            raise RuntimeError(done.stderr)
        reasons[library or "default"] = reason
    tried = "\n".join(f"  {library}: {reason}" for library, reason in reasons.items())
    raise NoRenderer(f"nothing on this machine draws this environment; tried\n{tried}\n{_ADVICE}")


def default_film(run: Path) -> Path:
    """``watch.mp4`` in the run's directory, or ``watch.gif`` where there is no ffmpeg."""
    return run / ("watch.mp4" if has_ffmpeg() else "watch.gif")


def has_ffmpeg() -> bool:
    """Whether mp4 can be written."""
    return importlib.util.find_spec("imageio_ffmpeg") is not None


def graphics_libraries(environ: Mapping[str, str], platform: str = sys.platform) -> tuple[str, ...]:
    """Values of ``MUJOCO_GL`` to try, best first; the user's own choice is the only one, "" leaves it to MuJoCo."""
    if environ.get("MUJOCO_GL"):
        return (environ["MUJOCO_GL"],)
    if not platform.startswith("linux"):
        return ("",)
    screen = environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
    return ("egl", "osmesa", "glfw") if screen else ("egl", "osmesa")


def _check_environment(request: Request) -> None:
    """Make the environment without drawing: MuJoCo fails on import where a graphics library is missing, and that is not its fault."""
    done = _film_with("disabled", request, "make")
    if done.returncode == NOT_MADE:
        key, _, message = _reason(done).partition(": ")
        raise ConfigError([Fault(key, message)])


def _film_with(library: str, request: Request, *mode: str) -> subprocess.CompletedProcess[str]:
    environ = {"SDL_VIDEODRIVER": "dummy", "PYGAME_HIDE_SUPPORT_PROMPT": "1"} | os.environ
    if library:
        environ |= {"MUJOCO_GL": library}
    command = [sys.executable, "-m", "ppo_sweep.runs.filming", json.dumps(asdict(request)), *mode]
    return subprocess.run(command, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"the process was ended by {signal.Signals(-done.returncode).name}"
    return next((line for line in reversed(done.stderr.splitlines()) if line.strip()), f"exit code {done.returncode}")
