"""``train.py``: from a command line to run directories and an exit code."""

from __future__ import annotations

import importlib.util
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from ppo_sweep.config import Config
from ppo_sweep.runs import trainer
from ppo_sweep.runs.errors import DirectoryBusy, StorageError
from ppo_sweep.runs.lock import RunLock
from ppo_sweep.runs.trainer import RunResult

ROOT = Path(__file__).resolve().parents[1]
TRAIN = ROOT / "train.py"
#: Two iterations of 64 steps on Pendulum.
SHORT = "algo.n_envs=1 algo.n_steps=64 total_steps=128"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def entry(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """``train.py`` as a module; what it sets globally is undone."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    spec = importlib.util.spec_from_file_location("train", TRAIN)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "train", module)
    spec.loader.exec_module(module)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield module
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:], root.level = handlers, level


def run(line: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """The entry as a process of its own."""
    command = [sys.executable, str(TRAIN), *shlex.split(line)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **kwargs)


def contents(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below ``root``, with its time and bytes."""
    return {path.as_posix(): (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(root.rglob("*")) if path.is_file()}


def test_run_leaves_its_directory_and_the_same_command_finds_it_finished(workplace: Path) -> None:
    first = run(f"{SHORT} algo.max_kl=2e-2 seed=3")
    assert first.returncode == 0, first.stderr
    directory = Path("results/pendulum/algo.max_kl=0.02,algo.n_envs=1,algo.n_steps=64,total_steps=128/seed=3")
    expected = (
        ".hydra/config.yaml",
        ".hydra/hydra.yaml",
        ".hydra/overrides.yaml",
        "train.log",
        "config.yaml",
        "metrics.csv",
        "status.json",
    )
    for name in expected:
        assert (directory / name).is_file()
    composed = yaml.safe_load((directory / ".hydra" / "config.yaml").read_text())
    assert (composed["seed"], composed["algo"]["n_steps"]) == (3, 64)
    assert f"done: {directory}" in first.stdout
    assert "score" in first.stdout
    assert f"{shlex.quote(str(ROOT / 'scripts' / 'watch.py'))} {directory}" in first.stdout

    before = contents(workplace)
    again = run(f"{SHORT} algo.max_kl=0.02 seed=3")
    assert again.returncode == 0
    assert f"already done: {directory}" in again.stdout
    assert "force=true starts anew" in again.stdout
    assert contents(workplace) == before


def test_results_that_cannot_be_made_are_bad_input_before_anything_starts(workplace: Path) -> None:
    (workplace / "file.py").write_text("mine")
    for place in ("/proc/x", "file.py/x"):
        ended = run(f"{SHORT} results={place}")
        assert ended.returncode == 2
        assert "Nothing was started" in ended.stderr and f"results: '{place.split('/')[0]}" in ended.stderr
    assert [path.name for path in workplace.iterdir()] == ["file.py"]


def test_module_that_fails_on_import_is_bad_input(workplace: Path) -> None:
    (workplace / "faulty.py").write_text("\nundefined_name\n")
    ended = run("env.id=faulty:B-v0", env={**os.environ, "PYTHONPATH": str(workplace)})
    assert ended.returncode == 2
    assert "NameError: name 'undefined_name' is not defined (line 2 of faulty.py)" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_grid_leaves_one_directory_for_each_combination(workplace: Path) -> None:
    ended = run(f"-m env=pendulum {SHORT} algo.lr=1e-3,1e-4 seed=0,1 study=grid")
    assert ended.returncode == 0, ended.stderr
    found = sorted(path.parent.relative_to("results").as_posix() for path in Path("results").rglob("status.json"))
    rest = "algo.n_envs=1,algo.n_steps=64,env=pendulum,total_steps=128"
    assert found == [f"grid/algo.lr={lr},{rest}/seed={seed}" for lr in ("0.0001", "0.001") for seed in (0, 1)]
    for path in Path("results").rglob(".hydra/overrides.yaml"):
        overrides = yaml.safe_load(path.read_text())
        assert f"seed={path.parts[-3].removeprefix('seed=')}" in overrides


def test_interrupted_grid_under_the_basic_launcher_begins_nothing_more_and_the_same_command_continues(workplace: Path) -> None:
    line = "-m algo.n_envs=1 algo.n_steps=512 total_steps=20480 seed=0,1 study=stop hydra/launcher=basic"
    process = subprocess.Popen([sys.executable, str(TRAIN), *line.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: any(path.read_text().count("\n") > 1 for path in Path("results").rglob("metrics.csv")))
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "the same command continues it" in said
    assert "Traceback" not in errors
    [begun] = Path("results").rglob("status.json")
    assert yaml.safe_load(begun.read_text())["state"] == "stopped"

    ended = run(line)
    assert ended.returncode == 0, ended.stderr
    states = [yaml.safe_load(path.read_text())["state"] for path in Path("results").rglob("status.json")]
    assert states == ["done", "done"]


def wait_for(condition: Callable[[], bool]) -> None:
    """Until ``condition`` holds, at most a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_missing_packages_are_answered_with_the_two_commands(workplace: Path) -> None:
    ended = subprocess.run([sys.executable, "-S", str(TRAIN)], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "make demo" in ended.stderr
    assert "pip install -e ." in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("line", ["--help", "-h env=hopper"])
def test_help_is_ours_and_creates_nothing(line: str, entry: ModuleType, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(line.split()) == 0
    assert "Groups (GROUP=CHOICE)" in capsys.readouterr().out
    assert not list(workplace.iterdir())


@pytest.mark.parametrize("line", ["--cfg job env=hopper algo.lr=1e-3", "--info defaults", "--version", "--hydra-help"])
def test_questions_for_hydra_are_passed_on(line: str, workplace: Path) -> None:
    ended = run(line)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout
    assert not list(workplace.iterdir())
    if line.startswith("--cfg"):
        composed = yaml.safe_load(ended.stdout)
        assert (composed["env"]["id"], composed["algo"]["lr"]) == ("Hopper-v5", 0.001)


def test_directory_in_use_is_refused_untouched(entry: ModuleType, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = workplace / "results/pendulum/default/seed=0"
    directory.mkdir(parents=True)
    lock = RunLock(directory)
    before = contents(workplace)
    try:
        assert entry.main([]) == 4
    finally:
        lock.release()
    assert f"in use by process {os.getpid()}" in capsys.readouterr().err
    assert contents(workplace) == before


def test_directory_of_another_configuration_is_refused_untouched(
    entry: ModuleType, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.main(shlex.split(SHORT)) == 0
    [stored] = workplace.rglob("seed=0/config.yaml")
    stored.write_text(stored.read_text().replace("gamma: 0.9\n", "gamma: 0.5\n"))
    before = contents(workplace)
    capsys.readouterr()
    assert entry.main(shlex.split(SHORT)) == 4
    assert "algo.gamma: 0.5 here, 0.9 asked for" in capsys.readouterr().err
    assert contents(workplace) == before


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> dict[int, RunResult | BaseException]:
    """Runs that end at once, as told for each seed: a stand-in for the trainer."""
    told: dict[int, RunResult | BaseException] = {}

    def train(config: Config, directory: Path, *, overrides: list[str]) -> RunResult:
        outcome = told.setdefault(config.seed, RunResult(directory, "done", 1.0))
        if isinstance(outcome, BaseException):
            raise outcome
        calls.append((config, directory))
        return outcome

    calls: list[tuple[Config, Path]] = []
    monkeypatch.setattr(trainer, "train", train)
    monkeypatch.setattr(trainer, "calls", calls, raising=False)
    return told


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (RunResult(Path("r"), "done", 1.0), 0),
        (RunResult(Path("r"), "pruned", 1.0), 0),
        (RunResult(Path("r"), "diverged", None, "NaN in the loss", 3), 3),
        (RunResult(Path("r"), "failed", None, "the environment raised", 3), 3),
        (RunResult(Path("r"), "stopped", None, None, 130), 130),
        (RunResult(Path("r"), "stopped", None, None, 143), 143),
        (StorageError("cannot write metrics.csv: No space left on device"), 3),
        (DirectoryBusy("in use"), 4),
        (KeyboardInterrupt(), 130),
        (SystemExit(143), 143),
        (ZeroDivisionError("a slip of ours"), 1),
    ],
    ids=repr,
)
def test_exit_code_tells_how_it_ended(
    outcome: RunResult | BaseException, code: int, entry: ModuleType, outcomes: dict[int, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes[0] = outcome
    assert entry.main([]) == code
    assert ("Traceback" in capsys.readouterr().err) == (code == 1)


@pytest.mark.parametrize(("code", "said"), [(143, True), (3, True), (0, False)])
def test_with_force_an_interrupted_command_says_what_would_continue(
    code: int, said: bool, entry: ModuleType, outcomes: dict[int, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes[0] = RunResult(Path("r"), {143: "stopped", 3: "failed", 0: "done"}[code], None, None, code)
    assert entry.main(["force=true"]) == code
    assert ("to continue, leave out force=true" in capsys.readouterr().err) == said
    assert entry.main([]) == code
    assert "force" not in capsys.readouterr().err


def test_failed_run_of_a_grid_does_not_keep_the_others_from_running(entry: ModuleType, outcomes: dict[int, Any]) -> None:
    outcomes[0] = RunResult(Path("r"), "diverged", None, "NaN in the loss", 3)
    assert entry.main(["-m", "seed=0,1,2", "hydra/launcher=basic"]) == 3
    assert [config.seed for config, _ in trainer.calls] == [0, 1, 2]  # type: ignore[attr-defined]


def test_equal_jobs_of_a_grid_run_once(entry: ModuleType, outcomes: dict[int, Any]) -> None:
    assert entry.main(["-m", "algo.lr=2e-2,0.02", "seed=0,0.0", "force=true", "hydra/launcher=basic"]) == 0
    assert len(trainer.calls) == 1  # type: ignore[attr-defined]


def test_jobs_are_what_the_check_said(entry: ModuleType, outcomes: dict[int, Any]) -> None:
    line = [
        "-m",
        "env.id=MountainCarContinuous-v0",
        "algo.clip_eps=range(0.1,0.4,0.1)",
        "seed=1e0,2",
        "recipe=paper,strong",
        "+algo.lr=1e-3",
        "hydra/launcher=basic",
    ]
    assert entry.main(line) == 0
    from ppo_sweep.sweep.command_line import check

    wanted = {job.path: job.config for job in check(line).jobs}
    assert {path: config for config, path in trainer.calls} == wanted  # type: ignore[attr-defined]


def test_warning_is_said_before_the_run(entry: ModuleType, outcomes: dict[int, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(shlex.split("algo.n_envs=64 algo.n_steps=8 total_steps=6400")) == 0
    assert "warning: total_steps=6400 is shorter than one episode" in capsys.readouterr().err
