#!/usr/bin/env python
"""Write docs/results.md: what the recipes reach on the seeds that are kept for reporting, beside Stable-Baselines3.

    python train.py -m experiment=standard_1m
    python train.py -m experiment=strong_1m
    python scripts/train_peer.py
    python scripts/results_page.py

Reads results/standard_1m, results/strong_1m and results/stable_baselines3 (--results for another root), whole or
in progress; --check only compares. What follows the page's mark is written by hand and kept.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


from ppo_sweep.process import settle
from ppo_sweep.report import ReportError, load
from ppo_sweep.report.groups import groups
from ppo_sweep.report.statistics import Interval, mean_interval, welch
from scripts.pages import BY_HAND, DOCS

#: Study → short name of the environment → the mean that was aimed at before anything was run.
AIMS: dict[str, dict[str, float]] = {
    "standard_1m": {"halfcheetah": 2000, "hopper": 2200, "walker2d": 2800},
    "strong_1m": {"halfcheetah": 5900, "hopper": 2700, "walker2d": 3300, "pendulum": -200, "dmc_cheetah_run": 430},
}

#: Registered environment → its short name here.
PEER_TASKS = {"HalfCheetah-v5": "halfcheetah", "Hopper-v5": "hopper", "Walker2d-v5": "walker2d"}

INTRODUCTION = """\
# Results

What the recipes reach: `return_100` (mean raw return of the last 100 training episodes, sampled policy) after 1 M
environment steps, 300 k on Pendulum. Seeds 100–109 are used for nothing else; knobs were chosen on seeds 0–19. Intervals are
of the mean, 95 %: BCa bootstrap from ten seeds on, Student's t below. An aim, set before the runs, is *met* when the
mean reaches it, *missed* when the interval's upper end is below it, *open* otherwise.

    python train.py -m experiment=standard_1m
    python train.py -m experiment=strong_1m
    python scripts/train_peer.py
    python scripts/results_page.py
"""

Scores = Mapping[str, Mapping[int, float]]
"""Short name of the environment → seed → score."""


def of_study(directory: Path) -> Scores:
    """What the runs of one study count as (a diverged one as PROTOCOL §2 has it)."""
    return {group.env: {int(seed): float(score) for seed, score in group.scores.items()} for group in groups(load(directory))}


def of_peer(directory: Path) -> Scores:
    """The same of Stable-Baselines3's runs, from the episodes that ``train_peer.py`` wrote."""
    found: dict[str, dict[int, float]] = {}
    for env, name in PEER_TASKS.items():
        for path in directory.glob(f"{env}/seed=*.csv"):
            with path.open(newline="") as file:
                returns = [float(row["return"]) for row in csv.DictReader(file)][-100:]
            found.setdefault(name, {})[int(path.stem.partition("=")[2])] = sum(returns) / len(returns)
    return found


def table(scores: Scores, aims: Mapping[str, float]) -> Iterable[str]:
    """A line of Markdown per environment."""
    yield "| environment | seeds | mean | sd | median | 95 % interval | aim | | every seed |"
    yield "|---|---:|---:|---:|---:|---|---:|---|---|"
    for env, by_seed in scores.items():
        values = [by_seed[seed] for seed in sorted(by_seed)]
        if not values:
            continue
        interval = mean_interval(values)
        aim = aims.get(env)
        shown = "–" if aim is None else f"{aim:.0f}"
        cells = [env, f"{len(values)}", *spread(values), written(interval), shown, verdict(values, interval, aim)]
        yield f"| {' | '.join(cells)} | {' '.join(f'{value:.0f}' for value in values)} |"


def spread(values: list[float]) -> list[str]:
    """Mean, standard deviation (ddof = 1) and median, as written."""
    ordered = sorted(values)
    n, mean = len(ordered), sum(ordered) / len(ordered)
    median = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    sd = (sum((value - mean) ** 2 for value in ordered) / (n - 1)) ** 0.5 if n > 1 else None
    return [f"{mean:.0f}", "–" if sd is None else f"{sd:.0f}", f"{median:.0f}"]


def verdict(values: list[float], interval: Interval, aim: float | None) -> str:
    """``met``, ``missed`` or ``open`` (PROTOCOL §2); empty without an aim."""
    if aim is None:
        return ""
    if sum(values) / len(values) >= aim:
        return "met"
    return "missed" if interval.high < aim else "open"


def written(interval: Interval) -> str:
    return f"{interval.low:.0f} … {interval.high:.0f}" if interval.method else "–"


def against(name: str, scores: Scores, peer: Scores) -> Iterable[str]:
    """A line per environment that both have: the difference of the means with Welch's interval."""
    for env in scores:
        if env in peer:
            difference = welch(list(scores[env].values()), list(peer[env].values()))
            yield f"| {name} | {env} | {difference.value:+.0f} | {difference.low:+.0f} … {difference.high:+.0f} |"


def page(results: Path) -> str:
    """The generated part, of what is there."""
    parts = [INTRODUCTION]
    found = {study: of_study(results / study) for study in AIMS if (results / study).exists()}
    for study, scores in found.items():
        parts.append(f"## `experiment={study}`\n\n" + "\n".join(table(scores, AIMS[study])) + "\n")
    peer = of_peer(results / "stable_baselines3")
    if peer:
        parts.append("## Stable-Baselines3 on the same tasks\n\nPPO and VecNormalize with their defaults, one environment.\n")
        parts.append("\n".join(table(peer, {})) + "\n")
        rows = [line for study, scores in found.items() for line in against(f"`{study}`", scores, peer)]
        parts.append("\n".join(["| against it | environment | difference of means | 95 % (Welch) |", "|---|---|---:|---|", *rows]) + "\n")
    return "\n".join(parts)


def main() -> int:
    """Write the page; 1 with ``--check`` if it is not current, 2 if there is nothing to read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="results root (default: results)")
    parser.add_argument("--out", type=Path, default=DOCS / "results.md", help="default: docs/results.md")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is not current")
    given = parser.parse_args()
    try:
        made = page(given.results)
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    current = given.out.read_text(encoding="utf-8") if given.out.exists() else ""
    text = f"{made}\n{BY_HAND}{current.partition(BY_HAND)[2]}"
    if given.check and text != current:
        print(f"{given.out} is not what python scripts/results_page.py makes of {given.results}", file=sys.stderr)
        return 1
    if not given.check:
        given.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    settle()
    sys.exit(main())
