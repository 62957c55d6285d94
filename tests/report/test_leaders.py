"""What is said of the setting with the highest mean."""

from __future__ import annotations

from pathlib import Path

from ppo_sweep.report import load
from ppo_sweep.report.leaders import leaders
from tests.report.result_trees import make_settings


def test_the_sentence_about_the_highest_mean_says_how_sure_it_is(tmp_path: Path) -> None:
    base = [-300.0, -310.0, -290.0]
    make_settings(tmp_path / "sure", {None: base, 0.01: [v + 200 for v in base]})
    make_settings(tmp_path / "open", {None: base, 0.01: [v + 2 for v in base]})
    make_settings(tmp_path / "few", {None: base[:2], 0.01: [v + 200 for v in base[:2]]})
    make_settings(tmp_path / "reference", {None: base, 0.01: [v - 2 for v in base]})
    make_settings(tmp_path / "alone", {None: base})
    said = {name: leaders(load(tmp_path / name))[0].sentence for name in ("sure", "open", "few", "reference", "alone")}
    assert "max_kl=0.01 has the highest mean of 2 settings" in said["sure"] and "better than max_kl=null" in said["sure"]
    assert "not separated" in said["open"] and "nothing can be said" in said["few"] and "it is the reference" in said["reference"]
    assert said["alone"] == "pendulum: mean −300.0 ± 10.0 over 3 seeds."
    assert not any("better" in said[name] or "best" in said[name] for name in ("open", "few", "reference", "alone"))


def test_of_equal_means_the_reference_is_named_and_other_scores_are_not_called_identical(tmp_path: Path) -> None:
    make_settings(tmp_path, {0.01: [-1.0, -2.0, -3.0], None: [-3.0, -2.0, -1.0]})
    (leader,) = leaders(load(tmp_path))
    assert "identical" not in leader.sentence and leader.verdict == ""
    assert leader.label == "max_kl=null" and leader.sentence.endswith("it is the reference.")


def test_settings_that_are_equal_in_every_seed_have_no_leader(tmp_path: Path) -> None:
    base = [-300.0, -310.0, -290.0]
    make_settings(tmp_path / "two", {0.02: base, None: base})
    make_settings(tmp_path / "many", {None: base} | {kl / 100: base for kl in range(1, 6)})
    (two,), (many,) = (leaders(load(tmp_path / name)) for name in ("two", "many"))
    assert two.verdict == many.verdict == "identical"
    assert two.sentence == (
        "pendulum: max_kl=0.02 and max_kl=null have identical scores in every seed (mean −300.0 ± 10.0 over 3 seeds): "
        "what was swept made no difference to the score."
    )
    assert "max_kl=0.01, max_kl=0.02 and 4 others have identical scores" in many.sentence
    assert "highest" not in two.sentence + many.sentence


def test_settings_that_share_the_highest_mean_seed_by_seed_are_named_together(tmp_path: Path) -> None:
    base = [-300.0, -310.0, -290.0]
    above = [v + 200 for v in base]
    make_settings(tmp_path / "others", {None: base, 0.01: above, 0.02: above})
    make_settings(tmp_path / "reference", {None: above, 0.01: above, 0.02: base})
    (others,), (reference,) = (leaders(load(tmp_path / name)) for name in ("others", "reference"))
    assert "max_kl=0.01 and max_kl=0.02 have identical scores in every seed, and the highest mean of 3 settings" in others.sentence
    assert others.verdict == "better" and "they are better than max_kl=null" in others.sentence
    assert reference.verdict == "" and reference.sentence.endswith("; max_kl=null is the reference.")
    assert "max_kl=0.01 and max_kl=null have identical scores" in reference.sentence
