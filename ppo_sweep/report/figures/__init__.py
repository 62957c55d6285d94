"""The figures of a report: one module each, listed in one table; a new figure is one entry.

Every module has functions that draw into given axes, one that makes the whole figure, and its caption. Captions
say which band is shown, of how many seeds, and what diverged, was pruned or is not finished.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from ppo_sweep.report import style
from ppo_sweep.report.figures import (
    diagnostics,
    final_scores,
    learning_curves,
    profile,
    sensitivity,
    speed,
    steps_to_threshold,
)
from ppo_sweep.report.figures.common import NothingToShow, Options
from ppo_sweep.report.frame import Results
from ppo_sweep.runs import durable
from ppo_sweep.runs.errors import storage_errors

__all__ = ["FIGURES", "Drawn", "FigureKind", "NothingToShow", "Options", "draw", "write"]


@dataclass(frozen=True)
class FigureKind:
    """One entry of :data:`FIGURES`.

    Attributes:
        name: of its files.
        title: above it on the page.
        figure: makes it; raises :class:`NothingToShow` with a sentence where there is nothing to draw.
        caption: what it shows, in sentences.
    """

    name: str
    title: str
    figure: Callable[[Results, Options], Figure]
    caption: Callable[[Results, Options], str]


FIGURES: tuple[FigureKind, ...] = (
    FigureKind("learning_curves", "Learning curves", learning_curves.figure, learning_curves.caption),
    FigureKind("final_scores", "Scores of every seed", final_scores.figure, final_scores.caption),
    FigureKind("sensitivity", "Sensitivity to each knob", sensitivity.figure, sensitivity.caption),
    FigureKind("diagnostics", "Diagnostics", diagnostics.figure, diagnostics.caption),
    FigureKind("profile", "Across environments", profile.figure, profile.caption),
    FigureKind("steps_to_threshold", "Steps to a threshold", steps_to_threshold.figure, steps_to_threshold.caption),
    FigureKind("speed", "Speed", speed.figure, speed.caption),
)


@dataclass(frozen=True)
class Drawn:
    """A figure as files.

    Attributes:
        png, svg: None where there was nothing to show.
        caption: of the figure; without one, the sentence that says why.
    """

    name: str
    title: str
    caption: str
    png: Path | None = None
    svg: Path | None = None


def draw(kind: FigureKind, results: Results, options: Options) -> Figure:
    """One figure in the report's style.

    Raises:
        NothingToShow: with a sentence that says why.
    """
    with style.paper():
        return kind.figure(results, options)


def write(results: Results, directory: Path, options: Options | None = None, kinds: Sequence[FigureKind] = FIGURES) -> list[Drawn]:
    """Write figures as PNG (200 dpi) and SVG; the same results give the same bytes of SVG.

    Raises:
        StorageError: the disk refuses.
    """
    options = options or Options()
    with storage_errors("make", directory):
        directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    for kind in kinds:
        try:
            figure = draw(kind, results, options)
        except NothingToShow as reason:
            drawn.append(Drawn(kind.name, kind.title, str(reason)))
            continue
        paths = {}
        for suffix in ("png", "svg"):
            path = directory / f"{kind.name}.{suffix}"
            durable.replace(path, encoded(figure, suffix), "report", durable=False)
            paths[suffix] = path
        drawn.append(Drawn(kind.name, kind.title, kind.caption(results, options), paths["png"], paths["svg"]))
    return drawn


def encoded(figure: Figure, suffix: str) -> bytes:
    """A figure as the bytes of a file, without the time of writing."""
    buffer = io.BytesIO()
    with style.paper():
        figure.savefig(buffer, format=suffix, facecolor="white", metadata={"Date": None} if suffix == "svg" else None)
    return buffer.getvalue()
