"""The page of a study: what it says first, what it leaves to others, and how long it stays short."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

import pytest

from ppo_sweep.report import load
from ppo_sweep.report.doctor import examine
from ppo_sweep.report.page.content import content
from ppo_sweep.report.page.rendering import render
from ppo_sweep.report.page.writing import write
from ppo_sweep.report.study import account_of
from tests.report.made_runs import made_study
from tests.report.study.made_searches import Made, confirmed, with_runs

MANY = [Made((float(number),), at={100: 0.5 * number}) for number in range(8)]
FRESH = confirmed({"rank=1": 7, "default": 0}, "rank=1", {"rank=1": 12.0, "default": 1.0})


def page(study: Path) -> str:
    """The page without its figures, which take seconds each."""
    results = load(study)
    account = account_of(results)
    return render(content(results, [], examine(results), study / "report", title=study.name, account=account))


def report(study: Path) -> str:
    """The whole report's page."""
    return write(load(study), study / "report", title=study.name).page.read_text()


@pytest.mark.slow
def test_the_verdict_stands_first_and_sections_and_figures_follow(tmp_path: Path) -> None:
    text = report(with_runs(tmp_path / "s", [*MANY, Made((3.0,), "PRUNED", at={100: 3.0})], confirmed=FRESH))
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", text)
    assert headings == [
        "Result", "Confirmation", "Search", "Pruning and budget", "Learning curves", "Diagnosis", "Diagnostics", "Runs", "How it was made"
    ]  # fmt: skip
    assert text.index("Trial 7 is better than the default configuration") < text.index("What was searched")
    assert "of those that were searched" not in text and "has the highest mean of" not in text
    for name in ("history", "importance", "slices", "contours", "parallel", "rungs", "budget", "confirmation", "learning_curves"):
        assert f'id="figure-{name}"' in text, name
    assert 'id="figure-sensitivity"' not in text and 'id="figure-pareto"' not in text


def test_runs_that_may_be_quoted_come_before_those_that_were_searched(tmp_path: Path) -> None:
    told = account_of(load(with_runs(tmp_path / "s", MANY, confirmed=FRESH)))
    assert told is not None
    kinds = list(told.results.runs["seeds"])
    assert kinds == [*["report"] * 6, *["confirmation"] * 6, *["tuning"] * 16]
    assert {told.focus.results.named[group] for group in told.focus.results.runs["group"]} == {"trial 7, winner", "default"}


def test_curves_are_about_a_handful_of_trials_before_anything_is_confirmed(tmp_path: Path) -> None:
    told = account_of(load(with_runs(tmp_path / "s", [Made((float(number),)) for number in range(12)])))
    assert told is not None
    names = [told.focus.results.named[group] for group in told.focus.results.group_labels]
    assert names == ["default", "trial 11", "trial 10", "trial 9", "trial 8"]


def test_a_trial_that_repeats_another_one_points_to_its_runs_and_has_no_curve(tmp_path: Path) -> None:
    made = [Made((0.0,)), Made((2.0,)), Made((2.0,), steps=0, same_as=1)]
    study = with_runs(tmp_path / "s", made)
    shutil.rmtree(study / "trial=0002")
    told = account_of(load(study))
    assert told is not None and set(told.focus.results.named.values()) == {"default", "trial 1"}
    links = re.findall(r'href="(\.\./trial(?:=|%3D)\d+/)"', html.unescape(page(study)))
    assert len(links) == 3 and all((study / link.removeprefix("../").replace("%3D", "=")).is_dir() for link in links)


@pytest.mark.slow
def test_the_page_of_many_trials_stays_small_and_links_to_each(tmp_path: Path) -> None:
    study = with_runs(tmp_path / "s", [Made((float(number),)) for number in range(40)])
    text = page(study)
    assert len(text) < 500_000  # figures come to less than 2 MB
    links = {html.unescape(link).replace("%3D", "=") for link in re.findall(r'href="(\.\./trial%3D\d+/)"', text)}
    assert len(links) == 40 and all((study / link.removeprefix("../")).is_dir() for link in links)


def test_a_study_in_progress_and_one_with_a_torn_journal_have_a_page(tmp_path: Path) -> None:
    study = with_runs(tmp_path / "s", [*MANY, Made(None, "RUNNING", steps=0)])
    with (study / "optuna.log").open("ab") as journal:
        journal.write(b'{"op_code": ')
    text = page(study)
    assert "Not confirmed on fresh seeds" in text and "1 not over" in text


def test_a_study_whose_trials_cannot_be_read_says_so_and_shows_its_runs(tmp_path: Path) -> None:
    study = with_runs(tmp_path / "s", MANY)
    (study / "optuna.log").unlink()
    text = page(study)
    assert "The trials cannot be read" in text and text.count("trial%3D") >= 16


def test_several_objectives_name_their_pareto_set(tmp_path: Path) -> None:
    trials = [Made((float(number % 5), float(-number))) for number in range(10)]
    text = page(with_runs(tmp_path / "s", trials, metric=["mean", "std"], direction=["maximize", "minimize"], pruner="none"))
    assert "the Pareto set: trial 9." in text


def test_words_from_outside_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    study = with_runs(tmp_path / "s", MANY)
    journal = study / "optuna.log"
    journal.write_text(journal.read_text().replace('"reason": null', f'"reason": "{evil}"', 1))
    assert evil not in page(study)


def test_a_report_of_two_studies_is_none_of_either(tmp_path: Path) -> None:
    for name, trials in (("a", 2), ("b", 3)):  # equal runs of two studies count once
        with_runs(tmp_path / name, MANY[:trials])
    assert account_of(load(tmp_path / "a", tmp_path / "b")) is None


def test_an_ordinary_sweep_has_no_account(tmp_path: Path) -> None:
    made_study(tmp_path / "sweep", {"default": {}}, seeds=(0,), iterations=5)
    assert account_of(load(tmp_path / "sweep")) is None


@pytest.mark.parametrize("pruned_seeds", [1, 2])
def test_pruning_saved_what_a_whole_trial_would_have_taken(tmp_path: Path, pruned_seeds: int) -> None:
    steps = 20 * 2048
    trials = [Made((1.0,), steps=2 * steps), Made((0.0,), "PRUNED", at={100: 0.0}, steps=steps // 2)]
    study = with_runs(tmp_path / "s", trials)
    if pruned_seeds == 1:  # its second seed had not begun when it was pruned
        for path in sorted((study / "trial=0001" / "seed=1").iterdir()):
            path.unlink()
        (study / "trial=0001" / "seed=1").rmdir()
    told = account_of(load(study))
    assert told is not None
    found = told.budget
    assert (found.complete, found.pruned, found.saved) == (2 * steps, steps // 2, 2 * steps - steps // 2)
    assert found.saved_share == pytest.approx(1.5 / 4)
    assert found.idle == pytest.approx(0.06)
