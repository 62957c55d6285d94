#!/usr/bin/env python
"""Measure what a study gains: docs/studies.md.

python scripts/bench_study.py search      TPE with pruning against random search without, at equal environment steps
python scripts/bench_study.py packing     Hopper, 60 trials × 3 seeds, against one process per job (ours; with the extra bench also
                                          Stable-Baselines3's, with its defaults)

What follows the case is given to every study, for example recipe=standard. Studies lie in results/bench_study/ (--out). An
interrupted search is continued, without a figure of its time; what has a line in search.csv is not run again. Packing
begins anew. Figures of time are only worth something from a quiet machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, time
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.process import settle
from ppo_sweep.report.statistics import mean_interval, paired

TRAIN = [sys.executable, str(Path(__file__).resolve().parents[1] / "train.py")]
PENDULUM = ["env=pendulum", "total_steps=60000", "sweep.seeds=3"]
SEEDS, TOTAL_STEPS = 3, 300_000
HOPPER = ["sweep=tpe", "env=hopper", f"total_steps={TOTAL_STEPS}", "sweep.n_trials=60", f"sweep.seeds={SEEDS}"]
COLUMNS = ["search", "repeat", "overrides", "trials", "env_steps", "seconds", "tuning", "winner", "default"]

#: Of the packing case: runs that are trained again one process per job, whole ones, ours and the peer's.
SAMPLE, SAMPLE_OF_PEER = 6, 2
WORKERS, SLOTS = 2, 9


def run(words: Sequence[str], out: Path, study: str) -> float:
    """Run one study to its end; wall seconds of the command."""
    started = perf_counter()
    code = subprocess.call([*TRAIN, "-m", *words, f"results={out}", f"study={study}", f"hydra.launcher.workers={WORKERS}"])
    if code not in (0, 3) or not any(row["state"] == "COMPLETE" for row in trials(out / study)):  # 3: some trial failed
        raise SystemExit(code or 3)
    return perf_counter() - started


def trials(study: Path) -> list[dict[str, str]]:
    """The rows of ``trials.csv``."""
    with (study / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def confirmed(study: Path) -> dict[str, Any]:
    """What ``study.json`` keeps of confirmation and report seeds."""
    return dict(json.loads((study / "study.json").read_text())["confirmed"])


def row(out: Path, search: str, repeat: int, words: Sequence[str], more: Sequence[str]) -> dict[str, str]:
    """Run the study of one search and repeat; its line of ``search.csv``."""
    study = f"{search}-{repeat}"
    interrupted = (out / study).exists()
    seconds = run([*PENDULUM, *words, *more, f"seed={repeat}"], out, study)
    rows, result = trials(out / study), confirmed(out / study)
    report = {name: statistics.fmean(scores.values()) for name, scores in result["report"].items()}
    return {
        "search": search,
        "repeat": str(repeat),
        "overrides": " ".join(more),
        "trials": str(len(rows)),
        "env_steps": str(sum(int(row["env_steps"]) for row in rows)),
        "seconds": "nan" if interrupted else f"{seconds:.1f}",  # the rest of a study is not its whole
        "tuning": str(max(float(row["value"]) for row in rows if row["state"] == "COMPLETE")),
        "winner": str(report[result["winner"]]),
        "default": str(report["default"]),
    }


def search(out: Path, repeats: int, more: Sequence[str]) -> None:
    """TPE with the median pruner against random search without one that may take as many steps."""
    table = out / "search.csv"
    known: list[dict[str, str]] = []
    if table.exists():
        with table.open(newline="") as file:
            known = list(csv.DictReader(file))
    if any(line["overrides"] != " ".join(more) for line in known):
        raise SystemExit(f"{table} holds studies with other overrides: give another --out")
    for repeat in range(repeats):
        for name in ("tpe", "random"):
            if any(line["search"] == name and line["repeat"] == str(repeat) for line in known):
                continue
            if name == "tpe":
                words = ["sweep=tpe", "sweep.n_trials=40"]
            else:
                [steps] = [line["env_steps"] for line in known if line["search"] == "tpe" and line["repeat"] == str(repeat)]
                words = ["sweep=random", "sweep.pruner=none", "sweep.n_trials=400", f"sweep.max_env_steps={steps}"]
            known.append(row(out, name, repeat, words, more))
            with table.open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(known)
    print("\n".join(compared(known)))


def compared(lines: Sequence[dict[str, str]]) -> Iterable[str]:
    """Markdown: a line per search, and the paired differences."""
    yield "| search | repeats | trials | steps | winner on report seeds | 95 % (t) | best tuning mean | seconds | 95 % (t) |"
    yield "|---|---:|---:|---:|---:|---|---:|---:|---|"
    for name in ("tpe", "random"):
        own = [line for line in lines if line["search"] == name]
        winner, seconds = (list(_by_repeat(lines, name, column).values()) for column in ("winner", "seconds"))
        cells = [name, f"{len(own)}", _mean(own, "trials"), _mean(own, "env_steps"), f"{statistics.fmean(winner):.1f}", _interval(winner)]
        yield f"| {' | '.join([*cells, _mean(own, 'tuning'), f'{statistics.fmean(seconds):.0f}', _interval(seconds)])} |"
    for column, what in (("winner", "report score"), ("seconds", "seconds")):
        first, second = (_by_repeat(lines, name, column) for name in ("tpe", "random"))
        found = paired(first, second)
        yield f"\n{what}, tpe − random, paired by repeat: {found.value:+.1f} ({found.low:+.1f} … {found.high:+.1f})"


def _by_repeat(lines: Sequence[dict[str, str]], search: str, column: str) -> dict[int, float]:
    """Repeat → figure; those that are known."""
    figures = {int(line["repeat"]): float(line[column]) for line in lines if line["search"] == search}
    return {repeat: figure for repeat, figure in figures.items() if not math.isnan(figure)}


def _mean(lines: Sequence[dict[str, str]], column: str) -> str:
    return f"{statistics.fmean(float(line[column]) for line in lines):.0f}"


def _interval(values: Sequence[float]) -> str:
    interval = mean_interval(values)
    return f"{interval.low:.1f} … {interval.high:.1f}"


def packing(out: Path, more: Sequence[str]) -> None:
    """Wall time of a search on Hopper against the same runs one process per job, and how full the slots were."""
    wrong = [word for word in more if word.partition("=")[0].partition(".")[0] in ("sweep", "env", "total_steps", "study", "results")]
    if wrong:
        raise SystemExit(f"{' '.join(wrong)}: the single runs and the peer would not have it")
    study, alone, others = out / "hopper", out / "alone", out / "peer"
    # An interrupted search cannot be timed, and what is there is not trained again.
    for path in (study, alone, others):
        if path.exists():
            raise SystemExit(f"{path} is there: remove it, or give another --out")
    started = time()
    run([*HOPPER, "sweep.confirm_top=0", *more], out, study.name)
    runs = [Timeline(path) for path in sorted(study.glob("trial=*/seed=*/timing.csv"))]
    seconds, queue_end = max(run.end for run in runs) - started, max(run.begin for run in runs)
    busy = sum(run.within(started, queue_end) for run in runs) / ((queue_end - started) * WORKERS * SLOTS)
    steps = sum(int(line["env_steps"]) for line in trials(study))
    whole = len(trials(study)) * SEEDS * TOTAL_STEPS
    states = {state: sum(line["state"] == state for line in trials(study)) for state in ("COMPLETE", "PRUNED", "FAIL")}
    print(f"{states}, {steps:,} environment steps in {seconds:.0f} s: {steps / seconds:,.0f} steps/s")
    print(f"slots busy until the last trial was begun: {busy:.1%}\n")
    print("| one process per job, two at a time | steps/s | the same steps | ratio | without pruning | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, speed in (("our trainer", one_process_per_job(study, alone, more)), ("Stable-Baselines3", peer(others))):
        if speed is not None:
            same, all_of_it = steps / speed, whole / speed
            print(f"| {name} | {speed:,.0f} | {same:.0f} s | {same / seconds:.1f} × | {all_of_it:.0f} s | {all_of_it / seconds:.1f} × |")


class Timeline:
    """When one run was at work: the rows of its ``timing.csv`` laid end to end up to the file's last change.

    Attributes:
        begin, end: seconds since the epoch.
    """

    def __init__(self, path: Path) -> None:
        with path.open(newline="") as file:
            self._seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
        self.end = path.stat().st_mtime
        self.begin = self.end - sum(self._seconds)

    def within(self, start: float, stop: float) -> float:
        """Seconds at work between ``start`` and ``stop``."""
        return max(0.0, min(stop, self.end) - max(start, self.begin))


def one_process_per_job(study: Path, out: Path, more: Sequence[str]) -> float:
    """Environment steps per second of jobs of the study, one process per job, two at a time, start-up included."""
    lines = trials(study)
    chosen = lines[:: max(1, len(lines) // SAMPLE)][:SAMPLE]
    base = [*TRAIN, "env=hopper", f"total_steps={TOTAL_STEPS}", f"results={out.parent}", f"study={out.name}", *more]
    jobs = [[*base, *(f"{key}={value}" for key, value in line.items() if "." in key and value)] for line in chosen]
    with ThreadPoolExecutor(WORKERS) as processes:
        seconds = list(processes.map(_alone, jobs))
    # Jobs take different times; a queue of many keeps both processes busy, these few do not.
    statuses = [json.loads(path.read_text()) for path in out.glob("*/seed=*/status.json")]
    return sum(int(status["env_steps"]) for status in statuses) / (sum(seconds) / WORKERS)


def _alone(command: Sequence[str]) -> float:
    started = perf_counter()
    code = subprocess.call(command, stdout=subprocess.DEVNULL)
    if code not in (0, 3):  # 3: it diverged
        raise SystemExit(f"exit code {code}: {' '.join(command)}")
    return perf_counter() - started


def peer(out: Path) -> float | None:
    """The same of Stable-Baselines3 with its defaults, whose jobs take equal times; None if it is not installed."""
    if find_spec("stable_baselines3") is None:
        return None
    seeds = [str(seed) for seed in range(SAMPLE_OF_PEER)]
    script = Path(__file__).with_name("train_peer.py")
    words = ["--env", "Hopper-v5", "--steps", str(TOTAL_STEPS), "--workers", str(WORKERS), "--out", str(out), "--seeds", *seeds]
    started = perf_counter()
    subprocess.run([sys.executable, str(script), *words], check=True)
    return len(seeds) * TOTAL_STEPS / (perf_counter() - started)


def main() -> int:
    """Parse arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=["search", "packing"])
    parser.add_argument("override", nargs="*", help="given to every study, for example recipe=standard")
    parser.add_argument("--repeats", type=int, default=5, help="of the search case (default: 5)")
    parser.add_argument("--out", type=Path, default=Path("results/bench_study"), help="default: results/bench_study")
    given = parser.parse_intermixed_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.case == "search":
        search(given.out, given.repeats, given.override)
    else:
        packing(given.out, given.override)
    return 0


if __name__ == "__main__":
    settle()
    sys.exit(main())
