import os
from pathlib import Path

import pytest

from ppo_sweep.config import ConfigError
from ppo_sweep.runs.places import resolve_inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


@pytest.mark.parametrize(
    ("study", "run"),
    [
        ("hopper", "default/seed=1"),
        ("hopper+walker2d", "algo.max_kl=0.02,env=hopper/seed=1"),
        ("..a", "...b/c.."),
        ("hopper-tpe", "trial=0007/env=hopper/seed=1"),
    ],
)
def test_a_name_inside_is_that_path_and_nothing_is_made(root, study, run):
    assert resolve_inside(root, study, run) == root / study / run
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["..", "../x", "x/../../y", "x/..", ".", "./x", "/etc", "/", "", "x//y", "x/", "a\0b", "x/" + "y" * 256]
)  # fmt: skip
def test_a_name_that_leads_out_or_is_none_is_refused_as_bad_input(root, name):
    with pytest.raises(ConfigError) as study:
        resolve_inside(root, name, "default/seed=1")
    assert study.value.faults[0].key == "study"
    with pytest.raises(ConfigError) as run:
        resolve_inside(root, "hopper", name)
    assert run.value.faults[0].key == "run"


def test_links_that_leave_the_root_are_refused_at_every_depth_even_dangling(root, tmp_path):
    (tmp_path / "outside").mkdir()
    (root / "hopper").mkdir()
    (root / "study").symlink_to(tmp_path / "outside")
    (root / "relative").symlink_to("../outside")
    (root / "dangling").symlink_to(tmp_path / "not_there")
    (root / "hopper/run").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to("loop")
    for study, run in [("study", "r"), ("relative", "r"), ("dangling", "r"), ("hopper", "run"), ("hopper", "run/seed=1"), ("loop", "r")]:
        with pytest.raises(ConfigError, match=r"leads out of .* through a symbolic link"):
            resolve_inside(root, study, run)
    assert os.listdir(tmp_path / "outside") == []


def test_links_inside_the_root_and_a_root_that_is_a_link_are_fine(root, tmp_path):
    (root / "real").mkdir()
    (root / "alias").symlink_to("real")
    (tmp_path / "linked").symlink_to(root)
    assert resolve_inside(root, "alias", "r") == root / "alias/r"
    assert resolve_inside(tmp_path / "linked", "real", "r") == tmp_path / "linked/real/r"


def test_a_sibling_whose_name_begins_like_the_root_is_outside(root, tmp_path):
    (tmp_path / "results_of_others").mkdir()
    (root / "study").symlink_to(tmp_path / "results_of_others")
    with pytest.raises(ConfigError):
        resolve_inside(root, "study", "r")
