"""What makes two studies one: compared when a study's directory exists already.

A study is its space, sampler, pruner, seeds, metric, environments and the default configuration, fixed overrides
included: with any other, its earlier trials would be compared with what they are not. How long it
goes on (``n_trials``, ``timeout``, ``max_env_steps``) and how it is confirmed is not part of it. Where its trials are stored is
not either, but they stay there (:func:`check_storage`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ppo_sweep.config import OPERATIONAL_KEYS, Config
from ppo_sweep.runs import naming, stored_config, strict_json
from ppo_sweep.runs.errors import CorruptFile, DirectoryMismatch
from ppo_sweep.runs.study_file import NAME, read_study
from ppo_sweep.sweep.study import kept
from ppo_sweep.sweep.study.options import StudyOptions
from ppo_sweep.sweep.study.space import Space

#: The key in ``study.json``.
KEY = kept.IDENTITY

#: Options that are part of a study.
_OPTIONS = ("sampler", "pruner", "seeds", "metric", "std_weight", "direction", "rungs", "prune_audit", "env")

#: As many differences are named.
_SHOWN = 8


def identity(space: Space, options: StudyOptions, seed: int, defaults: Sequence[Config]) -> dict[str, Any]:
    """What ``study.json`` keeps under :data:`KEY`, as plain values.

    Args:
        seed: of the sampler.
        defaults: the default configuration in each environment.
    """
    configs = [{key: value for key, _, value in config.walk() if key != "seed" and key not in OPERATIONAL_KEYS} for config in defaults]
    return strict_json.decode(
        strict_json.encode(
            {
                "space": space.describe(),
                "options": {name: getattr(options, name) for name in _OPTIONS},
                "seed": seed,
                "default": configs,
            }
        ),
        Path(NAME),
    )


def compare(study: Path, wanted: Mapping[str, Any]) -> None:
    """Refuse a directory that holds another study than ``wanted``.

    Raises:
        DirectoryMismatch: with what differs.
        CorruptFile, StorageError: as :func:`~ppo_sweep.runs.study_file.read_study`.
    """
    found = read_study(study)
    before = None if found is None else found.other.get(KEY)
    if before is None and not (study / kept.JOURNAL).exists() and any(_strangers(study)):
        raise DirectoryMismatch(f"{study} holds runs of another command, which are no trials; give another study=")
    if not isinstance(before, dict) or before == wanted:
        return
    lines = differences(before, wanted)
    shown = [*lines[:_SHOWN], *([f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else [])]
    raise DirectoryMismatch(
        f"{study} holds another study: {'; '.join(shown)}. Its trials cannot be continued under other rules: give another study=, or "
        "what it was begun with"
    )


def _strangers(study: Path) -> Iterator[Path]:
    """Runs in a directory that are no study's."""
    return (path for path in study.glob(f"*/seed=*/{stored_config.NAME}") if not path.parts[-3].startswith(("trial=", "confirm")))


def check_storage(study: Path, *, shared: bool) -> None:
    """Refuse to begin a second search in the directory of a study whose trials are elsewhere.

    Args:
        shared: the trials are to be in a database, not in the journal.

    Raises:
        DirectoryMismatch: the study was begun in the other one.
        StorageError: as :func:`~ppo_sweep.runs.study_file.read_study`.
    """
    try:
        found = read_study(study)
    except CorruptFile:  # the journal, if it is there, still says where they are
        found = None
    other = {} if found is None else found.other
    in_database = kept.OWNER in other
    if in_database and not shared:
        raise DirectoryMismatch(f"{study}: its trials are in a database; give the sweep.storage it was begun with")
    if shared and not in_database and (KEY in other or (study / kept.JOURNAL).exists()):
        raise DirectoryMismatch(f"{study}: its trials are in its journal, {kept.JOURNAL}; leave sweep.storage out")


def differences(earlier: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What differs, one line each: ``sweep.sampler was tpe, now gp``."""
    before, now = _flat(earlier), _flat(wanted)
    lines = []
    for key in dict.fromkeys([*before, *now]):
        if key not in now:
            lines.append(f"{key} was {before[key]}, now it is not searched" if key.startswith("space of") else f"{key} was {before[key]}")
        elif key not in before:
            lines.append(f"{key} is {now[key]}, before it was not searched" if key.startswith("space of") else f"{key} is {now[key]}")
        elif before[key] != now[key]:
            lines.append(f"{key} was {before[key]}, now {now[key]}")
    return lines


def _flat(identity: Mapping[str, Any]) -> dict[str, str]:
    """Key → value as text."""
    flat = {f"space of {key}": naming.shortest(entry) for key, entry in dict(identity.get("space", {})).items()}
    flat |= {f"sweep.{key}": naming.shortest(value) for key, value in dict(identity.get("options", {})).items()}
    flat["seed"] = naming.shortest(identity.get("seed"))
    defaults = list(identity.get("default", []))
    for index, default in enumerate(defaults):
        where = "" if len(defaults) == 1 else f" in environment {index + 1}"
        flat |= {f"{key}{where}": naming.shortest(value) for key, value in dict(default).items()}
    return flat
