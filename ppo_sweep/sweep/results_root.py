"""Whether the results root can hold anything, found out before a run begins."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ppo_sweep.config import Fault


def root_fault(root: Path, study: str, *, probe: bool) -> Fault | None:
    """What keeps directories from being made in ``root``, if anything.

    Args:
        root: ``results=``; need not exist.
        study: the directory to be made in it.
        probe: for a new study, make a directory where the first one will be and remove it at once. Permissions
            alone do not tell: no one can make one in ``/proc``, and the superuser passes every other check.
    """
    place = root
    try:
        while not _there(place) and place != place.parent:
            place = place.parent
        if place.is_symlink() and not place.exists():
            return Fault("results", f"{str(place)!r} is a link that leads nowhere; remove it or choose another directory")
        if not place.is_dir():
            below = "" if place == root else f", so {str(root)!r} cannot be made"
            return Fault("results", f"{str(place)!r} is a file, not a directory{below}")
        if not os.access(place, os.W_OK | os.X_OK):
            return Fault("results", f"nothing can be written into {str(place)!r}; choose another directory, for example results=results")
        if probe and not _there(root / study):
            os.rmdir(tempfile.mkdtemp(prefix=".", dir=place))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        return Fault("results", f"{str(root)[:80]!r} cannot be made or used ({why}); choose another directory, for example results=results")
    return None


def _there(place: Path) -> bool:
    """Whether anything is there, a broken link too; permissions and names too long raise."""
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
