import json
import math
from pathlib import Path

import numpy as np
import pytest

from ppo_sweep.runs import strict_json
from ppo_sweep.runs.errors import CorruptFile

PATH = Path("a.json")
DOCUMENT = {"b": 1, "a": [1.5, None, True, "π\ud800"], "nested": {"x": 1e-300, "big": 2**200}, "limits": [math.inf, -math.inf]}


def test_a_document_reads_back_with_types_and_non_finite_floats():
    read = strict_json.decode(strict_json.encode({**DOCUMENT, "nan": np.float32("nan"), "int": np.int64(3)}), PATH)
    assert math.isnan(read.pop("nan"))
    assert read.pop("int") == 3
    assert read == DOCUMENT


def test_equal_documents_give_equal_bytes_whatever_the_order():
    assert strict_json.encode(DOCUMENT) == strict_json.encode(dict(reversed(DOCUMENT.items())))
    json.loads(strict_json.encode(DOCUMENT), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "0 bytes that do not parse"),
        (b'{"a": 1', "do not parse"),
        (b'{"a": 1} x', "do not parse"),
        (b'{"a": 1, "a": 2}', "a key occurs twice"),
        (b'{"a": {"b": 1, "b": 2}}', "a key occurs twice"),
        (b'{"a": NaN}', "the literal NaN is no JSON"),
        (b'{"a": -Infinity}', "no JSON"),
        (b'{"a": 1e999}', "a number overflows"),
        (b'{"a": ' + b"9" * 5000 + b"}", "do not parse"),
        (b'{"a": "\xff"}', "do not parse"),
        (b"[" * 100_000, "nesting without end"),
        (b'{"a":' * 100_000, "nesting without end"),
        (b"[1, 2]", "a list"),
        (b"null", "a NoneType"),
        (b"\x80\x04K\x01.", "do not parse"),
    ],
)  # fmt: skip
def test_what_is_no_plain_json_object_is_refused_by_name(content, found):
    for read in (strict_json.decode, strict_json.unseal):
        with pytest.raises(CorruptFile, match=r"^a\.json: JSON: expected an object, found ") as error:
            read(content, PATH)
        assert found in str(error.value)


def test_nesting_near_the_interpreters_limit_is_refused_not_a_traceback():
    for depth in range(200, 1100, 50):
        content = b'{"a":' * depth + b"1" + b"}" * depth
        with pytest.raises(CorruptFile):
            strict_json.unseal(content, PATH)


def test_every_flipped_bit_of_a_sealed_document_is_found():
    sealed = strict_json.seal(DOCUMENT)
    assert strict_json.unseal(sealed, PATH) == DOCUMENT
    for index in range(len(sealed)):
        for bit in range(8):
            damaged = bytearray(sealed)
            damaged[index] ^= 1 << bit
            with pytest.raises(CorruptFile):
                strict_json.unseal(bytes(damaged), PATH)


def test_every_truncation_of_a_sealed_document_is_found():
    sealed = strict_json.seal(DOCUMENT)
    for length in range(len(sealed)):
        with pytest.raises(CorruptFile):
            strict_json.unseal(sealed[:length], PATH)


def test_a_document_may_not_bring_its_own_checksum():
    with pytest.raises(ValueError, match="checksum"):
        strict_json.seal({"checksum": "x"})


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (True, int, "expected a value of type int, found True"),
        (1.0, int, "found 1.0"),
        (-1, int, "expected a count, found -1"),
        (2**63, int, "more than 63 bits"),
        ("1", float, "found '1'"),
        (2**5000, float, "more than 63 bits"),
        (None, str, "found None"),
        ("x" * 500, dict, "…"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_by_name(value, kind, message):
    with pytest.raises(CorruptFile, match=r"^a\.json: k: expected") as error:
        strict_json.require({"k": value}, "k", kind, PATH)
    assert message in str(error.value) and len(str(error.value)) < 200


def test_a_missing_key_is_named():
    with pytest.raises(CorruptFile, match=r"a\.json: k: expected a value of type int, found no such key"):
        strict_json.require({}, "k", int, PATH)
    assert strict_json.require({"k": 3}, "k", float, PATH) == 3.0
