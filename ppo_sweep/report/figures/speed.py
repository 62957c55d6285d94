"""Speed: what an environment step costs, and how it went over time (``timing.csv``)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppo_sweep.report import style
from ppo_sweep.report.figures.common import NothingToShow, Options, sentences
from ppo_sweep.report.frame import Results, timing

#: Columns of ``timing.csv``, in the order of an iteration, and their colours: light and dark by turns.
PARTS = {"simulator": "#56B4E9", "policy": "#D55E00", "normalise": "#CFCFCF", "update": "#0072B2", "write": "#FBE3A6", "other": "#404040"}


def costs(results: Results) -> pd.DataFrame:
    """A row per run and iteration: ``timing.csv`` with ``env``, ``steps`` (of all members), and :data:`PARTS` in µs per step."""
    rows = timing(results)
    rows = rows[rows["seconds"] > 0].copy()
    rows["run"] = rows["run"].astype(str)
    rows["env"] = rows["run"].map(results.runs["env"])
    # Steps of one member; every member of a population does the same number.
    rows["steps"] = rows.groupby("run")["env_steps"].diff().fillna(rows["env_steps"]) * rows["members"]
    rows = rows[rows["steps"] > 0]
    known = [part for part in PARTS if part != "other"]
    rows["other"] = (rows["seconds"] - rows[known].sum(axis=1)).clip(lower=0)
    for part in PARTS:
        rows[part] = rows[part] / rows["steps"] * 1e6
    return rows


def figure(results: Results, options: Options) -> Figure:
    """What a step costs at the left, steps per second over the training at the right.

    Raises:
        NothingToShow: no iteration was timed.
    """
    rows = costs(results)
    if not len(rows):
        raise NothingToShow("No figure of speed: timing.csv is missing or empty in every run.")
    count = rows["env"].nunique()
    made = Figure(figsize=(style.WIDTH, 0.42 * count + 2.1))
    left, right = made.subplots(1, 2)
    cost(left, rows)
    pace(right, rows, results.environments)
    style.legend(made, [(part, style.patch(colour)) for part, colour in PARTS.items()])
    return style.finish(made)


def cost(ax: Axes, rows: pd.DataFrame) -> Axes:
    """A bar per environment: microseconds per environment step, by part."""
    means = rows.groupby("env", sort=False)[list(PARTS)].mean()
    members = rows.groupby("env", sort=False)["members"].median()
    left = np.zeros(len(means))
    for part, colour in PARTS.items():
        ax.barh(range(len(means)), means[part], left=left, color=colour, height=0.6, edgecolor="white", linewidth=0.4)
        left += means[part].to_numpy()
    ax.set_yticks(range(len(means)), [f"{env} (P = {members[env]:.0f})" for env in means.index])
    spare = max(0.0, 1 - 0.5 * len(means))  # a single bar is no block
    ax.set_ylim(len(means) - 0.5 + spare, -0.5 - spare)
    ax.grid(visible=False, axis="y")
    ax.tick_params(left=False)
    ax.set_xlabel("µs per environment step")
    return ax


def pace(ax: Axes, rows: pd.DataFrame, environments: list[str]) -> Axes:
    """Steps per second of a population over the training: median over runs, band from lowest to highest."""
    for label, look in style.looks(environments).items():
        inside = rows[rows["env"] == label]
        if not len(inside):
            continue
        every = max(1, int(inside["iteration"].max()) // 60)
        binned = inside.assign(bin=(inside["iteration"] // every).astype(int)).groupby("bin")
        x = binned["env_steps"].median().to_numpy()
        low, middle, high = (binned["steps_per_s"].quantile(q).to_numpy() for q in (0.1, 0.5, 0.9))
        ax.fill_between(x, low, high, color=look.colour, alpha=0.15, linewidth=0)
        ax.plot(x, middle, label=label, **look.line)
    if len(environments) > 1:
        ax.legend(frameon=False)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("environment steps / s")
    style.steps_axis(ax, "environment steps of each run")
    ax.yaxis.set_major_formatter(lambda value, place: style.count(value))
    return ax


def caption(results: Results, options: Options) -> str:
    """What is shown."""
    rows = costs(results)
    if not len(rows):
        return ""
    said = [f"{env} {inside['steps_per_s'].median():.0f}" for env, inside in rows.groupby("env", sort=False)]
    return sentences(
        "Wall time of the populations that the runs trained in (P members side by side on one core). "
        "Left: mean cost of one environment step of one member, by part.",
        "Right: environment steps per second of a whole population, median and middle 80 % over runs and iterations; "
        f"median per second: {', '.join(said)}.",
        "Other work on the machine shows here and on axes of seconds, and nowhere else.",
    )
