"""What dm_control needs beyond Gymnasium: registration on demand, its own step limit, a shorter way through shimmy.

Nothing here imports dm_control by itself (a third of a second): only ids of its namespace do.
"""

from __future__ import annotations

import contextlib
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

NAMESPACE = "dm_control"

#: What the suite's registered constructors take; the rest they hand to rendering.
KWARGS = ("task_kwargs", "environment_kwargs", "visualize_reward")


def register() -> None:
    """Import shimmy, which registers every ``dm_control/…`` id with Gymnasium.

    Raises:
        ImportError: if shimmy or dm_control is missing.
    """
    with warnings.catch_warnings():
        # Without a display glfw says so on import; nothing is rendered here.
        warnings.filterwarnings("ignore", message=r".*DISPLAY.*")
        import dm_control.suite  # noqa: F401  shimmy only registers what it can import, and says nothing
        import shimmy  # noqa: F401


def seeded(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """``kwargs`` with a fixed seed for construction.

    Some tasks draw their *model* when they are made (``lqr``: stiffness and damping), from the clock
    unless told otherwise. Every reset seeds the task anew, so only construction is touched.
    """
    return {**kwargs, "task_kwargs": {"random": 0, **(kwargs.get("task_kwargs") or {})}}


@contextlib.contextmanager
def plain_sky() -> Iterator[None]:
    """Suite tasks made inside have a sky of 8 × 8 pixels instead of 800 × 800, for when nothing is rendered.

    Each task compiles its own: 60 of the 77 ms that cheetah-run takes to make, and 11 of its 12 MB
    (9 members of 64 environments would need 6 GB). The physics does not see it.
    """
    from dm_control.suite import common

    asset = "./common/skybox.xml"
    painted = common.ASSETS.get(asset)
    if painted is None:  # another dm_control: nothing to save, nothing lost
        yield
        return
    common.ASSETS[asset] = re.sub(rb'(width|height)="\d+"', rb'\1="8"', painted)
    try:
        yield
    finally:
        common.ASSETS[asset] = painted


def is_suite_task(env: Any) -> bool:
    """Whether ``env`` is exactly shimmy's wrapper around a ``dm_control.suite`` environment."""
    shimmy: Any = sys.modules.get("shimmy.dm_control_compatibility")
    if shimmy is None or type(env) is not shimmy.DmControlCompatibilityV0:
        return False
    return type(env._env) is shimmy.control.Environment


def step_limit(base: Any) -> int | None:
    """The task's own time limit in environment steps, None if it has none."""
    if not is_suite_task(base):
        return None
    limit: float = base._env._step_limit
    # control.Environment ends the episode at the first count that is not below its (fractional) limit.
    return math.ceil(limit) if math.isfinite(limit) else None


def lift_step_limit(base: Any) -> None:
    """Take the task's own time limit away, so that another one can be longer."""
    if is_suite_task(base):
        base._env._step_limit = math.inf


def direct_step(env: Any) -> Callable[[Any], tuple[Any, float, bool, bool, Any]] | None:
    """``step`` of a suite task without shimmy's copies of every observation (8 of 39 µs on cheetah-run).

    Same values as ``shimmy.utils.dm_env.dm_env_step2gym_step``; None where ``env`` is anything else.
    """
    if not is_suite_task(env) or env.render_mode is not None:
        return None
    advance = env._env.step

    def step(action: Any) -> tuple[Any, float, bool, bool, Any]:
        timestep = advance(action)
        last = timestep.last()
        going_on = last and timestep.discount > 0
        return timestep.observation, timestep.reward or 0.0, last and not going_on, going_on, None

    return step
