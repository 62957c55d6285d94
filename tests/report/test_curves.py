"""Mean and band on a common grid, and where they end."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ppo_sweep.report import curves, load
from ppo_sweep.report.curves import Curve, curve
from ppo_sweep.report.figures.common import cast_of
from ppo_sweep.report.groups import groups
from tests.report.result_trees import STEPS, make_run


def only_curve(root: Path, **options: str) -> Curve:
    results = load(root)
    (group,) = groups(results)
    return curve(results, group, **options)


def test_equal_steps_are_kept_and_the_band_is_the_standard_deviation(tmp_path: Path) -> None:
    for seed, returns in enumerate([[1.0, 2.0, 3.0], [2.0, 4.0, 9.0], [6.0, 3.0, 0.0]]):
        make_run(tmp_path, returns, seed=seed)
    made = only_curve(tmp_path)
    assert list(made.x) == [STEPS, 2 * STEPS, 3 * STEPS]
    assert list(made.mean) == pytest.approx([3.0, 3.0, 4.0])
    spread = np.std([[1, 2, 6], [2, 4, 3], [3, 9, 0]], axis=1, ddof=1)
    assert list(made.high - made.mean) == pytest.approx(list(spread)) and list(made.mean - made.low) == pytest.approx(list(spread))


def test_steps_that_are_not_aligned_still_have_a_band(tmp_path: Path) -> None:
    # Logged twice as often: on raw steps every second point would have one member, and no band.
    make_run(tmp_path, [10.0, 20.0, 30.0], seed=0, n_steps=2048)
    make_run(tmp_path, [15.0, 20.0, 25.0, 30.0, 35.0, 40.0], seed=1, n_steps=1024)
    results = load(tmp_path)
    first, second = groups(results)  # n_steps differs: brought together by hand
    made = curve(results, replace(first, runs=pd.concat([first.runs, second.runs])))
    assert len(made.runs) == 2 and (made.x[0], made.x[-1]) == (2048, 6144)
    # Two straight lines 10 apart: so is every point of the grid.
    assert made.mean == pytest.approx(made.x / 204.8 + 5)
    assert made.high - made.low == pytest.approx(np.full(len(made.x), 2 * 10 / math.sqrt(2)))


def test_the_mean_ends_where_its_first_member_ends_and_says_so(tmp_path: Path) -> None:
    make_run(tmp_path, [1.0, 2.0, 3.0, 4.0], seed=0)
    make_run(tmp_path, [1.0, 2.0], seed=1, state="running", iterations=4)
    made = only_curve(tmp_path)
    assert list(made.x) == [STEPS, 2 * STEPS]
    assert made.first_end == "seed 1 is interrupted"
    (tail,) = made.thin
    assert list(tail.x) == [2 * STEPS, 3 * STEPS, 4 * STEPS] and list(tail.y) == [2.0, 3.0, 4.0]


def test_a_diverged_run_counts_on_as_the_lower_of_its_last_and_the_random_score(tmp_path: Path) -> None:
    make_run(tmp_path, [-1000.0, -400.0, -200.0, -100.0], seed=0)
    make_run(tmp_path, [-1000.0, -300.0], seed=1, state="diverged", iterations=4)
    make_run(tmp_path, [], seed=2, state="diverged", iterations=4)
    made = only_curve(tmp_path)
    assert list(made.x) == [STEPS, 2 * STEPS, 3 * STEPS, 4 * STEPS]
    random = -1200.0
    expected = [(-1000 - 1000 + random) / 3, (-400 - 300 + random) / 3, (-200 + 2 * random) / 3, (-100 + 2 * random) / 3]
    assert list(made.mean) == pytest.approx(expected)
    assert made.diverged == ((2 * STEPS, random), (0.0, random)) and made.first_end == ""


def test_where_all_diverged_the_mean_goes_on_to_the_budget(tmp_path: Path) -> None:
    make_run(tmp_path, [-1000.0, -300.0], seed=0, state="diverged", iterations=6)
    make_run(tmp_path, [-1000.0], seed=1, state="diverged", iterations=6)
    made = only_curve(tmp_path)
    assert made.x[-1] == 6 * STEPS and made.mean[-1] == -1200.0
    assert only_curve(tmp_path, x="updates").x[-1] == 6


def test_a_group_whose_runs_all_diverged_before_a_value_is_drawn_at_what_they_count_as(tmp_path: Path) -> None:
    make_run(tmp_path, [None], seed=0, state="diverged", iterations=6)
    make_run(tmp_path, [], seed=1, state="diverged", iterations=6)
    results, made = load(tmp_path), only_curve(tmp_path)
    assert list(made.x) == [STEPS, 6 * STEPS] and list(made.mean) == [-1200.0, -1200.0]
    assert made.diverged == ((STEPS, -1200.0), (0.0, -1200.0))
    assert list(cast_of(results, "return_100").by_env) == ["pendulum"]


def test_a_diagnostic_of_a_diverged_run_has_no_value_from_there_on(tmp_path: Path) -> None:
    make_run(tmp_path, [-9.0] * 4, seed=0, columns={"kl": [0.1, 0.1, 0.1, 0.1]})
    make_run(tmp_path, [-9.0] * 2, seed=1, state="diverged", iterations=4, columns={"kl": [0.3, 0.3]})
    made = only_curve(tmp_path, column="kl")
    assert list(made.mean) == pytest.approx([0.2, 0.2, 0.1, 0.1])
    assert np.isfinite(made.low[:2]).all() and np.isnan(made.low[2:]).all()


@pytest.mark.parametrize("state", ["pruned", "stopped"])
def test_runs_that_were_cut_short_are_thin_and_in_no_mean(tmp_path: Path, state: str) -> None:
    make_run(tmp_path, [1.0, 2.0, 3.0], seed=0)
    make_run(tmp_path, [9.0, 9.0], seed=1, state=state, iterations=3)
    made = only_curve(tmp_path)
    assert list(made.mean) == [1.0, 2.0, 3.0] and len(made.runs) == 1
    assert [line.state for line in made.thin] == [state]


def test_the_mean_begins_where_every_member_has_finished_an_episode(tmp_path: Path) -> None:
    make_run(tmp_path, [None, 2.0, 3.0], seed=0)
    make_run(tmp_path, [1.0, 2.0, 3.0], seed=1)
    make_run(tmp_path, [None, None, None], seed=2)  # never has: it cannot be a member
    made = only_curve(tmp_path)
    assert list(made.x) == [2 * STEPS, 3 * STEPS] and len(made.runs) == 2


def test_one_seed_has_a_mean_and_no_band(tmp_path: Path) -> None:
    make_run(tmp_path, [1.0, 2.0])
    for band in curves.BANDS:
        made = only_curve(tmp_path, band=band)
        assert list(made.mean) == [1.0, 2.0] and np.isnan(made.low).all() and np.isnan(made.high).all()


def test_the_interval_and_the_range_are_bands_too(tmp_path: Path) -> None:
    for seed in range(4):
        make_run(tmp_path, [1.0 * seed, 2.0 * seed], seed=seed)
    made = only_curve(tmp_path, band="range")
    assert list(made.low) == [0.0, 0.0] and list(made.high) == [3.0, 6.0]
    made = only_curve(tmp_path, band="interval")
    # t(0.975, 3) = 3.18245; sd of 0 … 3 is 1.29099
    assert made.method == "t" and made.high[0] - made.mean[0] == pytest.approx(3.18245 * 1.29099 / 2, rel=1e-5)


def test_x_may_be_seconds_or_updates(tmp_path: Path) -> None:
    make_run(tmp_path, [1.0, 2.0, 3.0], seed=0, seconds=2.0)
    make_run(tmp_path, [1.0, 2.0, 3.0], seed=1, seconds=4.0)
    assert list(only_curve(tmp_path, x="updates").x) == [1, 2, 3]
    by_time = only_curve(tmp_path, x="seconds")
    assert by_time.x[0] == 4.0 and by_time.x[-1] == 6.0  # from where the slower begins to where the faster ends
    assert by_time.mean[-1] == pytest.approx((3.0 + 1.5) / 2)


def test_members_that_never_overlap_have_no_mean(tmp_path: Path) -> None:
    make_run(tmp_path, [1.0, 2.0], seed=0, state="failed", iterations=4)
    make_run(tmp_path, [None, None, 3.0, 4.0], seed=1)
    made = only_curve(tmp_path)
    assert len(made.x) == 0 and len(made.mean) == 0 and made.first_end == "seed 0 is failed"
    assert {line.run.rpartition("=")[2] for line in made.thin} == {"0", "1"}


def test_nothing_yet_is_an_empty_curve(tmp_path: Path) -> None:
    make_run(tmp_path, [], state="queued", iterations=3)
    made = only_curve(tmp_path)
    assert len(made.x) == 0 and made.runs == () and made.values.shape == (0, 0)


def test_an_interval_with_blanks_is_that_of_the_values_that_are_there() -> None:
    values = np.array([[1.0, 1.0], [2.0, 2.0], [4.0, math.nan], [7.0, 3.0]])
    _, low, high, _ = curves.aggregate(values, "interval")
    _, alone_low, alone_high, _ = curves.aggregate(values[[0, 1, 3], 1:], "interval")
    assert (low[1], high[1]) == pytest.approx((alone_low[0], alone_high[0]))
