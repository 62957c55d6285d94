"""The page: one file, safe with whatever runs contain, small, and what it says."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ppo_sweep.report import load
from ppo_sweep.report.doctor import Evidence, examine
from ppo_sweep.report.page import small_figures
from ppo_sweep.report.page.content import content, run_labels
from ppo_sweep.report.page.provenance import typed
from ppo_sweep.report.page.rendering import render
from ppo_sweep.report.page.tables import amount, interval, p_value, setting
from tests.report.made_runs import healthy_metrics, made_study
from tests.report.result_trees import make_run


@pytest.fixture
def study(tmp_path: Path) -> Path:
    made_study(tmp_path / "pendulum", {"algo.max_kl=0.02": {"algo.max_kl": 0.02}, "default": {}})
    return tmp_path / "pendulum"


def page(study: Path) -> str:
    results = load(study)
    return render(content(results, [], examine(results), study / "report", title="pendulum"))


def test_the_page_asks_nothing_of_anybody(study: Path) -> None:
    text = page(study)
    assert "default-src 'none'" in text
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert addresses and all(address.startswith(("data:", "#", "../")) for address in addresses)
    assert "http://" not in text and "https://" not in text and "@import" not in text and "url(" not in text


def test_links_lead_to_the_directories_of_the_runs(study: Path) -> None:
    links = re.findall(r'href="(\.\./[^"]*)"', page(study))
    assert len(set(links)) == 6
    for link in links:
        assert (study / "report" / html.unescape(link).replace("%3D", "=").replace("%2C", ",")).resolve().is_dir()


def test_names_that_are_markup_are_shown_and_not_obeyed(study: Path) -> None:
    results = load(study)
    evil = "<script>alert(1)</script>"
    runs = results.runs.assign(group=evil, reason=f'"{evil}', study=evil)
    text = render(content(replace(results, runs=runs, notes=(evil,)), [], examine(results), study, title=evil))
    assert evil not in text and html.escape(evil) in text


def test_the_page_says_not_separated_and_never_better_where_the_interval_holds_zero(study: Path) -> None:
    # Seeds differ by about 10 and settings by 40: paired they are far apart, but with other noise the first setting would not be.
    path = study / "default"
    for seed, shift in enumerate((-100.0, 0.0, 100.0)):
        status = path / f"seed={seed}" / "status.json"
        status.write_text(re.sub(r'"score": [^,]*', f'"score": {-200 + shift}', status.read_text()))
    text = page(study)
    assert "not separated" in text
    assert not re.search(r"is better than", text)


def test_a_study_without_a_score_has_no_empty_tables(tmp_path: Path) -> None:
    make_run(tmp_path / "s", [-900.0], state="running", iterations=3)
    make_run(tmp_path / "s", [-900.0], state="running", iterations=3, overrides={"algo.lr": 0.01})
    shown = page(tmp_path / "s")
    assert "begin with the first run that is finished" in shown and 'aria-label="Scores of every setting"' not in shown


def test_one_environment_is_not_named_in_every_row(study: Path) -> None:
    assert ">env</button>" not in page(study)


def test_every_run_has_a_name_of_its_own(study: Path) -> None:
    names = list(run_labels(load(study)).values())
    assert len(set(names)) == 6
    assert "max_kl=0.02 · seed 0" in names


def test_a_symptom_stands_once_with_a_few_figures_and_the_others_listed(tmp_path: Path) -> None:
    made_study(tmp_path / "many", {"env=pendulum": {}}, seeds=range(10))
    for path in (tmp_path / "many").rglob("metrics.csv"):
        table = pd.read_csv(path).assign(clip_fraction=0.9)
        table.to_csv(path, index=False)
    text = page(tmp_path / "many")
    assert text.count("<code>clip_fraction_high</code>") == 1
    assert text.count('<svg class="small"') == 4
    assert "6 more</summary>" in text


def test_two_hundred_runs_with_symptoms_stay_far_below_ten_megabytes(tmp_path: Path) -> None:
    settings = {f"algo.lr={lr:g}": {"algo.lr": lr} for lr in np.linspace(1e-4, 4e-3, 40).round(6)}
    made_study(tmp_path / "many", settings, seeds=range(5), iterations=30)
    assert len(page(tmp_path / "many")) < 1_000_000  # the figures of the report come to less than 5 MB in any case


def test_a_small_figure_keeps_a_spike_of_one_iteration() -> None:
    kl = np.full(2000, 0.01)
    kl[1234] = 1.0
    metrics = healthy_metrics(2000).assign(kl=kl)
    evidence = Evidence((1235, 1235), 100.0, 5.0, "", ("kl",), line=0.03)
    svg = small_figures.of_run(metrics, evidence)
    heights = [float(point.split()[1]) for point in re.search(r'class="line" d="M([^"]*)"', svg)[1].split("L")]  # type: ignore[index]
    assert min(heights) < 20 and len(svg) < 6000


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_a_small_figure_of_hardly_any_iterations_is_drawn(iterations: int) -> None:
    evidence = Evidence((1, iterations), 1.0, 1.0, "", ("kl", "entropy", "nothing_of_this_name"), line=0.01)
    svg = small_figures.of_run(healthy_metrics(iterations), evidence)
    assert svg.startswith("<svg") and "nan" not in svg


def test_a_small_figure_of_blanks_is_none() -> None:
    assert small_figures.of_run(healthy_metrics(5).assign(kl=np.nan), Evidence((1, 5), 1, 1, "", ("kl",))) == ""
    assert small_figures.of_seeds({"a": float("nan")}) == ""


def test_cells_sort_by_numbers_and_blanks_stay_blank() -> None:
    assert (amount(-322.31).text, amount(-322.31).key) == ("−322.3", -322.31)
    assert (amount(float("nan")).text, amount(float("nan")).key) == ("", None)
    assert interval(-2.0, 3.5).text == "[−2.00, 3.50]" and interval(float("nan"), 1.0).key is None
    assert (setting(None).text, setting(3e-4).key, setting("off").key) == ("null", 3e-4, "off")
    assert p_value(1e-7).text == "< 0.001"


def test_a_command_is_shown_as_it_can_be_pasted() -> None:
    assert typed(["-m", "env=pendulum", "network.hidden=[64, 64]"]) == "python train.py -m env=pendulum 'network.hidden=[64, 64]'"
    assert typed(["train.py", "seed=1"]) == "train.py seed=1"
