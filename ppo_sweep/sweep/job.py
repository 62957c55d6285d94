"""One run that is asked for: what to compute, and where to keep it. Light: loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppo_sweep.config import Config
from ppo_sweep.runs import naming


@dataclass(frozen=True)
class Job:
    """A run with its directory."""

    config: Config
    path: Path
    #: What distinguishes it: full key → parsed value, as typed (``env=any`` may have been added).
    overrides: Mapping[str, Any]
    #: The same as words, for the run's ``status.json``.
    words: tuple[str, ...] = ()

    @classmethod
    def placed(cls, config: Config, study: str, overrides: Mapping[str, Any], words: tuple[str, ...] = ()) -> Job:
        """The job in its place, ``results/<study>/<run>/seed=<n>``; ``study`` is the name of a directory."""
        return cls(config, Path(config.results, study, naming.job_directory(overrides, config.seed)), overrides, words)
