"""Every figure of every kind of study: drawn, or a sentence that says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ppo_sweep.report import load
from ppo_sweep.report.figures import NothingToShow, Options, draw, encoded
from ppo_sweep.report.study import FIGURE_NAMES
from ppo_sweep.report.study.account import account
from ppo_sweep.report.study.figures.coordinates import coordinates
from ppo_sweep.sweep.study.domains import Choices, Interval
from tests.report.study.made_searches import Made, confirmed, made_search, with_runs

MANY = [Made((float(number),), at={100: 0.5 * number, 200: 0.8 * number}) for number in range(14)]
STUDIES: dict[str, tuple[list[Made], dict[str, object], set[str]]] = {
    "confirmed": (
        [*MANY, Made((3.0,), "PRUNED", at={100: 3.0}), Made(None, "FAIL"), Made((1.0,), diverged=1)],
        {"confirmed": confirmed({"rank=1": 13, "default": 0}, "rank=1", {"rank=1": 12.0, "default": 1.0})},
        set(FIGURE_NAMES) - {"pareto"},
    ),
    "default_wins": (
        MANY,
        {"confirmed": confirmed({"rank=1": 13, "default": 0}, "default", {"rank=1": 12.0, "default": 13.0})},
        set(FIGURE_NAMES) - {"pareto"},
    ),
    "one_trial": ([Made((1.0,))], {}, {"history", "slices", "parallel", "budget"}),
    "all_equal": ([Made((1.0,))] * 12, {}, {"history", "slices", "contours", "parallel", "budget", "importance"}),
    "nothing_yet": ([Made(None, "RUNNING", steps=0)], {}, {"budget"}),
    "all_failed": ([Made(None, "FAIL")] * 3, {}, {"history", "budget"}),
    "all_pruned": ([Made((1.0,), "PRUNED", at={100: 1.0})] * 3, {}, {"history", "rungs", "budget"}),
    "several_objectives": (
        [Made((float(number), float(-number))) for number in range(12)],
        {"metric": ["mean", "std"], "direction": ["maximize", "minimize"], "pruner": "none"},
        {"pareto", "history", "importance", "slices", "contours", "parallel", "budget"},
    ),
    "minimised": (MANY, {"direction": ["minimize"]}, {"history", "importance", "slices", "contours", "parallel", "rungs", "budget"}),
    "default_outside": ([Made((1.0,), outside=("algo.lr",)), *MANY], {}, set(FIGURE_NAMES) - {"pareto", "confirmation"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_every_figure_is_drawn_or_says_why_not(tmp_path: Path, name: str) -> None:
    trials, options, expected = STUDIES[name]
    study = with_runs(tmp_path / name, trials, **options)
    results = load(study)
    told = account(results, study)
    assert told is not None
    drawn = set()
    for kind in told.figures:
        for width in (7.0, 3.7) if name in ("confirmed", "one_trial") else (7.0,):
            try:
                figure = draw(kind, results, Options(width=width))
            except NothingToShow as reason:
                assert str(reason).endswith(".") and str(reason)[0].isupper()
                continue
            drawn.add(kind.name)
            assert figure.axes and len(encoded(figure, "svg")) < 300_000
            caption = kind.caption(results, Options(width=width))
            assert caption.endswith(".") and "  " not in caption and "nan" not in caption
    assert drawn == expected


def test_a_position_says_the_knobs_own_value(tmp_path: Path) -> None:
    search = made_search(tmp_path / "s", MANY)
    axes = {axis.knob.key: axis for axis in coordinates(search)}
    assert {axis.name for axis in axes.values()} == {"lr", "1 − gamma", "log_std_init", "epochs"}
    assert axes["algo.lr"].position(1e-3) == pytest.approx(-3.0)
    assert [text for _, text in axes["algo.lr"].ticks] == ["1e−5", "1e−4", "0.001", "0.01"]
    assert [text for _, text in axes["algo.epochs"].ticks] == ["5", "10", "20"]
    assert axes["algo.epochs"].position(20) == 2.0
    for axis in axes.values():
        for trial in search.complete:
            assert axis.low <= axis.of(trial.params) <= axis.high


def test_zero_stands_by_itself_and_null_is_a_choice() -> None:
    from ppo_sweep.report.study.figures.coordinates import _axis
    from ppo_sweep.report.study.searched import SearchedKnob

    domain = Interval(1e-5, 1e-2, log=True, zero=True)
    axis = _axis(SearchedKnob("algo.ent_coef", domain), "ent_coef")
    assert axis.position(domain.coordinate(0.0)) == axis.low < axis.position(1e-5)
    assert axis.ticks[0] == (axis.low, "0")
    choices = _axis(SearchedKnob("algo.max_kl", Choices((None, 0.01))), "max_kl")
    assert (choices.position(None), choices.position(0.01)) == (0.0, 1.0)
