"""Several ``train.py`` on one study in a database, killed and not."""

from __future__ import annotations

import json
import shlex
import statistics
import subprocess
import sys
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
from studies import attempts, runs, table
from sweeping import TRAIN, environment, processes, wait_for

from ppo_sweep.runs.lock import holder, is_locked
from ppo_sweep.runs.study_file import read_study
from ppo_sweep.sweep.study.storage import open_study

#: Eight trials of two short runs on Pendulum; one worker of four slots in each process.
PENDULUM = (
    "-m sweep=tpe env=pendulum total_steps=2048 algo.n_envs=1 algo.n_steps=256 network.hidden=[8] checkpoint_every=2 sweep.pruner=none "
    "sweep.n_trials=8 sweep.seeds=2 sweep.confirm_top=1 sweep.confirm_seeds=1 sweep.report_seeds=1 "
    "hydra.launcher.workers=1 hydra.launcher.slots=4"
)


def command(study: str, url: str, changes: str = "") -> str:
    """The command line, with some words replaced or added."""
    words = dict(word.split("=", 1) for word in [*PENDULUM.split()[1:], f"study={study}", f"sweep.storage='\"{url}\"'", *changes.split()])
    return " ".join(["-m", *(f"{key}={value}" for key, value in words.items())])


def start(line: str, said: str) -> subprocess.Popen[bytes]:
    """A ``train.py`` in the background, whose words go to a file."""
    with Path(said).open("wb") as output:
        return subprocess.Popen([sys.executable, str(TRAIN), *shlex.split(line)], env=environment(), stdout=output, stderr=output)


def kill(process: subprocess.Popen[bytes], directory: str) -> list[int]:
    """Kill it with SIGKILL while it trains; the numbers of the trials that it had."""
    wait_for(lambda: [*Path("results", directory).glob("trial=*/seed=*/checkpoint/*.json")] or process.poll() is not None, 240)
    assert process.poll() is None and processes(process.pid)
    held = trials_of(process, directory)
    process.kill()
    process.wait()
    return held


def trials_of(process: subprocess.Popen[bytes], directory: str) -> list[int]:
    """The numbers of the trials that it has now."""
    claimed = [path for path in Path("results", directory).glob("trial=*") if is_locked(path)]
    return [int(path.name.partition("=")[2]) for path in claimed if f"process {process.pid} " in holder(path)]


def unsaved(study: str) -> set[str]:
    """The runs that are begun and have no checkpoint: what kills them now has them begun anew."""
    begun = [path.parent for path in Path("results", study).glob("trial=*/seed=*/train.log")]
    return {str(run.relative_to(Path("results", study))) for run in begun if not [*run.glob("checkpoint/*.json")]}


def stored(study: str, url: str) -> list[optuna.trial.FrozenTrial]:
    """The trials in the database."""
    with closing(open_study(Path("results", study), study, ["maximize"], url)) as opened:
        return opened.study.get_trials()


def assert_every_trial_once(study: str, url: str, trials: int, outputs: Sequence[str], anew: Collection[str] = ()) -> None:
    """Nothing is lost, nothing run twice, the values are those of the runs, and one process has confirmed.

    Args:
        anew: runs that may have been begun twice, see :func:`unsaved`.
    """
    found = stored(study, url)
    assert [trial.number for trial in found] == list(range(trials))
    assert {trial.state.name for trial in found} == {"COMPLETE"}
    assert [int(row["number"]) for row in table(study)] == list(range(trials))
    for trial, row in zip(found, table(study), strict=True):
        scores = [status(study, f"trial={trial.number:04d}/seed={seed}")["score"] for seed in (0, 1)]
        assert trial.value == float(row["value"]) == statistics.fmean(scores)
    assert {run for run, times in attempts(study).items() if times != 1} <= set(anew)
    listed = read_study(Path("results", study))
    assert listed is not None
    assert {member.path for member in listed.members} == {str(run) for run in runs(study)}
    assert {member.state for member in listed.members} == {"done"}
    said = [Path(output).read_text() for output in outputs]
    assert sum("the winner on the confirmation seeds" in words for words in said) == 1, said
    assert Path("results", study, "best.yaml").exists()


def status(study: str, run: str) -> dict[str, Any]:
    """``status.json``."""
    read: dict[str, Any] = json.loads(Path("results", study, run, "status.json").read_text())
    return read
