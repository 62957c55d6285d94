"""PPO Sweep: one population-shaped PPO trainer and the laboratory around it.

``train(config)`` trains one run and returns what came of it, ``load_policy(run)`` reads a run's
policy, ``Config`` is the typed configuration. The names are resolved when first used, so that
``import ppo_sweep`` costs nothing: a wrong command line is answered before torch is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ppo_sweep.config import Config, ConfigError
    from ppo_sweep.runs.policy import load_policy
    from ppo_sweep.runs.trainer import train

__version__ = "0.1.0"
__all__ = ["Config", "ConfigError", "__version__", "load_policy", "train"]

_HOME = {
    "Config": "ppo_sweep.config",
    "ConfigError": "ppo_sweep.config",
    "load_policy": "ppo_sweep.runs.policy",
    "train": "ppo_sweep.runs.trainer",
}


def __getattr__(name: str) -> object:
    """Resolve a public name on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
