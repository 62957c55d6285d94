"""The CSV files of many runs, read fast, and as far as they are whole.

A thousand files are parsed in one go: a call of the parser for each would cost more than the parsing.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd


def read_tables(paths: Mapping[str, Path], columns: Sequence[str], notes: list[str], texts: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of several files of one kind, with the run that each belongs to.

    A line that is cut off, and everything from the first damaged line on, is left out with a note. A file
    of another version is read by its column names: what it lacks is blank, what it has beyond is ignored.

    Args:
        paths: run id → file; a file that does not exist has no rows.
        columns: of the result, after ``run``.
        notes: receives what was wrong, in words.
        texts: columns that hold text; the others are numbers.

    Returns:
        ``run`` (categorical, all of ``paths``) and ``columns``; runs in the order of ``paths``.
    """
    by_header: dict[str, list[tuple[str, bytes]]] = {}
    for run, path in paths.items():
        header, body = _read(path, columns, notes)
        if body:
            by_header.setdefault(header, []).append((run, body))
    frames = [_parse(header, bodies, paths, columns, texts, notes) for header, bodies in by_header.items()]
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({name: pd.Series(dtype=float) for name in ("run", *columns)})
    table["run"] = pd.Categorical(table["run"], categories=list(paths))
    return table if len(frames) < 2 else table.sort_values("run", kind="stable", ignore_index=True)


def _read(path: Path, columns: Sequence[str], notes: list[str]) -> tuple[str, bytes]:
    """Header and whole lines of a file; both empty if there is nothing to use."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return "", b""
    except OSError as error:
        notes.append(f"{path}: cannot be read ({error.strerror}); the run is shown without it")
        return "", b""
    whole, newline, torn = content.rpartition(b"\n")
    if torn:
        rows = whole.count(b"\n")  # the header is whole's first line
        notes.append(f"{path}: its last line is cut off; the {rows} whole rows before it are used")
    first, _, body = (whole + newline).partition(b"\n")
    header = first.decode("utf-8", "replace").strip()
    names = header.split(",")
    if not header or header == ",".join(columns):
        return header, body
    if not {"env_steps", *columns[:1]} <= set(names) or len(set(names)) < len(names):
        notes.append(f"{path}: its columns are not those of {path.name} ({header[:60]}…); the run is shown without it")
        return "", b""
    missing = [name for name in columns if name not in names]
    if missing:
        notes.append(
            f"{path}: written by another version, without {', '.join(missing[:4])}{'…' if len(missing) > 4 else ''}; these stay blank"
        )
    return header, body


def _parse(
    header: str,
    bodies: Sequence[tuple[str, bytes]],
    paths: Mapping[str, Path],
    columns: Sequence[str],
    texts: Sequence[str],
    notes: list[str],
) -> pd.DataFrame:
    """Files of one header in one pass; one by one if any of them is damaged."""
    names = header.split(",")
    kept = [name for name in names if name in columns]
    lines = [body.count(b"\n") for _, body in bodies]
    commas = sum(body.count(b",") for _, body in bodies)
    try:
        # The parser fills short lines with blanks: the count of commas tells.
        if commas != sum(lines) * (len(names) - 1):
            raise ValueError("lines of another length")
        table = _parse_text(b"".join(body for _, body in bodies), names, kept, texts)
        if len(table) != sum(lines):
            raise ValueError("blank lines")
    except ValueError:  # pandas' ParserError is one
        parts = [_salvage(body, names, kept, texts, paths[run], notes) for run, body in bodies]
        lines = [len(part) for part in parts]
        table = pd.concat(parts, ignore_index=True)
    table.insert(0, "run", np.repeat([run for run, _ in bodies], lines))
    return table.reindex(columns=["run", *columns])


def _parse_text(text: bytes, names: Sequence[str], kept: Sequence[str], texts: Sequence[str]) -> pd.DataFrame:
    types = {name: (str if name in texts else np.float64) for name in kept}
    return pd.read_csv(io.BytesIO(text), header=None, names=list(names), usecols=list(kept), dtype=types, skip_blank_lines=True)


def _salvage(body: bytes, names: Sequence[str], kept: Sequence[str], texts: Sequence[str], path: Path, notes: list[str]) -> pd.DataFrame:
    """The rows of one file up to its first damaged line."""
    lines = body.splitlines()
    good = 0
    for line in lines:
        if not _is_row(line, names, texts):
            notes.append(f"{path}: line {good + 2} is damaged; the {good} rows before it are used")
            break
        good += 1
    if not good:
        return pd.DataFrame({name: pd.Series(dtype=float) for name in kept})
    return _parse_text(b"\n".join(lines[:good]) + b"\n", names, kept, texts)


def _is_row(line: bytes, names: Sequence[str], texts: Sequence[str]) -> bool:
    cells = line.decode("utf-8", "replace").split(",")
    if len(cells) != len(names):
        return False
    try:
        for name, cell in zip(names, cells, strict=True):
            if cell and name not in texts:
                float(cell)
    except ValueError:
        return False
    return True
