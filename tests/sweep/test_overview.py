"""The state of a study at any time: what is listed, what is on disk, who is at work, and nothing touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ppo_sweep.config import Config
from ppo_sweep.runs.directory import RunDirectory
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.lock import RunLock
from ppo_sweep.runs.status import Status, write_status
from ppo_sweep.runs.study_file import StudyFile, StudyMember
from ppo_sweep.sweep.overview import Overview, RunOverview, find_runs, look_at, studies_at
from tests.runs.toy_run import CONFIG, work
from tests.runs.training_processes import start

STEPS = CONFIG.total_steps


def listed(study: Path, **states: str) -> StudyFile:
    """A ``study.json`` with runs ``NAME/seed=0`` in these states."""
    study.mkdir(parents=True, exist_ok=True)
    members = [StudyMember(f"{name}/seed=0", 0, {}, CONFIG.hash, STEPS, state) for name, state in states.items()]
    return StudyFile.open(study, command=["-m", "x"], members=members)


def states(overview: Overview) -> dict[str, str]:
    return {run.path: run.state for run in overview.runs}


def one(overview: Overview, path: str) -> RunOverview:
    return next(run for run in overview.runs if run.path == path)


def running(run: Path, iterations: int, steps_per_s: float, pid: int = 0) -> RunDirectory:
    """A run in training, with its lock held by this process, as a worker ``pid`` would leave it between two iterations."""
    directory = RunDirectory.open(CONFIG, run)
    for k in range(1, iterations + 1):
        directory.append_metrics({"iteration": k, "env_steps": k * 2048, "return_100": -100.0 * k, "kl": 0.01, "entropy": 1.5})
        directory.append_timing({"iteration": k, "env_steps": k * 2048, "seconds": 1.0, "steps_per_s": steps_per_s})
    directory.update_status(iteration=iterations, env_steps=iterations * 2048)
    directory._write_status(durably=False)
    document = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**document, "pid": pid or document["pid"]}))
    return directory


def test_every_run_has_its_state_whether_it_is_on_disk_or_only_listed(tmp_path: Path) -> None:
    study = tmp_path / "hopper"
    listed(study, begun="running", waiting="queued", ended="done", lost="done", stranger="queued")
    work(study / "ended" / "seed=0")
    work(study / "begun" / "seed=0", until=5)
    work(study / "unlisted" / "seed=0", until=2)
    (study / "stranger" / "seed=0").mkdir(parents=True)
    write_status(study / "stranger" / "seed=0", Status("queued"))
    overview = look_at(study)
    assert states(overview) == {
        "begun/seed=0": "interrupted",
        "waiting/seed=0": "queued",
        "ended/seed=0": "done",
        "lost/seed=0": "absent",
        "stranger/seed=0": "queued",
        "unlisted/seed=0": "interrupted",
    }
    assert one(overview, "lost/seed=0").reason == "was done; its directory is gone"
    assert overview.counts == {"interrupted": 2, "queued": 2, "done": 1, "absent": 1}
    assert overview.command == ("-m", "x") and overview.sweep is None and overview.faults == ()


def test_steps_are_those_done_of_those_there_will_be(tmp_path: Path) -> None:
    study = tmp_path / "hopper"
    listed(study, begun="running", waiting="queued", ended="done")
    work(study / "ended" / "seed=0")
    with running(study / "begun" / "seed=0", 5, 1000.0):
        overview = look_at(study)
    assert (overview.env_steps, overview.total_steps) == (17 * 2048, 36 * 2048)


def test_a_run_that_ended_early_counts_with_what_it_did_and_a_budget_with_its_whole_iterations(tmp_path: Path) -> None:
    study = tmp_path / "hopper"
    with RunDirectory.open(CONFIG, study / "a" / "seed=0") as run:
        run.update_status(iteration=3, env_steps=3 * 2048)
        run.finish("pruned", score=1.0)
    config = CONFIG.replace(total_steps=STEPS + 2047)
    with RunDirectory.open(config, study / "b" / "seed=0") as run:
        run.update_status(iteration=3, env_steps=3 * 2048)
        run.finish("stopped", score=1.0)
    overview = look_at(study)
    assert one(overview, "a/seed=0").steps_in_all == 3 * 2048
    assert one(overview, "b/seed=0").steps_in_all == STEPS


def test_the_newest_row_is_shown(tmp_path: Path) -> None:
    with running(tmp_path / "s" / "a=1" / "seed=0", 4, 1000.0):
        [run] = look_at(tmp_path / "s").runs
    assert (run.state, run.return_100, run.kl, run.entropy, run.iteration) == ("running", -400.0, 0.01, 1.5, 4)
    assert run.host and run.pid == os.getpid() and run.updated


def test_a_run_without_a_row_has_blanks(tmp_path: Path) -> None:
    with RunDirectory.open(CONFIG, tmp_path / "s" / "a=1" / "seed=0"):
        [run] = look_at(tmp_path / "s").runs
    assert (run.return_100, run.kl, run.entropy, run.steps_per_s, run.faults) == (None, None, None, None, ())


def test_a_worker_counts_once_in_the_speed_whatever_it_trains(tmp_path: Path) -> None:
    study = tmp_path / "s"
    held = [running(study / f"a={k}" / "seed=0", 3, speed, pid) for k, (speed, pid) in enumerate([(9000, 11), (9200, 11), (5000, 12)])]
    work(study / "a=9" / "seed=0", until=3)  # interrupted: its last speed is nobody's
    assert look_at(study).steps_per_s == pytest.approx(9100 + 5000)
    for directory in held:
        directory.close()
    assert look_at(study).steps_per_s is None


def test_time_left_is_that_of_the_runs_the_sweep_is_at(tmp_path: Path) -> None:
    study = tmp_path / "s"
    listed(study, now="running", later="queued", earlier="stopped")
    for name in ("later", "earlier"):
        with RunDirectory.open(CONFIG, study / name / "seed=0") as run:
            run.finish("stopped", score=None)
    with running(study / "now" / "seed=0", 2, 2048.0):
        assert look_at(study).seconds_left is None, "nobody will take the next one up"
        lock = RunLock(study)
        overview = look_at(study)
        lock.release()
    assert overview.seconds_left == pytest.approx(10 + 12)
    assert overview.sweep is not None and str(os.getpid()) in overview.sweep
    assert {run.path: run.awaited for run in overview.runs} == {"now/seed=0": True, "later/seed=0": True, "earlier/seed=0": False}


def test_half_a_line_is_no_damage_of_a_run_under_way_but_of_a_finished_one(tmp_path: Path) -> None:
    for name, until in (("a=1", 5), ("a=2", None)):
        run = tmp_path / "s" / name / "seed=0"
        work(run, until=until)
        os.truncate(run / "metrics.csv", (run / "metrics.csv").stat().st_size - 3)
    under_way, finished = look_at(tmp_path / "s").runs
    assert under_way.faults == () and under_way.return_100 is None
    assert "last row: expected a whole line" in finished.faults[0]


@pytest.mark.parametrize(("content", "reported"), [("", False), ("a,b\n1,2\n", True)])
def test_an_empty_table_is_none_yet_and_a_foreign_one_is_reported(content: str, reported: bool, tmp_path: Path) -> None:
    work(tmp_path / "s" / "a=1" / "seed=0", until=2)
    (tmp_path / "s" / "a=1" / "seed=0" / "metrics.csv").write_text(content)
    [run] = look_at(tmp_path / "s").runs
    assert bool(run.faults) == reported and run.return_100 is None


def test_damaged_files_are_reported_and_the_rest_is_shown(tmp_path: Path) -> None:
    study = tmp_path / "s"
    listed(study, a="done", b="done")
    for name in ("a", "b"):
        work(study / name / "seed=0")
    (study / "study.json").write_text("{")
    (study / "a" / "seed=0" / "status.json").write_bytes(b"\xff")
    overview = look_at(study)
    assert states(overview) == {"a/seed=0": "unreadable", "b/seed=0": "done"}
    assert "study.json: JSON: expected an object" in overview.faults[0] and overview.command is None
    assert "status.json: JSON" in one(overview, "a/seed=0").faults[0]


def test_a_configuration_that_cannot_be_read_hides_no_run(tmp_path: Path) -> None:
    work(tmp_path / "s" / "a=1" / "seed=0")
    (tmp_path / "s" / "a=1" / "seed=0" / "config.yaml").write_bytes(b"")
    assert states(look_at(tmp_path / "s")) == {"a=1/seed=0": "done"}


def test_an_error_is_a_reason_in_one_line(tmp_path: Path) -> None:
    with RunDirectory.open(CONFIG, tmp_path / "s" / "a=1" / "seed=0") as run:
        run.finish("failed", score=None, error="Traceback\n  File x\nValueError: no such joint\n")
    assert look_at(tmp_path / "s").runs[0].reason == "ValueError: no such joint"


def test_runs_are_found_at_every_depth_in_natural_order_and_nothing_else(tmp_path: Path) -> None:
    places = [
        "a=1/seed=10",
        "a=1/seed=2",
        "trial=0007/env=hopper/seed=1",
        "trial=0008/seed=1",
        "confirm/rank=1/seed=1000",
        "confirm/default/seed=1000",
    ]
    for place in places:
        work(tmp_path / "s" / place, until=1)
    work(tmp_path / "s" / "a=1/seed=2/damaged-1", until=1)
    work(tmp_path / "s" / ".hidden" / "seed=1", until=1)
    work(tmp_path / "s" / "report" / "seed=1", until=1)
    (tmp_path / "s" / "mine").mkdir()
    (tmp_path / "s" / "mine" / "config.yaml").write_text("a: 1")
    (tmp_path / "s" / "link").symlink_to(tmp_path / "s" / "a=1")
    found = find_runs(tmp_path / "s")
    assert found == ["a=1/seed=2", "a=1/seed=10", "confirm/default/seed=1000", "confirm/rank=1/seed=1000", *places[2:4]]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results root with a listed study, one of single runs, one of an Optuna study without its list, and one called default."""
    monkeypatch.chdir(tmp_path)
    listed(tmp_path / "results" / "hopper", **{"a=1": "queued"})
    for place in ("walker2d/default/seed=0", "walker2d/a=1/seed=1", "tpe/trial=0001/env=hopper/seed=0", "default/a=1/seed=0"):
        work(tmp_path / "results" / place, until=1)
    return Path("results")


@pytest.mark.parametrize(
    ("path", "study", "part"),
    [
        ("hopper", "results/hopper", ""),
        ("walker2d", "results/walker2d", ""),
        ("walker2d/", "results/walker2d", ""),
        ("walker2d/default", "results/walker2d", "default"),
        ("walker2d/default/seed=0", "results/walker2d", "default/seed=0"),
        ("walker2d/a=1/seed=1", "results/walker2d", "a=1/seed=1"),
        ("tpe", "results/tpe", ""),
        ("default", "results/default", ""),
        ("default/a=1", "results/default", "a=1"),
    ],
)
def test_a_study_a_run_and_a_folder_of_seeds_mean_their_study(path: str, study: str, part: str, results: Path) -> None:
    assert studies_at(results / path) == [(Path(study), part)]
    assert studies_at((results / path).absolute()) == [(Path(study).absolute() if not part else Path(study), part)]


def test_the_results_root_means_all_studies(results: Path) -> None:
    assert studies_at(results) == [(results / name, "") for name in ("default", "hopper", "tpe", "walker2d")]
    shutil.rmtree(results / "hopper")
    assert studies_at(results) == [(results / name, "") for name in ("default", "tpe", "walker2d")]


def test_a_part_shows_its_own_runs_only(results: Path) -> None:
    assert list(states(look_at(results / "walker2d", "default"))) == ["default/seed=0"]
    assert list(states(look_at(results / "walker2d", "a=1/seed=1"))) == ["a=1/seed=1"]


def test_a_run_kept_anywhere_can_be_looked_at(tmp_path: Path) -> None:
    work(tmp_path / "mine", until=1)
    assert studies_at(tmp_path / "mine") == [(tmp_path, "mine")]
    assert states(look_at(tmp_path, "mine")) == {"mine": "interrupted"}
    assert studies_at(tmp_path) == [(tmp_path, "")]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere", "does not exist"),
        ("file", "is a file"),
        ("file/below", "does not exist"),
        ("empty", "holds no study and no run"),
        ("a\0b", "does not exist"),
    ],
)
def test_a_path_that_is_no_study_is_refused_in_a_sentence(path: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match=message) as error:
        studies_at(tmp_path / path)
    assert "for example results/hopper" in str(error.value)


def test_a_study_that_has_just_begun_is_one(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    assert studies_at(tmp_path) == [(tmp_path, "")]
    assert look_at(tmp_path).runs == () and look_at(tmp_path).sweep is not None
    lock.release()


def test_looking_touches_nothing(tmp_path: Path) -> None:
    study = tmp_path / "s"
    listed(study, a="queued", b="done")
    work(study / "b" / "seed=0", until=4)

    def tree() -> list[tuple[Path, int]]:
        return sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))

    before = tree()
    look_at(study)
    studies_at(tmp_path)
    assert tree() == before


def test_a_study_can_be_looked_at_all_the_time_while_it_is_trained(tmp_path: Path) -> None:
    config = Config().replace(**{"algo.n_steps": 120, "algo.epochs": 2, "total_steps": 40 * 120, "checkpoint_every": 2})
    (tmp_path / "s").mkdir()
    process = start(config, tmp_path / "s" / "a=1" / "seed=0")
    seen, steps = set(), [0]
    while process.is_alive():
        overview = look_at(tmp_path / "s")
        assert overview.faults == () and all(run.faults == () for run in overview.runs)
        seen |= set(overview.counts)
        steps.append(overview.env_steps)
    process.join()
    assert process.exitcode == 0
    assert look_at(tmp_path / "s").counts == {"done": 1}
    # 'interrupted' for the instant between the last write of a finished run and the release of its lock never shows.
    assert seen <= {"absent", "running", "done"} and steps == sorted(steps)


def test_a_thousand_runs_take_a_second_or_two(tmp_path: Path) -> None:
    study = tmp_path / "s"
    work(study / "a=0" / "seed=0", until=9)
    for k in range(1, 1000):
        run = study / f"a={k % 100}" / f"seed={k}"
        run.mkdir(parents=True)
        for name in ("status.json", "config.yaml", "metrics.csv", "timing.csv"):
            os.link(study / "a=0" / "seed=0" / name, run / name)
    before = time.process_time()
    overview = look_at(study)
    assert len(overview.runs) == 1000 and overview.total_steps == 1000 * STEPS
    assert time.process_time() - before < 2.0


def test_neither_torch_nor_a_simulator_is_loaded_to_look_at_a_study(tmp_path: Path) -> None:
    code = (
        "import sys, ppo_sweep.sweep.overview_text, ppo_sweep.sweep.overview; "
        "print(sorted({'torch', 'gymnasium', 'mujoco', 'hydra', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"
