"""How a sweep is carried out: ``hydra.launcher.*`` of the population launcher."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ppo_sweep.config import ConfigError, Fault

#: Members per worker. Beyond this a core gains nothing more (docs/benchmarks.md, "Slots").
DEFAULT_SLOTS = 9


def option(default: Any, meaning: str) -> Any:
    """A field of a class of options: ``meaning`` stands in ``--help`` and in docs/knobs.md."""
    return field(default=default, metadata={"meaning": meaning})


def meanings(options: type[Any]) -> list[tuple[str, Any, str]]:
    """Name, default and meaning of each option of such a class."""
    return [(one.name, one.default, one.metadata["meaning"]) for one in fields(options)]


@dataclass(frozen=True)
class LauncherOptions:
    """What ``hydra.launcher`` holds; none of it changes a byte of any run."""

    workers: int | None = option(None, "processes that train; null = one per core that this process may use")
    slots: int | None = option(None, f"runs side by side in one worker; null = {DEFAULT_SLOTS}")
    max_restarts: int = option(3, "how often a run is taken up again after its worker was lost, before it counts as failed")
    worker_timeout: float = option(600.0, "seconds without a sign of life after which a worker counts as hung and is replaced")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> LauncherOptions:
        """The options in ``given``, checked.

        Raises:
            ConfigError: with every fault.
        """
        faults = [fault for name, value in given.items() if name != "_target_" and (fault := _fault(name, value))]
        if faults:
            raise ConfigError(faults)
        return cls(**{name: value for name, value in given.items() if name != "_target_"})

    @property
    def worker_count(self) -> int:
        """Processes to train with."""
        return self.workers if self.workers is not None else cores()

    @property
    def slot_count(self) -> int:
        """Members side by side in one worker."""
        return self.slots if self.slots is not None else DEFAULT_SLOTS


def cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that this process may use: those it may run on, or as many as a container's quota of CPU time is worth.

    Args:
        quota: of the control group, ``MICROSECONDS PERIOD`` or ``max PERIOD`` (cgroup v2); a part of a core counts as one.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    number = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    try:
        allowed, period = map(int, quota.read_text().split())
    except (OSError, ValueError):  # no control group, or no quota
        return number
    return max(1, min(number, math.ceil(allowed / period)))


#: Option → (whole number, least value, may be null, example).
_RULES = {
    "workers": (True, 1, True, 2),
    "slots": (True, 1, True, DEFAULT_SLOTS),
    "max_restarts": (True, 0, False, 3),
    "worker_timeout": (False, 1, False, 600),
}
assert set(_RULES) == {field.name for field in fields(LauncherOptions)}


def _fault(name: str, value: Any) -> Fault | None:
    key = f"hydra.launcher.{name}"
    if name not in _RULES:
        near = difflib.get_close_matches(name, _RULES, n=2, cutoff=0.5) or list(_RULES)
        return Fault(key, f"no such option; did you mean {' or '.join(f'hydra.launcher.{other}' for other in near)}?")
    whole, least, nullable, example = _RULES[name]
    if value is None and nullable:
        return None
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if number and math.isfinite(value) and value >= least:
        return None
    kind = "a whole number" if whole else "a number of seconds"
    null = ", or null for the default" if nullable else ""
    return Fault(key, f"{value!r} is not {kind} of at least {least}{null}; for example {key}={example}")
