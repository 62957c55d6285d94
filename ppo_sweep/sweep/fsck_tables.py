"""The CSV files of a run as ``fsck`` reads them: how far they are whole, and what is wrong behind that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ppo_sweep.runs import durable, tables

#: Columns of each table, by name.
COLUMNS = {
    "metrics": tables.METRIC_COLUMNS,
    "episodes": tables.EPISODE_COLUMNS,
    "eval": tables.EVAL_COLUMNS,
    "timing": tables.TIMING_COLUMNS,
}

_SIZE_LIMIT = 2**31


@dataclass(frozen=True)
class Table:
    """A table as found.

    Attributes:
        content: all of it; None if there is no such file.
        whole: bytes from its start that are the header and whole rows in order.
        last: first cell of the last of these rows, 0 without any.
        fault: what is wrong behind them; None if they are all there is.
    """

    content: bytes | None
    whole: int = 0
    last: int = 0
    fault: str | None = None

    @property
    def length(self) -> int:
        """Bytes."""
        return len(self.content or b"")

    def lines(self, begin: int = 0, end: int | None = None) -> int:
        """Whole lines between two places, the header included."""
        return (self.content or b"").count(b"\n", begin, self.length if end is None else end)


def read_table(path: Path, name: str) -> Table:
    """Read and judge a table.

    Args:
        name: a key of :data:`COLUMNS`. Rows of ``metrics`` count 1, 2, 3 …; the first cell of the others never falls.

    Raises:
        CorruptFile: it is no plain file. StorageError: it cannot be read.
    """
    content = durable.read(path, limit=_SIZE_LIMIT)
    if content is None:
        return Table(None)
    header = ",".join(COLUMNS[name]).encode() + b"\n"
    if not content.startswith(header):
        # A writer that is killed before its first row leaves a part of the header, or nothing.
        return Table(content, 0, 0, "other columns than those of this version" if content else None)
    whole, last = len(header), 0
    *rows, rest = content[whole:].split(b"\n")
    for number, row in enumerate(rows, 2):
        cell = row.partition(b",")[0]
        if row.count(b",") != len(COLUMNS[name]) - 1 or not (cell.isdigit() and len(cell) < 20):
            return Table(content, whole, last, f"line {number} is not a row of this table")
        if int(cell) < last or (name == "metrics" and int(cell) != last + 1):
            return Table(content, whole, last, f"line {number}: {COLUMNS[name][0]} {int(cell)} after {last}")
        whole, last = whole + len(row) + 1, int(cell)
    return Table(content, whole, last, f"its last line is torn after {len(rest)} bytes" if rest else None)
