"""What a configuration needs of this machine (floor 0; torch is loaded only where a GPU is asked for)."""

from __future__ import annotations

from functools import cache

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
