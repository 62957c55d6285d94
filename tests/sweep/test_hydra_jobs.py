"""What Hydra promises for every job of ``-m``, kept while many of them train in other processes."""

from __future__ import annotations

import csv
import json
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.utils import JobReturn, JobStatus
from sweeping import assert_same_bytes, go_wrong
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ppo_sweep.runs.trainer import RunResult
from ppo_sweep.sweep import hydra_jobs, launch
from ppo_sweep.sweep.command_line import check
from ppo_sweep.sweep.errors import RunFailed
from ppo_sweep.sweep.job import Job

#: One iteration on the cheapest environment.
SHORT = (
    "env.id=faulty_environments:faulty/Walk-v0 algo.n_envs=1 algo.n_steps=32 algo.minibatch_size=16 algo.epochs=1 "
    "network.hidden=[8] total_steps=32 hydra.launcher.workers=1 "
)
RECORDING = "+hydra.callbacks.seen={_target_:recording_callbacks.Recording}"

#: Hydra 1.4 warns of callbacks that the application has not listed as trusted.
CALLBACKS = pytest.mark.filterwarnings("ignore:.*resolved _target_='recording_callbacks:UserWarning")

Train = Callable[[str], int]


@pytest.fixture
def returned(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[JobReturn]]]:
    """What our launcher returns to the sweeper, batch by batch."""
    batches: list[list[JobReturn]] = []
    real = hydra_jobs.launch

    def launch(*arguments: Any) -> list[JobReturn]:
        batches.append(real(*arguments))
        return batches[-1]

    monkeypatch.setattr(hydra_jobs, "launch", launch)
    yield batches


def events() -> list[dict[str, Any]]:
    """Of :class:`Recording`, taken away."""
    found = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    Path("events.jsonl").unlink()
    return found


def written(run: Path) -> dict[str, Any]:
    """``.hydra/`` without what may differ between launchers."""
    found = {path.name: yaml.safe_load(path.read_text()) for path in (run / ".hydra").iterdir()}
    hydra = found["hydra.yaml"]["hydra"]
    for key in ("launcher", "sweeper"):
        hydra[key] = hydra["runtime"]["choices"][f"hydra/{key}"] = None
    for overrides in (hydra["overrides"]["hydra"], hydra["overrides"]["task"], found["overrides.yaml"]):
        overrides[:] = [word for word in overrides if not word.startswith(("hydra", "results="))]
    hydra["job"]["override_dirname"] = hydra["runtime"]["output_dir"] = found["config.yaml"]["results"] = None
    return found


@CALLBACKS
def test_jobs_have_callbacks_and_files_as_under_the_basic_launcher(train: Train, returned: list[list[JobReturn]]) -> None:
    grid = f"-m {SHORT} study=grid seed=0,1 {RECORDING}"
    assert train(grid) == 0
    ours = events()
    assert train(f"{grid} hydra/launcher=basic results=basic".replace("hydra.launcher.workers=1", "")) == 0
    theirs = events()
    assert [event["event"] for event in ours][:2] == ["multirun start", "start"] and ours[-1]["event"] == "multirun end"

    def sort(happened: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for event in happened:
            event["overrides"] = sorted(word for word in event.get("overrides", ()) if not word.startswith("results="))
        return sorted(happened, key=lambda event: (event["event"], event.get("num", 0)))

    assert sort(ours) == sort(theirs)
    [batch] = returned
    assert [job.cfg.seed for job in batch if job.cfg is not None] == [0, 1]
    assert all(job.status is JobStatus.COMPLETED for job in batch)
    name = "algo.epochs=1,algo.minibatch_size=16,algo.n_envs=1,algo.n_steps=32"
    [run] = Path("results/grid").glob(f"{name}*")
    for seed in (0, 1):
        one, other = run / f"seed={seed}", Path("basic", *run.parts[1:], f"seed={seed}")
        assert written(one) == written(other)
        assert_same_bytes(one, other)
        assert "begun in" in (one / "train.log").read_text()
    assert (Path("results/grid/multirun.yaml")).is_file()
    hydra = yaml.safe_load((run / "seed=1" / ".hydra" / "hydra.yaml").read_text())["hydra"]
    assert (hydra["job"]["num"], hydra["job"]["id"]) == (1, "1")


@CALLBACKS
def test_equal_jobs_run_once_and_each_gets_its_return(train: Train, returned: list[list[JobReturn]]) -> None:
    assert train(f"-m {SHORT} study=equal algo.lr=3e-4,0.0003 seed=0,1 {RECORDING}") == 0
    [batch] = returned
    assert [job.cfg.seed for job in batch if job.cfg is not None] == [0, 1, 0, 1]
    assert all("algo.lr=0.0003" in (job.overrides or ()) for job in batch)
    values = [job.return_value for job in batch]
    assert values[:2] == values[2:]
    assert sorted(event["num"] for event in events() if event["event"] == "start") == [0, 1]
    assert len(list(Path("results/equal").rglob("status.json"))) == 2


@pytest.mark.parametrize(
    ("sweeper", "states"), [("grid", {"0": "failed", "1": "done", "2": "done"}), ("basic", {"0": "failed", "1": "done"})]
)
def test_a_failed_run_leaves_the_batches_after_it_to_the_sweeper(
    train: Train,
    returned: list[list[JobReturn]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sweeper: str,
    states: dict[str, str],
) -> None:
    """Ours goes on; Hydra's own stops at the first failure, as it always does."""
    go_wrong(monkeypatch, {"seed": 0, "do": "raise", "episode": 1})
    line = f"-m {SHORT} study=batches seed=0,1,2 hydra/sweeper={sweeper} hydra.sweeper.max_batch_size=2"
    assert train(line) == 3
    found = {path.parent.name.removeprefix("seed="): json.loads(path.read_text())["state"] for path in Path("results").rglob("status.json")}
    assert found == states
    failed = returned[0][0]
    assert failed.status is JobStatus.FAILED
    with pytest.raises(RunFailed, match="the walker fell"):
        _ = failed.return_value
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err and "Error executing job" not in printed.err
    assert "ValueError: the walker fell" in printed.out


@pytest.mark.parametrize("study", ["both", "'a b, 100%'"])
def test_single_runs_and_sweeps_find_each_others_work(train: Train, capsys: pytest.CaptureFixture[str], study: str) -> None:
    alone = SHORT.replace("hydra.launcher.workers=1", "")
    assert train(f'{alone} seed=1 "study={study}"') == 0
    assert train(f'-m {SHORT} seed=0,1 "study={study}"') == 0
    capsys.readouterr()
    assert train(f'-m {SHORT} seed=0,1 "study={study}"') == 0
    said = capsys.readouterr().out
    assert "2 runs: 2 done" in said and "nothing left to run" in said
    assert len(list(Path("results").iterdir())) == 1


def test_a_logger_asked_for_afterwards_gets_what_finished_runs_have_in_their_tables(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = SHORT.replace("hydra.launcher.workers=1", "")
    assert train(f"{alone} seed=0 study=late") == 0
    assert train(f"{alone} seed=1 study=late logger=tensorboard") == 0
    capsys.readouterr()
    for said in ("logger=tensorboard: written for 1 finished run, from the tables", ""):
        assert train(f"-m {SHORT} seed=0,1 study=late logger=tensorboard") == 0
        printed = capsys.readouterr()
        assert printed.err.strip() == said
        assert "nothing left to run" in printed.out
    for run in Path("results/late").rglob("seed=*"):
        [row] = csv.DictReader((run / "metrics.csv").read_text().splitlines())
        found = EventAccumulator(str(run / "tensorboard"))
        found.Reload()
        [kl] = found.Scalars("train/kl")
        assert (kl.step, kl.value) == (int(row["env_steps"]), pytest.approx(float(row["kl"]), rel=1e-6))


@pytest.mark.slow
@pytest.mark.parametrize("results", ["with space", "ü%=,x", "a/../b"])
def test_results_may_have_an_odd_name(train: Train, tmp_path: Path, results: str) -> None:
    assert train(f"-m {SHORT} seed=0 'results=\"{results}\"' study=s") == 0
    assert len(list((tmp_path / results / "s").rglob("policy.json"))) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        "hydra.launcher.workers=0",
        "hydra.launcher.slots=two",
        "hydra.launcher.worker_timeout=.nan",
        "hydra.launcher.restarts=1",
        "hydra.sweeper.max_batch_size=0",
        "hydra.sweeper.max_batch_size=x",
        "algo.lr=fast",
        "seed=0,-1",
    ],
)
def test_bad_input_is_refused_before_anything_is_made(train: Train, capsys: pytest.CaptureFixture[str], wrong: str) -> None:
    line = SHORT.replace("hydra.launcher.workers=1", "")
    assert train(f"-m {line} {wrong}") == 2
    said = capsys.readouterr().err
    assert "Nothing was started: one thing is wrong" in said and wrong.partition("=")[0].rpartition(".")[2] in said
    assert list(Path.cwd().iterdir()) == []


def test_the_sweep_gets_the_jobs_that_were_checked(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything that a command line may do to them."""
    line = (
        "-m env.id=Pendulum-v1 algo.clip_eps=range(0.1,0.4,0.1) seed=1e0,2 recipe=paper,strong +algo.lr=1e-3 env.kwargs.g=9.8,5 "
        "algo.minibatch_size=${algo.n_steps} eval={every:5} force=true"
    )
    given: list[Job] = []

    def launch(jobs: list[Job], study: Path, *rest: Any, **options: Any) -> dict[int, RunResult]:
        given.extend(jobs)
        assert study == Path("results/Pendulum-v1")
        return {number: RunResult(job.path, "done", 1.0) for number, job in enumerate(jobs)}

    monkeypatch.setattr(hydra_jobs.sweeps, "launch", launch)
    assert train(line) == 0
    wanted = check(shlex.split(line)).jobs
    assert [(job.path, job.config) for job in given] == [(job.path, job.config) for job in wanted]
    assert len(given) == 24
    for ours, checked in zip(given, wanted, strict=True):
        assert ours.overrides == {"study": "Pendulum-v1", **checked.overrides}


def resident_kb() -> int:
    """Memory of this process."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1])


@pytest.mark.slow
def test_a_thousand_jobs_are_queued_within_a_few_kilobytes_each(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(sweep: launch._Sweep) -> dict[int, Any]:
        assert len(sweep._queue) == 1000
        waiting = iter([run.job for run in sweep._queue])
        while True:
            left = len(list(Path("results").rglob("status.json")))
            if left == 1000:
                raise SystemExit(130)
            sweep._announce(waiting)

    monkeypatch.setattr(launch._Sweep, "run", run)
    train(f"-m {SHORT} study=few seed=0 hydra.launcher.slots=0")  # so that everything is imported
    before, began = resident_kb(), time.perf_counter()
    grid = "algo.lr=1e-3,2e-3,3e-3,4e-3,5e-3 network.hidden=[8],[16] seed=range(100) study=many"
    assert train(f"-m {SHORT} {grid}".replace("network.hidden=[8] total", "total")) == 130
    print(f"1000 jobs checked and queued in {time.perf_counter() - began:.1f} s, {resident_kb() - before} kB")
    assert resident_kb() - before < 1000 * 50
    assert all(json.loads(path.read_text())["state"] == "queued" for path in Path("results").rglob("status.json"))


@pytest.mark.parametrize("do", ["nan", "memory"])
def test_a_grid_of_diverged_runs_ends_in_its_table_also_where_the_random_policy_has_no_score(
    do: str, train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = [{"seed": seed, "episode": 0, "do": "nan"} for seed in (1, 2)]
    go_wrong(monkeypatch, *faults, {"seed": 0, "stream": "random", "episode": 0, "do": do})
    size = {"nan": 0.51, "memory": 0.52}[do]  # no other test has measured these
    assert train(f"-m {SHORT.replace('total_steps=32', 'total_steps=160')} env.kwargs={{size:{size}}} seed=1,2") == 3
    said = capsys.readouterr()
    assert "2 runs: 0 done, 2 diverged" in said.out
    means = said.out.splitlines()[[line.split()[:2] for line in said.out.splitlines()].index(["runs", "mean"]) + 1].split()
    assert means[:2] == ["2", "–"], "neither has a last score"
    assert "Traceback" not in said.out + said.err
