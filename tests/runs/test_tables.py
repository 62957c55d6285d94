import os
import re
from pathlib import Path

import numpy as np
import pytest

from ppo_sweep.runs import fault_points, tables
from ppo_sweep.runs.errors import CorruptFile, StorageError
from ppo_sweep.runs.tables import CsvTable, format_cell


@pytest.fixture
def table(tmp_path: Path):
    table = CsvTable(tmp_path / "metrics.csv", ("iteration", "a", "b"), "metrics")
    table.start()
    yield table
    table.close()
    fault_points.arm("")


def test_metrics_have_the_37_columns_of_the_file_contract():
    assert len(tables.METRIC_COLUMNS) == len(set(tables.METRIC_COLUMNS)) == 37
    assert tables.METRIC_COLUMNS[:2] == ("iteration", "env_steps")
    assert tables.METRIC_COLUMNS[-3:] == ("lr", "kl_beta", "epochs")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (float("nan"), ""), (float("inf"), ""), (np.float32("-inf"), ""), (np.float64("nan"), ""),
        (True, "1"), (np.bool_(False), "0"), (7, "7"), (np.int64(-7), "-7"), (np.uint8(255), "255"),
        (0.1, "0.1"), (np.float32(0.1), "0.1"), (np.float64(np.float32(0.1)), "0.10000000149011612"), (np.float16(0.1), "0.1"),
        (1.0, "1.0"), (np.float32(3), "3.0"), (-0.0, "-0.0"), (1e-5, "1e-05"), (np.float32(1e-5), "1e-05"), (1e22, "1e+22"),
        (np.float32(16777216), "16777216.0"), ("sampled", "sampled"),
    ],
)  # fmt: skip
def test_a_cell_is_the_shortest_text_of_its_value(value, text):
    assert format_cell(value) == text


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_every_finite_float_reads_back_exactly_in_its_own_precision(dtype):
    bits = {np.float64: np.uint64, np.float32: np.uint32, np.float16: np.uint16}[dtype]
    rng = np.random.default_rng(0)
    values = rng.integers(0, np.iinfo(bits).max, 20_000, dtype=bits, endpoint=True).view(dtype)
    for value in values[np.isfinite(values)]:
        text = format_cell(value)
        assert dtype(text).tobytes() == value.tobytes(), text
        assert len(re.sub(r"e.*|\D", "", text).strip("0")) <= {np.float64: 17, np.float32: 9, np.float16: 5}[dtype]


def test_a_text_that_would_need_quotes_is_refused():
    for text in ("a,b", 'a"b', "a\nb", "a\rb"):
        with pytest.raises(ValueError, match="quoting"):
            format_cell(text)
    with pytest.raises(TypeError, match="list"):
        format_cell([1])


def test_rows_are_written_live_with_blanks_for_what_is_not_named(table):
    table.append([{"iteration": 1, "b": 0.5}, {"a": True}])
    assert table.path.read_bytes() == b"iteration,a,b\n1,,0.5\n,1,\n"
    assert table.length == table.path.stat().st_size


def test_an_append_is_one_write(table, monkeypatch):
    calls = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, content: calls.append(bytes(content)) or write(fd, content))
    table.append([{"iteration": i} for i in range(100)])
    assert len(calls) == 1 and calls[0].count(b"\n") == 100


def test_a_column_that_there_is_none_of_is_refused_and_nothing_is_written(table):
    before = table.path.read_bytes()
    with pytest.raises(ValueError, match=r"metrics\.csv has no column retrun"):
        table.append([{"a": 1}, {"retrun": 1}])
    assert table.path.read_bytes() == before


@pytest.mark.parametrize("moment", ["before", "middle", "after"])
def test_a_full_disk_leaves_no_part_of_a_row_and_the_next_append_works(table, moment):
    table.append([{"iteration": 1, "a": 0.1}])
    before, mark = table.path.read_bytes(), table.mark()
    fault_points.arm(f"enospc@metrics.write.{moment}")
    with pytest.raises(StorageError, match=r"cannot write .*metrics\.csv: No space left on device; .*the same command continues"):
        table.append([{"iteration": 2, "a": 0.2}])
    assert table.path.read_bytes() == before and table.mark() == mark
    table.append([{"iteration": 2, "a": 0.2}])
    assert table.path.read_bytes() == before + b"2,0.2,\n"
    table.verify(table.mark())


def test_a_tail_that_could_not_be_cut_at_once_is_cut_before_the_next_row(table, monkeypatch):
    fault_points.arm("enospc@metrics.write.middle")

    def refuse(fd, length):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(StorageError):
            table.append([{"iteration": 1, "a": 0.123456}])
    assert not table.path.read_bytes().endswith(b"\n")
    table.append([{"iteration": 1, "a": 0.123456}])
    assert table.path.read_bytes() == b"iteration,a,b\n1,0.123456,\n"


def test_a_short_write_is_completed(table, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, content: write(fd, content[:3]))
    table.append([{"iteration": 12345, "a": 1, "b": 2}])
    assert table.path.read_bytes().endswith(b"\n12345,1,2\n")


def test_an_interrupt_in_mid_row_leaves_no_part_of_it(table):
    import signal

    def stop(number, frame):
        raise SystemExit(130)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        fault_points.arm("term@metrics.write.middle")
        with pytest.raises(SystemExit):
            table.append([{"iteration": 1}])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert table.path.read_bytes() == b"iteration,a,b\n"


def test_a_file_removed_under_the_writer_is_noticed_at_the_next_row(table):
    table.path.unlink()
    with pytest.raises(StorageError, match="removed while the run wrote it"):
        table.append([{"a": 1}])


def test_a_second_writer_is_noticed_at_the_next_row(table):
    with table.path.open("ab") as other:
        other.write(b"9,9,9\n")
    with pytest.raises(StorageError, match="expected 14 bytes, found 20: something else writes to it"):
        table.append([{"a": 1}])


def test_cut_goes_back_to_a_mark(table):
    table.append([{"iteration": 1}])
    mark = table.mark()
    table.append([{"iteration": 2}])
    table.verify(mark)
    table.cut(mark.bytes)
    assert table.mark() == mark and table.path.read_bytes() == b"iteration,a,b\n1,,\n"


def test_a_table_shorter_than_its_mark_or_changed_before_it_does_not_verify(table):
    table.append([{"iteration": i} for i in range(50)])
    mark = table.mark()
    content = bytearray(table.path.read_bytes())
    content[20] ^= 1
    table.path.write_bytes(content)
    with pytest.raises(CorruptFile, match=r"metrics\.csv: checksum of the first 254 bytes: expected sha256 .*, found sha256"):
        table.verify(mark)
    table.path.write_bytes(content[:-1])
    with pytest.raises(CorruptFile, match=r"metrics\.csv: length: expected at least 254 bytes, found 253 bytes"):
        table.verify(mark)


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"iteration,a,b\n1,,\n2,,\n3,,\n", b"iteration,a,b\n1,,\n2,,\n"),
        (b"iteration,a,b\n1,,\n2,", b"iteration,a,b\n1,,\n"),
        (b"iteration,a,b\n1,,\nx,,\n2,,\n", b"iteration,a,b\n1,,\n"),
        (b"iteration,a,b\n\xb2,,\n", b"iteration,a,b\n"),
        (b"iteration,a\n1,\n", b"iteration,a,b\n"),
        (b"", b"iteration,a,b\n"),
    ],
)  # fmt: skip
def test_a_table_without_a_mark_keeps_whole_rows_up_to_an_iteration(table, content, kept):
    table.path.write_bytes(content)
    table.cut_after(2)
    assert table.path.read_bytes() == kept
    table.append([{"iteration": 3}])
    assert table.path.read_bytes() == kept + b"3,,\n"


def test_a_symbolic_link_in_place_of_a_table_is_refused(tmp_path: Path):
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "metrics.csv").symlink_to(target)
    with pytest.raises(StorageError, match=r"cannot open .*metrics\.csv"):
        CsvTable(tmp_path / "metrics.csv", ("a",), "metrics")
    assert target.read_text() == "precious"
