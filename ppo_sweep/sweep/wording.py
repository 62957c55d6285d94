"""What is said about a run at its end, in one place."""

from __future__ import annotations

import shlex
from pathlib import Path

from ppo_sweep.installation import ROOT, python, typed


def outcome(state: str, directory: Path, score: float | None, reason: str | None) -> str:
    """A run's state, directory, score and the next command: ``done: results/… · score 2410 · watch it: …``."""
    place = shlex.quote(str(directory))
    worth = f"score {score:.4g}" if score is not None else "no score"
    why = f" ({reason})" if reason else ""
    return f"{state}: {place} · {worth}{why} · {_following(state, place)}"


def _following(state: str, place: str) -> str:
    script = ROOT / "scripts" / "watch.py"
    if state == "done" and script.is_file():  # an installed wheel has no scripts
        return f"watch it: {python()} {typed(script)} {place}"
    return "the same command continues it" if state == "stopped" else f"see {place}/train.log"
