"""What each run was asked to be: its resolved configuration, and what of it was typed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

try:  # libyaml, where PyYAML was built with it: ten times as fast
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # pragma: no cover
    from yaml import SafeLoader

from ppo_sweep.config import SCHEMA_VERSION
from ppo_sweep.report import knobs
from ppo_sweep.report.knobs import Asked
from ppo_sweep.report.places import Place
from ppo_sweep.runs import durable, naming, stored_config
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.status import Status
from ppo_sweep.sweep.study.kept import REPORT_FROM

_CONFIG_LIMIT = 2**20


@cache
def default_choices() -> Mapping[str, str]:
    """The choice of each group that is not typed, from ``conf/config.yaml`` (``{"recipe": "standard", …}``)."""
    # Hydra is behind this import: not needed by whoever only wants the types of this module.
    from ppo_sweep.sweep.composition import CONF

    document = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))
    return {
        key: str(item[key]) for item in document["defaults"] if isinstance(item, dict) for key in item if key in (*knobs.CHOICES, "env")
    }


def configuration(directory: Path, notes: list[str]) -> dict[str, Any]:
    """Full key → value of a run's configuration; what cannot be read is empty, with a note."""
    path = directory / stored_config.NAME
    try:
        content = durable.read(path, limit=_CONFIG_LIMIT)
        document = None if content is None or _has_alias(content) else SafeLoader(content).get_single_data()
    except (StorageError, yaml.YAMLError, ValueError, RecursionError) as error:
        notes.append(f"{path}: cannot be read ({' '.join(str(error).split())[:120]}); the knobs of this run are not known")
        return {}
    if not isinstance(document, dict):
        notes.append(f"{path}: {'is missing' if content is None else 'holds no configuration'}; the knobs of this run are not known")
        return {}
    schema = document.pop("schema_version", None)
    document.pop("hash", None)
    if schema != SCHEMA_VERSION:
        notes.append(
            f"{path}: schema_version {schema!r} instead of {SCHEMA_VERSION}: of another version of ppo_sweep, read by its knobs' names"
        )
    return {name: leaf for key, item in document.items() for name, leaf in naming.flatten(str(key), item).items()}


def _has_alias(content: bytes) -> bool:
    """Whether parts of a file refer to others: ours never do, and one that does could unfold without end."""
    return b"*" in content and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, SafeLoader))


def typed(place: Place, status: Status, config: Mapping[str, Any]) -> dict[str, Any]:
    """Full key → value of what was typed for a run: from ``study.json`` if it lists it, else the words in its status."""
    if place.member is not None:
        overrides = dict(place.member.overrides)
    else:
        words = [word.lstrip("+").partition("=") for word in status.overrides if not word.startswith("~")]
        overrides = {key: config.get(key, text) for key, _, text in words if key}
    flat = {name: leaf for key, item in overrides.items() for name, leaf in naming.flatten(key, item).items()}
    return {name: leaf for name, leaf in flat.items() if not naming.is_operational(name)}


def asked(
    ids: Mapping[str, Place], configs: Mapping[str, Mapping[str, Any]], overrides: Mapping[str, Mapping[str, Any]]
) -> dict[str, Asked]:
    """What each run was asked to be; runs of one environment carry one name, however it was typed."""
    chosen = {run: _choice(overrides[run].get("env")) for run in ids}
    environment = {run: str(configs[run].get("env.id") or chosen[run] or "unknown") for run in ids}
    names: dict[str, set[str]] = {}
    for run, name in chosen.items():
        if name is not None:
            names.setdefault(environment[run], set()).add(name)
    return {run: Asked(_name(chosen[run], environment[run], names), configs[run], overrides[run], seed_kind(ids[run])) for run in ids}


def _choice(env: Any) -> str | None:
    """``env=any`` says nothing of the environment."""
    return None if env is None or env == "any" else str(env)


def _name(chosen: str | None, environment: str, names: Mapping[str, set[str]]) -> str:
    known = names.get(environment, set())
    return chosen or (next(iter(known)) if len(known) == 1 else environment)


def seed_kind(place: Place) -> str:
    """Of which kind the seed of a run in an Optuna study is."""
    first = place.directory.relative_to(place.study).parts[:1]
    if first == ("confirm",):
        seed = place.directory.name.rpartition("=")[2]
        return "report" if seed.isdigit() and int(seed) >= REPORT_FROM else "confirmation"
    return "tuning" if first and first[0].startswith("trial=") else ""
