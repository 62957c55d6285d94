"""One study per directory: another is refused with what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from spaces import default_space, space

from ppo_sweep.runs import strict_json
from ppo_sweep.runs.errors import CorruptFile, DirectoryMismatch
from ppo_sweep.runs.study_file import NAME, StudyFile, StudyMember, read_study
from ppo_sweep.sweep.study.identity import KEY, compare, differences, identity
from ppo_sweep.sweep.study.options import StudyOptions
from ppo_sweep.sweep.study.space import Space

LR = {"algo.lr": {"low": 1e-5, "high": 1e-2, "log": True}}


def of(made: Space, seed: int = 0, **options: Any) -> dict[str, Any]:
    return identity(made, StudyOptions.of(options), seed, [made.config({})])


def keep(study: Path, wanted: dict[str, Any]) -> None:
    """Put an identity into ``study.json``, beside what others wrote there."""
    StudyFile.open(study, command=("-m", "sweep=tpe"), members=[StudyMember("trial=0000/seed=0", 0, {}, "h", 1, "queued")])
    document = strict_json.decode((study / NAME).read_bytes(), study / NAME)
    (study / NAME).write_bytes(strict_json.encode({**document, KEY: wanted}))


def test_the_same_study_is_taken_up_again_and_a_longer_one(tmp_path: Path) -> None:
    keep(tmp_path, of(default_space(), n_trials=10))
    compare(tmp_path, of(default_space(), n_trials=99, timeout=60, max_env_steps=10**9, report_seeds=20, storage="sqlite:///a.db"))


def test_the_identity_outlives_later_writes_of_the_study_file(tmp_path: Path) -> None:
    keep(tmp_path, of(default_space()))
    StudyFile.open(tmp_path, command=("again",), members=[]).flush()
    found = read_study(tmp_path)
    assert found is not None and found.other[KEY] == of(default_space())


def test_a_directory_without_runs_is_free_and_one_with_those_of_another_command_is_not(tmp_path: Path) -> None:
    compare(tmp_path, of(default_space()))
    StudyFile.open(tmp_path, command=("-m", "seed=0,1"), members=[])
    compare(tmp_path, of(default_space()))
    run = tmp_path / "default" / "seed=0"
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    with pytest.raises(DirectoryMismatch, match="holds runs of another command, which are no trials; give another study="):
        compare(tmp_path, of(default_space()))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: of(default_space(), sampler="gp"), "sweep.sampler was tpe, now gp"),
        (lambda: of(default_space(), pruner="none"), "sweep.pruner was median, now none"),
        (lambda: of(default_space(), seeds=5), "sweep.seeds was 3, now 5"),
        (lambda: of(default_space(), metric="min"), "sweep.metric was [mean], now [min]"),
        (lambda: of(default_space(), seed=1), "seed was 0, now 1"),
        (lambda: of(default_space(algo__n_steps=1024)), "algo.n_steps was 32, now 1024"),
        (lambda: of(default_space(env="walker2d")), "env.id was Hopper-v5, now Walker2d-v5"),
        (lambda: of(default_space(algo__lr=1e-3)), "space of algo.lr was {high:0.003,log:true,low:3e-5}"),
        (lambda: of(space(LR)), "space of algo.lr was {high:0.003,log:true,low:3e-5}, now {high:0.01,log:true,low:1e-5}"),
    ],
)
def test_another_study_is_refused_with_what_differs(other: Any, said: str, tmp_path: Path) -> None:
    keep(tmp_path, of(default_space()))
    with pytest.raises(DirectoryMismatch, match="holds another study") as raised:
        compare(tmp_path, other())
    assert said in str(raised.value)
    assert "give another study=" in str(raised.value)


def test_only_the_first_differences_are_listed() -> None:
    assert len(differences(of(default_space()), of(default_space(recipe="bare")))) > 8


def test_a_damaged_study_file_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{")
    with pytest.raises(CorruptFile):
        compare(tmp_path, of(default_space()))
