"""Named arrays in a safetensors file, and the JSON header that belongs to them, as one unit.

The tensor file is renamed into place first, the header last. The header names length and SHA-256 of
the tensor file and seals itself with a checksum of its own, so a mismatched pair, a cut file or a
changed byte is found before an array is made, and nothing here can run code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from ppo_sweep.runs import durable, strict_json
from ppo_sweep.runs.errors import CorruptFile
from ppo_sweep.runs.strict_json import require

#: What a file may hold; other types have no use here and less certain support in safetensors.
DTYPES = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")

#: A header names the length of its tensor file, and no more than that is read; this bounds the header's own claim.
SIZE_LIMIT = 2**36


def encode(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as safetensors bytes: equal arrays give equal bytes.

    Raises:
        TypeError: for an array of another type than :data:`DTYPES`.
    """
    # safetensors reads memory from the data pointer on and knows no strides: only contiguous arrays are right.
    dense = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in dense.items():
        if array.dtype.name not in DTYPES:
            raise TypeError(f"array {name!r} is {array.dtype}; a file holds {', '.join(DTYPES)}")
    return safetensors.numpy.save(dense)


def decode(content: bytes, path: Path) -> dict[str, np.ndarray]:
    """The inverse of :func:`encode`: writable arrays of their own memory.

    Raises:
        CorruptFile: for anything that is not a whole safetensors file.
    """
    try:
        arrays = safetensors.numpy.load(content)
    except (SafetensorError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise CorruptFile(path, "tensors", "a safetensors file", f"{len(content)} bytes that are none ({error})") from None
    for name, array in arrays.items():
        if array.dtype.name not in DTYPES:
            raise CorruptFile(path, f"tensor {name!r}", f"one of {', '.join(DTYPES)}", str(array.dtype))
    return {name: array.copy() for name, array in arrays.items()}


def write_pair(directory: Path, stem: str, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any], point: str) -> None:
    """Write ``stem.safetensors`` and then ``stem.json``, each atomically and durably.

    Args:
        header: plain values; ``tensors`` and ``checksum`` are added.
        point: prefix of the fault points: ``POINT.tensors…``, ``POINT.header…``.

    Raises:
        StorageError: disk trouble.
        TypeError: a value that the files have no form for; nothing is then written.
    """
    content = encode(arrays)
    text = strict_json.seal({**header, "tensors": {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}})
    # The header goes last, and only when what it names is durable.
    durable.replace(directory / f"{stem}.safetensors", content, f"{point}.tensors")
    durable.replace(directory / f"{stem}.json", text, f"{point}.header")


def read_header(directory: Path, stem: str) -> dict[str, Any] | None:
    """The header alone, its own checksum verified; None if there is none.

    Raises:
        CorruptFile, StorageError: as :func:`read_arrays`.
    """
    path = directory / f"{stem}.json"
    content = durable.read(path, limit=strict_json.SIZE_LIMIT)
    return None if content is None else strict_json.unseal(content, path)


def read_arrays(directory: Path, stem: str, header: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays that ``header`` names.

    Raises:
        CorruptFile: the file is missing, longer, shorter or other than the header says.
        StorageError: the system will not give it.
    """
    path, header_path = directory / f"{stem}.safetensors", directory / f"{stem}.json"
    expected = require(header, "tensors", dict, header_path)
    length, checksum = require(expected, "bytes", int, header_path), require(expected, "sha256", str, header_path)
    try:
        content = durable.read(path, limit=min(length, SIZE_LIMIT))
    except CorruptFile as error:
        if error.field != "length":
            raise
        raise CorruptFile(path, "length", f"{length} bytes", error.found) from None
    if content is None:
        raise CorruptFile(path, "file", f"{length} bytes", "no such file")
    if len(content) != length:
        raise CorruptFile(path, "length", f"{length} bytes", f"{len(content)} bytes")
    found = hashlib.sha256(content).hexdigest()
    if found != checksum:
        raise CorruptFile(path, "checksum", f"sha256 {checksum}", f"sha256 {found}")
    return decode(content, path)


def read_policy(directory: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Arrays and header of ``policy.safetensors`` and ``policy.json``; None if the run has written none.

    Raises:
        CorruptFile, StorageError: as :func:`read_arrays`.
    """
    header = read_header(directory, "policy")
    return None if header is None else (read_arrays(directory, "policy", header), header)
