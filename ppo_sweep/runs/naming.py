"""Names of studies and runs: pure functions from what was asked for to where it is kept.

``results/<study>/<run>/seed=<n>``. The same command always yields the same names (no clock, no
counter), so that it finds its own earlier work; different commands yield different names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from ppo_sweep.config import OPERATIONAL_KEYS, ConfigError, Fault

#: Longest name of one directory, in bytes (most file systems allow 255; archives and mails cut earlier).
MAX_BYTES = 150

_PLAIN = re.compile(r"[A-Za-z0-9._+-]")
_EXPONENT = re.compile(r"e([+-])0*(\d+)$")


def is_operational(key: str) -> bool:
    """Whether ``key`` says how a run is carried out, not what is computed: such keys are in no name."""
    return key in OPERATIONAL_KEYS or key == "sweep" or key.startswith(("sweep.", "sweep/", "hydra.", "hydra/"))


def shortest(value: Any) -> str:
    """A parsed value as text, the same for equal values: ``2e-2`` → ``0.02``, ``1e6`` → ``1000000``, ``None`` → ``null``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        return _EXPONENT.sub(lambda found: f"e{found[1].strip('+')}{found[2]}", repr(value))
    if isinstance(value, (list, tuple)):
        return f"[{','.join(shortest(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{shortest(item)}' for key, item in sorted(value.items()))}}}"
    return str(value)


def encode(text: str) -> str:
    """Percent-encode everything but letters, digits and ``. _ + -``, as UTF-8; the result is a harmless part of a file name."""
    return "".join(char if _PLAIN.match(char) else "".join(f"%{byte:02X}" for byte in char.encode()) for char in text)


def flatten(key: str, value: Any) -> dict[str, Any]:
    """One override as full keys: ``eval={every: 5}`` → ``{"eval.every": 5}`` (a mapping is merged key by key)."""
    if not isinstance(value, Mapping):
        return {key: value}
    return {name: leaf for part, item in value.items() for name, leaf in flatten(f"{key}.{part}", item).items()}


def run_name(overrides: Mapping[str, Any]) -> str:
    """The name of a run from its overrides.

    Args:
        overrides: full key (no ``+``) → parsed value; group choices are overrides too
            (``{"env": "hopper", "algo.max_kl": 0.02}``).

    Returns:
        ``algo.max_kl=0.02,env=hopper``: sorted by key, without ``seed`` (a directory of its own)
        and without operational keys; ``default`` when nothing is left. ``env=any`` is left out
        beside ``env.id``, which selects it by itself.
    """
    flat = {name: leaf for key, value in overrides.items() for name, leaf in flatten(key, value).items()}
    if "env.id" in flat and flat.get("env") == "any":
        del flat["env"]
    kept = sorted((key, value) for key, value in flat.items() if key != "seed" and not is_operational(key))
    return _cut(",".join(f"{encode(key)}={encode(shortest(value))}" for key, value in kept)) or "default"


def study_name(environments: Iterable[str]) -> str:
    """The default name of a study: its environment choices, or ids where there is no choice, joined by ``+``.

    Sorted, so that ``env=hopper,walker2d`` and ``env=walker2d,hopper`` are one study.
    """
    return directory_name("+".join(sorted(set(environments))))


def directory_name(text: str) -> str:
    """``text`` as the name of one directory: encoded, cut, never hidden and never ``..``."""
    name = _cut(encode(text))
    return f"%2E{name[1:]}" if name.startswith(".") else name


def study_directory(name: str) -> str:
    """The directory of ``study=name`` below the results root.

    Raises:
        ConfigError: where :func:`study_fault` finds one.
    """
    fault = study_fault(name)
    if fault is not None:
        raise ConfigError([Fault("study", fault)])
    return directory_name(name)


def job_directory(overrides: Mapping[str, Any], seed: float) -> PurePosixPath:
    """``<run>/seed=<n>``: where a run is kept below its study."""
    return PurePosixPath(run_name(overrides)) / f"seed={shortest(seed)}"


def study_fault(name: object) -> str | None:
    """What is wrong with ``study=name``, if anything: it must be the name of one directory below the results root."""
    if not isinstance(name, str) or not name:
        return f"{shortest(name)!r} is not a name; for example study=hopper-lr"
    if "/" in name or "\\" in name or "\0" in name:
        return f"{name!r} is a path; a study is one directory below results=; for example study=hopper-lr"
    if name.startswith("."):
        return f"{name!r} starts with a dot; for example study=hopper-lr"
    return None


def _cut(name: str) -> str:
    """``name`` (ASCII) itself up to 150 bytes, else its start, ``~`` and 8 hex digits of the whole name's SHA-256."""
    if len(name) <= MAX_BYTES:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    start = re.sub(r"%.?$", "", name[: MAX_BYTES - 9])  # no half of an escape
    return f"{start}~{digest}"
