"""A correct command line: which jobs it means, where they are kept, and what Hydra gets to see."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ppo_sweep.config import ConfigError
from ppo_sweep.sweep.command_line import check
from ppo_sweep.sweep.composition import CONF


def paths(line: str, conf: Path = CONF) -> list[str]:
    """Directories of the jobs of a command line."""
    return [job.path.as_posix() for job in check(line.split(), conf).jobs]


def test_nothing_typed_is_one_default_run() -> None:
    assert paths("") == ["results/pendulum/default/seed=0"]


def test_run_is_kept_under_its_study_name_and_seed() -> None:
    assert paths("env=hopper algo.max_kl=2e-2 seed=1") == ["results/hopper/algo.max_kl=0.02,env=hopper/seed=1"]


def test_equal_requests_have_one_directory() -> None:
    spellings = ["algo.lr=1e-3", "algo.lr=0.001", "+algo.lr=1e-3", "++algo.lr=1.0e-3"]
    assert {path for spelling in spellings for path in paths(spelling)} == {"results/pendulum/algo.lr=0.001/seed=0"}


def test_whole_number_floats_are_whole_numbers() -> None:
    [job] = check(["total_steps=1e6", "seed=2.0"]).jobs
    assert (job.config.total_steps, job.config.seed) == (1_000_000, 2)
    assert job.path.as_posix() == "results/pendulum/total_steps=1000000/seed=2"


def test_grid_holds_every_combination_later_keys_fastest() -> None:
    assert paths("-m env=hopper,walker2d algo.max_kl=0.02,null seed=0,1") == [
        f"results/hopper+walker2d/algo.max_kl={kl},env={env}/seed={seed}"
        for env in ("hopper", "walker2d")
        for kl in ("0.02", "null")
        for seed in (0, 1)
    ]


def test_single_run_and_grid_agree_on_the_directory() -> None:
    assert paths("env=hopper algo.lr=1e-3 seed=1")[0] in paths("-m env=hopper algo.lr=1e-3,1e-4 seed=0,1")


def test_equal_jobs_of_a_grid_are_one_job_and_a_warning_says_so() -> None:
    checked = check(shlex.split("-m algo.lr=2e-2,0.02 seed=0,0,1 algo.max_kl=0.02,0.07"))
    assert len(checked.jobs) == 4
    assert checked.warnings == ("algo.lr=2e-2,0.02 seed=0,0,1: some values are equal, and equal runs are trained once",)
    assert not check(shlex.split("-m algo.lr=2e-2,2e-3 seed=0,1")).warnings


def test_quoted_values_may_have_blanks() -> None:
    assert paths("-m seed=0,1") == [job.path.as_posix() for job in check(["-m", "seed=0, 1"]).jobs]
    assert check(["network.hidden=[64, 64]"]).jobs == check(["network.hidden=[64,64]"]).jobs


def test_ranges_choices_and_globs_are_expanded() -> None:
    assert [path.rsplit("=", 1)[1] for path in paths("-m seed=range(3)")] == ["0", "1", "2"]
    assert len(paths("-m algo=choice(clip,no_clip)")) == 2
    assert paths("-m recipe=glob(*,exclude=[article,bare,paper])") == [
        "results/pendulum/recipe=standard/seed=0",
        "results/pendulum/recipe=strong/seed=0",
    ]


def test_decimal_range_has_decimal_values() -> None:
    checked = check(shlex.split("-m algo.clip_eps=range(0.1,0.4,0.1)"))
    assert [job.config.algo.clip_eps for job in checked.jobs] == [0.1, 0.2, 0.3]
    assert "algo.clip_eps=choice(0.1,0.2,0.3)" in checked.hydra_argv


def test_each_job_of_a_grid_gets_its_own_tuned_values_and_budget() -> None:
    jobs = check(shlex.split("-m env=pendulum,hopper")).jobs
    assert [(job.config.algo.gamma, job.config.total_steps) for job in jobs] == [(0.9, 300_000), (0.99, 1_000_000)]


def test_id_alone_selects_any_and_names_the_study() -> None:
    checked = check(["env.id=MountainCarContinuous-v0"])
    assert checked.jobs[0].path.as_posix() == "results/MountainCarContinuous-v0/env.id=MountainCarContinuous-v0/seed=0"
    assert "env=any" in checked.hydra_argv
    assert paths("env=any env.id=MountainCarContinuous-v0") == [checked.jobs[0].path.as_posix()]


def test_study_can_be_named_and_does_not_change_the_run() -> None:
    assert paths("study=lr algo.lr=1e-3 force=true checkpoint_every=5") == ["results/lr/algo.lr=0.001/seed=0"]
    assert paths("results=elsewhere/runs") == ["elsewhere/runs/pendulum/default/seed=0"]
    [job] = check(["study='a b'"]).jobs
    assert job.path.as_posix() == "results/a%20b/default/seed=0"


def test_keyword_arguments_of_an_environment_need_no_plus() -> None:
    checked = check(["env.kwargs.g=9.8"])
    assert checked.jobs[0].config.env.kwargs == {"g": 9.8}
    assert checked.jobs[0].path.as_posix() == "results/pendulum/env.kwargs.g=9.8/seed=0"
    assert "++env.kwargs.g=9.8" in checked.hydra_argv
    assert check(["env.kwargs={g: 9.8}"]).jobs[0].path == checked.jobs[0].path


def test_values_may_refer_to_other_values() -> None:
    [job] = check(["algo.minibatch_size=${algo.n_steps}", "env=hopper", "recipe=standard"]).jobs
    assert job.config.algo.minibatch_size == 2048


def test_an_option_of_a_sweep_on_a_single_run_is_warned_about() -> None:
    [warning] = check(shlex.split("hydra.launcher.workers=2")).warnings
    assert warning == "hydra.launcher.workers has no effect on a single run; a sweep needs -m"
    assert check(shlex.split("-m hydra.launcher.workers=2")).warnings == ()


def test_short_run_is_warned_about() -> None:
    [warning] = check(shlex.split("algo.n_envs=64 algo.n_steps=8 total_steps=6400")).warnings
    assert "64 environments (12800 steps)" in warning
    assert check(shlex.split("algo.n_envs=64 algo.n_steps=8 total_steps=12800")).warnings == ()


def test_action_repeat_counts_in_the_warning() -> None:
    line = "env=hopper env.action_repeat=4 algo.n_envs=2 algo.n_steps=64 total_steps={}"
    [warning] = check(line.format(1999).split()).warnings
    assert "total_steps=1999 is shorter than one episode" in warning
    [warning] = check(line.format(2047).split()).warnings
    assert "total_steps=2047 (1536 in whole rollouts) is shorter than one episode in each of 2 environments (2000 steps)" in warning
    assert not check(line.format(2048).split()).warnings


def test_grid_of_a_thousand_runs_is_checked_at_once() -> None:
    assert len(check(shlex.split("-m env=pendulum,hopper algo.lr=1e-3,1e-4,1e-5,2e-3,2e-4 seed=range(100)")).jobs) == 1000


@pytest.fixture
def with_experiment(tmp_path: Path) -> Path:
    """``conf/`` with an experiment that brings its own study and grid."""
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    (conf / "experiment").mkdir(exist_ok=True)
    (conf / "experiment" / "kl.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /env: hopper\nstudy: kl\ntotal_steps: 4096\n"
        "hydra:\n  sweeper:\n    params:\n      algo.max_kl: 0.02,0.07\n      seed: range(3)\n"
    )
    return conf


def test_experiment_brings_its_grid_and_study(with_experiment: Path) -> None:
    found = paths("-m experiment=kl", with_experiment)
    assert found == [f"results/kl/algo.max_kl={kl},experiment=kl/seed={seed}" for kl in ("0.02", "0.07") for seed in range(3)]


def test_typed_keys_win_over_the_grid_of_an_experiment(with_experiment: Path) -> None:
    assert paths("-m experiment=kl seed=7", with_experiment) == [
        f"results/kl/algo.max_kl={kl},experiment=kl/seed=7" for kl in ("0.02", "0.07")
    ]


def test_experiment_without_m_is_a_single_run(with_experiment: Path) -> None:
    [job] = check(["experiment=kl"], with_experiment).jobs
    assert job.path.as_posix() == "results/kl/experiment=kl/seed=0"
    assert (job.config.env.id, job.config.total_steps, job.config.algo.max_kl) == ("Hopper-v5", 4096, None)


def test_wrong_value_in_a_file_says_which_choices_brought_it(with_experiment: Path) -> None:
    (with_experiment / "experiment" / "bad.yaml").write_text("# @package _global_\nalgo: {lr: -1, lrr: 2}\n")
    with pytest.raises(ConfigError) as caught:
        check(["experiment=bad", "recipe=standard"], with_experiment)
    assert "algo.lr: -1 is not > 0 (not typed; it comes from conf/ with env=pendulum recipe=standard" in str(caught.value)
    assert "algo.lrr: no such knob" in str(caught.value)


def test_further_directory_of_configs_is_searched(tmp_path: Path) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mine.yaml").write_text("# @package _global_\nalgo: {lr: 0.5}\n")
    [job] = check(["--config-dir", str(tmp_path), "recipe=mine"]).jobs
    assert job.config.algo.lr == 0.5
    with pytest.raises(ConfigError, match="no such choice 'mine'"):
        check(["recipe=mine"])


def test_check_loads_no_torch() -> None:
    code = "import sys; from ppo_sweep.sweep.command_line import check; check(['env=hopper']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=CONF.parent, check=False).returncode == 0
