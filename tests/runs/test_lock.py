import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_run import CONFIG, bytes_of, command, in_child, work

from ppo_sweep.runs import lock
from ppo_sweep.runs.directory import RunDirectory
from ppo_sweep.runs.errors import DirectoryBusy, StorageError
from ppo_sweep.runs.lock import RunLock, is_locked
from ppo_sweep.runs.status import read_status

HOLD = """
import sys, time
from pathlib import Path
from ppo_sweep.runs.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""
LOOK = """
import sys
from pathlib import Path
from ppo_sweep.runs.lock import is_locked
while True:
    is_locked(Path(sys.argv[1]))
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock of ``tmp_path``."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_told_who_holds_the_directory(tmp_path, holder):
    assert is_locked(tmp_path)
    with pytest.raises(DirectoryBusy, match=rf"is in use by process {holder.pid} on {socket.gethostname()}, since 20\d\d-"):
        RunLock(tmp_path)
    with pytest.raises(DirectoryBusy):
        RunDirectory.open(CONFIG, tmp_path)
    with pytest.raises(DirectoryBusy):
        RunDirectory.open(CONFIG.replace(force=True), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock"], "a refused process touches nothing"


def test_a_killed_holder_is_no_holder(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".lock").read_text(), "its words are still there"
    assert not is_locked(tmp_path)
    RunLock(tmp_path).release()


def test_a_stopped_holder_is_a_holder_until_it_dies(tmp_path, holder):
    holder.send_signal(signal.SIGSTOP)
    os.waitpid(holder.pid, os.WUNTRACED)
    with pytest.raises(DirectoryBusy, match=f"process {holder.pid} "):
        RunLock(tmp_path)
    holder.send_signal(signal.SIGCONT)
    with pytest.raises(DirectoryBusy):
        RunLock(tmp_path)
    holder.kill()
    holder.wait()
    RunLock(tmp_path).release()


def test_a_run_stopped_in_mid_write_goes_on_after_a_second_process_was_refused(tmp_path):
    """SIGSTOP with half a row on disk; a second process is refused; SIGCONT; the bytes are those of a run left alone."""
    work(tmp_path / "reference")
    process = subprocess.Popen(command(tmp_path / "run"), env=os.environ | {"PPO_SWEEP_FAULT": "stop@metrics.write.middle:8"})
    os.waitpid(process.pid, os.WUNTRACED)
    assert read_status(tmp_path / "run").state == "running"
    torn = (tmp_path / "run/metrics.csv").read_bytes()
    assert not torn.endswith(b"\n")
    with pytest.raises(DirectoryBusy, match=f"process {process.pid} "):
        work(tmp_path / "run")
    assert (tmp_path / "run/metrics.csv").read_bytes() == torn
    process.send_signal(signal.SIGCONT)
    assert process.wait(timeout=60) == 0
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "reference")


def test_the_same_process_cannot_hold_a_directory_twice_and_can_again_after_release(tmp_path):
    first = RunLock(tmp_path)
    with pytest.raises(DirectoryBusy, match="this very process"):
        RunLock(tmp_path)
    first.release()
    first.release()
    RunLock(tmp_path).release()


def test_children_do_not_keep_the_lock_alive(tmp_path):
    """Neither a forked child nor a started program may hold what its parent let go (or died with)."""
    held = RunLock(tmp_path)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
    try:
        time.sleep(0.05)
        assert is_locked(tmp_path), "the child's closing its copy is no release"
        held.release()
        assert not is_locked(tmp_path)
        RunLock(tmp_path).release()
    finally:
        os.close(writing)
        os.waitpid(child, 0)
        os.close(reading)
        program.kill()
        program.wait()


def test_a_forked_child_may_take_another_lock(tmp_path):
    held = RunLock(tmp_path)
    (tmp_path / "other").mkdir()
    assert in_child(lambda: RunLock(tmp_path / "other").release()) == 0
    held.release()


def test_readers_that_look_all_the_time_never_make_a_writer_fail(tmp_path):
    RunLock(tmp_path).release()
    looking = [subprocess.Popen([sys.executable, "-c", LOOK, str(tmp_path)]) for _ in range(2)]
    try:
        deadline, taken = time.monotonic() + 1.5, 0
        while time.monotonic() < deadline:
            RunLock(tmp_path).release()  # raises DirectoryBusy if a look were taken for a writer
            taken += 1
        assert taken > 0
        assert all(process.poll() is None for process in looking), "they looked all the time"
    finally:
        for process in looking:
            process.kill()
            process.wait()


def test_a_lock_file_removed_and_made_anew_is_not_mistaken_for_the_one_held(tmp_path, monkeypatch):
    flock = lock.fcntl.flock
    removed = []

    def remove_once(descriptor, operation):
        if not removed:
            removed.append((tmp_path / ".lock").unlink())
        flock(descriptor, operation)

    monkeypatch.setattr(lock.fcntl, "flock", remove_once)
    held = RunLock(tmp_path)
    assert is_locked(tmp_path), "the lock is on the file that others will open"
    held.release()


def test_no_file_is_no_lock_and_nothing_is_made_by_looking(tmp_path):
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_symbolic_link_in_place_of_the_lock_is_refused(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".lock").symlink_to("precious")
    with pytest.raises(StorageError, match=r"cannot lock .*\.lock"):
        RunLock(tmp_path)
    assert (tmp_path / "precious").read_text() == "precious"


def test_damaged_words_in_the_lock_file_hide_nobody(tmp_path, holder):
    (tmp_path / ".lock").write_bytes(b"\xff[")
    with pytest.raises(DirectoryBusy, match="in use by another process"):
        RunLock(tmp_path)


@pytest.mark.parametrize("number", ["ENOLCK", "EOPNOTSUPP"])
def test_a_file_system_without_flock_is_named_as_such(tmp_path, monkeypatch, number):
    import errno

    def refuse(descriptor, operation):
        raise OSError(getattr(errno, number), "no")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with pytest.raises(StorageError, match="this file system has no flock; choose another with results="):
        RunLock(tmp_path)
