"""Damage of every kind: the older generation is used, or the run starts from nothing; never a traceback, never garbage."""

import json
import re
import shutil
from pathlib import Path

import pytest
from toy_run import CONFIG, bytes_of, same_state, state_at, work

from ppo_sweep.runs import checkpoint, strict_json
from ppo_sweep.runs.directory import RunDirectory, load_state
from ppo_sweep.runs.errors import CorruptFile, DirectoryMismatch, StorageError
from ppo_sweep.runs.places import set_aside

NAMED = r"^{}: [^:]+: expected .+, found .+$"


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("reference") / "run"
    work(path)
    return bytes_of(path)


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("begun") / "run"
    work(path, until=8)
    return path


@pytest.fixture
def run(tmp_path: Path, begun: Path) -> Path:
    """A run left after iteration 8: generation a of iteration 3, b of 6."""
    return Path(shutil.copytree(begun, tmp_path / "run"))


def kept(path: Path) -> int:
    """The iteration that a directory is continued from, 0 for nothing; checks that its warnings name a file and a fault."""
    with RunDirectory.open(CONFIG, path) as opened:
        warnings = [note for note in opened.notes if note.startswith("warning: ") and "starts from nothing" not in note]
        for warning in warnings:
            assert re.match(NAMED.format(r"warning: \S+"), warning), warning
        if opened.state is None:
            return 0
        iteration = opened.state.scalars["iteration"]
        assert same_state(opened.state, state_at(iteration))
        return iteration


def flip(path: Path, index: int, mask: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[index] ^= mask
    path.write_bytes(content)


def newest_after(path: Path, name: str, content: bytes) -> tuple[int, list[CorruptFile]]:
    """The iteration of the newest sound generation with one file replaced (as a reader sees it), and the faults found."""
    original = (path / "checkpoint" / name).read_bytes()
    (path / "checkpoint" / name).write_bytes(content)
    found = checkpoint.newest(path / "checkpoint")
    (path / "checkpoint" / name).write_bytes(original)
    assert found.generation is not None
    assert same_state(found.generation.state, state_at(found.generation.progress.iteration))
    return found.generation.progress.iteration, found.faults


def test_the_generations_alternate_and_the_newest_is_used(run):
    assert sorted(path.name for path in (run / "checkpoint").iterdir()) == ["a.json", "a.safetensors", "b.json", "b.safetensors"]
    assert {slot: json.loads((run / f"checkpoint/{slot}.json").read_text())["iteration"] for slot in "ab"} == {"a": 3, "b": 6}
    assert kept(run) == 6
    work(run, until=9)
    assert {slot: json.loads((run / f"checkpoint/{slot}.json").read_text())["iteration"] for slot in "ab"} == {"a": 9, "b": 6}


def test_a_header_says_versions_capability_lengths_and_checksum(run):
    header = json.loads((run / "checkpoint/b.json").read_text())
    assert {"python", "torch", "numpy", "gymnasium"} <= header["versions"].keys()
    assert header["cpu_capability"] and header["schema_version"] == 1 and header["config_hash"] == CONFIG.hash
    assert header["tables"].keys() == {"metrics", "episodes", "eval"}
    assert header["tensors"]["bytes"] == (run / "checkpoint/b.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("b.safetensors", "length"), ("b.safetensors", "header"), ("b.safetensors", "payload"), ("b.safetensors", "last"),
        ("b.json", "checksum"), ("b.json", "sha256"), ("b.json", "bytes"), ("b.json", "sequence"), ("b.json", "iteration"),
        ("b.json", "total"), ("b.json", "schema_version"), ("b.json", "versions"), ("b.json", "brace"),
    ],
)  # fmt: skip
def test_a_flipped_byte_of_each_class_is_named_and_the_older_generation_ends_with_the_same_bytes(run, name, where, reference):
    path = run / "checkpoint" / name
    content = path.read_bytes()
    if name.endswith("json"):
        index = 0 if where == "brace" else content.index(f'"{where}": '.encode()) + len(where) + 5
    else:
        index = {"length": 0, "header": 20, "payload": len(content) // 2, "last": -1}[where]
    flip(path, index)
    assert kept(run) == 3
    work(run)
    assert bytes_of(run) == reference
    assert str(path) in (run / "train.log").read_text()


def test_a_flipped_byte_anywhere_in_a_header_is_found(run):
    content = (run / "checkpoint/b.json").read_bytes()
    for index in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[index] ^= 1 << index % 8
        iteration, faults = newest_after(run, "b.json", bytes(damaged))
        assert iteration == 3 and len(faults) == 1, index
        assert re.match(NAMED.format(r"\S+/b\.json"), str(faults[0])), str(faults[0])


def test_a_flipped_byte_anywhere_in_the_tensors_is_found(run):
    content = (run / "checkpoint/b.safetensors").read_bytes()
    for index in range(0, len(content), 23):
        damaged = bytearray(content)
        damaged[index] ^= 1 << index % 8
        iteration, faults = newest_after(run, "b.safetensors", bytes(damaged))
        assert iteration == 3
        assert re.match(r"^\S+/b\.safetensors: checksum: expected sha256 \w+, found sha256 \w+$", str(faults[0]))


def test_truncation_at_every_kib_is_named_with_both_lengths(tmp_path):
    with RunDirectory.open(CONFIG, tmp_path / "run") as opened:
        opened.append_metrics({"iteration": 3})
        opened.checkpoint(state_at(3))
        opened.checkpoint(state_at(6, floats=25_000))
    tensors, header = ((tmp_path / "run/checkpoint" / f"b.{end}").read_bytes() for end in ("safetensors", "json"))
    assert len(tensors) > 100_000
    for length in [*range(0, len(tensors), 1024), len(tensors) - 1]:
        (tmp_path / "run/checkpoint/b.safetensors").write_bytes(tensors[:length])
        found = checkpoint.newest(tmp_path / "run/checkpoint")
        assert found.generation.slot == "a"
        assert f"b.safetensors: length: expected {len(tensors)} bytes, found {length} bytes" in str(found.faults[0])
    (tmp_path / "run/checkpoint/b.safetensors").write_bytes(tensors)
    for length in range(0, len(header), 64):
        (tmp_path / "run/checkpoint/b.json").write_bytes(header[:length])
        found = checkpoint.newest(tmp_path / "run/checkpoint")
        assert found.generation.slot == "a"
        assert f"b.json: JSON: expected an object, found {length} bytes that do not parse" in str(found.faults[0])


def test_tensors_of_one_generation_never_load_under_the_header_of_another(run):
    shutil.copy(run / "checkpoint/a.safetensors", run / "checkpoint/b.safetensors")
    assert kept(run) == 3
    shutil.copy(run / "checkpoint/a.json", run / "checkpoint/b.json")  # a whole copy is a sound, older generation
    assert kept(run) == 3


@pytest.mark.parametrize("table", ["metrics", "episodes", "eval"])
@pytest.mark.parametrize("damage", ["lost tail", "flipped digit", "deleted"])
def test_a_table_that_lost_or_changed_what_a_checkpoint_recorded_makes_it_unusable(run, table, damage, reference):
    path = run / f"{table}.csv"
    recorded = json.loads((run / "checkpoint/b.json").read_text())["tables"][table]["bytes"]
    if damage == "lost tail":
        path.write_bytes(path.read_bytes()[: recorded - 1])
    elif damage == "flipped digit":
        flip(path, recorded - 2)
    else:
        path.unlink()
    assert kept(run) == (0 if damage == "deleted" else 3)
    work(run)
    assert bytes_of(run) == reference


def test_a_torn_tail_behind_the_recorded_length_is_cut(run, reference):
    for name in ("metrics.csv", "episodes.csv", "eval.csv", "timing.csv"):
        with (run / name).open("ab") as file:
            file.write(b"9,99\x00\xff")
    assert kept(run) == 6
    work(run)
    assert bytes_of(run) == reference
    rows = (run / "timing.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == list(range(1, 13)), "no row of the timing is lost or doubled"


def test_with_no_usable_generation_the_run_starts_from_nothing_and_names_both_files(run, reference):
    flip(run / "checkpoint/a.json", 100)
    flip(run / "checkpoint/b.safetensors", 100)
    before = {path.name: path.read_bytes() for path in (*run.glob("*.csv"), *(run / "checkpoint").iterdir())}
    with RunDirectory.open(CONFIG, run) as opened:
        assert opened.state is None
        assert {path.name: path.read_bytes() for path in (run / "damaged-1").iterdir()} == before, "nothing is deleted"
        assert [path.name for path in (run / "checkpoint").iterdir()] == []
        notes = "\n".join(opened.notes)
    assert "a.json: " in notes and "b.safetensors: " in notes and "starts from nothing" in notes
    assert (run / "metrics.csv").read_bytes().count(b"\n") == 1
    work(run)
    assert bytes_of(run) == reference


def test_what_a_damaged_run_left_goes_beside_what_earlier_ones_left(run):
    (run / "damaged-2").mkdir()
    assert [set_aside(run).name for _ in range(2)] == ["damaged-1", "damaged-3"]


def test_a_reader_is_told_why_no_generation_is_usable_and_deletes_nothing(run):
    flip(run / "checkpoint/a.json", 100)
    flip(run / "checkpoint/b.safetensors", 100)
    with pytest.raises(StorageError, match=r"(?s)no checkpoint is usable:.*a\.json: .*b\.safetensors: "):
        load_state(run)
    assert len(list((run / "checkpoint").iterdir())) == 4


def test_a_reader_falls_back_with_a_warning_and_finds_nothing_in_a_new_run(run, tmp_path):
    flip(run / "checkpoint/b.safetensors", 100)
    warnings = []
    assert same_state(load_state(run, warn=warnings.append), state_at(3))
    assert len(warnings) == 1 and "b.safetensors: checksum: expected" in warnings[0]
    assert load_state(tmp_path / "nothing") is None


def test_a_checkpoint_of_another_schema_is_refused_and_kept(run):
    for slot in "ab":
        path = run / f"checkpoint/{slot}.json"
        header = strict_json.unseal(path.read_bytes(), path)
        path.write_bytes(strict_json.seal({**header, "schema_version": 2}))
    before = (run / "checkpoint/a.json").read_bytes()
    with pytest.raises(DirectoryMismatch, match=r"schema_version: expected 1, found 2: written by another version"):
        RunDirectory.open(CONFIG, run)
    assert (run / "checkpoint/a.json").read_bytes() == before


def test_a_checkpoint_of_another_configuration_is_not_used(run, tmp_path):
    other = CONFIG.replace(seed=4)
    work(tmp_path / "other", other, until=5)
    for end in ("json", "safetensors"):
        shutil.copy(tmp_path / f"other/checkpoint/a.{end}", run / f"checkpoint/b.{end}")
    assert kept(run) == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [("tables", None), ("tables", {"metrics": {"bytes": -1, "sha256": ""}}), ("tables", {}), ("scalars", {"x": [1]}), ("iteration", 2**70),
     ("versions", {"torch": 3}), ("tensors", {"bytes": 2**62, "sha256": "x"}), ("format", "other"),
     ("sequence", "7"), ("config_hash", None)],
)  # fmt: skip
def test_a_sealed_header_with_a_senseless_value_is_passed_over(run, key, value):
    path = run / "checkpoint/b.json"
    header = strict_json.unseal(path.read_bytes(), path)
    path.write_bytes(strict_json.seal({**header, key: value}))
    assert kept(run) == 3


def test_a_read_error_is_no_reason_to_fall_back(run, monkeypatch):
    """It says nothing about the content: falling back, or starting from nothing, would throw away good work."""
    import os

    real = os.open

    def refuse(path, flags, mode=0o777):
        if str(path).endswith("b.safetensors"):
            raise OSError(5, "Input/output error")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match=r"^cannot read .*b\.safetensors: Input/output error$"):
        RunDirectory.open(CONFIG, run)
    monkeypatch.undo()
    assert kept(run) == 6


def test_other_versions_continue_with_a_warning_that_stays(run, monkeypatch):
    from ppo_sweep.runs import directory
    from ppo_sweep.runs.status import read_status

    assert not read_status(run).mixed_versions
    with monkeypatch.context() as patch:
        patch.setattr(directory, "versions", lambda: {"torch": "9.9"})
        patch.setattr(directory, "cpu_capability", lambda: "riscv64 V")
        with RunDirectory.open(CONFIG, run) as opened:
            assert "torch 2" in " ".join(opened.notes) and "now 9.9" in " ".join(opened.notes) and "now riscv64 V" in " ".join(opened.notes)
    assert read_status(run).mixed_versions
    work(run, until=9)  # back on the first versions, from a checkpoint that they wrote
    assert not read_status(run).mixed_versions
    with monkeypatch.context() as patch:
        patch.setattr(directory, "versions", lambda: {"torch": "9.9"})
        work(run, until=12)  # now a checkpoint is written by the others
    work(run)
    assert read_status(run).mixed_versions and read_status(run).state == "done"


def test_a_state_that_files_have_no_form_for_is_refused_by_name(run):
    with RunDirectory.open(CONFIG, run) as opened:
        state = state_at(7)
        state.scalars["odd"] = [1]
        with pytest.raises(TypeError, match="scalar 'odd' is a list"):
            opened.checkpoint(state)
    assert kept(run) == 6
