"""What is printed at a run's end, and where packages are missing, can be typed where it is printed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ppo_sweep.installation import ROOT, python
from ppo_sweep.sweep.wording import outcome

ENTRIES = ("train.py", "scripts/eval.py", "scripts/watch.py", "scripts/status.py", "scripts/fsck.py")


@pytest.fixture
def no_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shell in which no virtual environment is activated and no ``python`` is found."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory outside the checkout, with a space and a virtual environment's ``bin`` in it."""
    place = tmp_path / "my work"
    (place / ".venv" / "bin").mkdir(parents=True)
    monkeypatch.chdir(place)
    return place


def next_command() -> str:
    return outcome("done", Path("results/my study/seed=0"), 1.0, None).split("watch it: ")[1]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["at the root", "elsewhere"])
def test_the_next_command_works_where_it_is_printed(elsewhere: bool, here: Path, no_python: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if not elsewhere:
        monkeypatch.chdir(ROOT)
    done = subprocess.run(["/bin/sh", "-c", next_command()], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "results/my study/seed=0 holds no policy" in done.stderr


def test_the_script_is_relative_below_the_working_directory_and_absolute_elsewhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shlex.split(next_command())[1] == str(ROOT / "scripts/watch.py")
    monkeypatch.chdir(ROOT)
    assert shlex.split(next_command())[1] == "scripts/watch.py"


def test_python_below_the_working_directory_is_relative(here: Path, no_python: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(here / ".venv/bin/python"))
    assert python() == ".venv/bin/python"
    monkeypatch.chdir(here / ".venv" / "bin")
    assert python() == "./python"


def test_python_elsewhere_is_absolute(here: Path, no_python: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "other env" / "python"))
    assert shlex.split(python()) == [str(tmp_path / "other env" / "python")]


def test_an_activated_environment_is_python_and_another_of_the_same_binary_is_not(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path(sys.executable).resolve()
    activated, other = here / ".venv" / "bin", here / "other"
    other.mkdir()
    for name in (activated / "python", activated / "python3", other / "python"):
        name.symlink_to(real)
    monkeypatch.setenv("PATH", f"{activated}{os.pathsep}{os.environ['PATH']}")
    for name in ("python", "python3"):
        monkeypatch.setattr(sys, "executable", str(activated / name))
        assert python() == "python"
    monkeypatch.setattr(sys, "executable", str(other / "python"))
    assert python() == "other/python"


@pytest.mark.parametrize(("state", "words"), [("stopped", "the same command continues it"), ("diverged", "see results/seed=0/train.log")])
def test_what_follows_depends_on_how_it_ended(state: str, words: str) -> None:
    assert outcome(state, Path("results/seed=0"), None, "NaN").endswith(f"no score (NaN) · {words}")


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_says_which_packages_are_missing(entry: str, here: Path) -> None:
    ended = subprocess.run([sys.executable, "-S", str(ROOT / entry), "x"], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"{entry} needs packages that this Python does not have: numpy, torch")
    assert f"cd {shlex.quote(str(ROOT))} && make demo" in ended.stderr
    assert f"and then run {shlex.quote(str(ROOT / '.venv/bin/python'))} {shlex.quote(str(ROOT / entry))}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_at_the_root_the_advice_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    ended = subprocess.run([sys.executable, "-S", "scripts/eval.py"], capture_output=True, text=True, timeout=60, check=False)
    assert "\n    make demo\n" in ended.stderr
    assert "and then run .venv/bin/python scripts/eval.py\n" in ended.stderr
