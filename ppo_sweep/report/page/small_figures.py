"""Tiny figures of evidence as inline SVG, a few kilobytes each; colours come from the page, so they suit light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt
import pandas as pd

from ppo_sweep.report.doctor.evidence import Evidence

Series = npt.NDArray[np.float64]

#: Of the viewBox, in CSS pixels at the size it is made for.
WIDTH, HEIGHT = 340, 84
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 18, 14
#: Points of a line: more cannot be told apart at this width.
_BINS = 120
#: From this ratio of largest to smallest on, a series of positive values is drawn logarithmically.
_LOG_FROM = 300.0


def of_run(metrics: pd.DataFrame, evidence: Evidence) -> str:
    """The series that an evidence names, one above the other, with its iterations shaded and its threshold dashed.

    Args:
        metrics: the run's rows.

    Returns:
        SVG; empty if none of the series has a number.
    """
    iterations = metrics["iteration"].to_numpy(np.float64)
    charts: list[str] = []
    for place, name in enumerate(evidence.series):
        values = metrics[name].to_numpy(np.float64) if name in metrics else np.array([])
        if np.isfinite(values).sum() > 0:
            line = evidence.line if place == 0 else None
            charts.append(_chart(name, iterations, values, evidence.iterations, line, HEIGHT * len(charts)))
    if not charts:
        return ""
    words = f"{' and '.join(evidence.series)} over iterations {iterations[0]:.0f} to {iterations[-1]:.0f}"
    return _svg(charts, HEIGHT * len(charts), words)


def of_seeds(scores: Mapping[str, float]) -> str:
    """The score of every seed on one line."""
    values = np.array(sorted(value for value in scores.values() if math.isfinite(value)))
    if not len(values):
        return ""
    low, high = float(values[0]), float(values[-1])
    span = high - low or 1.0
    x = 12 + (WIDTH - 24) * (values - low) / span
    dots = "".join(f'<circle cx="{at:.1f}" cy="22" r="4"/>' for at in x)
    parts = [
        f'<path class="axis" d="M12 22H{WIDTH - 12}"/>',
        f'<g class="dots">{dots}</g>',
        f'<text x="12" y="42">{_number(low)}</text><text x="{WIDTH - 12}" y="42" text-anchor="end">{_number(high)}</text>',
    ]
    return _svg(parts, 48, f"scores of {len(values)} seeds from {_number(low)} to {_number(high)}")


def _chart(name: str, x: Series, y: Series, shaded: tuple[int, int] | None, line: float | None, top: int) -> str:
    finite = np.isfinite(y)
    x_all, x, y = x, x[finite], y[finite]
    extremes = [*y, *([line] if line is not None else [])]
    low, high = min(extremes), max(extremes)
    logarithmic = low > 0 and high / low > _LOG_FROM
    if high == low:
        low, high = low - (abs(low) or 1.0) * 0.1, high + (abs(high) or 1.0) * 0.1

    def across(iteration: float) -> float:
        return float(_LEFT + (WIDTH - _LEFT - _RIGHT) * (iteration - x_all[0]) / max(x_all[-1] - x_all[0], 1.0))

    def down(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if logarithmic else (value - low) / (high - low)
        return top + HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share

    parts = [f'<text class="name" x="{_LEFT}" y="{top + 11}">{escape(name)}{" (log)" if logarithmic else ""}</text>']
    if shaded is not None:
        left, right = across(max(shaded[0], x_all[0])), across(min(shaded[1], x_all[-1]))
        width = max(right - left, 2.0)
        parts.append(
            f'<rect class="shade" x="{min(left, WIDTH - _RIGHT - width):.1f}" y="{top + _TOP}" width="{width:.1f}" '
            f'height="{HEIGHT - _TOP - _BOTTOM}"/>'
        )
    floor = top + HEIGHT - _BOTTOM
    parts.append(f'<path class="axis" d="M{_LEFT} {top + _TOP}V{floor}H{WIDTH - _RIGHT}"/>')
    if line is not None:
        parts.append(f'<path class="limit" d="M{_LEFT} {down(line):.1f}H{WIDTH - _RIGHT}"/>')
    kept_x, kept_y = _thinned(x, y)
    points = [(across(a), down(b)) for a, b in zip(kept_x, kept_y, strict=True)]
    if len(points) == 1:
        parts.append(f'<circle class="dot" cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="2.5"/>')
    else:
        parts.append(f'<path class="line" d="M{"L".join(f"{a:.1f} {b:.1f}" for a, b in points)}"/>')
    parts += [
        f'<text x="{_LEFT - 4}" y="{top + _TOP + 7}" text-anchor="end">{_number(high)}</text>',
        f'<text x="{_LEFT - 4}" y="{floor}" text-anchor="end">{_number(low)}</text>',
        f'<text x="{_LEFT}" y="{floor + 11}">{x_all[0]:.0f}</text>',
        f'<text x="{WIDTH - _RIGHT}" y="{floor + 11}" text-anchor="end">iteration {x_all[-1]:.0f}</text>',
    ]
    return "".join(parts)


def _thinned(x: Series, y: Series) -> tuple[Series, Series]:
    """Lowest and highest of each of so many stretches, in their order: a spike of one iteration stays."""
    if len(x) <= 2 * _BINS:
        return x, y
    chosen: list[int] = []
    for part in np.array_split(np.arange(len(x)), _BINS):
        chosen += sorted({int(part[np.argmin(y[part])]), int(part[np.argmax(y[part])])})
    return x[chosen], y[chosen]


def _svg(parts: Sequence[str], height: int, words: str) -> str:
    return f'<svg class="small" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(words)}">{"".join(parts)}</svg>'


def _number(value: float) -> str:
    """At most seven characters."""
    text = f"{value:.3g}" if abs(value) < 1000 or abs(value) >= 1e6 else f"{value:.0f}"
    return text.replace("e+0", "e").replace("e-0", "e-").replace("-", "−")
