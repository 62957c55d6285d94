"""The verdict of a confirmation: its words follow the interval of the paired difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from ppo_sweep.report.study.verdict import sentences, verdict
from tests.report.study.made_searches import Made, confirmed, made_search

TRIALS = [Made((-200.0,)), Made((-100.0,)), Made((-120.0,))]
NAMES = {"rank=1": 1, "rank=2": 2, "default": 0}


def said(tmp_path: Path, winner: str, means: dict[str, float], **more: object) -> tuple[str, list[str]]:
    search = made_search(tmp_path / "s", TRIALS, confirmed=confirmed(NAMES, winner, means), **more)
    found = verdict(search)
    assert found is not None
    return found.word, sentences(search, found)


def test_better_is_said_where_the_interval_excludes_zero(tmp_path: Path) -> None:
    # Seed by seed the difference is 50 every time.
    word, lines = said(tmp_path, "rank=1", {"rank=1": -130.0, "rank=2": -150.0, "default": -180.0})
    assert word == "better" and "Trial 1 is better than the default" in lines[0]
    assert "difference, seed by seed, 50 [50, 50]" in lines[1] and "without pairing (Welch), 50 [" in lines[1]
    assert ": 30 for trial 1" in lines[2] and "−20 for the default" in lines[2]  # −100 − −130 and −200 − −180


def test_not_separated_is_said_where_it_holds_zero_and_nobody_is_called_better(tmp_path: Path) -> None:
    kept = confirmed(NAMES, "rank=1", {"rank=1": -130.0, "rank=2": -150.0, "default": -131.0})
    kept["report"]["default"] = {"2000": -100.0, "2001": -150.0, "2002": -143.0}
    search = made_search(tmp_path / "s", TRIALS, confirmed=kept)
    found = verdict(search)
    assert found is not None and found.word == "not separated"
    text = " ".join(sentences(search, found))
    assert "not separated" in text and "better" not in text and "best" not in text


@pytest.mark.parametrize(("of", "said_so"), [(3, False), (2, True)])
def test_a_study_that_was_made_longer_says_which_trials_the_verdict_is_about(of: int, said_so: bool, tmp_path: Path) -> None:
    kept = {**confirmed(NAMES, "rank=1", {"rank=1": -130.0, "rank=2": -150.0, "default": -180.0}), "of": of}
    search = made_search(tmp_path / "s", TRIALS, confirmed=kept)
    assert ("What was confirmed are the first 2 trials: 3 have ended by now." in sentences(search, verdict(search))) == said_so


def test_worse_is_said_too(tmp_path: Path) -> None:
    word, lines = said(tmp_path, "rank=1", {"rank=1": -190.0, "rank=2": -150.0, "default": -180.0})
    assert word == "worse" and "is worse than the default" in lines[0]


def test_less_is_better_where_the_objective_is_minimised(tmp_path: Path) -> None:
    word, _ = said(tmp_path, "rank=1", {"rank=1": -190.0, "rank=2": -150.0, "default": -180.0}, direction=["minimize"])
    assert word == "better"


def test_a_default_that_wins_has_no_verdict_and_stands_first(tmp_path: Path) -> None:
    search = made_search(tmp_path / "s", TRIALS, confirmed=confirmed(NAMES, "default", {"rank=1": -1.0, "rank=2": -1.0, "default": 0.0}))
    found = verdict(search)
    assert found is not None and found.word == "" and found.confirmed[0].name == "default"
    assert sentences(search, found)[0].startswith("The default configuration leads")


@pytest.mark.parametrize(
    ("trials", "words"),
    [([], "No trial is complete yet."), ([Made(None, "FAIL")], "nothing to confirm"), (TRIALS, "trial 1 has the highest value")],
)
def test_before_the_confirmation_nothing_is_quoted(tmp_path: Path, trials: list[Made], words: str) -> None:
    search = made_search(tmp_path / "s", trials)
    assert verdict(search) is None
    [line] = sentences(search, None)
    assert words in line and "better" not in line and "best" not in line
