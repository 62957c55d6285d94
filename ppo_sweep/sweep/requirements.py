"""What a configuration needs of this machine, beyond what every installation has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec

from ppo_sweep.config import Config, Fault


def faults(configs: Iterable[Config]) -> Iterator[Fault]:
    """What is missing: a GPU, or the package of a metric sink; each once."""
    wanted = [(made.device, made.logger) for made in configs]
    for logger in sorted({logger for _, logger in wanted} - {"csv"}):
        if find_spec(logger) is None:
            yield Fault("logger", f"{logger} is an extra that is not installed: pip install -e '.[{logger}]', or leave it out")
    if "cuda" in {device for device, _ in wanted} and not _has_gpu():
        yield Fault("device", "cuda asked for, but torch finds no GPU here; leave it out for device=cpu")


def _has_gpu() -> bool:
    import torch  # seconds to load, and only needed for this answer

    return torch.cuda.is_available()
