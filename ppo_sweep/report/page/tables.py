"""The page's tables as cells: a text to read, and a value to sort by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ppo_sweep.report.knobs import label, short_names, shown
from ppo_sweep.report.numbers import alike, minus, number
from ppo_sweep.runs.naming import shortest

#: More swept knobs than this share one column: a table of many would not fit.
_COLUMNS = 3


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: what is read.
        key: what is sorted by: a number, or a text; None sorts last either way.
        link: where it leads, if anywhere.
        kind: a CSS class.
    """

    text: str
    key: float | str | None = None
    link: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        columns: headings, and whether each holds numbers.
        caption: plain text.
    """

    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[Cell]]
    caption: str


def amount(value: Any, text: str | None = None) -> Cell:
    """A number; blank if there is none."""
    if value is None or not math.isfinite(value):
        return Cell("", None)
    return Cell(minus(number(float(value))) if text is None else text, float(value))


def whole(value: int) -> Cell:
    """A count, in groups of three digits."""
    return Cell(f"{value:,}".replace(",", "\u202f"), float(value))


def interval(low: float, high: float) -> Cell:
    """An interval, sorted by its lower end."""
    return Cell(f"[{', '.join(alike(low, high))}]", low) if math.isfinite(low) and math.isfinite(high) else Cell("", None)


def setting(value: Any, written: Callable[[Any], str] = shown) -> Cell:
    """A knob's value: numbers sort as numbers, null after them."""
    if value is None:
        return Cell("null", None)
    number_like = isinstance(value, (int, float)) and not isinstance(value, bool)
    return Cell(written(value), float(value) if number_like else written(value))


def p_value(value: float) -> Cell:
    """A probability with three digits."""
    return amount(value, "< 0.001" if value < 0.001 else f"{value:.3f}")


@dataclass(frozen=True)
class Settings:
    """How a table shows the swept knobs: a column each, or of many knobs one column that names the setting.

    Attributes:
        swept: full keys.
        names: label of a group → its name.
        several: environments; of one the tables do not say in every row which.
    """

    swept: Sequence[str]
    names: Mapping[str, str]
    several: bool = True

    def headings(self, table: pd.DataFrame) -> list[tuple[str, bool]]:
        """Headings, and whether each column holds numbers."""
        env = [("env", False)] if self.several else []
        if len(self.swept) > _COLUMNS:
            return [("setting", False), *env]
        return [*((name, _numeric(table[key])) for key, name in short_names(self.swept).items()), *env]

    def cells(self, row: Mapping[str, Any]) -> list[Cell]:
        """The cells of one row, which also has its ``group`` and ``env``."""
        env = [Cell(row["env"], row["env"])] if self.several else []
        if len(self.swept) <= _COLUMNS:
            # A group that is called by all its digits has a neighbour that differs in the last ones.
            written = shown if row["group"] == label({key: row[key] for key in self.swept}) else shortest
            return [*(setting(row[key], written) for key in self.swept), *env]
        name = self.names.get(row["group"], row["group"])
        return [Cell(name, name, kind="setting"), *env]


def scores(table: pd.DataFrame, settings: Settings, caption: str) -> Table:
    """``report.scores.scores`` for reading: mean ± std, interval, extremes."""
    several = (table["env"] == "all").any()
    evaluated = table["eval_mean"].notna().any()
    columns = [
        *settings.headings(table),
        ("seeds", True), ("mean", True), ("std", True), ("median", True),
        *([("IQM", True)] if several else []),
        ("95 % interval", True), ("min", True), ("max", True), ("diverged", True),
        *([("evaluation", True)] if evaluated else []),
    ]  # fmt: skip
    rows = []
    for row in table.to_dict("records"):
        cells = [*settings.cells(row), whole(int(row["n"]))]
        cells += [amount(row["mean"]), amount(row["std"]), amount(row["median"])]
        cells += [amount(row["iqm"])] if several else []
        cells += [interval(row["ci_low"], row["ci_high"]), amount(row["min"]), amount(row["max"]), whole(int(row["diverged"]))]
        cells += [amount(row["eval_mean"])] if evaluated else []
        rows.append(cells)
    return Table(columns, rows, caption)


def differences(table: pd.DataFrame, settings: Settings, caption: str) -> Table:
    """``report.scores.differences`` for reading."""
    columns = [
        *settings.headings(table),
        ("seeds", False), ("difference", True), ("adjusted 95 % interval", True), ("adjusted p", True),
        ("paired difference", True), ("paired 95 % interval", True), ("verdict", False),
    ]  # fmt: skip
    rows = [
        [
            *settings.cells(row),
            Cell(f"{row['n']} against {row['n_reference']}", float(row["n"])),
            amount(row["difference"]),
            interval(row["holm_low"], row["holm_high"]),
            p_value(row["p_holm"]),
            amount(row["paired_difference"]),
            interval(row["paired_low"], row["paired_high"]),
            Cell(row["verdict"], row["verdict"], kind=f"verdict {row['verdict'].replace(' ', '-')}"),
        ]
        for row in table.to_dict("records")
    ]
    return Table(columns, rows, caption)


def runs(table: pd.DataFrame, settings: Settings, links: Mapping[str, str], symptoms: Mapping[str, Sequence[str]], caption: str) -> Table:
    """Every run, with its symptoms and a link to its directory.

    Args:
        links: run → address relative to the page.
        symptoms: run → names, the worst first.
    """
    several, remarks = table["study"].nunique() > 1, bool((table["reason"] != "").any())
    columns = [
        ("run", False),
        *([("study", False)] if several else []),
        *settings.headings(table),
        ("seed", True), ("state", False), ("steps", True), ("score", True), ("symptoms", False),
        *([("remark", False)] if remarks else []),
    ]  # fmt: skip
    rows = []
    for place, (run, row) in enumerate(table.iterrows(), start=1):
        found = symptoms.get(str(run), ())
        rows.append(
            [
                Cell(f"run {place}", float(place), link=links[str(run)]),
                *([Cell(row["study"], row["study"])] if several else []),
                *settings.cells(row.to_dict()),
                whole(int(row["seed"])),
                Cell(row["state"], row["state"], kind=f"state {row['state']}"),
                whole(int(row["env_steps"])),
                amount(row["final_score"]),
                Cell(", ".join(found), ", ".join(found) or None, kind="symptoms"),
                *([Cell(row["reason"], row["reason"] or None, kind="remark")] if remarks else []),
            ]
        )
    return Table(columns, rows, caption)


def _numeric(column: pd.Series) -> bool:
    return all(item is None or (isinstance(item, (int, float)) and not isinstance(item, bool)) for item in column)
