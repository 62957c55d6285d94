"""A sweep from its jobs to their bytes: scheduling, neighbours and slots change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweeping import ITERATION, assert_as_alone, mixed, states, sweep, walk

from ppo_sweep.runs.study_file import read_study


@pytest.mark.parametrize(("workers", "slots"), [(2, 3)])
def test_every_run_of_a_mixed_sweep_has_the_bytes_of_its_single_run(tmp_path: Path, workers: int, slots: int) -> None:
    results = sweep(tmp_path / "study", mixed(), workers=workers, slots=slots)
    assert set(states(results).values()) == {"done"}
    assert_as_alone(tmp_path / "study", mixed(), tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "slots"), [(1, 1), (2, 9)])
def test_any_workers_and_slots_give_these_bytes(tmp_path: Path, workers: int, slots: int) -> None:
    test_every_run_of_a_mixed_sweep_has_the_bytes_of_its_single_run(tmp_path, workers, slots)


def test_the_longest_runs_begin_first_and_hooks_are_called_once_for_each(tmp_path: Path) -> None:
    begun: list[int] = []
    ended: list[tuple[int, str]] = []
    configs = [walk(seed, 1 + 2 * seed) for seed in range(4)]
    sweep(tmp_path / "study", configs, slots=2, begun=begun.append, ended=lambda job, result: ended.append((job, result.state)))
    assert begun[:2] == [3, 2] and sorted(begun) == [0, 1, 2, 3]
    assert sorted(ended) == [(job, "done") for job in range(4)]


def test_a_free_slot_is_taken_at_once(tmp_path: Path) -> None:
    """With two slots, the two short runs go one after the other beside the long one."""
    configs = {"long": walk(0, 12), "short": walk(1, 5), "other": walk(2, 5)}
    sweep(tmp_path / "study", configs, slots=2)
    rows = (tmp_path / "study/long/timing.csv").read_text().splitlines()
    column = rows[0].split(",").index("members")
    assert [int(row.split(",")[column]) for row in rows[1:]] == [2] * 10 + [1] * 2


def test_study_json_lists_every_run_with_what_came_of_it(tmp_path: Path) -> None:
    results = sweep(tmp_path / "study", [walk(0, 1), walk(1, 2)])
    study = read_study(tmp_path / "study")
    assert study is not None
    assert {member.path: (member.state, member.score, member.total_steps) for member in study.members} == {
        name: ("done", result.score, ITERATION * (1 + seed)) for seed, (name, result) in enumerate(sorted(results.items()))
    }
    for member, config in zip(study.members, [walk(0, 1), walk(1, 2)], strict=True):
        assert (member.config_hash, member.seed, member.overrides) == (config.hash, config.seed, {"seed": config.seed})
