"""What each setting is worth, which words are said about it, and the tables as files."""

from __future__ import annotations

import csv
import math
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ppo_sweep.report import load, scores, tables
from ppo_sweep.report.leaders import leaders
from tests.report.result_trees import make_grid, make_run, make_settings

COLUMNS = "env,n,mean,std,median,iqm,ci_low,ci_high,min,max,diverged,eval_mean"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_scores_csv_has_exactly_the_columns_that_are_promised(tmp_path: Path) -> None:
    make_grid(tmp_path / "s", {"algo.max_kl": [0.02, None], "algo.lr": [0.0003, 0.001]}, envs=["pendulum", "hopper"])
    tables.write(load(tmp_path / "s"), tmp_path / "out")
    header = (tmp_path / "out" / "scores.csv").read_text().splitlines()[0]
    assert header == f"algo.max_kl,algo.lr,{COLUMNS}"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        f"{name}.{suffix}" for name in ("scores", "differences", "runs") for suffix in ("csv", "md", "tex")
    )
    rows = read(tmp_path / "out" / "scores.csv")
    assert len(rows) == 4 * 3
    assert {row["algo.max_kl"] for row in rows} == {"0.02", "null"}
    assert all((row["iqm"] != "") == (row["env"] == "all") for row in rows)


def test_a_row_is_what_its_seeds_say(tmp_path: Path) -> None:
    values = [-200.0, -170.0, -260.0, -180.0]
    make_settings(tmp_path, {0.02: values})
    (row,) = scores.scores(load(tmp_path)).to_dict("records")
    assert row["n"] == 4 and row["mean"] == pytest.approx(np.mean(values)) and row["median"] == -190.0
    assert row["std"] == pytest.approx(np.std(values, ddof=1)) and (row["min"], row["max"]) == (-260.0, -170.0)
    half = stats.t.ppf(0.975, 3) * np.std(values, ddof=1) / 2
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((np.mean(values) - half, np.mean(values) + half))
    assert math.isnan(row["iqm"]) and row["diverged"] == 0 and math.isnan(row["eval_mean"])


def test_a_diverged_run_is_counted_and_named(tmp_path: Path) -> None:
    make_settings(tmp_path, {None: [-200.0, -210.0]})
    make_run(tmp_path, [-500.0], seed=2, state="diverged", overrides={"algo.max_kl": None}, iterations=2)
    results = load(tmp_path)
    (row,) = scores.scores(results).to_dict("records")
    assert (row["n"], row["diverged"], row["min"]) == (3, 1, -1200.0)
    assert any("1 of 3 runs diverged" in sentence for sentence in scores.cautions(results))


def test_runs_that_are_not_at_their_end_are_in_no_score_and_that_is_said(tmp_path: Path) -> None:
    make_settings(tmp_path, {None: [-200.0]})
    for seed, state in enumerate(("running", "failed", "pruned", "queued"), start=1):
        make_run(tmp_path, [-500.0], seed=seed, state=state, overrides={"algo.max_kl": None}, iterations=2)
    results = load(tmp_path)
    (row,) = scores.scores(results).to_dict("records")
    assert row["n"] == 1 and math.isnan(row["std"]) and math.isnan(row["ci_low"])
    said = " ".join(scores.cautions(results))
    assert "2 of 5 runs are not finished" in said and "1 of 5 runs were pruned" in said and "1 of 5 runs have failed" in said
    assert "no interval and no comparison" in said


def test_the_last_evaluation_is_a_mean_only_if_every_seed_has_one(tmp_path: Path) -> None:
    for seed, value in enumerate((-150.0, -130.0)):
        make_run(tmp_path / "all", seed=seed, evaluation=value)
        make_run(tmp_path / "some", seed=seed, evaluation=value if seed else None)
    assert scores.scores(load(tmp_path / "all"))["eval_mean"].iloc[0] == -140.0
    assert math.isnan(scores.scores(load(tmp_path / "some"))["eval_mean"].iloc[0])


def test_a_diverged_run_counts_in_the_mean_of_evaluations_as_in_its_score(tmp_path: Path) -> None:
    make_run(tmp_path, seed=0, evaluation=-150.0)
    make_run(tmp_path, seed=1, evaluation=-100.0, state="diverged")
    make_run(tmp_path, seed=2, state="diverged")
    assert scores.scores(load(tmp_path))["eval_mean"].iloc[0] == pytest.approx((-150 - 1200 - 1200) / 3)  # Pendulum's random policy


def test_rows_over_all_environments_are_about_normalised_scores(tmp_path: Path) -> None:
    make_settings(tmp_path, {0.02: [-675.0, -150.0], 0.05: [-150.0, -150.0]}, "pendulum")  # 0.5 and 1 of (−1200, −150)
    make_settings(tmp_path, {0.02: [17.0, 3450.0]}, "hopper")
    rows = scores.scores(load(tmp_path))
    (row,) = rows[rows["env"] == "all"].to_dict("records")  # 0.05 has no score on Hopper
    assert row["group"] == "max_kl=0.02" and row["n"] == 4
    assert row["mean"] == pytest.approx((0.75 + 0.5) / 2)
    assert row["iqm"] == pytest.approx(0.75)  # of 0, 0.5, 1, 1 the middle two


def test_better_is_said_only_where_the_adjusted_interval_excludes_zero(tmp_path: Path) -> None:
    # Against null, the default: far above, as good as equal, far below, and too few seeds.
    base = [-300.0, -310.0, -290.0, -305.0, -295.0]
    make_settings(
        tmp_path,
        {
            None: base,
            0.01: [v + 100 for v in base],
            0.02: [-302.0, -290.0, -300.0, -296.0, -309.0],
            0.03: [v - 50 for v in base],
            0.04: [-1.0],
        },
    )
    results = load(tmp_path)
    table = scores.differences(results).set_index("algo.max_kl")
    assert dict(table["verdict"]) == {0.01: "better", 0.02: "not separated", 0.03: "worse", 0.04: "too few seeds"}
    assert table.at[0.01, "p_holm"] == pytest.approx(3 * table.at[0.01, "p"])  # three comparisons have a p
    assert table.at[0.01, "holm_low"] < table.at[0.01, "low"] < 100 < table.at[0.01, "high"] < table.at[0.01, "holm_high"]
    # Paired by seed these two are exactly 100 apart.
    assert (table.at[0.01, "paired_low"], table.at[0.01, "paired_difference"]) == pytest.approx((100, 100)) and table.at[0.01, "pairs"] == 5


def test_a_difference_that_many_comparisons_explain_is_not_separated(tmp_path: Path) -> None:
    base = [-300.0, -350.0, -250.0, -320.0]
    near = [-200.0, -255.0, -160.0, -210.0]
    make_settings(tmp_path / "two", {None: base, 0.01: near})
    make_settings(tmp_path / "many", {None: base, 0.01: near} | {0.02 + place / 100: base for place in range(12)})
    alone, among = scores.differences(load(tmp_path / "two")), scores.differences(load(tmp_path / "many"))
    assert alone["verdict"].iloc[0] == "better"
    row = among[among["algo.max_kl"] == 0.01].iloc[0]
    assert row["p"] == pytest.approx(alone["p"].iloc[0]) and row["verdict"] == "not separated"


def test_equal_scores_in_every_seed_are_identical_and_not_merely_not_separated(tmp_path: Path) -> None:
    base = [-300.0, -310.0, -290.0]
    # The second has the same mean with its seeds exchanged, the third the same scores of fewer seeds.
    make_settings(tmp_path, {None: base, 0.01: base, 0.02: base[::-1], 0.03: base[:2]})
    table = scores.differences(load(tmp_path)).set_index("algo.max_kl")
    assert dict(table["verdict"]) == {0.01: "identical", 0.02: "not separated", 0.03: "too few seeds"}
    assert table.at[0.01, "p"] == 1.0


def test_settings_of_a_single_seed_can_be_identical_too(tmp_path: Path) -> None:
    make_settings(tmp_path, {None: [-300.0], 0.01: [-300.0], 0.02: [-301.0]})
    assert list(scores.differences(load(tmp_path))["verdict"]) == ["identical", "too few seeds"]


def test_a_caption_names_only_what_its_table_holds(tmp_path: Path) -> None:
    for env in ("pendulum", "hopper"):
        make_run(tmp_path / "with", env=env, evaluation=-150.0)
    make_run(tmp_path / "without")
    made = {name: load(tmp_path / name) for name in ("with", "without")}
    said = {name: tables.captions(results, scores.scores(results))["scores"] for name, results in made.items()}
    assert "deterministic evaluation" in said["with"] and "env = all" in said["with"]
    assert "deterministic evaluation" not in said["without"] and "env = all" not in said["without"]


def test_small_numbers_of_seeds_carry_their_caution(tmp_path: Path) -> None:
    make_settings(tmp_path, {None: [-1.0, -2.0, -3.0], 0.01: [-1.0, -2.0, -3.0]})
    said = " ".join(scores.cautions(load(tmp_path)))
    assert "only indicative" in said and "3 against 3: no rank test can reach p < 0.1" in said


def test_what_no_rank_test_can_reach_is_said_of_each_comparison(tmp_path: Path) -> None:
    make_settings(tmp_path, {None: [-1.0, -2.0, -3.0], 0.01: [-1.0, -2.0, -3.0], 0.02: [-1.0, -2.0, -3.0, -4.0, -5.0]})
    said = " ".join(scores.cautions(load(tmp_path)))
    assert "3 against 3: no rank test can reach p < 0.1" in said and "5 against" not in said


def test_a_study_without_a_finished_run_has_tables_all_the_same(tmp_path: Path) -> None:
    make_run(tmp_path / "s", [], state="queued")
    results = load(tmp_path / "s")
    tables.write(results, tmp_path / "out")
    assert (tmp_path / "out" / "differences.csv").read_text().startswith("env,n,")
    assert leaders(results) == []
    assert "queued" in (tmp_path / "out" / "runs.md").read_text()


def test_what_a_run_scored_and_what_it_counts_as_are_written_alike(tmp_path: Path) -> None:
    make_settings(tmp_path, {None: [12345.6]})
    shown = tables.to_markdown(tables.tables(load(tmp_path))["runs"])
    assert shown.count("| 12346 ") == 2, shown


def test_values_that_agree_in_four_digits_are_told_apart(tmp_path: Path) -> None:
    for gamma in (0.5, 0.9999, 0.99991):
        make_run(tmp_path, overrides={"algo.gamma": gamma})
    shown = tables.to_markdown(tables.tables(load(tmp_path))["scores"]).splitlines()[2:]
    assert [line.split(" | ")[0] for line in shown] == ["| 0.5", "| 0.9999", "| 0.99991"]


def test_latex_shows_everything_from_outside_literally() -> None:
    evil = r"50% of_runs & $x$ #1 {a} \input{secret} ~^ <|> ±σ ☃"
    text = tables.escape_tex(evil)
    assert r"\input" not in text and r"50\% of\_runs \& \$x\$ \#1 \{a\} \textbackslash{}input" in text and text.endswith("?")
    assert not re.search(r"(?<!\\)[%&#_]", text)
    assert tables.escape_tex("-0.5") == "$-0.5$" and tables.escape_tex("[64,64]") == "{[64,64]}"


def test_latex_has_as_many_cells_in_every_row(tmp_path: Path) -> None:
    make_grid(tmp_path, {"network.hidden": [[64, 64], [8]], "algo.norm_obs": ["off", "mean_std"]}, seeds=3)
    for name, table in tables.tables(load(tmp_path)).items():
        text = tables.to_latex(table, "What & why", f"tab:{name}")
        (form,) = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert len(rows) == len(table) + 1
        assert all(len(re.findall(r"(?<!\\)&", row)) == len(form) - 1 for row in rows)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(tmp_path: Path) -> None:
    make_grid(tmp_path / "s", {"algo.max_kl": [0.02, None], "network.hidden": [[64, 64], [8]]}, seeds=3, envs=["pendulum", "hopper"])
    results = load(tmp_path / "s")
    tables.write(results, tmp_path)
    body = "".join(rf"\input{{{name}.tex}}" for name in ("scores", "differences", "runs"))
    (tmp_path / "all.tex").write_text(rf"\documentclass{{article}}\begin{{document}}{body}\end{{document}}")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_markdown_is_a_table_whatever_it_holds() -> None:
    table = pd.DataFrame({"algo.lr": pd.Series([0.001, None], dtype=object), "env": ["a|b", "c\nd"], "mean": [1234.5678, math.nan]})
    assert tables.to_markdown(table).splitlines() == [
        "| lr | env | mean |",
        "| ---: | --- | ---: |",
        r"| 0.001 | a\|b | 1235 |",
        "| null | c d |  |",
    ]


def test_csv_keeps_every_digit(tmp_path: Path) -> None:
    value = -200.12345678901234
    make_settings(tmp_path / "s", {None: [value]})
    tables.write(load(tmp_path / "s"), tmp_path / "out")
    (row,) = read(tmp_path / "out" / "runs.csv")
    assert float(row["final_score"]) == value
