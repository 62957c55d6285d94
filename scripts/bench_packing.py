#!/usr/bin/env python
"""Measure what a study gains by packing its runs: docs/studies.md.

python scripts/bench_packing.py [OVERRIDE …]    a search on Hopper, 60 trials × 3 seeds, against one process per job: ours and, with
                                                the extra bench, Stable-Baselines3's with its defaults

Overrides, for example recipe=standard, are given to the study and to our single runs. All lies in results/bench_packing/
(--out). The same command continues what was interrupted: the search's time is that of all its commands together, which must
have run on one kind of processor. Figures of time are only worth something from a quiet machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import astuple, dataclass
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.machine import processor
from ppo_sweep.process import settle
from scripts.bench_study import TRAIN, WORKERS, run, trials
from scripts.train_peer import budget

SLOTS, SEEDS, TOTAL_STEPS = 9, 3, 300_000
HOPPER = ["sweep=tpe", "env=hopper", f"total_steps={TOTAL_STEPS}", "sweep.n_trials=60", f"sweep.seeds={SEEDS}", "sweep.confirm_top=0"]

#: Runs that are trained again one process per job, whole ones, ours and the peer's.
SAMPLE, SAMPLE_OF_PEER = 6, 2

#: Seconds between two looks at the search.
LOOK_EVERY = 10.0


@dataclass(frozen=True)
class Look:
    """One line of ``packing.csv``: how far the search was when its command was looked at.

    Attributes:
        seconds: wall time of the search's commands so far. What came after the last look at a command that was killed is missing.
        begun: runs that have a row of ``timing.csv``.
        busy: seconds that runs were at work, all of them added up.
        ended: whether this was the end of the search.
    """

    seconds: float
    begun: int
    busy: float
    ended: bool


def packing(out: Path, more: Sequence[str]) -> None:
    """Wall time of a search on Hopper against the same runs one process per job, and how full the slots were."""
    wrong = [word for word in more if word.partition("=")[0].partition(".")[0] in ("sweep", "env", "total_steps", "study", "results")]
    if wrong:
        raise SystemExit(f"{' '.join(wrong)}: the single runs and the peer would not have it")
    _same(out / "packing.json", {"processor": processor(), "overrides": list(more)})
    study = out / "hopper"
    looks = watched(out, study.name, [*HOPPER, *more])
    # The last look tells how many runs there were; from the first one with as many on, the queue was empty.
    seconds, queue_end = looks[-1].seconds, next(look for look in looks if look.begun == looks[-1].begun)
    busy = queue_end.busy / (queue_end.seconds * WORKERS * SLOTS)
    rows = trials(study)
    steps, whole = sum(int(line["env_steps"]) for line in rows), len(rows) * SEEDS * TOTAL_STEPS
    states = {state: sum(line["state"] == state for line in rows) for state in ("COMPLETE", "PRUNED", "FAIL")}
    print(f"{processor()}: {states}, {steps:,} environment steps in {seconds:.0f} s: {steps / seconds:,.0f} steps/s")
    print(f"slots busy until the last run was begun, after {queue_end.seconds:.0f} s: {busy:.1%}\n")
    print("| one process per job, two at a time | steps/s | the same steps | ratio | without pruning | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, jobs in (("our trainer", our_jobs(rows, more)), ("Stable-Baselines3", peer_jobs())):
        if jobs:
            speed = one_process_per_job(out / name.lower().replace(" ", "_"), jobs)
            same, all_of_it = steps / speed, whole / speed
            print(f"| {name} | {speed:,.0f} | {same:.0f} s | {same / seconds:.1f} × | {all_of_it:.0f} s | {all_of_it / seconds:.1f} × |")


def _same(path: Path, circumstances: dict[str, Any]) -> None:
    """Keep what all times in this directory must share; end where it is another."""
    if path.exists() and (before := json.loads(path.read_text())) != circumstances:
        raise SystemExit(f"{path.parent} holds times of {before}, and this is {circumstances}: give another --out")
    path.write_text(json.dumps(circumstances))


def watched(out: Path, study: str, words: Sequence[str]) -> list[Look]:
    """Run a search to its end, or go on with it; every look at it, also those of earlier commands."""
    table = out / "packing.csv"
    looks: list[Look] = []
    if table.exists():
        whole, end, _ = table.read_text().rpartition("\n")
        table.write_text(whole + end)  # a kill may have cut the last line off: the next look makes up for it
        lines = csv.reader(whole.splitlines())
        looks = [Look(float(line[0]), int(line[1]), float(line[2]), line[3] == "1") for line in lines]
    before = looks[-1].seconds if looks else 0.0
    if looks and looks[-1].ended:
        return looks
    with ThreadPoolExecutor(1) as command, table.open("a", newline="") as file:
        started = perf_counter()
        search = command.submit(run, words, out, study)
        while True:
            wait([search], LOOK_EVERY)
            over = search.done()
            look = Look(before + perf_counter() - started, *at_work(out / study), ended=over and search.exception() is None)
            csv.writer(file, lineterminator="\n").writerow([*astuple(look)[:-1], int(look.ended)])
            file.flush()
            looks.append(look)
            if over:
                search.result()  # raises what ended it
                return looks


def at_work(study: Path) -> tuple[int, float]:
    """Runs of a study that have been at work, and the seconds of all of them."""
    begun, seconds = 0, 0.0
    for path in study.glob("trial=*/seed=*/timing.csv"):
        with path.open(newline="") as file:
            own = [float(row["seconds"]) for row in csv.DictReader(file) if row["seconds"]]
        begun, seconds = begun + bool(own), seconds + sum(own)
    return begun, seconds


def our_jobs(rows: Sequence[dict[str, str]], more: Sequence[str]) -> dict[str, list[str]]:
    """Job → command: every so many-th trial of the search with its first seed, as a single run to its end."""
    chosen = rows[:: max(1, len(rows) // SAMPLE)][:SAMPLE]
    base = [*TRAIN, "env=hopper", f"total_steps={TOTAL_STEPS}", "study=alone", *more]
    knobs = {line["number"]: [f"{key}={value}" for key, value in line.items() if "." in key and value] for line in chosen}
    # An equals sign in a value would have to be quoted for Hydra.
    return {f"trial-{number}": [*base, *values, "results={out}"] for number, values in knobs.items()}


def peer_jobs() -> dict[str, list[str]]:
    """The same of Stable-Baselines3 with its defaults; none if it is not installed."""
    if find_spec("stable_baselines3") is None:
        return {}
    script = str(Path(__file__).with_name("train_peer.py"))
    base = [sys.executable, script, "--env", "Hopper-v5", "--steps", str(TOTAL_STEPS), "--workers", "1"]
    return {f"seed-{seed}": [*base, "--seeds", str(seed), "--out", "{out}"] for seed in range(SAMPLE_OF_PEER)}


def one_process_per_job(out: Path, jobs: dict[str, list[str]]) -> float:
    """Environment steps per second of jobs, one process per job, two at a time, start-up included."""
    with ThreadPoolExecutor(WORKERS) as processes:
        seconds = list(processes.map(lambda job: _alone(out / job, jobs[job]), jobs))
    # Jobs take different times; a queue of many keeps both processes busy, these few do not.
    return sum(_steps(out / job) for job in jobs) / (sum(seconds) / WORKERS)


def _alone(out: Path, command: Sequence[str]) -> float:
    """Wall seconds of one job; what an interrupted one left is begun anew, since its time would be that of a part."""
    took = out / "seconds"
    if not took.exists():
        shutil.rmtree(out, ignore_errors=True)
        started = perf_counter()
        code = subprocess.call([word.replace("{out}", str(out)) for word in command], stdout=subprocess.DEVNULL)
        if code not in (0, 3):  # 3: it diverged
            raise SystemExit(f"exit code {code}: {' '.join(command)}")
        took.write_text(str(perf_counter() - started))
    return float(took.read_text())


def _steps(out: Path) -> int:
    """Environment steps of one job: ours may have diverged, the peer's are those of its budget."""
    statuses = [json.loads(path.read_text()) for path in out.glob("alone/*/seed=*/status.json")]
    return sum(int(status["env_steps"]) for status in statuses) if statuses else budget(TOTAL_STEPS)


def main() -> int:
    """Parse arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("override", nargs="*", help="given to the study and to our single runs, for example recipe=standard")
    parser.add_argument("--out", type=Path, default=Path("results/bench_packing"), help="default: results/bench_packing")
    given = parser.parse_intermixed_args()
    given.out.mkdir(parents=True, exist_ok=True)
    packing(given.out, given.override)
    return 0


if __name__ == "__main__":
    settle()
    sys.exit(main())
