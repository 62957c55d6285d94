"""``hydra.launcher.*``: what is accepted, what is refused in which words."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from ppo_sweep.config import ConfigError
from ppo_sweep.sweep.options import DEFAULT_SLOTS, LauncherOptions, cores


def test_the_defaults_are_one_worker_per_core_and_the_measured_slots() -> None:
    options = LauncherOptions.of({"_target_": "whatever", "workers": None, "slots": None})
    assert options.worker_count == cores()
    assert options.slot_count == DEFAULT_SLOTS
    assert (options.max_restarts, options.worker_timeout) == (3, 600)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("1600000 100000", 8), ("", 8), (None, 8)],
)
def test_a_container_s_quota_of_cpu_time_limits_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str | None, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    if quota is not None:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert cores(tmp_path / "cpu.max") == expected


def test_what_is_given_counts() -> None:
    options = LauncherOptions.of({"workers": 3, "slots": 1, "max_restarts": 0, "worker_timeout": 1.5})
    assert (options.worker_count, options.slot_count, options.max_restarts, options.worker_timeout) == (3, 1, 0, 1.5)


@pytest.mark.parametrize("name", ["workers", "slots", "max_restarts", "worker_timeout"])
@pytest.mark.parametrize("value", [-1, 0.5, "two", True, math.nan, math.inf, [1]])
def test_what_is_not_a_sensible_number_is_refused_with_an_example(name: str, value: object) -> None:
    with pytest.raises(ConfigError) as refused:
        LauncherOptions.of({name: value})
    [fault] = refused.value.faults
    assert fault.key == f"hydra.launcher.{name}"
    assert f"for example hydra.launcher.{name}=" in fault.message


def test_all_faults_are_told_and_near_names_suggested() -> None:
    with pytest.raises(ConfigError) as refused:
        LauncherOptions.of({"worker": 2, "slots": 0, "max_restarts": None})
    assert [fault.key.rpartition(".")[2] for fault in refused.value.faults] == ["worker", "slots", "max_restarts"]
    assert "did you mean hydra.launcher.workers" in refused.value.faults[0].message
