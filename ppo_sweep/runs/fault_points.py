"""Named places where a test may kill the process or make the disk fail.

Every write, fsync, rename, cut and deletion of this package passes a point before and after it, and
every write one in the middle, with half of the bytes written. The environment variable
``PPO_SWEEP_FAULT`` (or :func:`arm`) says what happens where::

    PPO_SWEEP_FAULT=kill@checkpoint.header.rename.before:3    SIGKILL at the third passing
    PPO_SWEEP_FAULT=enospc@metrics.write.middle               'no space left' with half a line written
    PPO_SWEEP_FAULT=stop@status.write.after,eio@config.write.before

The action is the name of a signal or of an errno, in lower case. Unset, a point costs one look at an
empty dictionary.
"""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import dataclass

#: Files written whole: temporary file, fsync, rename, fsync of the directory.
REPLACED = ("config", "status", "checkpoint.tensors", "checkpoint.header", "policy.tensors", "policy.header")
#: The same for a study's own file, which training by itself does not write.
STUDY = ("study",)
#: Tables that only grow, and are cut on resume; the last one, which is not reproducible, is never waited for.
APPENDED = ("metrics", "episodes", "eval", "timing")

_MOMENTS = {"write": ("before", "middle", "after")}


def _points(files: tuple[str, ...], steps: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        f"{file}.{step}.{moment}" for file in files for step in steps for moment in _MOMENTS.get(step, ("before", "after"))
    )  # fmt: skip


#: Every fault point there is.
FAULT_POINTS: tuple[str, ...] = (
    *_points(REPLACED + STUDY, ("write", "fsync", "rename", "fsync_dir")),
    *_points(APPENDED, ("write", "cut")),
    *_points(APPENDED[:-1], ("fsync",)),
    *_points(("log",), ("write",)),
    *_points(("force", "checkpoint"), ("delete",)),
)


@dataclass
class _Strike:
    """What happens at one point: ``action`` at the passing that brings ``left`` to 0."""

    action: str
    left: int


_armed: dict[str, _Strike] = {}


def arm(specification: str) -> None:
    """Arm points as ``PPO_SWEEP_FAULT`` does; an empty text disarms all.

    Raises:
        ValueError: on an unknown point or action, so that a test with a typo cannot pass.
    """
    _armed.clear()
    for item in filter(None, specification.split(",")):
        action, _, place = item.partition("@")
        point, _, passing_number = place.partition(":")
        if point not in FAULT_POINTS:
            raise ValueError(f"PPO_SWEEP_FAULT: no fault point {point!r}; see ppo_sweep/runs/fault_points.py")
        if not (hasattr(errno, action.upper()) or hasattr(signal, f"SIG{action.upper()}")):
            raise ValueError(f"PPO_SWEEP_FAULT: {action!r} is neither a signal nor an errno; for example kill, stop, enospc")
        _armed[point] = _Strike(action, int(passing_number or 1))


def armed() -> bool:
    """Whether any point is armed (a write then goes in two halves)."""
    return bool(_armed)


def passing(point: str) -> None:
    """Mark that the process is at ``point``; does nothing unless that point is armed."""
    if _armed and point in _armed:
        _strike(_armed[point])


def _strike(strike: _Strike) -> None:
    strike.left -= 1
    if strike.left != 0:
        return
    number = getattr(errno, strike.action.upper(), None)
    if number is not None:
        raise OSError(number, os.strerror(number))
    os.kill(os.getpid(), getattr(signal, f"SIG{strike.action.upper()}"))


arm(os.environ.get("PPO_SWEEP_FAULT", ""))
