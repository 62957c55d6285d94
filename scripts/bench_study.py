#!/usr/bin/env python
"""Measure what a study finds: docs/studies.md.

python scripts/bench_study.py [OVERRIDE …]      TPE with pruning against random search without, at equal environment steps

Overrides, for example recipe=standard, are given to every study. Studies lie in results/bench_study/ (--out). The same
command continues what was interrupted, without a figure of that study's time; what has a line in search.csv is not run
again. Figures of time are only worth something from a quiet machine.
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
from pathlib import Path
from time import perf_counter
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.process import settle
from ppo_sweep.statistics import mean_interval, paired

TRAIN = [sys.executable, str(Path(__file__).resolve().parents[1] / "train.py")]
PENDULUM = ["env=pendulum", "total_steps=60000", "sweep.seeds=3"]
COLUMNS = ["search", "repeat", "overrides", "trials", "env_steps", "seconds", "tuning", "winner", "default"]

WORKERS = 2


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


def main() -> int:
    """Parse arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("override", nargs="*", help="given to every study, for example recipe=standard")
    parser.add_argument("--repeats", type=int, default=5, help="default: 5")
    parser.add_argument("--out", type=Path, default=Path("results/bench_study"), help="default: results/bench_study")
    given = parser.parse_intermixed_args()
    given.out.mkdir(parents=True, exist_ok=True)
    search(given.out, given.repeats, given.override)
    return 0


if __name__ == "__main__":
    settle()
    sys.exit(main())
