"""This machine: its processor, and what a configuration needs of it (floor 0; torch is loaded only where a GPU is asked for)."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

from ppo_sweep.config import Config, Fault


def device_faults(config: Config) -> list[Fault]:
    """What is missing for ``config.device``: a GPU, or nothing."""
    if config.device == "cuda" and not _has_gpu():
        return [Fault("device", "cuda asked for, but torch finds no GPU here; leave it out for device=cpu")]
    return []


@cache
def _has_gpu() -> bool:
    import torch  # seconds to load, and only needed for this answer

    return torch.cuda.is_available()


def processor() -> str:
    """The processor's name as Linux knows it; elsewhere its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
