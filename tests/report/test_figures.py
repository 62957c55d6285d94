"""The figures: what is drawn, from what, and what their captions say."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from ppo_sweep.report import Results, figures, load, style
from ppo_sweep.report.figures import (
    FIGURES,
    NothingToShow,
    Options,
    common,
    diagnostics,
    final_scores,
    learning_curves,
    profile,
    sensitivity,
    speed,
    steps_to_threshold,
)
from ppo_sweep.report.figures.knob_axis import draw_ticks, geometric, knob_axis
from ppo_sweep.report.groups import groups, references
from ppo_sweep.statistics import mean_interval
from tests.report.result_trees import STEPS, make_grid, make_run


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two environments, two knobs with two values each, four seeds."""
    root = tmp_path_factory.mktemp("results") / "study"
    make_grid(root, {"algo.max_kl": [0.02, None], "algo.lr": [0.0003, 0.003]}, seeds=4, envs=["hopper", "walker2d"])
    return load(root)


def grid(root: Path, knobs: Mapping[str, Sequence[Any]], **options: Any) -> Results:
    make_grid(root, knobs, **options)
    return load(root)


def draw(module: Any, results: Results, **options: Any) -> Figure:
    with style.paper():
        return module.figure(results, Options(**options))


@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.name)
def test_every_figure_is_written_as_png_and_svg_with_a_caption(study: Results, tmp_path: Path, kind: figures.FigureKind) -> None:
    (drawn,) = figures.write(study, tmp_path, Options(threshold=-1000.0), kinds=[kind])
    assert drawn.png is not None and drawn.svg is not None
    with Image.open(drawn.png) as image:
        # 200 dots per inch of a paper's text width: fonts are printed as large as they are set.
        assert image.width == 1400
        assert np.asarray(image.convert("L")).std() > 5  # not blank
    assert drawn.svg.read_text().lstrip().startswith("<?xml")
    assert len(drawn.caption) > 40 and drawn.caption.endswith(".")


def test_the_names_are_those_that_are_promised() -> None:
    assert {"learning_curves", "diagnostics", "sensitivity", "final_scores", "profile", "speed"} < {kind.name for kind in FIGURES}


def test_equal_results_give_equal_svg(study: Results, tmp_path: Path) -> None:
    kinds = [kind for kind in FIGURES if kind.name in ("learning_curves", "final_scores")]
    first = figures.write(study, tmp_path / "a", kinds=kinds)
    second = figures.write(study, tmp_path / "b", kinds=kinds)
    for a, b in zip(first, second, strict=True):
        assert a.svg is not None and b.svg is not None and a.svg.read_bytes() == b.svg.read_bytes()


def test_the_callers_settings_of_matplotlib_are_untouched(study: Results) -> None:
    before = dict(matplotlib.rcParams)
    figures.draw(FIGURES[0], study, Options())
    assert dict(matplotlib.rcParams) == before


def test_learning_curves_are_the_mean_of_each_setting(study: Results) -> None:
    made = draw(learning_curves, study)
    assert [ax.get_title() for ax in made.axes] == ["hopper", "walker2d"]
    (expected,) = [group for group in groups(study) if group.env == "hopper" and group.label == "max_kl=null, lr=0.0003"]
    ends = [line.get_ydata()[-1] for line in made.axes[0].lines if len(line.get_ydata()) == 12]
    assert len(ends) == 4 and any(end == pytest.approx(expected.scores.mean()) for end in ends)
    assert "max_kl=null, lr=0.003" in [text.get_text() for text in made.legends[0].get_texts()]


@pytest.mark.parametrize(
    ("band", "said"), [("std", "one standard deviation"), ("interval", "95 % interval of the mean (Student t)"), ("range", "lowest to")]
)
def test_the_caption_says_which_band_and_how_many_seeds(study: Results, band: str, said: str) -> None:
    caption = learning_curves.caption(study, Options(band=band))
    assert said in caption and "4 seeds per setting" in caption


def test_the_lag_of_the_return_is_said_once_in_all_captions(study: Results) -> None:
    captions = " ".join(kind.caption(study, Options()) for kind in FIGURES)
    assert captions.count("lag behind the policy") == 1


@pytest.mark.parametrize(("x", "end"), [("env_steps", 12 * STEPS), ("seconds", 24.0), ("updates", 12)])
def test_the_x_axis_is_the_one_asked_for(study: Results, x: str, end: float) -> None:
    made = draw(learning_curves, study, x=x)
    assert max(line.get_xdata()[-1] for line in made.axes[0].lines if len(line.get_xdata()) > 2) == end
    assert max(line.get_xdata()[-1] for line in draw(diagnostics, study, x=x).axes[0].lines) == end


def test_thin_seeds_are_drawn_on_request(study: Results) -> None:
    count = len(draw(learning_curves, study).axes[0].lines)
    assert len(draw(learning_curves, study, seeds=True).axes[0].lines) == count + 16


def test_diverged_pruned_and_unfinished_runs_are_in_the_caption(tmp_path: Path) -> None:
    make_run(tmp_path, [-900.0, -300.0, -200.0], seed=0)
    make_run(tmp_path, [-900.0], seed=1, state="diverged", iterations=3)
    make_run(tmp_path, [-900.0, -800.0], seed=2, state="pruned", iterations=3)
    make_run(tmp_path, [-900.0, -400.0], seed=3, state="running", iterations=3)
    results = load(tmp_path)
    caption = learning_curves.caption(results, Options())
    for said in (
        "1 of 4 runs diverged (×)",
        "1 of 4 were pruned, drawn thin and in no mean",
        "1 of 4 are not finished",
        "1 mean ends where",
    ):
        assert said in caption
    made = draw(learning_curves, results)
    crosses = [line for line in made.axes[0].lines if line.get_marker() == "x"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in crosses] == [(STEPS, -1200.0)]


def test_what_has_not_begun_is_left_out_and_named(tmp_path: Path) -> None:
    make_grid(tmp_path, {"algo.max_kl": [0.02, None]}, envs=["hopper", "walker2d"], seeds=2)
    make_run(tmp_path, [], env="pendulum", state="queued", iterations=12, overrides={"algo.max_kl": 0.02})
    make_run(tmp_path, [], env="hopper", state="queued", iterations=12, overrides={"algo.max_kl": 0.5})
    results = load(tmp_path)
    for module, panels in ((learning_curves, 2), (diagnostics, 2 * len(diagnostics.QUANTITIES))):
        made = draw(module, results)
        assert len(made.axes) == panels
        assert [text.get_text() for text in made.legends[0].get_texts()] == ["max_kl=0.02", "max_kl=null"]
        assert "Nothing to draw yet of pendulum." in module.caption(results, Options())


def test_short_names_are_explained_in_the_caption(tmp_path: Path) -> None:
    results = grid(tmp_path, {"algo.max_kl": [0.02, None], "algo.lr": [0.0003, 0.003], "algo.clip_eps": [0.1, 0.2]}, seeds=1)
    assert f"Names say what differs from {references(results)['pendulum'].label}." in learning_curves.caption(results, Options())
    assert "Names say what differs from" in final_scores.caption(results, Options())
    two = grid(tmp_path / "two", {"algo.max_kl": [0.02, None], "algo.lr": [0.0003, 0.003]}, seeds=1)
    assert "Names say" not in learning_curves.caption(two, Options())


@pytest.mark.parametrize("ends", [(0.7, 1.9), (0.29, 0.68), (0.001, 0.9), (1e-6, 1e4), (0.04, 0.0401), (3e-4, 0.012)])
def test_a_logarithmic_axis_has_two_to_five_round_labels(ends: tuple[float, float]) -> None:
    ticks = style.log_ticks(*ends)
    assert 2 <= len(ticks) <= 5 and ends[0] <= ticks[0] and ticks[-1] <= ends[1]
    assert len({f"{tick:g}" for tick in ticks}) == len(ticks)


def test_of_many_settings_the_reference_and_the_highest_are_in_colour(tmp_path: Path) -> None:
    values = [0.0001 * (1 + i) for i in range(24)]  # each higher than the one before; 0.0003 is the default
    results = grid(tmp_path, {"algo.lr": values}, seeds=1, envs=["hopper"], rows=3, spread=0.0)
    shown = common.cast(results)
    assert len(shown.looks) == style.DISTINCT - 2 and shown.grey == 24 - len(shown.looks)
    assert {"lr=0.0003", "lr=0.0024", "lr=0.0023"} <= shown.looks.keys() and "lr=0.0001" not in shown.looks
    caption = learning_curves.caption(results, Options())
    assert "Of 24 settings, the reference and those with the highest mean scores are in colour" in caption
    lines = draw(learning_curves, results).axes[0].lines
    assert sum(line.get_color() == style.GREY for line in lines) == shown.grey


def test_a_setting_looks_the_same_in_every_figure(study: Results) -> None:
    whole, part = common.cast(study).looks, common.cast(study, study.group_labels[1:3]).looks
    assert list(part) == study.group_labels[1:3] and all(part[label] == whole[label] for label in part)


def test_looks_are_told_apart_without_colour() -> None:
    shown = list(style.looks([str(i) for i in range(style.DISTINCT)]).values())
    assert len({(look.dashes, look.marker) for look in shown}) == style.DISTINCT == len({look.marker for look in shown})
    # None is so light that it fades on white paper.
    lightness = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in (to_rgb(look.colour) for look in shown)]
    assert max(lightness) < 0.75


def test_the_diagnostics_have_the_return_and_the_stop_line_on_one_axis(study: Results) -> None:
    made = draw(diagnostics, study)
    labels = [ax.get_ylabel() for ax in made.axes if ax.get_ylabel()]
    assert labels == [quantity.name for quantity in diagnostics.QUANTITIES]
    kl = made.axes[[quantity.column for quantity in diagnostics.QUANTITIES].index("kl")]
    assert kl.get_yscale() == "log"
    level = [line for line in kl.lines if list(line.get_ydata()) == [0.02, 0.02]]
    assert len(level) == 1  # null has no line
    assert "Dashed: max_kl" in diagnostics.caption(study, Options())
    assert made.axes[0].get_xlim() == pytest.approx(kl.get_xlim(), rel=0.1)


def test_the_action_std_ranges_over_its_dimensions(tmp_path: Path) -> None:
    columns = {"action_std": [0.5, 0.4], "action_std_min": [0.3, 0.2], "action_std_max": [0.9, 0.8]}
    make_run(tmp_path, [-1.0, -2.0], columns=columns)
    results = load(tmp_path)
    made = draw(diagnostics, results)
    ax = made.axes[[quantity.column for quantity in diagnostics.QUANTITIES].index("action_std")]
    (band,) = ax.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0.2, 0.9)


def test_blank_and_zero_diagnostics_are_drawn_as_far_as_they_go(tmp_path: Path) -> None:
    columns = {"value_loss": [0.0, 0.0], "kl": [math.nan, math.nan], "policy_grad_norm": [0.0, 2.0]}
    make_run(tmp_path, [-1.0, -2.0], columns=columns)
    made = draw(diagnostics, load(tmp_path))
    figures.encoded(made, "png")
    names = [quantity.column for quantity in diagnostics.QUANTITIES]
    drawn = {name: [line.get_ydata().tolist() for line in made.axes[names.index(name)].lines] for name in columns}
    assert drawn == {"value_loss": [[0.0, 0.0]], "kl": [[]], "policy_grad_norm": [[0.0, 2.0]]}


def test_final_scores_show_every_seed_beside_its_interval(tmp_path: Path) -> None:
    scores = [-200.0, -180.0, -260.0]
    for seed, score in enumerate(scores):
        make_run(tmp_path, [-900.0, score], seed=seed)
    make_run(tmp_path, [-900.0], seed=3, state="diverged", iterations=2)
    results = load(tmp_path)
    (ax,) = draw(final_scores, results).axes
    circles, crosses = ax.collections[0], ax.collections[1]
    assert sorted(x for x, _ in circles.get_offsets()) == sorted(scores)
    assert [x for x, _ in crosses.get_offsets()] == [-1200.0]
    interval = mean_interval([*scores, -1200.0])
    assert any(list(line.get_xdata()) == pytest.approx([interval.low, interval.high]) for line in ax.lines if len(line.get_xdata()) == 2)


def test_of_very_many_settings_the_reference_and_the_highest_have_a_row(tmp_path: Path) -> None:
    results = grid(tmp_path, {"algo.lr": [0.0003 * (1 + i) for i in range(70)]}, seeds=1, envs=["hopper"], rows=2, spread=0.0)
    made = draw(final_scores, results)
    shown = [tick.get_text() for tick in made.axes[0].get_yticklabels()]
    assert len(shown) == 60 and shown[0] == "lr=0.0003" and shown[-1] == "lr=0.021" and "lr=0.0006" not in shown
    assert "Of 70 settings" in final_scores.caption(results, Options())


def test_geometric_values_are_on_a_logarithmic_axis_and_null_by_itself() -> None:
    assert (
        geometric([0.0001, 0.0003, 0.001, 0.003])
        and geometric([1.0, 10.0])
        and not geometric([0.01, 0.02, 0.03])
        and not geometric([0.0, 0.1, 1.0])
    )
    axis = knob_axis([0.001, 0.01, None, 0.1])
    assert axis.log and axis.place["0.001"] == -3 and axis.off == axis.place["null"] > axis.place["0.1"] == -1
    assert knob_axis(["off", "mean_std"]).place == {"off": 0.0, "mean_std": 1.0}
    assert knob_axis([True, False]).place == {"true": 0.0, "false": 1.0}
    assert knob_axis([0.02, None]).place == {"0.02": 0.0, "null": 1.0}
    assert not knob_axis([5, 10, 15, 20]).log


def test_labels_of_a_knob_are_turned_where_they_would_touch() -> None:
    with style.paper():
        axes = Figure().subplots(1, 3)
        for ax, values in zip(axes, ([0.1, 0.2, 0.3], [0.0001, 0.0003, 0.001, 10.0], [np.int64(20480), np.int64(24576)]), strict=True):
            draw_ticks(ax, knob_axis(values))
    assert [ax.get_xticklabels()[0].get_rotation() for ax in axes] == [0, 35, 0]
    assert [label.get_text() for label in axes[2].get_xticklabels()] == ["20480", "24576"]
    assert list(axes[2].get_xticks()) == [20480, 24576]  # numbers of pandas are numbers


def test_sensitivity_is_the_mean_over_complete_settings_only(tmp_path: Path) -> None:
    # max_kl 0.02 and 0.05 under three learning rates; one cell is missing, and would pull the mean of 0.05 down.
    level = {(0.02, 1e-4): -300.0, (0.05, 1e-4): -280.0, (0.02, 1e-3): -200.0, (0.05, 1e-3): -190.0, (0.05, 1e-2): -900.0}
    for (kl, lr), score in level.items():
        make_run(tmp_path, [-1000.0, score], overrides={"algo.max_kl": kl, "algo.lr": lr})
    results = load(tmp_path)
    made = draw(sensitivity, results)
    ax = next(ax for ax in made.axes if ax.get_xlabel() == "max_kl")
    blue = [line for line in ax.lines if line.get_color() == "#0072B2" and len(line.get_xdata()) == 2]
    assert list(blue[0].get_ydata()) == [-250.0, -235.0]
    assert "over those settings only for which every value has a score" in sensitivity.caption(results, Options())


def test_one_knob_shows_every_seed_and_the_interval(tmp_path: Path) -> None:
    results = grid(tmp_path, {"algo.max_kl": [0.01, 0.02, None]}, seeds=4)
    (ax,) = draw(sensitivity, results).axes
    seeds = [line for line in ax.lines if line.get_color() == style.GREY]
    assert [len(line.get_ydata()) for line in seeds] == [4, 4, 4]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0.01", "0.02", "null"]


def test_two_knobs_have_a_heat_map_and_environments_have_ranks(study: Results) -> None:
    made = draw(sensitivity, study)
    maps = [
        ax for ax in made.axes if ax.collections and hasattr(ax.collections[0], "get_array") and ax.collections[0].get_array() is not None
    ]
    assert [ax.get_title() for ax in maps] == ["hopper: mean score", "walker2d: mean score", "rank of the mean score (1 = highest)"]
    (corner,) = [group for group in groups(study) if group.env == "hopper" and group.label == "max_kl=0.02, lr=0.0003"]
    assert np.asarray(maps[0].collections[0].get_array()).reshape(2, 2)[0, 0] == pytest.approx(corner.scores.mean())
    ranks = np.asarray(maps[2].collections[0].get_array()).reshape(4, 2)
    assert sorted(ranks[:, 0]) == [1, 2, 3, 4]


def test_the_profile_falls_from_one_to_zero_and_improvement_is_against_the_reference(study: Results) -> None:
    left, right = draw(profile, study).axes
    for line in left.lines:
        assert line.get_ydata()[0] == 1 and line.get_ydata()[-1] == 0 and (np.diff(line.get_ydata()) <= 0).all()
    assert len(right.get_yticks()) == 3
    caption = profile.caption(study, Options())
    assert "2 environments (hopper, walker2d); 8 runs per setting" in caption and "max_kl=null, lr=0.0003" in caption


def test_improvement_is_against_the_reference_of_each_environment(tmp_path: Path) -> None:
    # Hopper is tuned to another lr than the default, so its default configuration is another setting than Walker2d's.
    make_grid(tmp_path, {"algo.lr": [0.0003, 0.001, 0.01]}, envs=["pendulum", "walker2d"])
    results = load(tmp_path)
    against = {env: item.label for env, item in references(results).items()}
    assert against == {"pendulum": "lr=0.001", "walker2d": "lr=0.0003"}
    right = draw(profile, results).axes[1]
    assert [tick.get_text() for tick in right.get_yticklabels()] == ["lr=0.0003", "lr=0.001", "lr=0.01"]
    caption = profile.caption(results, Options())
    assert "the reference of its environment (pendulum: lr=0.001; walker2d: lr=0.0003)" in caption
    assert "other than where the setting is the reference itself" in caption


def test_a_profile_needs_scores_to_normalise_by(tmp_path: Path) -> None:
    make_run(tmp_path, env="unknown")
    with pytest.raises(NothingToShow, match=r"env\.score_reference"):
        draw(profile, load(tmp_path))


def test_steps_to_a_threshold_are_censored(tmp_path: Path) -> None:
    # Half-way from −1200 to −150 is −675: reached after 2, after 3 and never; one diverged before.
    returns = [[-900.0, -600.0, -300.0], [-900.0, -700.0, -300.0], [-900.0, -800.0, -700.0]]
    for seed, values in enumerate(returns):
        make_run(tmp_path, values, seed=seed)
    make_run(tmp_path, [-900.0], seed=3, state="diverged", iterations=3)
    make_run(tmp_path, [-100.0, -100.0], seed=4, state="pruned", iterations=3)
    results = load(tmp_path)
    (group,) = groups(results)
    limit = steps_to_threshold.threshold([group])
    assert limit is not None and limit.value == -675.0
    found = steps_to_threshold.reached(results, group, limit.value)
    assert found is not None and (found.n, found.events) == (4, 2)
    assert list(found.steps) == [2 * STEPS, 3 * STEPS] and list(found.share) == pytest.approx([0.25, 0.5]) and found.median == 3 * STEPS
    caption = steps_to_threshold.caption(results, Options())
    assert "2 of 4" in caption and "half-way from the random policy to the reference score" in caption and "1 pruned or stopped" in caption
    asked = steps_to_threshold.caption(results, Options(threshold=-100.0))
    assert "0 of 4, no median" in asked and "as asked for" in asked


def test_the_caption_of_steps_to_a_threshold_names_a_band_only_where_one_is_drawn(tmp_path: Path) -> None:
    for seed in range(3):
        make_run(tmp_path / "together", [-900.0, -600.0, -300.0], seed=seed)
        make_run(tmp_path / "apart", [-900.0, -600.0 if seed else -700.0, -300.0], seed=seed)
    for name, drawn in (("together", False), ("apart", True)):
        results = load(tmp_path / name)
        (ax,) = draw(steps_to_threshold, results).axes
        assert bool(ax.collections) is drawn
        assert ("Band: pointwise 95 %" in steps_to_threshold.caption(results, Options())) is drawn


def test_where_nobody_reached_the_threshold_a_sentence_says_so(tmp_path: Path) -> None:
    make_run(tmp_path, [-1100.0, -1000.0])
    with pytest.raises(NothingToShow, match=r"no seed has reached it \(pendulum: return −675\.0, half-way .*--threshold"):
        draw(steps_to_threshold, load(tmp_path))
    assert len(draw(steps_to_threshold, load(tmp_path), threshold=-1050.0).axes) == 1


def test_speed_is_what_timing_says(tmp_path: Path) -> None:
    make_run(tmp_path, seconds=2.0)  # two members: 4096 environment steps in 2 s, 1 s of it in the simulator
    results = load(tmp_path)
    rows = speed.costs(results)
    assert rows["simulator"].to_numpy() == pytest.approx(1e6 / 4096) and rows["other"].to_numpy() == pytest.approx(0.1e6 / 4096)
    left, right = draw(speed, results).axes
    assert sum(bar.get_width() for bar in left.patches) == pytest.approx(2e6 / 4096)
    assert right.lines[0].get_ydata() == pytest.approx([2048.0, 2048.0, 2048.0])


@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("case", ["one seed", "nothing yet", "no timing", "diverged at once", "no knobs known"])
def test_no_tree_breaks_a_figure(tmp_path: Path, kind: figures.FigureKind, case: str) -> None:
    run = make_run(
        tmp_path / "s", [] if case == "nothing yet" else [-900.0, None, -200.0], state="running" if case == "nothing yet" else "done"
    )
    if case == "no timing":
        (run / "timing.csv").unlink()
    if case == "diverged at once":
        make_run(tmp_path / "s", [], seed=1, state="diverged", iterations=3)
    if case == "no knobs known":
        os.unlink(run / "config.yaml")
    (drawn,) = figures.write(load(tmp_path), tmp_path / "out", kinds=[kind])
    assert drawn.caption.endswith((".", ").")) and (drawn.png is None) == (drawn.svg is None)
    if case == "nothing yet":
        assert drawn.png is None
