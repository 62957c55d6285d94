"""Colours, lines and sizes of every figure: told apart by colour-blind readers, in grey, and at print size."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

#: Width of a figure in inches: the text width of a paper, so that its fonts are printed as large as they are set.
WIDTH = 7.0

#: Groups that lines can be told apart of; beyond, some are highlighted and the others grey.
DISTINCT = 9

#: Height of a row of a legend in inches.
_LEGEND_ROW = 0.17

GREY = "#9a9a9a"
#: Colour of what belongs to no group: reference lines, axes.
INK = "#404040"

#: Okabe & Ito 2008 (jfly.uni-koeln.de/color) without its yellow, which vanishes on white; then dark brown and wine.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000", "#E69F00", "#7F4F24", "#882255")
_DASHES: tuple[tuple[float, ...], ...] = (
    (), (5, 1.6), (1.2, 1.2), (6, 1.4, 1.2, 1.4), (3, 1), (8, 2), (4, 1, 1, 1, 1, 1), (2, 2), (10, 1.5),
)  # fmt: skip
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")

_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.4,
    "grid.linewidth": 0.5,
    "grid.color": "#e4e4e4",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "svg.hashsalt": "ppo_sweep",
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Look:
    """How one group is drawn in every figure."""

    colour: str
    dashes: tuple[float, ...]
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """For ``Axes.plot``."""
        return {"color": self.colour, "dashes": self.dashes or (None, None)}


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """Colour, dashes and marker of up to :data:`DISTINCT` groups, by place."""
    return {label: Look(_COLOURS[i], _DASHES[i], _MARKERS[i]) for i, label in enumerate(labels[:DISTINCT])}


@contextmanager
def paper() -> Iterator[None]:
    """Within: figures in the report's style; the caller's settings are untouched afterwards."""
    settings: Any = {**sns.axes_style("ticks"), **_RC}
    with matplotlib.rc_context(settings):
        yield


def finish(figure: Figure) -> Figure:
    """Take away the frame's right and upper sides."""
    for ax in figure.axes:
        if ax.get_label() != "<colorbar>":
            ax.spines[["top", "right"]].set_visible(False)
    return figure


def steps_axis(ax: Axes, words: str, ticks: int = 5) -> None:
    """An x-axis of counts: ``0, 200k, 400k`` or ``0, 500k, 1M``."""
    ax.set_xlabel(words)
    ax.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, place: count(value)))


def log_axis(ax: Axes) -> None:
    """A logarithmic y-axis of what is drawn already: a few plain labels, also within one decade; linear if nothing is positive."""
    if not math.isfinite(ax.dataLim.minposy):
        return
    ax.set_yscale("log", nonpositive="mask")
    low, high = ax.get_ylim()
    if 0 < low < high:
        ax.yaxis.set_major_locator(FixedLocator(log_ticks(low, high)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(_plain))


def log_ticks(low: float, high: float) -> list[float]:
    """Three to five round numbers inside a logarithmic axis: powers of ten if there are enough, else 1-3, 1-2-5, or even steps."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for heads in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)):
        ticks = [tick for power in powers for head in heads if low <= (tick := head * 10.0**power) <= high]
        if len(ticks) >= 3:
            return ticks[:: math.ceil(len(ticks) / 5)]
    steps = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in steps if low <= tick <= high][:5]


def _plain(value: float, place: int) -> str:
    return f"{value:g}" if 1e-3 <= value < 1e4 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def count(value: float) -> str:
    """``1.5M``, ``200k``, ``50``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def wrapped(text: str, width: int) -> str:
    """A long name on up to three lines."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=False, max_lines=3, placeholder=" …"))


def legend(figure: Figure, entries: Sequence[tuple[str, Any]], *, columns: int | None = None) -> None:
    """One legend below all panels, in as many columns as its longest entry leaves room for."""
    if not entries:
        return
    longest = max(len(text) for text, _ in entries)
    fitting = max(1, math.floor(figure.get_figwidth() / (0.062 * longest + 0.55)))
    columns = min(columns or fitting, fitting, len(entries))
    # The panels keep their height.
    figure.set_figheight(figure.get_figheight() + _LEGEND_ROW * (math.ceil(len(entries) / columns) - 1))
    figure.legend(
        [handle for _, handle in entries],
        [text for text, _ in entries],
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        handlelength=2.6,
        columnspacing=1.2,
        handler_map={tuple: HandlerTuple(ndivide=1)},
    )


def handle(look: Look) -> Line2D:
    """A group's entry in a legend."""
    return Line2D([], [], marker=look.marker, markersize=4, **look.line)


def grey_handle() -> Line2D:
    """The entry of the groups that are not highlighted."""
    return Line2D([], [], color=GREY, linewidth=0.8)


def patch(colour: str) -> Patch:
    """An area's entry in a legend."""
    return Patch(color=colour)
