"""What the runs came from: commands, versions, hosts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ppo_sweep.report.frame import Results
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.status import Status, read_status
from ppo_sweep.runs.study_file import read_study


@dataclass(frozen=True)
class Provenance:
    """Where the runs come from.

    Attributes:
        commands: as typed, oldest first; of single runs one line each, a few at most.
        more_commands: how many single runs are not listed.
        versions: one line per set of versions that runs were computed with.
        hosts: names.
        mixed: runs of which parts were computed with different versions.
        updated: when a run's files last changed, local time.
    """

    commands: tuple[str, ...]
    more_commands: int
    versions: tuple[str, ...]
    hosts: tuple[str, ...]
    mixed: int
    updated: str


#: Commands of single runs that are listed.
_LISTED = 8


def provenance(results: Results) -> Provenance:
    """Read it from ``study.json`` and every ``status.json``; what cannot be read is left out, :func:`load` has said so."""
    statuses = [read_status(Path(path)) for path in results.runs["path"]]
    commands, listed = _study_commands(results)
    single = [
        f"python train.py {shlex.join(status.overrides)}".strip()
        for status, path in zip(statuses, results.runs["path"], strict=True)
        if path not in listed and status.state not in ("absent", "unreadable")
    ]
    single = list(dict.fromkeys(single))
    return Provenance(
        commands=(*commands, *single[:_LISTED]),
        more_commands=len(single[_LISTED:]),
        versions=tuple(dict.fromkeys(_versions(status) for status in statuses if status.versions)),
        hosts=tuple(dict.fromkeys(status.host for status in statuses if status.host)),
        mixed=sum(status.mixed_versions for status in statuses),
        updated=max((status.updated for status in statuses), default=""),
    )


def _study_commands(results: Results) -> tuple[list[str], set[str]]:
    """Commands of the studies, and the directories of the runs that they list."""
    commands: list[str] = []
    listed: set[str] = set()
    for study in _studies(results.runs["path"]):
        try:
            found = read_study(study)
        except StorageError:
            continue
        if found is None or not found.command:
            continue
        commands += [typed(words) for words in (*found.commands, found.command)]
        listed |= {str(study / member.path) for member in found.members}
    return commands, listed


def _studies(paths: Sequence[str]) -> list[Path]:
    """Directories above the runs that hold a ``study.json``."""
    above = dict.fromkeys(parent for path in paths for parent in list(Path(path).parents)[:4])
    return [parent for parent in above if (parent / "study.json").is_file()]


def typed(words: Sequence[str]) -> str:
    """A command as it can be pasted into a shell, with the program where the words begin after it."""
    return shlex.join(words) if words and words[0].endswith((".py", "python")) else f"python train.py {shlex.join(words)}"


def _versions(status: Status) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(status.versions.items()))
