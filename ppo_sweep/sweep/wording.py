"""What is said about a run at its end, in one place."""

from __future__ import annotations

import shlex
from pathlib import Path

from ppo_sweep.installation import ROOT, python, typed


def outcome(state: str, directory: Path, score: float | None, reason: str | None) -> str:
    """A run's state, directory, score and the next command: ``done: results/… · score 2410 · watch it: …``."""
    worth = f"score {score:.4g}" if score is not None else "no score"
    why = f" ({reason})" if reason else ""
    return f"{state}: {shlex.quote(str(directory))} · {worth}{why} · {_following(state, directory)}"


def script(name: str, place: Path) -> str | None:
    """``python scripts/NAME PLACE`` as typed from here; None where there are no scripts, as with an installed wheel."""
    path = ROOT / "scripts" / name
    return f"{python()} {typed(path)} {shlex.quote(str(place))}" if path.is_file() else None


def _following(state: str, directory: Path) -> str:
    if state == "done" and (watch := script("watch.py", directory)):
        return f"watch it: {watch}"
    return "the same command continues it" if state == "stopped" else f"see {shlex.quote(str(directory / 'train.log'))}"
