"""What W&B has written for a run: its ``.wandb`` file, read record by record."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK = 32768
_HEADER = b":W&B\xe1\xbe\x00"


def offline_runs(directory: Path) -> list[Path]:
    """The ``.wandb`` files of a run directory; each would be uploaded by itself."""
    return sorted(path for path in (directory / "wandb").glob("offline-run-*/*.wandb") if not path.parent.is_symlink())


def records(path: Path) -> Iterator[Any]:
    """Records in the order written; the format is LevelDB's log (blocks of 32 KiB, records cut at their ends)."""
    from wandb.proto.wandb_internal_pb2 import Record

    content = path.read_bytes()
    assert content.startswith(_HEADER)
    at, parts = len(_HEADER), []
    while at + 7 <= len(content):
        left = _BLOCK - at % _BLOCK
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        parts.append(content[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(b"".join(parts))
            parts = []


def history(path: Path) -> list[dict[str, Any]]:
    """The rows that were logged, by tag, with ``_step``."""
    rows = (record.history.item for record in records(path) if record.WhichOneof("record_type") == "history")
    return [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row} for row in rows]


def about(path: Path) -> Any:
    """The record that names the run: ``run_id``, ``project``, ``run_group``, ``display_name``, ``config``."""
    return next(record.run for record in records(path) if record.WhichOneof("record_type") == "run")


def exit_code(path: Path) -> int | None:
    """None: it was not finished."""
    return next((record.exit.exit_code for record in records(path) if record.WhichOneof("record_type") == "exit"), None)


def summary(path: Path) -> dict[str, Any]:
    """The last value of each tag."""
    values: dict[str, Any] = {}
    for record in records(path):
        if record.WhichOneof("record_type") == "summary":
            values |= {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.summary.update}
    return values
