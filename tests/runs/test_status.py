import json
from pathlib import Path

import pytest
from toy_run import CONFIG, work

from ppo_sweep.runs import status as status_file
from ppo_sweep.runs.directory import RunDirectory
from ppo_sweep.runs.status import Status, read_status, write_status


def test_a_finished_run_says_all_that_the_contract_names(tmp_path):
    work(tmp_path / "run")
    status = read_status(tmp_path / "run")
    assert (status.state, status.iteration, status.env_steps, status.score, status.error) == ("done", 12, 12 * 2048, -1.25, None)
    assert status.finished and status.threads >= 1 and status.pid and status.host and not status.mixed_versions
    assert {"python", "torch", "numpy", "gymnasium", "mujoco"} <= status.versions.keys()
    document = json.loads((tmp_path / "run/status.json").read_text())
    assert {"state", "iteration", "env_steps", "score", "error", "versions", "host", "pid", "threads"} <= document.keys()


def test_running_without_a_held_lock_reads_interrupted(tmp_path):
    run = RunDirectory.open(CONFIG, tmp_path, overrides=["seed=3"])
    assert read_status(tmp_path).state == "running"
    assert read_status(tmp_path).overrides == ("seed=3",)
    run.close()
    assert read_status(tmp_path).state == "interrupted"


def test_a_run_that_ends_between_the_two_looks_of_a_reader_reads_done(tmp_path, monkeypatch):
    run = RunDirectory.open(CONFIG, tmp_path)

    def ended_meanwhile(directory):
        run.finish("done", score=1.0)
        return False

    monkeypatch.setattr(status_file, "is_locked", ended_meanwhile)
    assert read_status(tmp_path).state == "done"


def test_no_status_reads_absent(tmp_path):
    assert read_status(tmp_path / "nowhere").state == "absent"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (b"", "JSON: expected an object, found 0 bytes"),
        (b"\x80\x04K\x01.", "JSON: expected an object"),
        ({"state": "finished"}, "state: expected one of queued, running"),
        ({"state": 3}, "state: expected a value of type str, found 3"),
        ({"iteration": -1}, "iteration: expected a count, found -1"),
        ({"iteration": 10**400}, "iteration: expected a count, found a whole number of more than 63 bits"),
        ({"score": "good"}, "score: expected a value of type float"),
        ({"versions": {"torch": 2}}, "torch: expected a value of type str"),
        ({"pid": None}, "pid: expected a value of type int"),
    ],
)  # fmt: skip
def test_a_status_that_is_not_ours_reads_unreadable_with_field_expected_and_found(tmp_path, change, message):
    write_status(tmp_path, Status("done"))
    path = tmp_path / "status.json"
    path.write_bytes(change if isinstance(change, bytes) else json.dumps({**json.loads(path.read_text()), **change}).encode())
    status = read_status(tmp_path)
    assert status.state == "unreadable" and not status.finished
    assert status.error.startswith(f"{path}: {message}")


def test_a_huge_status_is_not_read_into_memory(tmp_path):
    with (tmp_path / "status.json").open("wb") as file:
        file.truncate(2**40)
    assert "length: expected at most" in read_status(tmp_path).error


def test_a_score_that_is_not_finite_reads_back(tmp_path):
    write_status(tmp_path, Status("done", score=float("-inf")))
    assert read_status(tmp_path).score == float("-inf")


def test_progress_reaches_the_disk_at_most_once_a_second(tmp_path, monkeypatch):
    written = []
    with RunDirectory.open(CONFIG, tmp_path) as run:
        monkeypatch.setattr("ppo_sweep.runs.directory.write_status", lambda *args, **kwargs: written.append(kwargs))
        for k in range(1000):
            run.update_status(iteration=k, env_steps=k)
        assert written == []
        run._status_written -= 1.0
        run.update_status(iteration=7, env_steps=8)
        assert written == [{"durably": False}]


def test_a_reader_never_sees_half_a_status(tmp_path):
    """Atomic replacement: a thread that reads all the time while another writes."""
    import threading

    write_status(tmp_path, Status("stopped"))
    seen, ended = set(), threading.Event()

    def read() -> None:
        while not ended.is_set():
            seen.add(read_status(tmp_path).state)

    reader = threading.Thread(target=read)
    reader.start()
    for k in range(300):
        write_status(Path(tmp_path), Status("stopped", error="x" * (k * 50)), durably=False)
    ended.set()
    reader.join()
    assert seen == {"stopped"}
