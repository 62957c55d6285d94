"""Knobs of one iteration: schedules, what 'off' means, and members side by side."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ppo_sweep.config import Config
from ppo_sweep.learner.knobs import Knobs, annealed


def knobs_of(*changes: dict[str, Any], iterations: list[int] | None = None) -> Knobs:
    configs = [Config().replace(**change) for change in changes]
    betas = [config.algo.kl_beta for config in configs]
    return Knobs.of(configs, iterations or [1] * len(configs), betas, torch.device("cpu"))


def test_a_schedule_of_four_iterations_by_hand() -> None:
    # x_i = x (1 − (1 − end)(i − 1)/I): down to 0 the last iteration still has a quarter; down to ½, five eighths.
    assert [annealed(8.0, 0.0, i, 4) for i in (1, 2, 3, 4)] == [8.0, 6.0, 4.0, 2.0]
    assert [annealed(8.0, 0.5, i, 4) for i in (1, 2, 3, 4)] == [8.0, 7.0, 6.0, 5.0]
    assert [annealed(8.0, 1.0, i, 4) for i in (1, 2, 3, 4)] == [8.0] * 4


@given(st.floats(1e-6, 1.0), st.floats(0, 1), st.integers(1, 1000))
def test_schedules_start_at_the_knob_fall_and_stay_above_0(start: float, end: float, iterations: int) -> None:
    values = [annealed(start, end, i, iterations) for i in range(1, iterations + 1)]
    assert values[0] == start
    assert values == sorted(values, reverse=True)
    assert values[-1] > 0


def test_lr_and_clip_follow_their_own_schedules_member_by_member() -> None:
    # T·N = 2048: budgets of 4 and 8 rollouts (the rest of a rollout is cut off), both in iteration 3.
    knobs = knobs_of(
        {"algo.lr": 1e-3, "algo.lr_end": 0.0, "algo.clip_eps": 0.2, "algo.clip_end": 0.5, "total_steps": 4 * 2048 + 2047},
        {"algo.lr": 4e-3, "algo.lr_end": 0.5, "algo.clip_eps": 0.4, "algo.clip_end": 0.0, "total_steps": 8 * 2048},
        iterations=[3, 3],
    )
    assert knobs.lr == pytest.approx((5e-4, 4e-3 * 0.875))
    assert knobs.clip_eps.tolist() == pytest.approx([0.15, 0.3])


def test_a_knob_that_is_off_is_infinite() -> None:
    knobs = knobs_of({"algo.max_grad_norm": None, "algo.vf_clip": None}, {"algo.max_grad_norm": 0.5, "algo.vf_clip": 0.2})
    assert knobs.max_grad_norm.tolist() == [math.inf, 0.5]
    assert knobs.vf_clip.tolist() == pytest.approx([math.inf, 0.2])


def test_ratios_of_members_that_do_not_clip_are_counted_at_0_2() -> None:
    surrogates = ("clip", "none", "fixed_kl", "adaptive_kl")
    knobs = knobs_of(*({"algo.surrogate": s, "algo.clip_eps": 0.3, "algo.clip_end": 0.0, "total_steps": 4096} for s in surrogates),
                     iterations=[2, 2, 2, 2])  # fmt: skip
    assert knobs.counted_eps.tolist() == pytest.approx([0.15, 0.2, 0.2, 0.2])
    assert knobs.clip_eps.tolist() == [pytest.approx(0.15), math.inf, math.inf, math.inf]
    assert knobs.penalised.tolist() == [False, False, True, True]


def test_rows_picks_every_knob_of_the_chosen_members() -> None:
    changes = [{"algo.lr": 1e-3 * (k + 1), "algo.gamma": 0.9 + 0.01 * k, "algo.norm_adv": "off" if k == 1 else "batch"} for k in range(4)]
    picked = knobs_of(*changes).rows(torch.tensor([1, 3]))
    expected = knobs_of(changes[1], changes[3])
    for name, value in vars(expected).items():
        found = getattr(picked, name)
        assert found == value if name == "lr" else torch.equal(found, value), name
