"""Every named fault point: killed there, or told that the disk is full, a run still ends with the bytes of one that was left alone."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from toy_run import CONFIG, bytes_of, command, in_child, same_state, state_at, work

from ppo_sweep.runs import fault_points
from ppo_sweep.runs.checkpoint import load_state
from ppo_sweep.runs.directory import RunDirectory
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.fault_points import FAULT_POINTS, STUDY
from ppo_sweep.runs.status import read_status
from ppo_sweep.runs.versions import cpu_capability

KILLED = -9
FORCED = CONFIG.replace(force=True)
#: Those of a run; a study's own file is written by sweeps.
POINTS = tuple(point for point in FAULT_POINTS if point.partition(".")[0] not in STUDY)
WRITES = tuple(point for point in POINTS if ".write." in point and not point.endswith("after"))


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of a run that was left alone."""
    cpu_capability()  # imports torch here, once, and not in every forked process
    path = tmp_path_factory.mktemp("reference") / "run"
    work(path)
    return bytes_of(path)


@pytest.fixture
def memory(tmp_path: Path):
    """A directory in memory, if there is one: what a SIGKILL leaves does not depend on the disk, and fsync is slow."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory, reference) -> Path:
    """A run that was left in iteration 8: two checkpoints, and rows behind the newer one."""
    path = tmp_path_factory.mktemp("begun") / "run"
    work(path, until=8)
    assert read_status(path).state == "interrupted"
    return path


@pytest.fixture(autouse=True)
def disarmed():
    yield
    fault_points.arm("")


def check_what_a_kill_left(path: Path) -> None:
    """A kill leaves a state that was, readable without a lock, or none yet; and never a status that claims more."""
    state = load_state(path, warn=pytest.fail)
    assert state is None or same_state(state, state_at(state.scalars["iteration"]))
    assert read_status(path).state in ("interrupted", "absent", "done")


def kill_and_complete(path: Path, point: str, passing: int, forced: bool, reference: dict[str, bytes]) -> bool:
    """Whether a process was killed there; it must then leave what can be completed to the reference."""
    config = FORCED if forced else CONFIG
    if in_child(lambda: work(path, config), f"kill@{point}:{passing}") != KILLED:
        return False
    check_what_a_kill_left(path)
    work(path)
    assert bytes_of(path) == reference
    assert read_status(path).state == "done"
    assert not list(path.rglob("*.tmp")), "a temporary file was left"
    return True


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_fault_point_leaves_the_bytes_of_a_run_left_alone(point, memory, reference, begun):
    for forced in (False, True):
        path = memory / f"forced={forced}"
        shutil.copytree(begun, path)
        if kill_and_complete(path, point, 1, forced, reference):
            return
    pytest.fail("neither continuing nor starting anew passes this point")


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_passing_of_any_fault_point_leaves_the_bytes_of_a_run_left_alone(point, memory, reference, begun):
    kills = 0
    for scenario in ("fresh", "continued", "forced"):
        for passing in range(1, 40):
            path = memory / f"{scenario}-{passing}"
            if scenario != "fresh":
                shutil.copytree(begun, path)
            if not kill_and_complete(path, point, passing, scenario == "forced", reference):
                break
            kills += 1
    assert kills >= 1, "no run passes this point"


@pytest.mark.parametrize("point", WRITES)
def test_a_full_disk_at_any_write_is_a_clear_message_and_the_run_continues_when_there_is_room(point, memory, reference, begun, capsys):
    path = memory / "run"
    shutil.copytree(begun, path)
    fault_points.arm(f"enospc@{point}")
    if point.startswith("config."):
        (path / "config.yaml").unlink()  # else it is not written again
    if point.startswith("log."):
        work(path)
        assert "No space left on device" in capsys.readouterr().err, "a log that cannot be written is said, and stops no run"
    else:
        with pytest.raises(StorageError, match=r"^cannot write .*: No space left on device; what was written before is intact"):
            work_closing(path)
        assert read_status(path).state == "interrupted"
        check_what_a_kill_left(path)
        assert not list(path.rglob("*.tmp")), "a temporary file takes the last of a full disk"
        work(path)
    assert bytes_of(path) == reference


def work_closing(path: Path) -> None:
    """``work`` in this very process, as a trainer does it: whatever happens, the directory is let go."""
    opened: list[RunDirectory] = []
    original = RunDirectory.open.__func__

    def remember(cls, *args, **kwargs):
        opened.append(original(cls, *args, **kwargs))
        return opened[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDirectory, "open", classmethod(remember))
        try:
            work(path)
        finally:
            for run in opened:
                run.close()


@pytest.mark.parametrize("errno", ["erofs", "eio", "eacces", "edquot"])
@pytest.mark.parametrize(
    "point",
    [
        "metrics.fsync.before", "checkpoint.tensors.fsync.before", "checkpoint.header.rename.before",
        "status.write.before", "eval.cut.before",
    ],
)  # fmt: skip
def test_any_other_refusal_of_the_disk_is_told_in_the_systems_words(point, errno, memory, reference, begun):
    path = memory / "run"
    shutil.copytree(begun, path)
    fault_points.arm(f"{errno}@{point}")
    with pytest.raises(StorageError, match=r"^cannot (save|write|cut) /.*: [A-Z][a-z ,/-]+; what was written before is intact"):
        work_closing(path)
    work(path)
    assert bytes_of(path) == reference


def test_a_checkpoint_that_failed_can_be_tried_again_in_the_same_process(tmp_path, reference):
    run = work(tmp_path / "run", until=5)
    run = RunDirectory.open(CONFIG, tmp_path / "run")
    run.append_metrics({"iteration": 4})
    for point in (
        "metrics.fsync.before",
        "checkpoint.tensors.write.middle",
        "checkpoint.tensors.fsync_dir.before",
        "checkpoint.header.rename.before",
    ):
        fault_points.arm(f"enospc@{point}")
        with pytest.raises(StorageError):
            run.checkpoint(state_at(4))
        assert same_state(load_state(run.path, warn=pytest.fail), state_at(3))
    run.checkpoint(state_at(4))
    run.close()
    assert same_state(load_state(run.path), state_at(4))


def test_a_really_full_file_system_tears_nothing(tmp_path, reference):
    """A tmpfs of 256 KiB, filled by a file that is deleted later (needs the right to mount)."""
    script = f"""
import ast, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from toy_run import work, bytes_of
from ppo_sweep.runs.errors import StorageError
disk = Path({str(tmp_path)!r})
work(disk / "run", until=5)
(disk / "filler").write_bytes(b"")
with open(disk / "filler", "wb", buffering=0) as filler:
    try:
        while True:
            filler.write(bytes(512))
    except OSError:
        pass
try:
    work(disk / "run")
    sys.exit("a full disk went unnoticed")
except StorageError as error:
    print(error)
(disk / "filler").unlink()
work(disk / "run")
print(sorted(bytes_of(disk / "run").items()) == sorted(ast.literal_eval(sys.stdin.read()).items()))
"""
    # unshare gives the shell a mount table of its own, gone with the process.
    mounting = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=256k tmpfs "$1" && shift && exec "$@"', "sh", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run([*mounting, "true"], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs more rights than this process has")
    mounted = [*mounting, sys.executable, "-c", script]
    done = subprocess.run(mounted, input=repr(reference), capture_output=True, text=True, timeout=60)
    assert re.search(r"cannot \w+ .*: No space left on device", done.stdout), done
    assert done.stdout.endswith("True\n"), done


def test_the_environment_variable_arms_a_fresh_process(tmp_path, reference):
    environment = os.environ | {"PPO_SWEEP_FAULT": "kill@checkpoint.header.rename.before:3"}
    done = subprocess.run(command(tmp_path / "run"), env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == KILLED, done.stderr
    assert same_state(load_state(tmp_path / "run"), state_at(6))
    work(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == reference


@pytest.mark.parametrize(
    "specification", ["kill@metrics.wriet.before", "explode@metrics.write.before", "metrics.write.before", "kill@metrics.write.before:x"]
)
def test_a_typo_in_a_fault_is_refused_so_that_no_test_passes_by_it(specification):
    with pytest.raises(ValueError):
        fault_points.arm(specification)


def test_every_write_fsync_rename_cut_and_delete_of_the_package_passes_a_point():
    """No system call that changes a file stands in these sources outside the few functions that mark their points.

    Films and what loggers write are read by nothing here; a damaged study file is set aside by a single rename.
    """
    calls = re.compile(
        r"os\.(write|pwrite|fsync|fdatasync|rename|replace|ftruncate|truncate|unlink|remove)\(|\.(write_text|write_bytes|unlink|rename)\("
    )
    folder = Path(fault_points.__file__).parent
    found = {(path.name, match[0]) for path in folder.glob("*.py") for match in calls.finditer(path.read_text())}
    assert {item for item in found if item[0] not in ("filming.py", "loggers.py")} == {
        ("durable.py", "os.write("), ("durable.py", "os.fsync("), ("durable.py", "os.rename("), ("durable.py", "os.unlink("),
        ("tables.py", "os.ftruncate("), ("checkpoint.py", "os.unlink("), ("places.py", "os.unlink("),
        ("lock.py", "os.ftruncate("), ("lock.py", "os.pwrite("), ("study_file.py", "os.rename("),
    }  # fmt: skip


def test_a_finished_run_half_deleted_by_force_never_reads_as_finished(memory, reference):
    work(memory / "finished")
    killed = 0
    for passing in range(1, 40):
        path = memory / f"{passing}"
        shutil.copytree(memory / "finished", path)
        if in_child(lambda path=path: work(path, FORCED), f"kill@force.delete.after:{passing}") != KILLED:
            break
        killed += 1
        assert read_status(path).state == "absent"
        work(path)
        assert bytes_of(path) == reference
    assert killed >= 12, "status, configuration, four tables, policy and checkpoints are deleted one by one"


def test_what_a_checkpoint_relies_on_is_on_the_disk_before_it_is_named(tmp_path, monkeypatch):
    """A kill cannot show a missing fsync, only a power cut can: so the order of system calls is checked itself."""
    calls: list[tuple[str, str]] = []

    def recorded(name, real):
        def call(target, *rest):
            path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else str(target)
            calls.append((name, str(Path(path).relative_to(tmp_path))))
            return real(target, *rest)

        return call

    run = RunDirectory.open(CONFIG, tmp_path)
    run.append_metrics({"iteration": 1})
    run.append_episodes([{"env": 0}])
    for name in ("write", "fsync", "rename"):
        monkeypatch.setattr(os, name, recorded(name, getattr(os, name)))
    run.checkpoint(state_at(1))
    monkeypatch.undo()
    assert {("fsync", "metrics.csv"), ("fsync", "episodes.csv"), ("fsync", "eval.csv")} == set(calls[:3])
    assert calls[3:] == [
        ("write", "checkpoint/.a.safetensors.tmp"),
        ("fsync", "checkpoint/.a.safetensors.tmp"),
        ("rename", "checkpoint/.a.safetensors.tmp"),
        ("fsync", "checkpoint"),
        ("write", "checkpoint/.a.json.tmp"),
        ("fsync", "checkpoint/.a.json.tmp"),
        ("rename", "checkpoint/.a.json.tmp"),
        ("fsync", "checkpoint"),
    ]
    calls.clear()
    with monkeypatch.context() as patch:
        for name in ("write", "fsync", "rename"):
            patch.setattr(os, name, recorded(name, getattr(os, name)))
        run.append_evaluations([{"episodes": 10}])
        run.checkpoint(state_at(2))
    assert [path for name, path in calls if name == "fsync" and path.endswith(".csv")] == ["eval.csv"], (
        "a table without new rows is not waited for"
    )
    run.close()
