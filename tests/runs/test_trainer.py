"""Whole runs through the trainer: files, results, neighbours."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ppo_sweep
from ppo_sweep.config import Config
from ppo_sweep.envs import Environment, SimulationDiverged
from ppo_sweep.runs import evaluation
from ppo_sweep.runs.directory import RunDirectory
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.evaluation import evaluate
from ppo_sweep.runs.tables import METRIC_COLUMNS
from ppo_sweep.runs.trainer import RunResult, Trainer, train
from tests.learner.test_alone_equals_packed import VARIETY
from tests.runs.training_processes import BYTES, assert_same_bytes

SMALL: dict[str, Any] = {"algo.n_steps": 100, "algo.epochs": 2, "total_steps": 1000, "eval.every": 4, "eval.episodes": 2}


def train_side_by_side(configs: list[Config], root: Path) -> list[RunResult]:
    """Every run in one population; each ends in ``root/<index>``."""
    trainer = Trainer(configs[0])
    results = []
    for k, config in enumerate(configs):
        ended = trainer.start(RunDirectory.open(config, root / str(k)))
        results += [ended] if ended else []
    while trainer.runs:
        results += trainer.iterate()
    return results


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_a_complete_directory(tmp_path: Path) -> None:
    config = Config().replace(**SMALL, seed=3)
    result = train(config, tmp_path / "run", console=False)
    assert result.state == "done"
    assert result.exit_code == 0
    metrics = table(tmp_path / "run" / "metrics.csv")
    assert tuple(metrics[0]) == METRIC_COLUMNS
    assert [int(row["env_steps"]) for row in metrics] == [100 * k for k in range(1, 11)]
    episodes = table(tmp_path / "run" / "episodes.csv")
    assert [int(row["env_steps"]) for row in episodes] == [200, 400, 600, 800, 1000]
    returns = [float(row["return"]) for row in episodes]
    assert result.score == pytest.approx(np.mean(returns))
    evaluations = table(tmp_path / "run" / "eval.csv")
    assert [(row["env_steps"], row["episodes"]) for row in evaluations] == [("400", "2"), ("800", "2"), ("1000", "100")]
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert (status["state"], status["iteration"], status["env_steps"]) == ("done", 10, 1000)
    assert len(table(tmp_path / "run" / "timing.csv")) == 10


def test_the_same_command_on_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    config = Config().replace(**SMALL)
    first = train(config, tmp_path / "run", console=False)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    again = train(config, tmp_path / "run", console=False)
    assert again.already
    assert again.score == first.score
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("env", ["Pendulum-v1", "Hopper-v5"])
def test_full_runs_leave_the_same_bytes_alone_and_among_nine_others(env: str, tmp_path: Path) -> None:
    base = Config().replace(**(SMALL | {"env.id": env, "algo.n_envs": 2, "total_steps": 2000, "eval.every": 0}))
    configs = [base.replace(**(VARIETY[k] | {"seed": k})) for k in range(10)]
    configs[4] = configs[4].replace(**{"eval.every": 5, "eval.mode": "both"})
    configs[1] = configs[1].replace(total_steps=600)  # ends sooner than its neighbours
    configs[3] = configs[3].replace(**{"network.log_std_init": 2.0, "algo.lr": 1e30})  # diverges
    results = train_side_by_side(configs, tmp_path / "packed")
    assert sorted(result.state for result in results) == ["diverged"] + ["done"] * 9
    timing = table(tmp_path / "packed" / "9" / "timing.csv")
    assert [row["members"] for row in timing][-1] == "8", "all that trained in the last iteration, also those that left before this one"
    firsts = [table(tmp_path / "packed" / str(k) / "timing.csv")[0] for k in (0, 4, 9)]
    assert firsts == [firsts[0]] * 3, "an iteration took all of its members the same time"
    for k in (0, 1, 3, 5, 9):
        train(configs[k], tmp_path / "alone" / str(k), console=False)
        assert_same_bytes(tmp_path / "alone" / str(k), tmp_path / "packed" / str(k))
    for k in (0, 4, 8):
        train_side_by_side([configs[2], configs[k], configs[6]], tmp_path / f"three{k}")
        assert_same_bytes(tmp_path / "packed" / str(k), tmp_path / f"three{k}" / "1")


def test_a_diverged_run_keeps_its_policy_and_has_no_score(tmp_path: Path) -> None:
    config = Config().replace(**SMALL, **{"algo.lr": 1e30, "algo.max_grad_norm": None})
    result = train(config, tmp_path / "run", console=False)
    assert (result.state, result.score, result.exit_code) == ("diverged", None, 3)
    assert "non-finite" in str(result.reason)
    assert np.isfinite(ppo_sweep.load_policy(tmp_path / "run").act(np.zeros(3))).all()
    assert train(config, tmp_path / "run", console=False).already, "a diverged run is a result and is not tried again"


def test_evaluation_changes_nothing_of_training(tmp_path: Path) -> None:
    with_it = Config().replace(**SMALL)
    without = with_it.replace(**{"eval.every": 0})
    train(with_it, tmp_path / "with", console=False)
    train(without, tmp_path / "without", console=False)
    for name in ("metrics.csv", "episodes.csv", "policy.safetensors"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
    assert set(BYTES) - {path.name for path in (tmp_path / "without").iterdir()} <= {"eval.csv"}


def breaks(kind: str) -> type[Environment]:
    """Evaluations whose second episode breaks at its third step."""

    class Breaking(Environment):
        def step(self, action: Any) -> Any:
            result = super().step(action)
            if self._seed_of[1:] == ("eval", 1) and self.length == 3:
                if kind == "physics":
                    raise SimulationDiverged("mjWARN_BADQACC")
                return result[0], float("inf"), *result[2:]
            return result

    return Breaking


@pytest.mark.parametrize("kind", ["reward", "physics"])
def test_an_evaluation_that_diverges_is_blank_and_changes_nothing_of_training(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config().replace(**SMALL, score="eval")
    train(config, tmp_path / "healthy", console=False)
    monkeypatch.setattr(evaluation, "Environment", breaks(kind))
    result = train(config, tmp_path / "run", console=False)
    assert (result.state, result.score, result.exit_code) == ("done", None, 0)
    assert result.reason == "an episode of the last evaluation diverged (train.log says how)"
    assert [(row["episodes"], row["return_mean"], row["return_max"]) for row in table(tmp_path / "run" / "eval.csv")] == [
        ("2", "", ""), ("2", "", ""), ("100", "", "")
    ]  # fmt: skip
    said = {"reward": "non-finite observation or reward", "physics": "mjWARN_BADQACC"}[kind]
    assert f"an episode of an evaluation diverged, so that its mean is blank: {said}" in (tmp_path / "run" / "train.log").read_text()
    for name in ("metrics.csv", "episodes.csv", "policy.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "healthy" / name).read_bytes()
    assert train(config, tmp_path / "run", console=False).already


def test_a_loaded_policy_acts_within_bounds_and_as_evaluated(tmp_path: Path) -> None:
    config = Config().replace(**SMALL)
    train(config, tmp_path / "run", console=False)
    policy = ppo_sweep.load_policy(tmp_path / "run")
    batch = np.random.default_rng(0).normal(size=(7, 3)) * 100
    actions = policy.act(batch)
    assert actions.shape == (7, 1)
    assert (abs(actions) <= 2).all()
    for observation, action in zip(batch, actions, strict=True):
        np.testing.assert_array_equal(policy.act(observation), action)
    with pytest.raises(ValueError, match=r"\(3,\) or \(n, 3\)"):
        policy.act(np.zeros(4))
    assert not np.array_equal(policy.act(batch, deterministic=False), policy.act(batch, deterministic=False))
    last = table(tmp_path / "run" / "eval.csv")[-1]
    again = evaluate(policy, episodes=100, seed=config.seed)
    assert float(last["return_mean"]) == again.returns.mean()


def test_an_environment_that_raises_fails_its_run_alone_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Environment.step
    configs = [Config().replace(**SMALL, seed=seed) for seed in range(3)]

    def broken(self: Environment, action: Any) -> Any:
        if self._seed_of[0] == 1 and self.episode == 2:
            raise OSError("the simulator lost its licence")
        return step(self, action)

    with monkeypatch.context() as patch:
        patch.setattr(Environment, "step", broken)
        results = {result.directory.name: result for result in train_side_by_side(configs, tmp_path / "packed")}
    assert [results[name].state for name in "012"] == ["done", "failed", "done"]
    assert "the simulator lost its licence" in str(results["1"].reason)
    assert "Traceback" in (tmp_path / "packed" / "1" / "train.log").read_text()
    assert train(configs[1], tmp_path / "packed" / "1", console=False).state == "done"
    for k, config in enumerate(configs):
        train(config, tmp_path / "alone" / str(k), console=False)
        assert_same_bytes(tmp_path / "alone" / str(k), tmp_path / "packed" / str(k))


@pytest.mark.parametrize(
    ("name", "message"),
    [("metrics.csv", "expected iteration 10, found iteration 9"), ("episodes.csv", "expected a table"), ("policy.json", "policy.json")],
)
def test_a_finished_run_whose_files_are_no_longer_whole_is_not_called_done(name: str, message: str, tmp_path: Path) -> None:
    config = Config().replace(**SMALL)
    train(config, tmp_path / "run", console=False)
    whole = (tmp_path / "run" / name).read_bytes()
    if name == "metrics.csv":
        (tmp_path / "run" / name).write_bytes(b"\n".join(whole.split(b"\n")[:-2]) + b"\n")
    elif name == "policy.json":
        (tmp_path / "run" / name).write_bytes(b"{}")
    else:
        (tmp_path / "run" / name).unlink()
    with pytest.raises(StorageError, match=message) as caught:
        train(config, tmp_path / "run", console=False)
    assert "put the file back, or force=true" in str(caught.value)
    (tmp_path / "run" / name).write_bytes(whole)
    assert train(config, tmp_path / "run", console=False).already


def test_a_status_that_cannot_be_read_is_mentioned_and_written_anew(tmp_path: Path) -> None:
    config = Config().replace(**SMALL)
    train(config, tmp_path / "run", console=False)
    (tmp_path / "run" / "status.json").write_text("garbage")
    assert train(config, tmp_path / "run", console=False).state == "done"
    assert "status.json" in (tmp_path / "run" / "train.log").read_text()
