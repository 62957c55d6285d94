"""Sensitivity: the score over each swept knob, a heat map of two, and ranks over environments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from ppo_sweep.report import environments, knobs, style
from ppo_sweep.report.figures.common import NothingToShow, Options, across, seeds_sentence, sentences, states_sentence
from ppo_sweep.report.figures.knob_axis import draw_ticks, is_number, knob_axis
from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import Group, groups, names
from ppo_sweep.report.numbers import minus, number
from ppo_sweep.runs.naming import shortest
from ppo_sweep.statistics import mean_interval

_BLUE = "#0072B2"

#: Settings whose ranks are shown at most.
_RANKED = 24
#: Columns of a heat map up to which its cells say their value.
_WRITTEN = 8


@dataclass(frozen=True)
class Effect:
    """Mean scores over one knob in one environment.

    Attributes:
        rows: setting of the other knobs → value as text → group.
        complete: settings of the other knobs for which every value has a score: only they enter the mean.
        values: as text, in order.
    """

    rows: Mapping[str, Mapping[str, Group]]
    complete: tuple[str, ...]
    values: tuple[str, ...]


def effect(found: Sequence[Group], knob: str) -> Effect:
    """Sort the groups of one environment by a knob and by the rest."""
    rows: dict[str, dict[str, Group]] = {}
    for group in found:
        rest = knobs.label({key: value for key, value in group.setting.items() if key != knob}, shortest)
        rows.setdefault(rest, {})[shortest(group.setting[knob])] = group
    values = tuple(dict.fromkeys(shortest(group.setting[knob]) for group in found))
    return Effect(rows, tuple(rest for rest, row in rows.items() if len(row) == len(values)), values)


def figure(results: Results, options: Options) -> Figure:
    """A panel per environment and knob; below, a heat map where two knobs were swept, and the ranks over environments.

    Raises:
        NothingToShow: nothing was swept, or no two settings of one environment have a score.
    """
    swept, by_env = _swept(results), _scored(results)
    if not swept:
        raise NothingToShow("No sensitivity: the runs of each environment differ in their seed only.")
    shown = [(env, knob) for env, found in by_env.items() for knob in swept if len(effect(found, knob).values) > 1]
    if not shown:
        raise NothingToShow("No sensitivity: no environment has two settings with a finished run.")
    heat, ranked = _heated(swept, by_env), _ranked(results, by_env)
    heights = [1.85 * math.ceil(len(shown) / across(len(shown))) + 0.1]
    if heat:
        tallest = max(len(effect(found, heat[0]).values) for found in by_env.values())
        heights.append(math.ceil(len(by_env) / across(len(by_env))) * (0.28 * tallest + 0.95))
    if ranked:
        heights.append(0.21 * min(len(ranked), _RANKED) + 0.75)
    made = Figure(figsize=(style.WIDTH, sum(heights)))
    parts = np.atleast_1d(np.asarray(made.subfigures(len(heights), 1, height_ratios=heights)))
    _effects(parts[0], by_env, shown)
    if heat:
        _heat_maps(parts[1], by_env, heat)
    if ranked:
        rank_map(parts[-1].subplots(), by_env, ranked, names(results))
    return style.finish(made)


def _swept(results: Results) -> list[str]:
    return [key for key in results.swept if key != knobs.SEEDS]


def _scored(results: Results) -> dict[str, list[Group]]:
    """Environment → its groups with a score, where there are two of them."""
    found = [group for group in groups(results) if len(group.scores)]
    by_env = {env: [group for group in found if group.env == env] for env in results.environments}
    return {env: inside for env, inside in by_env.items() if len(inside) > 1}


def _heated(swept: Sequence[str], by_env: Mapping[str, Sequence[Group]]) -> list[str]:
    """The two knobs of the heat map; none unless exactly two were swept in every environment."""
    two = len(swept) == 2 and all(len(effect(found, knob).values) > 1 for found in by_env.values() for knob in swept)
    return list(swept) if two else []


def _ranked(results: Results, by_env: Mapping[str, Sequence[Group]]) -> list[str]:
    """Settings that have a score in every environment; none if there are not two environments and two of them."""
    inside = [{group.label for group in found} for found in by_env.values()]
    common = [label for label in results.group_labels if all(label in labels for labels in inside)]
    return common if len(by_env) > 1 and len(common) > 1 else []


def _effects(part: Figure | SubFigure, by_env: Mapping[str, Sequence[Group]], shown: Sequence[tuple[str, str]]) -> None:
    short = knobs.short_names(dict.fromkeys(knob for _, knob in shown))
    for place, (ax, (env, knob)) in enumerate(zip(_grid(part, len(shown)), shown, strict=True)):
        sensitivity(ax, by_env[env], knob)
        ax.set_xlabel(short[knob])
        ax.set_ylabel("" if place % across(len(shown)) else "mean score")
        ax.set_title(env)


def _grid(part: Figure | SubFigure, count: int) -> list[Axes]:
    columns = across(count)
    return [part.add_subplot(math.ceil(count / columns), columns, place + 1) for place in range(count)]


def sensitivity(ax: Axes, found: Sequence[Group], knob: str) -> Axes:
    """The score over one knob in one environment.

    A grey line for every setting of the other knobs; blue, their mean, over complete ones only. Where there is
    but one setting of the others: every seed, the mean and its interval.
    """
    made = effect(found, knob)
    axis = knob_axis([group.setting[knob] for group in found])
    rows = [{axis.place[value]: group for value, group in row.items()} for row in made.rows.values()]
    if len(rows) == 1:
        _seeds(ax, rows[0], 0.035 * (max(axis.place.values()) - min(axis.place.values())))
        _mean_line(ax, {place: float(group.scores.mean()) for place, group in rows[0].items()}, axis.off, _BLUE, 4.5)
    else:
        for row in rows:
            _mean_line(ax, {place: float(group.scores.mean()) for place, group in row.items()}, axis.off, style.GREY, 2.4)
        if len(made.complete) > 1:
            whole = [row for row in rows if len(row) == len(made.values)]
            means = {place: float(np.mean([row[place].scores.mean() for row in whole])) for place in axis.place.values()}
            _mean_line(ax, means, axis.off, _BLUE, 4.5)
    draw_ticks(ax, axis)
    return ax


def _seeds(ax: Axes, row: Mapping[float, Group], beside: float) -> None:
    """Every seed, left of the interval of the mean."""
    for place, group in row.items():
        ax.plot([place - beside] * len(group.scores), group.scores, "o", color=style.GREY, markersize=2.8, zorder=2)
        interval = mean_interval(group.scores)
        ax.plot([place, place], [interval.low, interval.high], color=_BLUE, linewidth=1.6, zorder=2.5)


def _mean_line(ax: Axes, means: Mapping[float, float], off: float, colour: str, size: float) -> None:
    """Means over their places, joined, but not to null."""
    places = np.array(sorted(means))
    values = np.array([means[place] for place in places])
    joined = places != off
    wide = colour != style.GREY
    ax.plot(places[joined], values[joined], color=colour, linewidth=1.6 if wide else 0.7, zorder=3 if wide else 1.8)
    ax.plot(places, values, "o", color=colour, markersize=size, zorder=3.5 if wide else 2)


def _heat_maps(part: Figure | SubFigure, by_env: Mapping[str, Sequence[Group]], swept: Sequence[str]) -> None:
    for place, (ax, (env, found)) in enumerate(zip(_grid(part, len(by_env)), by_env.items(), strict=True)):
        heat_map(ax, found, swept[0], swept[1])
        ax.set_title(f"{env}: mean score")
        if place % across(len(by_env)):
            ax.set_ylabel("")


def heat_map(ax: Axes, found: Sequence[Group], down: str, right: str) -> Axes:
    """Mean scores over two knobs of one environment; cells without a score stay white."""
    rows = [(_order(group.setting[down]), _order(group.setting[right]), float(group.scores.mean())) for group in found]
    table = pd.DataFrame(rows, columns=["down", "right", "mean"]).pivot_table(index="down", columns="right", values="mean")
    table.index, table.columns = _named(table.index), _named(table.columns)
    short = knobs.short_names([down, right])
    written = table.map(lambda mean: minus(number(mean))) if len(table.columns) <= _WRITTEN else False
    return _map(ax, table, "cividis", written, short[right], short[down])


def rank_map(ax: Axes, by_env: Mapping[str, Sequence[Group]], labels: Sequence[str], named: Mapping[str, str]) -> Axes:
    """Rank of each setting in each environment, 1 = highest mean; of many settings those with the best mean rank."""
    wanted = set(labels)
    means = {env: {group.label: float(group.scores.mean()) for group in found if group.label in wanted} for env, found in by_env.items()}
    placed = {env: environments.ranks(inside) for env, inside in means.items()}
    table = pd.DataFrame(placed).reindex(labels)
    if len(table) > _RANKED:
        table = table.loc[table.mean(axis=1).sort_values(kind="stable").index[:_RANKED]]
    table.index = [named[label] for label in table.index]
    ax.set_title("rank of the mean score (1 = highest)")
    return _map(ax, table, "cividis_r", table.map(lambda rank: f"{rank:g}"), "", "")


def _map(ax: Axes, table: pd.DataFrame, colours: str, texts: Any, right: str, down: str) -> Axes:
    sns.heatmap(table, ax=ax, cmap=colours, cbar=False, annot=texts, fmt="", linewidths=0.6, linecolor="white", annot_kws={"fontsize": 7})
    ax.set_xlabel(right)
    ax.set_ylabel(down)
    ax.grid(visible=False)
    ax.tick_params(left=False, bottom=False, labelrotation=0)
    return ax


def _order(value: Any) -> tuple[int, float, Any]:
    """Sorts numbers by size, before null and words; the last is what it is called by."""
    return (0, float(value), value) if is_number(value) else (1, 0.0, shortest(value))


def _named(ordered: Iterable[tuple[int, float, Any]]) -> list[str]:
    return knobs.told_apart([value for *_, value in ordered])


def caption(results: Results, options: Options) -> str:
    """What is shown."""
    swept, by_env = _swept(results), _scored(results)
    found = [group for inside in by_env.values() for group in inside]
    alone = len(swept) == 1
    effects = [effect(inside, knob) for inside in by_env.values() for knob in swept]
    incomplete = any(len(made.values) > 1 and len(made.rows) > 1 and len(made.complete) < 2 for made in effects)
    seeds = seeds_sentence(found)
    return sentences(
        "Score over each swept knob: every seed (grey), the mean and its 95 % interval." if alone else
        "Mean score over each swept knob: grey, one line per setting of the other knobs; blue, their mean, over those settings only for "
        "which every value has a score.",
        "Where there is no blue line, there are not two such settings." if incomplete else "",
        "Axes are logarithmic where the values were spaced by factors; null stands by itself.",
        "Below, the mean scores over both knobs." if _heated(swept, by_env) else "",
        "Last, ranks of the settings in each environment: they do not say how far apart the means are." if _ranked(results, by_env) else "",
        f"{seeds[0].upper()}{seeds[1:]}.",
        states_sentence(results),
    )  # fmt: skip
