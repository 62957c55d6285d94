"""What is said about a run at its end, in one place."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def python() -> str:
    """How the Python in use is typed from here: ``.venv/bin/python``, or ``python`` where it lies elsewhere."""
    executable, here = Path(sys.executable), Path.cwd()
    return shlex.quote(str(executable.relative_to(here))) if executable.is_relative_to(here) else "python"


def outcome(state: str, directory: Path, score: float | None, reason: str | None) -> str:
    """A run's state, directory, score and the next command: ``done: results/… · score 2410 · watch it: …``."""
    place = shlex.quote(str(directory))
    worth = f"score {score:.4g}" if score is not None else "no score"
    why = f" ({reason})" if reason else ""
    following = {"done": f"watch it: {python()} scripts/watch.py {place}", "stopped": "the same command continues it"}
    return f"{state}: {place} · {worth}{why} · {following.get(state, f'see {place}/train.log')}"
