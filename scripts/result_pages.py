#!/usr/bin/env python
"""Write docs/results.md and docs/recipes.md: what the recipes reach, what each of their choices does, and the default.

    make results            # trains all of it: hours; every part continues where it was stopped
    python scripts/result_pages.py

The score of every finished run under results/ (--results for another root) is entered into docs/scores.csv, and the pages are
made of that file alone, so they can be made anew, and checked (--check), where the runs themselves are not. What
follows a page's mark is written by hand and kept.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import yaml
from numpy.typing import NDArray

from ppo_sweep.process import settle
from ppo_sweep.report import ReportError, environments, load
from ppo_sweep.report.groups import groups
from ppo_sweep.report.scores import OPEN
from ppo_sweep.report.scores import verdict as separation
from ppo_sweep.statistics import Difference, Interval, holm_levels, mean_interval, paired, welch
from ppo_sweep.sweep.composition import CONF
from scripts.pages import BY_HAND, DOCS
from scripts.train_peer import SEEDS, STEPS, TASKS, place

#: Study → short name of the environment → the mean that was aimed at before anything was run.
AIMS: dict[str, dict[str, float]] = {
    "strong_1m": {"halfcheetah": 5900, "hopper": 2700, "walker2d": 3300, "pendulum": -200, "dmc_cheetah_run": 430},
    "standard_1m": {"halfcheetah": 2000, "hopper": 2200, "walker2d": 2800},
}

#: The seeds that results are reported on, and that are used for nothing else.
REPORTED = range(100, 110)

#: Registered environment → its short name here.
PEER_TASKS = {"HalfCheetah-v5": "halfcheetah", "Hopper-v5": "hopper", "Walker2d-v5": "walker2d"}
PEER = "stable_baselines3"

#: One change at a time from recipe strong; both recipes on the five environments.
CHANGES, DEFAULT = "strong_changes", "default_recipe"
#: Study → the seeds that its page is about, if they are not those for reporting.
CHOSEN_ON = {CHANGES: range(20), "strong_pendulum": range(20), DEFAULT: range(20, 30)}
#: Study → the setting that its others are compared with.
COMPARED = {CHANGES: "recipe=strong,tuned=none", "strong_pendulum": "algo.lr_end=0,recipe=strong"}

COLUMNS = ("study", "setting", "env", "seed", "score")

RESULTS = """\
# Results

What the recipes reach: `return_100` (mean raw return of the last 100 training episodes, sampled policy) after 1 M
environment steps, 300 k on Pendulum. Seeds 100–109 are kept for reporting; knobs were chosen on seeds 0–19. Intervals are
of the mean, 95 %: BCa bootstrap from ten seeds on; below, Student's t, which is only indicative. An aim, set before the runs,
is *met* when the mean reaches it, *missed* when the interval's upper end is below it, *open* otherwise. The score holds the noise of
exploration and lags behind the policy, by up to N × the longest episode ([numbers.md](numbers.md)).

    make results                     # or one by one:
    python train.py -m experiment=strong_1m
    python train.py -m experiment=standard_1m
    python scripts/train_peer.py
    python scripts/result_pages.py

Every score is in [scores.csv](scores.csv).
"""

RECIPES = """\
# Recipes

How the recipes' choices were made. Scores are `return_100` after the task's own budget; every one is in [scores.csv](scores.csv).
"""

CHANGED = """\
## One change at a time from `recipe=strong`

    make recipe-changes

1 M steps, on seeds of 0–19, on which knobs may be chosen, with `tuned=none`. The difference is that of the means, with Welch's 95 %
interval, and beside it the interval of the same runs paired by seed. *Worse* and *better* are said where Welch's p, adjusted for
the number of changes in that environment (Holm), is below 0.05; the rest is not separated.
"""

PENDULUM = """\
## One change at a time on Pendulum

From `recipe=strong` with `conf/tuned/strong_pendulum.yaml`, 300 k steps (`make recipe-changes`, too):
"""

CHOSEN = """\
## The default recipe

    python train.py -m experiment=default_recipe

Seeds 20–29, each task's own budget. A normalised score is (return − random) / (reference − random), with the bounds of `conf/env/`;
the mean is over environments, its interval a bootstrap stratified by environment. The recipe with the higher mean is the default.
"""

Scores = Mapping[str, Mapping[int, float]]
"""Short name of the environment → seed → score."""

Key = tuple[str, str, str, int]
"""Study, setting, environment, seed."""


# ---------------------------------------------------------------------- collecting


def of_study(directory: Path) -> Iterator[tuple[Key, float]]:
    """What the finished runs of one study count as (a diverged one with its substitute)."""
    for group in groups(load(directory)):
        for run, counted in group.runs["counted"].dropna().items():
            yield (directory.name, setting(Path(str(run)).parts[-2]), group.env, int(group.runs.at[run, "seed"])), float(counted)


def setting(run: str) -> str:
    """The name of a run's directory without what stands in the other columns."""
    parts = [unquote(part) for part in re.split(r",(?=[a-z_.]+=)", run)]
    return ",".join(part for part in parts if part.partition("=")[0] not in ("env", "experiment"))


def of_peer(directory: Path) -> Iterator[tuple[Key, float]]:
    """The same of Stable-Baselines3's runs, from the episodes that ``train_peer.py`` wrote."""
    for env, name in PEER_TASKS.items():
        for path in (path for seed in REPORTED if (path := place(directory, env, STEPS, seed)).exists()):
            with path.open(newline="") as file:
                returns = [float(row["return"]) for row in csv.DictReader(file)][-100:]
            yield (PEER, "", name, int(path.stem.partition("=")[2])), sum(returns) / len(returns)


def collected(results: Path) -> dict[Key, float]:
    """Every score under a results root that the pages are about."""
    studies = [results / study for study in (*AIMS, *COMPARED, DEFAULT) if (results / study).exists()]
    return {**dict(entry for study in studies for entry in of_study(study)), **dict(of_peer(results / PEER))}


def read(path: Path) -> dict[Key, float]:
    """Scores that were kept."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {(row["study"], row["setting"], row["env"], int(row["seed"])): float(row["score"]) for row in csv.DictReader(file)}


def write(path: Path, scores: Mapping[Key, float]) -> None:
    """Keep scores, in the order of their keys."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows([*key, repr(score)] for key, score in sorted(scores.items()))


# ---------------------------------------------------------------------- results.md


def chosen(scores: Mapping[Key, float], study: str, of: str) -> dict[str, dict[int, float]]:
    """The scores of one study's setting; environments in the order of :data:`AIMS`."""
    found: dict[str, dict[int, float]] = {}
    for env in AIMS["strong_1m"]:
        by_seed = {seed: score for (own, name, where, seed), score in scores.items() if (own, name, where) == (study, of, env)}
        if by_seed:
            found[env] = dict(sorted(by_seed.items()))
    return found


def table(scores: Scores, aims: Mapping[str, float]) -> Iterable[str]:
    """A line of Markdown per environment."""
    yield "| environment | seeds | mean | sd | median | 95 % interval | aim | | every seed |"
    yield "|---|---:|---:|---:|---:|---|---:|---|---|"
    for env, by_seed in scores.items():
        values = list(by_seed.values())
        interval = mean_interval(values)
        aim = aims.get(env)
        shown = "–" if aim is None else f"{aim:.0f}"
        cells = [env, f"{len(values)}", *spread(values), written(interval), shown, verdict(values, interval, aim)]
        yield f"| {' | '.join(cells)} | {' '.join(f'{value:.0f}' for value in values)} |"


def spread(values: list[float]) -> list[str]:
    """Mean, standard deviation (ddof = 1) and median, as written."""
    sd = f"{np.std(values, ddof=1):.0f}" if len(values) > 1 else "–"
    return [f"{np.mean(values):.0f}", sd, f"{np.median(values):.0f}"]


def verdict(values: list[float], interval: Interval, aim: float | None) -> str:
    """``met``, ``missed`` or ``open`` (see the page); empty without an aim."""
    if aim is None:
        return ""
    if sum(values) / len(values) >= aim:
        return "met"
    return "missed" if interval.high < aim else "open"


def written(interval: Interval | Difference, sign: str = "") -> str:
    """Both ends, or a dash; ``sign="+"`` for a difference."""
    return "–" if math.isnan(interval.low) else f"{interval.low:{sign}.0f} … {interval.high:{sign}.0f}"


PEERS = """\
## Stable-Baselines3 on the same tasks

PPO and VecNormalize with their defaults, one environment, the same budget, scored in the same way.{missing}
"""

AGAINST = """\
How ours compares: the difference of the means, Welch's 95 % interval, and the same adjusted for the number of comparisons
(Holm). *Better* and *worse* are said where the adjusted interval excludes 0. Runs are not paired: equal seeds of two programs
share nothing.

| ours | environment | seeds | ours − theirs | 95 % | adjusted | |
|---|---|---|---:|---|---|---|
"""


def against(found: Mapping[str, Scores], peer: Scores) -> Iterator[str]:
    """A line per study and environment that both have."""
    compared = [(study, env, own) for study, scores in found.items() for env, own in scores.items() if env in peer]
    differences = [welch([*own.values()], [*peer[env].values()]) for _, env, own in compared]
    levels = holm_levels([difference.p for difference in differences])
    for (study, env, own), difference, level in zip(compared, differences, levels, strict=True):
        adjusted = difference.at(float(level))
        cells = [f"`{study}`", env, f"{len(own)} − {len(peer[env])}", f"{difference.value:+.0f}", written(difference, "+")]
        yield f"| {' | '.join(cells)} | {written(adjusted, '+')} | {separation(adjusted.low, adjusted.high)} |"


def results_page(scores: Mapping[Key, float]) -> str:
    """The generated part of docs/results.md."""
    parts = [RESULTS]
    scores = {key: score for key, score in scores.items() if key[-1] in REPORTED}
    found = {study: own for study in AIMS if (own := chosen(scores, study, ""))}
    for study, own in found.items():
        parts.append(f"## `experiment={study}`\n\n" + "\n".join(table(own, AIMS[study])) + "\n")
    peer = chosen(scores, PEER, "")
    if peer:
        wanted = [(PEER_TASKS[task], seed) for task in TASKS for seed in SEEDS]
        made = sum(seed in peer.get(env, {}) for env, seed in wanted)
        missing = f" So far {made} of {len(wanted)} runs have been made." if made < len(wanted) else ""
        parts.append(PEERS.format(missing=missing))
        parts.append("\n".join(table(peer, {})) + "\n")
        parts.append(AGAINST + "\n".join(against(found, peer)) + "\n")
    else:
        parts.append("The runs of Stable-Baselines3 that this page is to compare with have not been made yet.\n")
    return "\n".join(parts)


# ---------------------------------------------------------------------- recipes.md


def changes(scores: Mapping[Key, float], study: str) -> Iterator[str]:
    """A table per environment: every setting of a study against its reference."""
    base = COMPARED[study]
    names = dict.fromkeys(name for own, name, _, _ in sorted(scores) if own == study)
    for env, reference in chosen(scores, study, base).items():
        everywhere = {name: chosen(scores, study, name) for name in names if name != base}
        found = {name: by_env[env] for name, by_env in everywhere.items() if env in by_env}
        differences = {name: welch([*own.values()], [*reference.values()]) for name, own in found.items()}
        levels = dict(zip(differences, holm_levels([difference.p for difference in differences.values()]), strict=True))
        yield f"### {env}\n"
        yield "| change | seeds | mean | sd | median | difference | Welch | paired | | every seed |"
        yield "|---|---:|---:|---:|---:|---:|---|---|---|---|"
        first = [_shown(base) or "none", f"{len(reference)}", *spread([*reference.values()])]
        yield f"| {' | '.join(first)} | | | | | {numbers(reference)} |"
        for name in sorted(found, key=lambda name: -differences[name].value):
            own, difference = found[name], differences[name]
            adjusted = difference.at(float(levels[name]))
            said = separation(adjusted.low, adjusted.high)
            cells = [_shown(name), f"{len(own)}", *spread([*own.values()]), f"{difference.value:+.0f}", written(difference, "+")]
            cells += [written(paired(own, reference), "+"), "" if said == OPEN else said]
            yield f"| {' | '.join(cells)} | {numbers(own)} |"
        yield ""


def _shown(setting: str) -> str:
    """Without what a whole study has in common; empty if nothing is left."""
    own = [part for part in re.split(r",(?=[a-z_.]+=)", setting) if part not in ("recipe=strong", "tuned=none")]
    return f"`{','.join(own)}`" if own else ""


def numbers(by_seed: Mapping[int, float]) -> str:
    return " ".join(f"{value:.0f}" for value in by_seed.values())


def default(scores: Mapping[Key, float]) -> Iterator[str]:
    """Both recipes in every environment, and their mean normalised scores."""
    recipes = sorted({name for study, name, _, _ in scores if study == DEFAULT and re.fullmatch(r"recipe=\w+", name)})
    bounds = {env: yaml.safe_load((CONF / "env" / f"{env}.yaml").read_text())["env"] for env in AIMS["strong_1m"]}
    scaled: dict[str, dict[str, NDArray[np.float64]]] = {}
    yield "| recipe | environment | seeds | mean | sd | median | normalised | every seed |"
    yield "|---|---|---:|---:|---:|---:|---:|---|"
    for recipe in recipes:
        scaled[recipe] = {}
        for env, own in chosen(scores, DEFAULT, recipe).items():
            scale = bounds[env]
            normalised = environments.normalised([*own.values()], scale["score_random"], scale["score_reference"])
            scaled[recipe][env] = normalised
            yield f"| `{recipe}` | {env} | {len(own)} | {' | '.join(spread([*own.values()]))} | {normalised.mean():.2f} | {numbers(own)} |"
    if len(scaled) < 2 or any(strata.keys() != bounds.keys() for strata in scaled.values()):
        return  # means over different environments do not compare
    yield ""
    yield "| recipe | mean normalised score | 95 % |"
    yield "|---|---:|---|"
    for recipe, strata in scaled.items():
        interval = environments.stratified_interval(mean_of_means, [*strata.values()])
        yield f"| `{recipe}` | {environments.mean(strata):.3f} | {interval.low:.3f} … {interval.high:.3f} |"


def mean_of_means(resampled: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Strata, each (R, n) → (R,)."""
    return np.asarray(np.mean([values.mean(axis=1) for values in resampled], axis=0))


def recipes_page(scores: Mapping[Key, float]) -> str:
    """The generated part of docs/recipes.md."""
    scores = {key: score for key, score in scores.items() if key[-1] in CHOSEN_ON.get(key[0], ())}
    studies = {study for study, _, _, _ in scores}
    parts = [RECIPES]
    if DEFAULT in studies:
        parts.append(CHOSEN + "\n" + "\n".join(default(scores)) + "\n")
    if CHANGES in studies:
        parts.append(CHANGED + "\n" + "\n".join(changes(scores, CHANGES)))
    if "strong_pendulum" in studies:
        parts.append(PENDULUM + "\n" + "\n".join(changes(scores, "strong_pendulum")))
    return "\n".join(parts)


PAGES: Mapping[str, Callable[[Mapping[Key, float]], str]] = {"results.md": results_page, "recipes.md": recipes_page}


def main() -> int:
    """Enter what there is and write the pages; 1 with ``--check`` if one is not current, 2 if runs cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="results root (default: results)")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where scores.csv and the pages are (default: docs)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is not what scores.csv makes")
    given = parser.parse_args()
    kept = given.docs / "scores.csv"
    scores = read(kept)
    if not given.check:
        try:
            scores |= collected(given.results)
        except ReportError as error:
            print(error, file=sys.stderr)
            return 2
        write(kept, scores)
    stale = []
    for name, made in PAGES.items():
        page = given.docs / name
        current = page.read_text(encoding="utf-8") if page.exists() else ""
        text = f"{made(scores)}\n{BY_HAND}{current.partition(BY_HAND)[2]}"
        if text != current:
            stale.append(f"{page}")
            if not given.check:
                page.write_text(text, encoding="utf-8")
    if given.check and stale:
        print(f"{' and '.join(stale)} not current; run python scripts/result_pages.py", file=sys.stderr)
        return 1
    print(f"written: {', '.join(stale)}" if stale else "both pages are current")
    return 0


if __name__ == "__main__":
    settle()
    sys.exit(main())
