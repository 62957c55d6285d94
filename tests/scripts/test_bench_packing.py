"""What a search cost, also one that was interrupted: ``scripts/bench_packing.py``, with commands that take no time to speak of."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ppo_sweep.sweep.command_line import check
from scripts import bench_packing
from scripts.bench_packing import TOTAL_STEPS, Look, one_process_per_job, watched
from scripts.train_peer import budget

#: Two runs, of 3 and 4 seconds of work; the second is there from the second command on.
TIMING = {"trial=0000/seed=0": ["1", "2"], "trial=0001/seed=0": ["4"]}


def at_work(study: Path, run: str) -> None:
    path = study / run / "timing.csv"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(["iteration,seconds", *(f"{i},{seconds}" for i, seconds in enumerate(TIMING[run], 1)), ""]))


def test_an_interrupted_search_goes_on_and_its_time_is_that_of_all_its_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[str] = []

    def run(words: Sequence[str], out: Path, study: str) -> None:
        at_work(out / study, list(TIMING)[len(orders)])
        orders.append(study)
        if len(orders) == 1:
            raise SystemExit(130)

    monkeypatch.setattr(bench_packing, "run", run)
    with pytest.raises(SystemExit):
        watched(tmp_path, "hopper", [])
    table = tmp_path / "packing.csv"
    assert [line.split(",")[1:] for line in table.read_text().splitlines()] == [["1", "3.0", "0"]]
    table.write_text("100.0,1,3.0,0\n7")  # as if it had taken longer; and a line that a kill cut off
    looks = watched(tmp_path, "hopper", [])
    assert looks[0] == Look(100.0, 1, 3.0, False)
    assert looks[-1].begun == 2 and looks[-1].busy == 7.0 and looks[-1].ended
    assert 100.0 < looks[-1].seconds < 200.0
    assert watched(tmp_path, "hopper", []) == looks
    assert orders == ["hopper", "hopper"], "what has ended is not run again"


def test_times_of_another_processor_are_not_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_packing, "processor", lambda: "Abacus")
    monkeypatch.setattr(bench_packing, "run", lambda *_: pytest.fail("must not begin"))
    (tmp_path / "packing.json").write_text('{"processor": "Slide rule", "overrides": []}')
    with pytest.raises(SystemExit, match=r"Slide rule.*Abacus.*another --out"):
        bench_packing.packing(tmp_path, [])


def test_our_jobs_are_commands_that_train_py_takes(tmp_path: Path) -> None:
    knobs = [{"algo.lr": "0.001", "algo.max_kl": "null"}, {"algo.lr": "3e-05", "algo.max_kl": ""}]
    rows = [{"number": str(number), "state": "COMPLETE", "reason": "", **knobs[number % 2]} for number in range(60)]
    jobs = bench_packing.our_jobs(rows, ["recipe=standard"])
    assert len(jobs) == bench_packing.SAMPLE
    for name, (_, _, *words) in jobs.items():
        [job] = check([word.replace("{out}", str(tmp_path / name)) for word in words]).jobs
        assert (job.config.env.id, job.config.total_steps, job.config.algo.n_envs) == ("Hopper-v5", TOTAL_STEPS, 1)
        assert job.config.algo.max_kl is None
        assert job.path.is_relative_to(tmp_path / name / "alone")


def test_a_job_that_was_interrupted_is_timed_anew_and_a_whole_one_is_not(tmp_path: Path) -> None:
    jobs = {
        f"seed={seed}": [sys.executable, "-c", "open(r'{out}.begun', 'a').write('x'); import os; os.mkdir(r'{out}')"] for seed in (0, 1)
    }
    (tmp_path / "seed=0").mkdir()
    (tmp_path / "seed=0/partial").touch()
    (tmp_path / "seed=1").mkdir()
    (tmp_path / "seed=1/seconds").write_text("8")
    speed = one_process_per_job(tmp_path, jobs)
    seconds = float((tmp_path / "seed=0/seconds").read_text())
    assert speed == pytest.approx(2 * budget(TOTAL_STEPS) / ((seconds + 8) / 2))
    assert not (tmp_path / "seed=0/partial").exists()
    assert (tmp_path / "seed=0.begun").read_text() == "x" and not (tmp_path / "seed=1.begun").exists()
