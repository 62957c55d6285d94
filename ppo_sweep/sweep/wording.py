"""What is said about a run at its end, in one place."""

from __future__ import annotations

import shlex
from pathlib import Path


def outcome(state: str, directory: Path, score: float | None, reason: str | None) -> str:
    """A run's state, directory, score and the next command: ``done: results/… · score 2410 · watch it: …``."""
    place = shlex.quote(str(directory))
    worth = f"score {score:.4g}" if score is not None else "no score"
    why = f" ({reason})" if reason else ""
    following = {"done": f"watch it: python scripts/watch.py {place}", "stopped": "the same command continues it"}
    return f"{state}: {place} · {worth}{why} · {following.get(state, f'see {place}/train.log')}"
