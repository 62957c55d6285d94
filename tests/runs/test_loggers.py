"""TensorBoard and W&B beside the tables: whole, once, offline, and never a danger to a run."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.summary.writer.record_writer import RecordWriter

from ppo_sweep.config import Config, ConfigError
from ppo_sweep.runs.directory import RunDirectory
from ppo_sweep.runs.trainer import RunResult, Trainer, train
from tests.runs import training_processes as processes
from tests.runs import wandb_files
from tests.runs.training_processes import BYTES, assert_same_bytes, contents

SMALL: dict[str, Any] = {"algo.n_steps": 100, "algo.epochs": 1, "total_steps": 1200}
#: The last evaluation is 100 episodes and takes a second.
EVALUATED: dict[str, Any] = {"eval.every": 4, "eval.episodes": 1}
#: Of the size that a kill can hit.
LONGER: dict[str, Any] = {"algo.n_steps": 256, "total_steps": 256 * 40, "checkpoint_every": 10}


@pytest.fixture(autouse=True)
def _plain_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)


def small(**changes: Any) -> Config:
    return Config().replace(**(SMALL | changes))


def side_by_side(configs: list[Config], root: Path, iterations: int | None = None) -> list[RunResult]:
    """All in one population, to the end or stopped after so many iterations; each in ``root/<index>``."""
    trainer = Trainer(configs[0])
    for k, config in enumerate(configs):
        trainer.start(RunDirectory.open(config, root / str(k)))
    results: list[RunResult] = []
    while trainer.runs and iterations != 0:
        results += trainer.iterate()
        iterations = None if iterations is None else iterations - 1
    return results + trainer.stop()


def table(path: Path, name: str = "metrics") -> list[dict[str, str]]:
    with (path / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def column(path: Path, name: str) -> dict[int, float]:
    """Step → value of a column of ``metrics.csv``, where there is one."""
    return {int(row["env_steps"]): float(row[name]) for row in table(path) if row[name]}


def events(path: Path) -> EventAccumulator:
    """What TensorBoard finds in a run's directory."""
    found = EventAccumulator(str(path / "tensorboard"), size_guidance={"scalars": 0})
    found.Reload()
    return found


def curve(found: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in found.Scalars(tag)]


def assert_tensorboard_has_the_tables(path: Path) -> None:
    found = events(path)
    for name in ("return_100", "kl", "lr", "iteration"):
        expected = column(path, name)
        assert expected
        assert curve(found, f"train/{name}") == [(step, pytest.approx(value, rel=1e-6)) for step, value in expected.items()], name
    evaluations = [(int(row["env_steps"]), pytest.approx(float(row["return_mean"]), rel=1e-6)) for row in table(path, "eval")]
    assert (curve(found, "eval/deterministic/return_mean") if evaluations else []) == evaluations
    blank = [name for name, value in table(path)[-1].items() if not value]
    assert "kl_beta" in blank
    assert not {f"train/{name}" for name in blank} & set(found.Tags()["scalars"])


def assert_wandb_has_the_tables(path: Path) -> None:
    [file] = wandb_files.offline_runs(path)
    rows = wandb_files.history(file)
    for name in ("return_100", "kl", "lr", "iteration"):
        expected = column(path, name)
        assert [(row["_step"], row[f"train/{name}"]) for row in rows if f"train/{name}" in row] == [
            (step, pytest.approx(value, rel=1e-6)) for step, value in expected.items()
        ], name
    evaluated = [(row["_step"], row["eval/deterministic/return_mean"]) for row in rows if "eval/deterministic/return_mean" in row]
    assert evaluated == [(int(row["env_steps"]), pytest.approx(float(row["return_mean"]))) for row in table(path, "eval")]


# ---------------------------------------------------------------------- beside the tables


def test_neighbours_with_different_loggers_leave_the_bytes_of_runs_without(tmp_path: Path) -> None:
    names = ["tensorboard", "csv", "wandb", "wandb", "wandb"]
    without = [small(seed=k, **(EVALUATED if k == 2 else {})) for k in range(5)]
    side_by_side(without, tmp_path / "without")
    side_by_side([config.replace(logger=name) for config, name in zip(without, names, strict=True)], tmp_path / "with")
    for k, name in enumerate(names):
        path = tmp_path / "with" / str(k)
        assert contents(path).keys() == set(BYTES)
        assert_same_bytes(path, tmp_path / "without" / str(k))
        assert {entry.name for entry in path.iterdir()} & {"tensorboard", "wandb"} == {name} - {"csv"}
        if name == "tensorboard":
            assert_tensorboard_has_the_tables(path)
        if name == "wandb":
            assert_wandb_has_the_tables(path)
        assert "warning" not in (path / "train.log").read_text()


def test_a_logger_is_in_neither_name_nor_hash() -> None:
    assert small(logger="tensorboard").hash == small().hash
    assert small(logger="tensorboard").signature == small().signature


def test_a_run_with_the_tables_alone_imports_neither() -> None:
    code = (
        "import sys; from pathlib import Path; import ppo_sweep.runs.trainer, ppo_sweep.runs.loggers as loggers; "
        "from ppo_sweep.config import Config; loggers.logger_of(Config(), Path('nowhere'), 5, print).row(1, {'kl': 1.0}); "
        "print([name for name in sys.modules if name.partition('.')[0] in ('tensorboard', 'wandb', 'tensorflow')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_a_fault_of_the_configuration(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).mkdir()  # as W&B leaves in working directories: Python would take it for a package
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ConfigError) as caught:
        Config.from_dict({"logger": name})
    assert str(caught.value) == f"logger: '{name}' needs a package that is missing; install it with pip install -e '.[{name}]'"


# ---------------------------------------------------------------------- continued runs


def test_a_stopped_and_continued_run_is_in_tensorboard_once(tmp_path: Path) -> None:
    config = small(logger="tensorboard")
    side_by_side([config], tmp_path, iterations=5)
    assert curve(events(tmp_path / "0"), "train/iteration") == [(100 * k, k) for k in range(1, 6)]
    watching = events(tmp_path / "0")
    train(config, tmp_path / "0", console=False)
    assert_tensorboard_has_the_tables(tmp_path / "0")
    watching.Reload()
    assert curve(watching, "train/iteration") == [(100 * k, k) for k in range(1, 13)], "also in one that has been open all the time"


def test_event_files_do_not_pile_up(tmp_path: Path) -> None:
    for _ in range(5):
        side_by_side([small(logger="tensorboard")], tmp_path, iterations=1)
    *emptied, newest = sorted((tmp_path / "0" / "tensorboard").iterdir())
    assert [path.stat().st_size for path in emptied] == [0]
    assert curve(events(tmp_path / "0"), "train/iteration") == [(100 * k, k) for k in range(1, 6)]
    assert newest.stat().st_size > 0


def test_a_stopped_and_continued_run_is_one_wandb_run(tmp_path: Path) -> None:
    configs = [small(logger="wandb", seed=k) for k in range(3)]
    assert [result.state for result in side_by_side(configs, tmp_path, iterations=5)] == ["stopped"] * 3
    first = [wandb_files.offline_runs(tmp_path / str(k)) for k in range(3)]
    identities = [wandb_files.about(file).run_id for [file] in first]
    assert [wandb_files.exit_code(file) for [file] in first] == [1] * 3, "not finished"
    assert len(set(identities)) == 3
    side_by_side(configs, tmp_path)
    for k in range(3):
        assert_wandb_has_the_tables(tmp_path / str(k))
        [file] = wandb_files.offline_runs(tmp_path / str(k))
        assert wandb_files.about(file).run_id == identities[k]
        assert wandb_files.exit_code(file) == 0


@pytest.mark.parametrize(("before", "after"), [("csv", "tensorboard"), ("tensorboard", "wandb"), ("wandb", "tensorboard")])
def test_a_run_continued_under_another_logger_has_its_whole_history_there(before: str, after: str, tmp_path: Path) -> None:
    side_by_side([small(logger=before, **EVALUATED)], tmp_path, iterations=5)
    train(small(logger=after, **EVALUATED), tmp_path / "0", console=False)
    check = assert_tensorboard_has_the_tables if after == "tensorboard" else assert_wandb_has_the_tables
    check(tmp_path / "0")


def test_a_run_begun_anew_starts_its_event_file_anew(tmp_path: Path) -> None:
    side_by_side([small(logger="tensorboard")], tmp_path, iterations=5)
    side_by_side([small(logger="tensorboard", force=True)], tmp_path, iterations=2)
    assert curve(events(tmp_path / "0"), "train/iteration") == [(100, 1), (200, 2)]


def test_a_torn_event_file_is_read_up_to_the_tear(tmp_path: Path) -> None:
    side_by_side([small(logger="tensorboard")], tmp_path, iterations=5)
    [file] = (tmp_path / "0" / "tensorboard").iterdir()
    file.write_bytes(file.read_bytes()[:-40])
    assert curve(events(tmp_path / "0"), "train/iteration") == [(100 * k, k) for k in range(1, 5)]
    train(small(logger="tensorboard"), tmp_path / "0", console=False)
    assert_tensorboard_has_the_tables(tmp_path / "0")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_killed_run_continues_and_is_logged_once(name: str, tmp_path: Path) -> None:
    config = Config().replace(**LONGER, logger=name)
    train(config.replace(logger="csv"), tmp_path / "undisturbed", console=False)
    path = tmp_path / "killed"
    for stage in (7, 23, 36):
        process = processes.start(config, path)
        assert processes.kill_when(process, lambda stage=stage: processes.rows(path) >= stage, 0.01)  # type: ignore[misc]
    assert processes.train_to_the_end(config, path) == 0
    assert_same_bytes(path, tmp_path / "undisturbed")
    check = assert_tensorboard_has_the_tables if name == "tensorboard" else assert_wandb_has_the_tables
    check(path)
    assert "logger" not in (path / "train.log").read_text()


# ---------------------------------------------------------------------- what they say of a run


def test_tensorboard_knows_the_knobs_and_how_a_run_ended(tmp_path: Path) -> None:
    configs = [small(logger="tensorboard", seed=0), small(logger="tensorboard", seed=1), small(logger="tensorboard", **{"algo.lr": 1e30})]
    assert [result.state for result in sorted(side_by_side(configs, tmp_path), key=lambda result: result.directory)] == [
        "done", "done", "diverged",
    ]  # fmt: skip
    begun, ended = [], []
    for k in range(3):
        content = events(tmp_path / str(k)).SummaryMetadata
        begun.append(metadata.parse_session_start_info_plugin_data(content("_hparams_/session_start_info").plugin_data.content))
        ended.append(metadata.parse_session_end_info_plugin_data(content("_hparams_/session_end_info").plugin_data.content))
    assert begun[0].hparams["algo.gamma"].number_value == 0.99
    assert begun[0].hparams["network.hidden"].string_value == "[64,64]"
    assert begun[0].hparams["algo.max_kl"].string_value == "null"
    assert begun[0].hparams["algo.norm_reward"].bool_value is True
    assert not {"seed", "logger", "results"} & set(begun[0].hparams)
    assert begun[0].group_name == begun[1].group_name != begun[2].group_name, "the seeds of a setting are one group"
    assert [end.status for end in ended] == [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE]


def test_wandb_knows_study_run_knobs_and_score(tmp_path: Path) -> None:
    path = tmp_path / "some%20study" / "algo.lr=0.001,env=pendulum" / "seed=3"
    config = small(logger="wandb", seed=3, results=str(tmp_path))
    result = train(config, path, console=False)
    [file] = wandb_files.offline_runs(path)
    run = wandb_files.about(file)
    assert (run.project, run.run_group) == ("some-20study", "algo.lr=0.001,env=pendulum")
    assert run.display_name == "algo.lr=0.001,env=pendulum/seed=3"
    assert {item.key for item in run.config.update} >= {"algo", "env", "seed"}
    assert not {item.key for item in run.config.update} & {"logger", "results", "force"}
    found = wandb_files.summary(file)
    assert found["state"] == "done"
    assert found["score"] == pytest.approx(result.score)


def test_wandb_is_offline_unless_the_user_has_said_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(small(logger="wandb"), tmp_path / "default", console=False)
    assert len(wandb_files.offline_runs(tmp_path / "default")) == 1
    assert os.environ["WANDB_ERROR_REPORTING"] == "false", "error reports would be sent in offline mode too"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    train(small(logger="wandb", seed=1), tmp_path / "disabled", console=False)
    assert not (tmp_path / "disabled" / "wandb").exists()


# ---------------------------------------------------------------------- trouble


@pytest.fixture
def undisturbed(tmp_path: Path) -> Path:
    train(small(), tmp_path / "undisturbed", console=False)
    return tmp_path / "undisturbed"


def complaints(path: Path) -> list[str]:
    return [line.partition(" - ")[2] for line in (path / "train.log").read_text().splitlines() if "logger" in line]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_logger_that_cannot_begin_costs_the_run_a_line_in_its_log(
    name: str, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, path = small(logger=name), tmp_path / "run"
    if name == "wandb":
        monkeypatch.setenv("WANDB_MODE", "no such mode")
    else:
        directory = RunDirectory.open(config, path)
        directory.close()
        (path / name).write_text("a file where a directory belongs")
    assert train(config, path, console=False).state == "done"
    [line] = complaints(path)
    assert line.startswith(f"warning: logger={name} is off until this run is continued; its tables are not concerned: ")
    assert_same_bytes(path, undisturbed)


def test_a_full_disk_ends_the_logger_and_not_the_run(undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0
    write = RecordWriter.write

    def until_full(self: RecordWriter, content: bytes) -> None:
        nonlocal written
        written += 1
        if written > 8:
            raise OSError(28, "No space left on device")
        write(self, content)

    monkeypatch.setattr(RecordWriter, "write", until_full)
    assert train(small(logger="tensorboard"), tmp_path / "run", console=False).state == "done"
    monkeypatch.undo()
    [line] = complaints(tmp_path / "run")
    assert line.endswith("OSError: [Errno 28] No space left on device")
    assert len(curve(events(tmp_path / "run"), "train/iteration")) == 5, "behind three records of a header"
    assert_same_bytes(tmp_path / "run", undisturbed)


def core_processes(parent: int) -> list[int]:
    """Processes of W&B that work for ``parent``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"wandb-core") and str(parent).encode() in words:
                found.append(int(entry.name))
    return found


@pytest.fixture
def wandb_in_a_process(tmp_path: Path) -> Iterator[tuple[Any, Path]]:
    process = processes.start(Config().replace(**LONGER, logger="wandb"), tmp_path / "run")
    while process.is_alive() and processes.rows(tmp_path / "run") < 5:
        time.sleep(0.01)
    assert core_processes(process.pid or 0)
    yield process, tmp_path / "run"
    process.kill()
    process.join()


@pytest.mark.slow
def test_a_run_outlives_the_death_of_wandb(wandb_in_a_process: tuple[Any, Path], tmp_path: Path) -> None:
    process, path = wandb_in_a_process
    for core in core_processes(process.pid):
        os.kill(core, signal.SIGKILL)
    process.join(120)
    assert process.exitcode == 0
    assert len(complaints(path)) == 1
    train(Config().replace(**LONGER), tmp_path / "undisturbed", console=False)
    assert_same_bytes(path, tmp_path / "undisturbed")


@pytest.mark.slow
def test_wandb_leaves_no_process_behind_a_killed_run(wandb_in_a_process: tuple[Any, Path]) -> None:
    process, _ = wandb_in_a_process
    process.kill()
    process.join()
    deadline = time.monotonic() + 10
    while core_processes(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not core_processes(process.pid)
