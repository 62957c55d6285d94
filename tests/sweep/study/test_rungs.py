"""Rungs: where trials are compared (docs/studies.md)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_sweep.config import Config
from ppo_sweep.sweep.study.rungs import Budget, Rung, audited, never_pruned, place, with_scores


def budget(total_steps: int = 1_000_000, horizon: int = 1000, **knobs: object) -> Budget:
    values = {"total_steps": total_steps, **{key.replace("__", "."): value for key, value in knobs.items()}}
    return Budget(Config.from_dict(values), horizon)


def steps(budgets: Budget | list[Budget], pruner: str = "median", requested: int | tuple[float, ...] | None = None) -> list[int]:
    return [rung.steps for rung in place(budgets if isinstance(budgets, list) else [budgets], pruner, requested)]


def test_the_first_rung_is_a_fifth_of_the_budget_or_later() -> None:
    # one environment of 1000 steps, 1 M: max(200 k, 2 k, min(100 k, 500 k)), up to a whole rollout of 2048
    assert steps(budget())[0] == 98 * 2048
    # 300 k on Hopper: max(60 k, 2 k, min(100 k, 150 k)) = 100 k
    assert steps(budget(300_000))[0] == 49 * 2048
    # 100 k: max(20 k, 2 k, min(100 k, 50 k)) = half of 48 rollouts
    assert steps(budget(100_000))[0] == 24 * 2048
    # 64 environments: 2 × 64 × 1000 = 128 k of 300 k
    assert steps(budget(300_000, algo__n_envs=64, algo__n_steps=32))[0] == 63 * 2048


def test_action_repeat_counts_environment_steps() -> None:
    # horizon in agent steps: 500 × 2 environment steps; 100 episodes = 100 k
    assert steps(budget(300_000, horizon=500, env__action_repeat=2))[0] == 25 * 4096


def test_pruning_is_off_with_a_note_where_the_first_rung_reaches_the_budget() -> None:
    made = place([budget(120_000, algo__n_envs=64, algo__n_steps=32)], "median", None)
    assert len(made) == 0
    assert made.note == (
        "nothing is pruned: the first comparison would mean something after 129024 environment steps, and a run has 118784; "
        "a longer total_steps allows pruning"
    )
    assert place([budget()], "none", None).note is None


def test_halving_pruners_double_and_the_others_go_evenly() -> None:
    assert [round(step / 1e6, 1) for step in steps(budget(), "asha")] == [0.2, 0.4, 0.8]
    assert [round(step / 1e6, 1) for step in steps(budget(), "hyperband")] == [0.2, 0.4, 0.8]
    assert [round(step / 1e6, 1) for step in steps(budget(), "median")] == [0.2, 0.4, 0.6, 0.8]
    assert [round(step / 1e6, 1) for step in steps(budget(), "median", 2)] == [0.2, 0.6]
    assert steps(budget(300_000), "asha") == [49 * 2048, 98 * 2048]  # a third and two thirds of 146 rollouts


def test_rungs_may_be_stated_as_shares_or_steps() -> None:
    assert steps(budget(), requested=(0.5, 0.75)) == [244 * 2048, 366 * 2048]
    assert steps(budget(), requested=(500_000, 750_000)) == [245 * 2048, 367 * 2048]
    early = place([budget()], "median", (50_000, 500_000))
    assert len(early) == 2
    assert "the first rung is at 51200 environment steps; before 200704 a comparison says little" in str(early.note)


def test_configurations_of_other_shapes_pass_a_rung_with_their_own_next_iteration() -> None:
    small, large = budget(), budget(algo__n_steps=8192)
    made = place([small, large], "median", None)
    for rung in made:
        for one in (small, large):
            taken = rung.iteration(one.config) * one.config.steps_per_iteration
            assert rung.share * one.steps <= taken + 1e-6
            assert taken < rung.share * one.steps + one.config.steps_per_iteration + 1e-6


def test_the_slowest_configuration_decides_the_first_rung() -> None:
    assert steps([budget(), budget(algo__n_envs=128, algo__n_steps=16)])[0] >= 256_000


@given(
    total=st.integers(20_000, 5_000_000),
    horizon=st.integers(50, 1000),
    n_envs=st.sampled_from([1, 8, 64]),
    pruner=st.sampled_from(["median", "asha", "hyperband", "percentile", "wilcoxon"]),
    count=st.none() | st.integers(1, 8),
)
def test_rungs_rise_and_lie_behind_an_episode_of_each_environment_and_before_the_end(
    total: int, horizon: int, n_envs: int, pruner: str, count: int | None
) -> None:
    one = budget(total, horizon, algo__n_envs=n_envs, algo__n_steps=2048 // n_envs)
    found = steps(one, pruner, count)
    assert found == sorted(set(found))
    for step in found:
        assert one.episodes * 2 <= step < one.steps
        assert step % one.config.steps_per_iteration == 0
        assert step >= 0.2 * one.steps


def test_a_tenth_of_the_trials_is_audited_always_the_same_ones() -> None:
    chosen = [number for number in range(1, 2001) if audited(0, number, 0.1)]
    assert chosen == [number for number in range(1, 2001) if audited(0, number, 0.1)]
    assert 150 < len(chosen) < 250
    assert chosen != [number for number in range(1, 2001) if audited(1, number, 0.1)]
    assert not any(audited(0, number, 0.0) for number in range(100))


def test_trial_0_is_never_pruned_and_no_audit() -> None:
    assert never_pruned(0, 0, 0.0)
    assert not audited(0, 0, 1.0)
    assert not never_pruned(0, 1, 0.0)


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6000000000000001, 1 / 3])
def test_a_rung_on_an_iteration_s_end_is_that_iteration(share: float) -> None:
    config = Config.from_dict({"total_steps": 2048 * 15})
    assert Rung(share, 0).iteration(config) == round(share * 15)


def test_under_eval_scores_rungs_without_an_evaluation_are_left_out_and_said() -> None:
    def made(every: int, score: str | None = None, own: str = "eval") -> tuple[list[int], str | None]:
        budgets = [budget(score=own, eval={"every": every})]
        rungs = with_scores(place(budgets, "median", None), budgets, score)
        return [round(rung.steps / 1e6, 1) for rung in rungs], rungs.note

    assert made(98) == ([0.2, 0.4, 0.6, 0.8], None), "the first rung is after iteration 98"
    assert made(99) == (
        [0.4, 0.6, 0.8],
        f"there is no rung at {98 * 2048} environment steps: score=eval, and eval.every=99 makes no evaluation before it",
    )
    assert made(0) == (
        [],
        "nothing is pruned: score=eval, and eval.every=0 makes no evaluation before the last rung; eval.every=1 allows it at every one",
    )
    assert made(0, own="return_100")[1] is None
    assert made(0, score="eval", own="return_100")[0] == []
    assert made(0, score="auc")[1] is None
