"""``tables/{scores,differences,runs}.{csv,md,tex}``: exact numbers for machines, rounded ones for people and papers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ppo_sweep.report import scores as scoring
from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import compared_with, names, references
from ppo_sweep.report.knobs import short_names, shown, told_apart
from ppo_sweep.report.numbers import number
from ppo_sweep.runs import durable
from ppo_sweep.runs.errors import storage_errors
from ppo_sweep.runs.naming import shortest

RUN_COLUMNS = ("run", "env", "seed", "state", "iteration", "env_steps", "total_steps", "final_score", "counted", "reason")

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "−": "$-$", "–": "--", "±": r"$\pm$", "≥": r"$\geq$", "≤": r"$\leq$", "ε": r"$\epsilon$", "σ": r"$\sigma$", "×": r"$\times$",
    "…": r"\ldots{}",
}  # fmt: skip


def tables(results: Results) -> dict[str, pd.DataFrame]:
    """The three tables, by name."""
    runs = results.runs.reset_index()
    return {
        "scores": scoring.scores(results).drop(columns="group"),
        "differences": scoring.differences(results).drop(columns="group"),
        "runs": runs[list(dict.fromkeys([*results.swept, *RUN_COLUMNS]))],  # total_steps may be swept
    }


def captions(results: Results, scored: pd.DataFrame) -> dict[str, str]:
    """What each table shows, by name; plain text.

    Args:
        scored: the table of scores: of what it does not hold nothing is said.
    """
    against = references(results)
    said = (
        "Score of each setting over seeds: number of runs that count, mean, standard deviation (ddof = 1), median, "
        "95 % interval of the mean (Student t below 10 seeds, BCa bootstrap from 10, none below 3), lowest, highest, "
        "diverged runs"
    )
    said += ", mean of the last deterministic evaluation." if scored["eval_mean"].notna().any() else "."
    if (scored["env"] == scoring.ALL).any():
        said += (
            " Rows with env = all: normalised scores (x − random)/(reference − random) of all environments; "
            "IQM with a bootstrap interval stratified by environment."
        )
    compared = "No second setting to compare with."
    if against:
        named = names(results)
        compared = (
            f"Difference of each setting from the reference of its environment, {compared_with(against, named)}: "
            "Welch's 95 % interval and p, both adjusted by Holm over all rows, and the difference paired by seed beside it. "
            "A setting is called better or worse only where the adjusted interval excludes 0, "
            "and identical only where every seed has the same score on both sides."
        )
    return {"scores": said, "differences": compared, "runs": "Every run, with its own score and what it counts as in means."}


def write(results: Results, directory: Path) -> list[Path]:
    """Write every table as CSV, Markdown and LaTeX.

    Raises:
        StorageError: the disk refuses.
    """
    with storage_errors("make", directory):
        directory.mkdir(parents=True, exist_ok=True)
    written = []
    made = tables(results)
    said = captions(results, made["scores"])
    for name, table in made.items():
        for suffix, text in (("csv", to_csv(table)), ("md", to_markdown(table)), ("tex", to_latex(table, said[name], f"tab:{name}"))):
            path = directory / f"{name}.{suffix}"
            durable.replace(path, text.encode(), "report", durable=False)
            written.append(path)
    return written


def to_csv(table: pd.DataFrame) -> str:
    """Every digit; blank where there is no number, ``null`` where a knob is off."""
    exact = table.copy()
    for column in exact.columns:
        if exact[column].dtype == object:
            exact[column] = [_plain(item) for item in exact[column]]
    return str(exact.to_csv(index=False, lineterminator="\n"))


def to_markdown(table: pd.DataFrame) -> str:
    """Rounded, with short names of knobs; numbers at the right."""
    header, rows, right = _cells(table)
    lines = [_row(header), _row("---:" if flag else "---" for flag in right)]
    return "\n".join([*lines, *(_row(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows)]) + "\n"


def to_latex(table: pd.DataFrame, caption: str, label: str) -> str:
    """A ``table`` that compiles with plain LaTeX (no package needed): everything from outside is escaped."""
    header, rows, right = _cells(table)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_tex(caption)}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{''.join('r' if flag else 'l' for flag in right)}}}",
        r"\hline",
        " & ".join(map(escape_tex, header)) + r" \\",
        r"\hline",
        *(" & ".join(map(escape_tex, row)) + r" \\" for row in rows),
        r"\hline",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape_tex(text: str) -> str:
    """Text as LaTeX shows it literally; a character that plain LaTeX does not know becomes ``?``."""
    # In math a minus sign is as long as a plus.
    if re.fullmatch(r"-\d[\d.]*(e-?\d+)?", text):
        return f"${text}$"
    escaped = "".join(_TEX.get(char, char if " " <= char <= "~" else "?") for char in text)
    # A row that begins with a bracket would be read as an option of the line break before it.
    return f"{{{escaped}}}" if escaped.startswith(("[", "*")) else escaped


def _cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]], list[bool]]:
    """Header, rows and which columns are numbers, as text."""
    names = short_names(column for column in table.columns)
    right = [_numeric(table[column]) for column in table.columns]
    columns = [_texts(column, list(table[column])) for column in table.columns]
    return [names[column] for column in table.columns], [list(row) for row in zip(*columns, strict=True)], right


def _numeric(column: Sequence[Any] | pd.Series) -> bool:
    return all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in column if item is not None)


def _texts(column: str, items: Sequence[Any]) -> list[str]:
    """A column as text; values of a knob that agree in four digits are told apart."""
    if column in _SCORES or column in _P_VALUES:
        return [_shown(column, item) for item in items]
    floats = [item for item in items if isinstance(item, float) and not math.isnan(item)]
    texts = dict(zip(floats, told_apart(floats), strict=True))
    return [texts[item] if isinstance(item, float) and item in texts else _shown(column, item) for item in items]


def _shown(column: str, item: Any) -> str:
    if item is None:
        return "null"
    if isinstance(item, float) and math.isnan(item):
        return ""
    if column in _P_VALUES:
        return "< 0.001" if item < 0.001 else f"{item:.3f}"
    if isinstance(item, float) and column in _SCORES:
        return number(item)
    return shown(item) if isinstance(item, float) else str(_plain(item))


_P_VALUES = ("p", "p_holm")

#: Columns in units of the score.
_SCORES = frozenset(
    "mean std median iqm ci_low ci_high min max eval_mean difference low high holm_low holm_high "
    "paired_difference paired_low paired_high final_score counted".split()
)


def _plain(item: Any) -> Any:
    if item is None or isinstance(item, (bool, list, tuple, Mapping)):
        return shortest(item)
    if isinstance(item, float):
        return "" if math.isnan(item) else shortest(item)
    return item


def _row(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"
