"""Real studies on an environment that goes wrong on demand, small enough for a test."""

from __future__ import annotations

import csv
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sweeping import environment

#: Seven trials, of two runs of a few milliseconds each, on two workers of three slots; ``asha`` prunes some.
WORDS = (
    "sweep=tpe recipe=standard env.id=faulty_environments:faulty/Walk-v0 "
    "algo.n_envs=1 algo.n_steps=32 algo.minibatch_size=16 network.hidden=[8] "
    "total_steps=384 sweep.pruner=asha sweep.n_trials=7 sweep.seeds=2 sweep.confirm_top=0 checkpoint_every=2 "
    "hydra.launcher.workers=2 hydra.launcher.slots=3"
)


def study(name: str, changes: str = "") -> str:
    """The command line of a study, with some words replaced or added."""
    words = dict(word.split("=", 1) for word in [*WORDS.split(), f"study={name}", *changes.split()])
    return " ".join(["-m", *(f"{key}={value}" for key, value in words.items())])


#: A ``train.py`` that kills itself at the change of its journal that holds a text, or at an order to a worker.
_KILLED = Path(__file__).with_name("killed_train.py")


def trials(study: str) -> list[tuple[Any, ...]]:
    """All that the journal holds of every trial, times left out."""
    path = Path("results", study, "optuna.log")
    loaded = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(path))))
    return [
        (trial.number, trial.state.name, trial.values, trial.params, trial.intermediate_values, trial.user_attrs)
        for trial in loaded.get_trials()
    ]


def table(study: str) -> list[dict[str, str]]:
    """``trials.csv``."""
    with Path("results", study, "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def killed(line: str, where: str, times: int = 1) -> bool:
    """Run the command until it kills itself at ``where`` for the n-th time; False if it came to its end instead."""
    command = [sys.executable, str(_KILLED), where, str(times), *shlex.split(line)]
    with Path("said.txt").open("ab") as said:
        code = subprocess.run(command, env=environment(), stdout=said, stderr=said, timeout=240, check=False).returncode
    assert code in (-signal.SIGKILL, 0), Path("said.txt").read_text(errors="replace")
    return code != 0


def runs(study: str) -> list[Path]:
    """Directories of its runs, relative to it."""
    root = Path("results", study)
    return sorted(path.parent.relative_to(root) for path in root.rglob("status.json"))


def attempts(study: str) -> dict[str, int]:
    """How often the run of each directory was begun anew, by its log."""
    root = Path("results", study)
    return {
        str(run): (root / run / "train.log").read_text().count("begun in") for run in runs(study) if (root / run / "train.log").exists()
    }
