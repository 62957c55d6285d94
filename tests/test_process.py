"""``train.py`` as a process among others: broken outputs, early signals, disks that refuse."""

from __future__ import annotations

import ctypes
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ppo_sweep.runs.directory import read_status

#: Makes holes between blocks that stay, as simulators that are gone leave them; prints the MB before and after trimming.
HOLES = """
from pathlib import Path
from ppo_sweep.process import trim_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 10**6

blocks = [b"x" * 20_000 for _ in range(10_000)]
del blocks[:-1]  # the last one lies on top of all
before = resident()
trim_memory()
print(before, resident())
"""

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
COMMAND = f"{shlex.quote(sys.executable)} {shlex.quote(str(TRAIN))} algo.n_envs=1 algo.n_steps=64 total_steps=256 algo.epochs=2"


def shell(line: str, place: Path) -> subprocess.CompletedProcess[str]:
    """A line for bash; its exit code is the first failing part's of a pipeline."""
    return subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=place, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    "line",
    [
        f"{COMMAND} | head -1",
        f"{COMMAND} | true",
        f"{COMMAND} > /dev/full",
        f"{COMMAND} >&-",
        f"{COMMAND} 2>&-",
        f"{COMMAND} <&- >&- 2>&-",
        f"PYTHONIOENCODING=ascii {COMMAND}",
    ],
    ids=["head", "nobody", "full", "no-stdout", "no-stderr", "nothing", "ascii"],
)
def test_output_that_cannot_be_written_stops_no_run(line: str, tmp_path: Path) -> None:
    for _ in ("trained", "finished already"):
        ended = shell(line, tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert "Traceback" not in ended.stderr
    [run] = tmp_path.glob("results/*/*/seed=0")
    assert read_status(run).state == "done"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_run_begins_ends_it_at_once_and_in_silence(number: signal.Signals, tmp_path: Path) -> None:
    for delay in (0.3, 0.8, 1.3):
        process = subprocess.Popen(shlex.split(COMMAND), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(delay)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        # 0: the machine was so fast that the run had ended.
        assert process.returncode in (128 + number, 0)
        assert "Traceback" not in errors
        assert "bug" not in errors


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of a megabyte; skipped where mounting is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_file_that_hydra_cannot_write_is_named(tmp_path: Path) -> None:
    assert shell(COMMAND, tmp_path).returncode == 0
    [run] = tmp_path.glob("results/*/*/seed=0")
    (run / "train.log").unlink()
    (run / "train.log").mkdir()
    refused = shell(f"{COMMAND} force=true", tmp_path)
    assert refused.returncode == 3
    assert "train.log: Is a directory; what was written before is intact" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_read_only_disk_is_named_and_the_run_continues_when_it_is_writable(small_disk: Path) -> None:
    longer = COMMAND.replace("total_steps=256", "total_steps=9600")
    process = subprocess.Popen(shlex.split(longer), cwd=small_disk, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(small_disk.glob("results/*/*/seed=0/checkpoint/*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    refused = shell(longer, small_disk)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert refused.returncode == 2
    assert "nothing can be written into 'results'" in refused.stderr
    assert "Traceback" not in refused.stderr
    continued = shell(longer, small_disk)
    assert continued.returncode == 0
    assert "continues after iteration" in continued.stdout


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library cannot be asked")
def test_trimming_gives_back_what_lies_between_blocks_that_stay() -> None:
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, timeout=120, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 200 and after < 50
