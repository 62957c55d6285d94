"""The diagnostics beside the return, on its x-axis: the grid that one looks at before turning a knob."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ppo_sweep.report import style
from ppo_sweep.report.curves import AXES, BANDS, curve
from ppo_sweep.report.figures.common import (
    Cast,
    NothingToShow,
    Options,
    cast_of,
    missing_sentence,
    seeds_sentence,
    sentences,
    states_sentence,
)
from ppo_sweep.report.figures.learning_curves import band_alpha
from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import Group

#: Lines per quantity up to which an SVG holds them as paths; more make files of many megabytes, and are pictures in it.
_VECTORS = 9


#: ``algo.kl_estimator`` and ``algo.max_kl_on`` in words.
_ESTIMATORS = {"exact": "the exact KL", "k1": "the estimate k1", "k3": "the estimate k3"}
_TESTED = {
    "epoch": "of the whole batch after each epoch",
    "minibatch": "of each minibatch before its step",
    "minibatch_max": "of the largest minibatch so far after each epoch",
}


@dataclass(frozen=True)
class Quantity:
    """One panel.

    Attributes:
        column: of the mean. name: on the axis. log: logarithmic.
        around: columns of the lower and upper end of its own range, instead of a band over seeds.
        line: knob whose value is drawn as a horizontal line.
        whole: a count, from 0 on.
    """

    column: str
    name: str
    log: bool = False
    around: tuple[str, str] | None = None
    line: str = ""
    whole: bool = False


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("return_100", "return"),
    Quantity("value_loss", "value loss", log=True),
    Quantity("explained_variance", "expl. variance"),
    Quantity("entropy", "entropy / nats"),
    Quantity("kl", "KL / nats", log=True, line="algo.max_kl"),
    Quantity("action_std", "action std", around=("action_std_min", "action_std_max")),
    Quantity("clip_fraction", "clip fraction"),
    Quantity("policy_grad_norm", "policy gradient", log=True),
    Quantity("value_grad_norm", "value gradient", log=True),
    Quantity("epochs", "epochs begun", whole=True),
)


def figure(results: Results, options: Options) -> Figure:
    """One environment: two panels side by side. Several: a column for each, a row per quantity.

    Raises:
        NothingToShow: no iteration is finished.
    """
    if not len(results.metrics):
        raise NothingToShow("No diagnostics: no run has finished an iteration yet.")
    shown = cast_of(results, "iteration")
    several = len(shown.by_env) > 1
    columns = len(shown.by_env) if several else 2
    rows = len(QUANTITIES) if several else math.ceil(len(QUANTITIES) / columns)
    made = Figure(figsize=(style.WIDTH, (1.2 if several else 1.5) * rows + 0.5))
    for across, (env, found) in enumerate(shown.by_env.items()):
        for place, quantity in enumerate(QUANTITIES):
            number = place * columns + across if several else place
            ax = made.add_subplot(rows, columns, number + 1)
            panel(ax, results, list(found), quantity, shown, options)
            last = place == len(QUANTITIES) - 1 if several else place >= len(QUANTITIES) - columns
            _labels(
                ax,
                quantity,
                env,
                options,
                top=several and place == 0,
                left=not several or across == 0,
                bottom=last,
                ticks=3 if columns > 3 else 4,
            )
    if not several:
        made.suptitle(next(iter(shown.by_env)), fontsize=9)
    style.legend(made, shown.entries)
    return style.finish(made)


def panel(ax: Axes, results: Results, found: Sequence[Group], quantity: Quantity, shown: Cast, options: Options) -> Axes:
    """One quantity of one environment, a line per setting."""
    stops: dict[float, list[str]] = {}
    crowd = sum(group.label in shown.looks for group in found)
    if len(found) * len(shown.by_env) > _VECTORS:
        ax.set_rasterization_zorder(4)
    for group in sorted(found, key=lambda group: group.label in shown.looks):
        made = curve(results, group, quantity.column, options.x, options.band)
        look = shown.looks.get(group.label)
        if look is None:
            ax.plot(made.x, made.mean, color=style.GREY, linewidth=0.6, zorder=1.5)
            continue
        low, high = made.low, made.high
        if quantity.around:
            low, high = (curve(results, group, column, options.x, options.band).mean for column in quantity.around)
        elif quantity.log and made.values.size:
            low = np.fmax(low, np.fmin.reduce(made.values, axis=0))  # below 0 there is no logarithm
        if len(low) == len(made.x) == len(high):
            ax.fill_between(made.x, low, high, color=look.colour, alpha=band_alpha(crowd), linewidth=0, zorder=1.8)
        ax.plot(made.x, made.mean, linewidth=1.0, zorder=3, **look.line)
        stop = results.configs.get(str(group.runs.index[0]), {}).get(quantity.line)
        if isinstance(stop, (int, float)):
            stops.setdefault(float(stop), []).append(look.colour)
    for stop, colours in stops.items():
        # In the group's colour if it is that group's alone.
        colour = colours[0] if len(colours) == 1 and len(stops) > 1 else style.INK
        ax.axhline(stop, color=colour, linewidth=0.9, linestyle=(0, (6, 2)), zorder=2.5)
    if quantity.log:
        style.log_axis(ax)
    elif quantity.whole:
        ax.set_ylim(0, ax.get_ylim()[1])
        ax.yaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
    return ax


def _labels(ax: Axes, quantity: Quantity, env: str, options: Options, *, top: bool, left: bool, bottom: bool, ticks: int) -> None:
    style.steps_axis(ax, AXES[options.x][1] if bottom else "", ticks)
    if not bottom:
        ax.tick_params(labelbottom=False)
    if left:
        ax.set_ylabel(quantity.name)
    if top:
        ax.set_title(env)


def caption(results: Results, options: Options) -> str:
    """What is shown."""
    shown = cast_of(results, "iteration")
    found = [group for inside in shown.by_env.values() for group in inside]
    single = all(len(group.runs) < 2 for group in found)
    return sentences(
        "Diagnostics of each iteration: "
        + ("one seed each, no band." if single else f"mean over seeds; band: {BANDS[options.band]}; {seeds_sentence(found)}."),
        "Action std: mean over dimensions, band from the smallest to the largest dimension.",
        "KL: the exact one of the whole batch, after the last update.",
        _stop_sentence(results),
        "Value loss is in scaled-reward units: compare runs by explained variance.",
        "Gradient norms are taken before clipping. On logarithmic axes a band ends at the lowest seed.",
        "A run that diverged is left out from there on." if (results.runs["state"] == "diverged").any() else "",
        shown.sentence,
        states_sentence(results),
        missing_sentence(results, shown),
    )


def _stop_sentence(results: Results) -> str:
    """What the dashed line of the KL is, and whether the curve beside it measures the same; empty where nobody has one."""
    stopping = [config for config in results.configs.values() if config.get("algo.max_kl") is not None]
    tests = sorted({(str(config.get("algo.kl_estimator")), str(config.get("algo.max_kl_on"))) for config in stopping})
    if not tests:
        return ""
    said = " or ".join(f"{_ESTIMATORS.get(estimator, estimator)} {_TESTED.get(on, on)}" for estimator, on in tests)
    other = "" if tests == [("exact", "epoch")] else ", which is not what the curve shows"
    return f"Dashed: max_kl, a rule that ends the epochs of an iteration, not a bound; it tests {said}{other}."
