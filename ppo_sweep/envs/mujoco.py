"""MuJoCo hides its failures: what it says and what it repairs silently, made visible.

Left alone, MuJoCo prints its warnings to stderr, writes them into ``MUJOCO_LOG.TXT`` in the working
directory, and resets an exploded state in mid-episode as if nothing had happened, leaving only a
counter behind (https://mujoco.readthedocs.io/en/stable/APIreference/APItypes.html#mjtwarning).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

#: What MuJoCo said since an environment last relayed it. MuJoCo knows one handler per process, so
#: whoever called into the simulator empties this list right afterwards: then it is its own.
said: list[str] = []

_BAD_STATE = ("BADQPOS", "BADQVEL", "BADQACC")


class SimulationDiverged(RuntimeError):
    """The simulator itself reports that its state is no longer a state of the task."""


def redirect_warnings() -> None:
    """Send MuJoCo's warnings to :data:`said`, and to neither stderr nor a file.

    Called before and after an environment is made: importing dm_control installs a handler of its own.
    """
    try:
        import mujoco
    except ImportError:
        return
    mujoco.set_mju_user_warning(said.append)


def once(warn: Callable[[str], None]) -> Callable[[str], None]:
    """``warn`` that passes each message on once, however often and at whatever simulated time it comes."""
    seen: set[str] = set()

    def relay(message: str) -> None:
        key = re.sub(r"Time = [\d.]+", "", message)
        if key not in seen:
            seen.add(key)
            warn(message)

    return relay


def relay_said(warn: Callable[[str], None]) -> None:
    """Hand everything in :data:`said` to ``warn`` and empty it."""
    messages, said[:] = said[:], []
    for message in messages:
        warn(f"MuJoCo: {message}")


def take_bad_state(base: Any) -> str | None:
    """Why the MuJoCo simulation of the unwrapped environment ``base`` broke since last asked, or None.

    Reads and clears the counters of non-finite or huge positions, velocities and accelerations.
    ``reset`` of an environment clears them too, so ask before it. They take no part in the dynamics.
    Environments without MuJoCo never report anything.
    """
    mujoco: Any = sys.modules.get("mujoco")
    physics = getattr(base, "physics", None)  # dm_control
    simulation = getattr(base if physics is None else physics, "data", None)
    counts = getattr(getattr(simulation, "warning", None), "number", None)
    if mujoco is None or not isinstance(counts, np.ndarray):
        return None
    broken = []
    for name in _BAD_STATE:
        place = int(mujoco.mjtWarning.__members__[f"mjWARN_{name}"])
        if counts[place]:
            broken.append(name)
            counts[place] = 0
    if not broken:
        return None
    return f"MuJoCo found a NaN, infinite or huge value ({', '.join(broken)}) and reset the state in mid-episode"


def is_physics_error(error: RuntimeError) -> bool:
    """Whether ``error`` is how dm_control reports a diverged simulation."""
    control: Any = sys.modules.get("dm_control.rl.control")
    return control is not None and isinstance(error, control.PhysicsError)
