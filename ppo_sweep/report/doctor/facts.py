"""Action bounds and time limit of a run's environment: from its files, else by making the environment once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ppo_sweep.config import ConfigError
from ppo_sweep.report.doctor.record import EnvironmentFacts
from ppo_sweep.runs import durable, stored_config, strict_json
from ppo_sweep.runs.errors import StorageError

_POLICY = "policy.json"


class KnownEnvironments:
    """Facts of environments, each looked up once."""

    def __init__(self) -> None:
        self._known: dict[str, EnvironmentFacts] = {}
        self._made: dict[str, EnvironmentFacts] = {}

    def facts(self, directory: Path, config: Mapping[str, Any], read_episodes: Callable[[], pd.DataFrame]) -> EnvironmentFacts:
        """What is known of the environment of one run.

        The bounds stand in ``policy.json`` of a finished run, the time limit in the configuration or in the
        longest of its episodes that was cut by it. What none of these says, the environment is asked.
        """
        key = json.dumps({name: value for name, value in sorted(config.items()) if name.startswith("env.")}, default=repr)
        known = self._known.get(key)
        if known is None or None in (known.half_range, known.horizon):
            half_range = (known and known.half_range) or half_range_of(directory)
            horizon = (known and known.horizon) or horizon_of(config, read_episodes)
            if None in (half_range, horizon):
                made = self._ask(key, directory)
                half_range, horizon = half_range or made.half_range, horizon or made.horizon
            known = self._known[key] = EnvironmentFacts(half_range, horizon)
        return known

    def _ask(self, key: str, directory: Path) -> EnvironmentFacts:
        if key not in self._made:
            self._made[key] = _made(directory)
        return self._made[key]


def half_range_of(directory: Path) -> tuple[float, ...] | None:
    """Half the action range per component, from the final policy of a run; None before it is written."""
    path = directory / _POLICY
    try:
        content = durable.read(path, limit=strict_json.SIZE_LIMIT)
        if content is None:
            return None
        architecture = strict_json.decode(content, path)["architecture"]
        pairs = zip(architecture["action_low"], architecture["action_high"], strict=True)
        return tuple((_bound(high) - _bound(low)) / 2 for low, high in pairs) or None
    except (StorageError, KeyError, TypeError, ValueError):
        return None  # fsck and the report's notes are for damaged files; here another source takes over


def _bound(value: Any) -> float:
    """A bound as ``policy.json`` writes it; no bound is null or a word."""
    return float("inf") if value is None else float(value)


def horizon_of(config: Mapping[str, Any], read_episodes: Callable[[], pd.DataFrame]) -> int | None:
    """Time limit in agent steps; None if neither the configuration nor an episode tells."""
    limit = config.get("env.max_episode_steps")
    if limit is not None:
        return -(-int(limit) // int(config.get("env.action_repeat", 1)))
    episodes = read_episodes()
    if episodes.empty:
        return None
    cut = episodes[(episodes["terminated"] == 0) & (episodes["partial"] == 0)]["length"]
    return int(cut.max()) if len(cut) else None


def _made(directory: Path) -> EnvironmentFacts:
    """By making the environment, which costs about a second; nothing is known of one that cannot be made here."""
    from ppo_sweep.envs.spec import inspect

    try:
        spec = inspect(stored_config.read_config(directory).env)
    except (ConfigError, StorageError):
        return EnvironmentFacts()
    return EnvironmentFacts(tuple(((spec.action_high - spec.action_low) / 2).astype(float).tolist()), spec.horizon)
