"""What a run's bits may depend on beside its configuration: package versions and the CPU."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata

#: Packages whose version can change a number. Simulators that are not installed are left out.
PACKAGES = ("ppo_sweep", "torch", "numpy", "gymnasium", "mujoco", "dm_control", "shimmy", "box2d", "ale_py")


@cache
def versions() -> Mapping[str, str]:
    """Package → version, Python included, as installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def cpu_capability() -> str:
    """The vector instructions that torch's kernels choose by, with the processor family: ``x86_64 AVX512``."""
    import torch  # seconds to import: not for those who only read a status

    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def threads() -> int:
    """Threads inside one torch operation of this process."""
    import torch

    return torch.get_num_threads()


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What changed, in words: ``torch 2.12.0, now 2.13.0``."""
    return [
        f"{name} {then.get(name, 'absent')}, now {now.get(name, 'absent')}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
