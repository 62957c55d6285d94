import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from toy_run import state_at

from ppo_sweep.runs import strict_json, tensors
from ppo_sweep.runs.errors import CorruptFile, StorageError


def forge(directory: Path, content: bytes, stem: str = "policy") -> None:
    """A tensor file of any content under a header that vouches for it."""
    (directory / f"{stem}.safetensors").write_bytes(content)
    seal = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (directory / f"{stem}.json").write_bytes(strict_json.seal({"tensors": seal}))


def safetensors_file(header: object, payload: bytes = b"", claimed: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text + payload


def test_arrays_read_back_to_the_bit_and_are_writable(tmp_path: Path):
    arrays = state_at(3).arrays
    tensors.write_pair(tmp_path, "policy", arrays, {"x": 1}, "policy")
    read, header = tensors.read_policy(tmp_path)
    assert header["x"] == 1
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (read[name].dtype, read[name].shape, read[name].tobytes()) == (array.dtype, array.shape, array.tobytes())
        read[name][...] = 0


def test_views_with_strides_and_foreign_byte_order_are_saved_as_their_values():
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    arrays = {"t": base.T, "s": base[:, ::2], "r": base[::-1], "f": np.asfortranarray(base), "big": base.astype(">f4")}
    read = tensors.decode(tensors.encode(arrays), Path("x"))
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


def test_equal_arrays_give_equal_bytes_whatever_the_order():
    arrays = state_at(5).arrays
    assert tensors.encode(arrays) == tensors.encode(dict(reversed(arrays.items())))


@pytest.mark.parametrize("array", [np.array([{}]), np.array(["text"]), np.array([1j]), np.array(["2020"], "M8[s]")])
def test_an_array_of_an_unknown_type_is_refused_by_name_and_nothing_is_written(tmp_path: Path, array):
    with pytest.raises(TypeError, match="array 'odd' is "):
        tensors.write_pair(tmp_path, "policy", {"odd": array}, {}, "policy")
    assert not list(tmp_path.iterdir())


LIES = {
    "empty": b"",
    "no header": b"\x00" * 7,
    "header longer than the file": safetensors_file({}, claimed=10_000),
    "header of 2^63 bytes": safetensors_file({}, claimed=2**63),
    "header no JSON": safetensors_file(b"{{{{"),
    "header a list": safetensors_file([1]),
    "unknown type": safetensors_file({"x": {"dtype": "OBJECT", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
    "bfloat16": safetensors_file({"x": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}, bytes(8)),
    "complex": safetensors_file({"x": {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
    "shape larger than its bytes": safetensors_file({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 8]}}, bytes(8)),
    "shape overflows": safetensors_file({"x": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 8]}}, bytes(8)),
    "negative shape": safetensors_file({"x": {"dtype": "F32", "shape": [-2, -1], "data_offsets": [0, 8]}}, bytes(8)),
    "offsets outside": safetensors_file({"x": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}, bytes(8)),
    "offsets reversed": safetensors_file({"x": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, bytes(8)),
    "overlap": safetensors_file(
        {n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "xy"}, bytes(8)
    ),
    "bytes left over": safetensors_file({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(8)),
}  # fmt: skip


@pytest.mark.parametrize("content", LIES.values(), ids=LIES.keys())
def test_a_safetensors_header_that_lies_is_refused_even_under_a_fitting_checksum(tmp_path: Path, content):
    forge(tmp_path, content)
    with pytest.raises(CorruptFile, match=r"policy\.safetensors: tensor.*: expected .*, found "):
        tensors.read_policy(tmp_path)


def test_a_header_that_claims_another_length_is_believed_in_nothing(tmp_path: Path):
    tensors.write_pair(tmp_path, "policy", {"x": np.zeros(100)}, {}, "policy")
    size = (tmp_path / "policy.safetensors").stat().st_size
    with (tmp_path / "policy.safetensors").open("ab") as file:
        file.truncate(2**40)  # sparse; reading it would end this process
    with pytest.raises(CorruptFile, match=rf"length: expected {size} bytes, found {2**40} bytes"):
        tensors.read_policy(tmp_path)


def test_a_missing_tensor_file_is_named_and_no_header_is_no_policy(tmp_path: Path):
    assert tensors.read_policy(tmp_path) is None
    tensors.write_pair(tmp_path, "policy", {"x": np.zeros(1)}, {}, "policy")
    (tmp_path / "policy.safetensors").unlink()
    with pytest.raises(CorruptFile, match=r"policy\.safetensors: file: expected \d+ bytes, found no such file"):
        tensors.read_policy(tmp_path)


def test_a_directory_a_pipe_or_a_link_in_place_of_a_file_is_refused_without_waiting(tmp_path: Path):
    import os

    (tmp_path / "policy.json").mkdir()
    with pytest.raises(StorageError, match=r"policy\.json: kind: expected a plain file"):
        tensors.read_policy(tmp_path)
    (tmp_path / "policy.json").rmdir()
    os.mkfifo(tmp_path / "policy.json")
    with pytest.raises(StorageError, match=r"policy\.json: kind: expected a plain file"):
        tensors.read_policy(tmp_path)
    (tmp_path / "policy.json").unlink()
    (tmp_path / "policy.json").symlink_to("/etc/passwd")
    with pytest.raises(StorageError, match=r"policy\.json: kind: expected a plain file, found a symbolic link"):
        tensors.read_policy(tmp_path)
