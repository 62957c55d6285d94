import os
import shutil
import threading
from pathlib import Path

import pytest
from toy_run import BYTES, CONFIG, bytes_of, state_at, work

from ppo_sweep.config import Config
from ppo_sweep.runs.directory import RunDirectory, reached, read_config
from ppo_sweep.runs.errors import CorruptFile, DirectoryMismatch, StorageError
from ppo_sweep.runs.lock import is_locked
from ppo_sweep.runs.status import Status, read_status, write_status


def snapshot(path: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below ``path``, with content and time of change."""
    return {str(p.relative_to(path)): (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(path.rglob("*")) if p.is_file()}


def test_a_complete_run_leaves_the_files_of_the_contract(tmp_path):
    work(tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {*BYTES, "timing.csv", "status.json", "train.log", "checkpoint", ".lock"}


def test_the_bytes_hold_no_time_host_path_study_or_operational_key(tmp_path):
    import socket

    config = CONFIG.replace(study="secret-study", results="secret-root", checkpoint_every=7)
    work(tmp_path / "one", config)
    work(tmp_path / "two")
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    text = b"".join(bytes_of(tmp_path / "one").values())
    for word in ("secret", str(tmp_path), socket.gethostname(), "checkpoint_every"):
        assert word.encode() not in text


def test_a_finished_run_says_so_and_nothing_is_touched(tmp_path):
    work(tmp_path / "run")
    before = snapshot(tmp_path / "run")
    for state in ("done", "pruned", "diverged"):
        write_status(tmp_path / "run", Status(state, score=2.0))
        before = snapshot(tmp_path / "run")
        run = RunDirectory.open(CONFIG, tmp_path / "run")
        assert run.finished.state == state and run.finished.score == 2.0
        assert not is_locked(tmp_path / "run")
        run.close()
        assert snapshot(tmp_path / "run") == before


def test_a_failed_run_is_continued_unless_retry_failed_is_false(tmp_path):
    work(tmp_path / "reference")
    run = work(tmp_path / "run", until=7)
    run = RunDirectory.open(CONFIG, tmp_path / "run")
    run.finish("failed", score=None, error="Traceback: an environment raised")
    assert RunDirectory.open(CONFIG.replace(retry_failed=False), tmp_path / "run").finished.error.startswith("Traceback")
    work(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "reference")
    assert read_status(tmp_path / "run").error is None


def test_a_stopped_run_is_continued(tmp_path):
    work(tmp_path / "reference")
    with RunDirectory.open(CONFIG, tmp_path / "run") as run:
        run.finish("stopped", score=None, reason="no training episode was finished")
    assert read_status(tmp_path / "run").state == "stopped"
    work(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "reference")


def test_another_configuration_is_refused_with_each_difference_and_nothing_is_touched(tmp_path):
    work(tmp_path / "run", until=5)
    before = snapshot(tmp_path / "run")
    other = CONFIG.replace(**{"algo.lr": 1e-3, "algo.max_kl": 0.02, "network.hidden": [32], "env.kwargs": {"g": 9.81}})
    with pytest.raises(DirectoryMismatch) as error:
        RunDirectory.open(other, tmp_path / "run")
    lines = str(error.value).splitlines()
    assert lines[1:-1] == [
        "  algo.lr: 0.0003 here, 0.001 asked for",
        "  algo.max_kl: null here, 0.02 asked for",
        "  env.kwargs: {} here, not set asked for",
        "  env.kwargs.g: not set here, 9.81 asked for",
        "  network.hidden: [64, 64] here, [32] asked for",
    ]
    assert "force=true" in lines[-1]
    assert snapshot(tmp_path / "run") == before


def test_operational_keys_may_differ(tmp_path):
    work(tmp_path / "run", until=5)
    with RunDirectory.open(CONFIG.replace(checkpoint_every=3, study="x", retry_failed=False), tmp_path / "run") as run:
        assert run.state is not None


def test_config_yaml_reads_back_as_the_same_configuration(tmp_path):
    odd = {"id": "x:Name-v0", "kwargs": {"on": "yes", "n": "1e-3", "f": 1e-05, "deep": {"list": [1, [2.5, None]]}, "π": "§", "same": [1]}}
    config = Config.from_dict({"env": odd, "algo": {"lr": 1e-05, "max_kl": 0.1}, "seed": 2**62})
    with RunDirectory.open(config, tmp_path):
        pass
    assert read_config(tmp_path) == config
    assert read_config(tmp_path).hash == config.hash
    with RunDirectory.open(config, tmp_path):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"schema_version: 1\nhash: [", "YAML: expected a configuration, found 25 bytes that do not parse"),
        (b"\xff\xfe\x00", "YAML: expected a configuration"),
        (b"[1, 2]", "YAML: expected a mapping of knobs, found a list"),
        (b"!!python/object/apply:os.system ['true']", "YAML: expected a configuration"),
        (b"a: &a {b: *a}", "YAML: expected plain values, found a reference to another part"),
        (b"schema_version: 9\nhash: x\n", "schema_version: expected 1, found 9"),
        (b"[" * 400, "YAML: expected a configuration"),
        (None, "file: expected the configuration of a run, found no such file"),
    ],
)  # fmt: skip
def test_a_damaged_config_is_named_and_refused_and_force_starts_anew(tmp_path, content, message):
    work(tmp_path / "run", until=5)
    path = tmp_path / "run/config.yaml"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(CorruptFile) as error:
        read_config(tmp_path / "run")
    assert str(error.value).startswith(f"{path}: {message}")
    if content is not None:
        with pytest.raises(DirectoryMismatch, match="force=true"):
            RunDirectory.open(CONFIG, tmp_path / "run")
    with RunDirectory.open(CONFIG.replace(force=True), tmp_path / "run") as run:
        assert run.state is None
    assert read_config(tmp_path / "run").hash == CONFIG.hash


def test_a_config_nested_without_end_is_refused_not_a_traceback(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"[" * 1200)
    with pytest.raises(CorruptFile, match="1200 bytes that do not parse"):
        read_config(tmp_path)


def test_an_edited_value_or_hash_is_found(tmp_path):
    work(tmp_path / "run", until=5)
    path = tmp_path / "run/config.yaml"
    text = path.read_text()
    path.write_text(text.replace("lr: 0.0003", "lr: 0.0004"))
    with pytest.raises(CorruptFile, match="hash: expected"):
        read_config(tmp_path / "run")
    with pytest.raises(DirectoryMismatch, match=r"algo\.lr: 0\.0004 here, 0\.0003 asked for"):
        RunDirectory.open(CONFIG, tmp_path / "run")
    path.write_text(text.replace(CONFIG.hash, "f" * 64))
    with pytest.raises(DirectoryMismatch, match="hash: ffff"):
        RunDirectory.open(CONFIG, tmp_path / "run")


def test_force_deletes_our_files_keeps_all_others_and_follows_no_link(tmp_path):
    work(tmp_path / "reference")
    run = tmp_path / "run"
    work(run, CONFIG.replace(seed=9))
    (run / ".hydra").mkdir()
    (run / ".hydra/config.yaml").write_text("hydra's")
    (run / "film.mp4").write_text("mine")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/a.json").write_text("precious")
    shutil.rmtree(run / "checkpoint")
    (run / "checkpoint").symlink_to(tmp_path / "precious")
    (run / "eval.csv").unlink()
    (run / "eval.csv").symlink_to(tmp_path / "precious/a.json")
    with pytest.raises(StorageError, match="symbolic link"):
        RunDirectory.open(CONFIG.replace(force=True), run)
    (run / "checkpoint").unlink()
    work(run, CONFIG.replace(force=True))
    assert bytes_of(run) == bytes_of(tmp_path / "reference")
    assert (run / "film.mp4").read_text() == "mine" and (run / ".hydra/config.yaml").read_text() == "hydra's"
    assert (tmp_path / "precious/a.json").read_text() == "precious"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("names", [["thesis.tex"], ["config.yaml", "metrics.csv"], ["config.yaml"], ["metrics.csv"], ["checkpoint/a.json"]])
def test_a_directory_that_is_no_runs_is_neither_written_nor_deleted(tmp_path, names, force):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("lr: 1\n")
    before = snapshot(tmp_path)
    with pytest.raises(DirectoryMismatch, match="is not the directory of a run: it holds"):
        RunDirectory.open(CONFIG.replace(force=force), tmp_path)
    assert snapshot(tmp_path) == before


def test_what_hydra_leaves_before_the_run_is_opened_is_no_obstacle(tmp_path):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "train.log").write_text("hydra's line\n")
    with RunDirectory.open(CONFIG, tmp_path) as run:
        run.log("warning: once")
        run.log("warning: once")
    log = (tmp_path / "train.log").read_text()
    assert log.startswith("hydra's line\n") and log.count("][ppo_sweep][WARNING] - warning: once\n") == 1


def test_a_file_in_place_of_the_directory_is_a_clear_message(tmp_path):
    (tmp_path / "run").write_text("")
    for path in (tmp_path / "run", tmp_path / "run/seed=1"):
        with pytest.raises(StorageError, match=f"{tmp_path}/run"):
            RunDirectory.open(CONFIG, path)


def test_a_directory_removed_under_a_run_is_noticed_at_the_next_write_and_the_command_starts_again(tmp_path):
    work(tmp_path / "reference")
    for write in (
        lambda run: run.append_metrics({"iteration": 1}),
        lambda run: run.checkpoint(state_at(1)),
        lambda run: run.save_policy({}, {}),
        lambda run: run.finish("done", score=None),
    ):
        with RunDirectory.open(CONFIG, tmp_path / "run") as run:
            shutil.rmtree(tmp_path / "run")
            with pytest.raises(StorageError, match=r"removed while the run wrote it|No such file or directory"):
                write(run)
        assert not (tmp_path / "run").exists()
    work(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "reference")


def test_a_read_only_directory_is_a_clear_message_and_loses_nothing(tmp_path, monkeypatch):
    """Root ignores permissions, so the system calls refuse as they would for others."""
    work(tmp_path / "reference")
    work(tmp_path / "run", until=7)
    before = snapshot(tmp_path / "run")
    real = os.open

    def read_only(path, flags, mode=0o777, **kwargs):
        if flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(str(tmp_path)):
            raise OSError(30, "Read-only file system")
        return real(path, flags, mode, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", read_only)
        with pytest.raises(StorageError, match=r"^cannot lock .*: Read-only file system; what was written before is intact"):
            RunDirectory.open(CONFIG, tmp_path / "run")
    assert snapshot(tmp_path / "run") == before
    work(tmp_path / "run")
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "reference")


def test_finish_lets_go_of_the_lock_even_if_the_disk_refuses(tmp_path, monkeypatch):
    from ppo_sweep.runs import fault_points

    run = RunDirectory.open(CONFIG, tmp_path)
    fault_points.arm("enospc@status.write.before")
    with pytest.raises(StorageError):
        run.finish("done", score=1.0)
    assert not is_locked(tmp_path)
    assert read_status(tmp_path).state == "interrupted"


def test_of_two_that_open_at_once_one_runs(tmp_path):
    """Threads meet between every two steps of opening; exactly one gets the directory, the others learn who has it."""
    from ppo_sweep.runs.errors import DirectoryBusy

    outcomes: list[object] = []
    start = threading.Barrier(6)

    def attempt() -> None:
        start.wait()
        try:
            outcomes.append(RunDirectory.open(CONFIG, tmp_path / "run"))
        except DirectoryBusy as error:
            outcomes.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if isinstance(outcome, RunDirectory)]
    assert len(winners) == 1 and len(outcomes) == 6
    winners[0].close()


def test_rows_after_the_end_are_refused(tmp_path):
    run = work(tmp_path / "run")
    with pytest.raises(StorageError):
        run.append_metrics({"iteration": 13})


def test_reached_is_where_opening_the_run_goes_on_and_touches_nothing(tmp_path):
    run, found = tmp_path / "run", []
    assert reached(CONFIG, run) == 0
    work(run, until=7)
    lines = (run / "metrics.csv").read_bytes().splitlines(keepends=True)
    for rows in (7, 5, 2):  # the newest checkpoint recorded 6, the one before it 3
        (run / "metrics.csv").write_bytes(b"".join(lines[: 1 + rows]))
        before = snapshot(run)
        found.append(reached(CONFIG, run))
        assert snapshot(run) == before
        shutil.copytree(run, tmp_path / str(rows))
        with RunDirectory.open(CONFIG, tmp_path / str(rows)) as opened:
            assert found[-1] == (opened.state.scalars["iteration"] if opened.state is not None else 0)
    assert found == [6, 3, 0]
    (run / "metrics.csv").unlink()
    assert reached(CONFIG, run) == 0
