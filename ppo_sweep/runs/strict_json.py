"""JSON that reads back as what was written, or says why not.

Written: keys sorted, no NaN or Infinity (a non-finite float is ``{"float": "nan"}``), numpy scalars as
plain numbers, ``\\n`` at the end: equal values give equal bytes. Read: duplicate keys, NaN literals,
numbers that overflow, absurd nesting and trailing text are refused with a :class:`CorruptFile`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from ppo_sweep.runs.errors import CorruptFile

#: No file of ours comes near this: a longer one is not read into memory.
SIZE_LIMIT = 16 * 2**20

#: The key that a sealed document keeps its own checksum under.
SEAL = "checksum"

Value = TypeVar("Value")


def encode(document: Mapping[str, Any]) -> bytes:
    """A mapping of plain values as canonical UTF-8 JSON.

    Raises:
        TypeError: for a value that JSON has no form for.
    """
    return (json.dumps(_plain(document), sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def decode(content: bytes, path: Path) -> dict[str, Any]:
    """The inverse of :func:`encode`; ``path`` is for the message.

    Raises:
        CorruptFile: for anything but one JSON object.
    """
    try:
        value = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise CorruptFile(path, "JSON", "an object", "nesting without end") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError and the refusals below are all ValueErrors
        raise CorruptFile(path, "JSON", "an object", f"{len(content)} bytes that do not parse ({error})") from None
    if not isinstance(value, dict):
        raise CorruptFile(path, "JSON", "an object", f"a {type(value).__name__}")
    return value


def seal(document: Mapping[str, Any]) -> bytes:
    """:func:`encode` with a SHA-256 of the document beside it, under the key ``checksum``."""
    if SEAL in document:
        raise ValueError(f"the key {SEAL!r} is taken by the document's own checksum")
    return encode({**document, SEAL: hashlib.sha256(encode(document)).hexdigest()})


def unseal(content: bytes, path: Path) -> dict[str, Any]:
    """The inverse of :func:`seal`: any changed byte is found.

    Raises:
        CorruptFile: as :func:`decode`, or the checksum does not fit.
    """
    document = decode(content, path)
    stored = document.pop(SEAL, "a checksum")
    try:
        found = hashlib.sha256(encode(document)).hexdigest()
    except RecursionError:
        raise CorruptFile(path, "JSON", "an object", "nesting without end") from None
    if stored != found:
        raise CorruptFile(path, SEAL, _shown(stored), f"{found} of the content")
    if seal(document) != content:
        raise CorruptFile(path, "JSON", "the form this project writes", "other spacing, order or spelling of the same values")
    return document


def require(document: Mapping[str, Any], key: str, kind: type[Value], path: Path) -> Value:
    """``document[key]``, which must be a ``kind`` (a bool is no int; an int counts as a float; a count is not negative).

    Raises:
        CorruptFile: missing or of another type.
    """
    if key not in document:
        raise CorruptFile(path, key, f"a value of type {kind.__name__}", "no such key")
    value = document[key]
    if kind is float and type(value) is int and abs(value) < 2**63:
        value = float(value)
    if type(value) is not kind:
        raise CorruptFile(path, key, f"a value of type {kind.__name__}", _shown(value))
    if isinstance(value, int) and not 0 <= value < 2**63:
        raise CorruptFile(path, key, "a count", _shown(value))
    return value


def _shown(value: object) -> str:
    if isinstance(value, int) and abs(value) >= 2**63:
        return "a whole number of more than 63 bits"
    text = repr(value)
    return text if len(text) <= 70 else f"{text[:67]}…"


def _plain(value: Any) -> Any:
    """Numpy scalars as Python numbers, non-finite floats tagged, tuples as lists."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"JSON keys are strings, not {[key for key in value if not isinstance(key, str)]!r}")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Any:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key occurs twice")
    if out.keys() == {"float"} and out["float"] in ("nan", "inf", "-inf"):
        return float(out["float"])
    return out


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number overflows")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"the literal {name} is no JSON")
