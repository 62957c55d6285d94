"""Names: the same for the same request, different for different ones, harmless on disk."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_sweep.config import OPERATIONAL_KEYS, ConfigError
from ppo_sweep.runs.naming import MAX_BYTES, directory_name, job_directory, run_name, shortest, study_directory, study_fault, study_name


def test_run_name_is_sorted_by_key_and_joined_by_commas() -> None:
    assert run_name({"env": "hopper", "algo.max_kl": 0.02}) == "algo.max_kl=0.02,env=hopper"


def test_run_without_overrides_is_called_default() -> None:
    assert run_name({}) == "default"
    assert run_name({"seed": 3, "study": "x"}) == "default"


@pytest.mark.parametrize("key", [*OPERATIONAL_KEYS, "hydra.launcher.workers", "hydra/launcher", "sweep", "sweep.n_trials", "seed"])
def test_how_a_run_is_carried_out_is_not_in_its_name(key: str) -> None:
    assert run_name({key: "x", "algo.lr": 0.001}) == "algo.lr=0.001"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2e-2, "0.02"),
        (0.02, "0.02"),
        (1e6, "1000000"),
        (1000000, "1000000"),
        (1.0, "1"),
        (1e-05, "1e-5"),
        (3e-4, "0.0003"),
        (-0.5, "-0.5"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1.5e300, "1.5e300"),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        ("hopper", "hopper"),
        ([64, 64], "[64,64]"),
        ((256,), "[256]"),
        ({"b": 1, "a": None}, "{a:null,b:1}"),
    ],
)
def test_values_are_printed_shortest(value: Any, text: str) -> None:
    assert shortest(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_printed_numbers_read_back_exactly(value: float) -> None:
    assert float(shortest(value)) == value


def test_other_characters_are_percent_encoded() -> None:
    assert run_name({"network.hidden": [64, 64]}) == "network.hidden=%5B64%2C64%5D"
    assert run_name({"env.id": "dm_control/cheetah-run-v0"}) == "env.id=dm_control%2Fcheetah-run-v0"
    assert run_name({"env.id": "mine:Hügel-v0"}) == "env.id=mine%3AH%C3%BCgel-v0"


def test_mapping_is_named_like_its_keys() -> None:
    assert run_name({"eval": {"every": 5, "episodes": 3}}) == run_name({"eval.every": 5, "eval.episodes": 3})


def test_any_is_left_out_beside_the_id_that_selects_it() -> None:
    assert run_name({"env": "any", "env.id": "Ant-v5"}) == "env.id=Ant-v5"
    assert run_name({"env": "hopper", "env.id": "Ant-v5"}) == "env=hopper,env.id=Ant-v5"


@given(st.text(), st.text())
def test_different_values_have_different_names(one: str, other: str) -> None:
    assert (run_name({"env.id": one}) == run_name({"env.id": other})) == (one == other)


@given(st.dictionaries(st.text(min_size=1), st.one_of(st.none(), st.integers(), st.text(), st.booleans()), max_size=8))
def test_names_are_single_harmless_directories(overrides: dict[str, Any]) -> None:
    name = run_name(overrides)
    assert 0 < len(name.encode()) <= MAX_BYTES
    assert "/" not in name
    assert name.isascii()
    assert name not in (".", "..")


def test_long_names_are_cut_and_stay_distinct() -> None:
    one, other = run_name({"env.id": "x" * 200}), run_name({"env.id": "x" * 199 + "y"})
    assert len(one) == MAX_BYTES
    assert one != other
    assert one[-9] == "~"
    assert one[:-9] == other[:-9]
    int(one[-8:], 16)


def test_cut_leaves_no_half_escape() -> None:
    for shift in range(3):
        kept = run_name({"env.id": "x" * shift + "/" * 100}).partition("~")[0]
        assert re.fullmatch(r"(?:[A-Za-z0-9._=]|%2F)+", kept)


def test_name_of_exactly_the_limit_is_kept() -> None:
    name = "x" * (MAX_BYTES - len("env.id="))
    assert run_name({"env.id": name}) == f"env.id={name}"


def test_study_is_named_by_its_environments() -> None:
    assert study_name(["hopper"]) == "hopper"
    assert study_name(["hopper", "walker2d", "hopper"]) == "hopper+walker2d"
    assert study_name(["walker2d", "hopper"]) == study_name(["hopper", "walker2d"])


@pytest.mark.parametrize("text", ["..", ".", "../up", "/etc", ".hidden", "a/../../b"])
def test_no_name_leaves_its_parent(text: str) -> None:
    name = directory_name(text)
    assert "/" not in name
    assert not name.startswith(".")
    assert unquote(name) == text


@pytest.mark.parametrize("name", ["../up", "/tmp/x", "..", ".hidden", "a/b", "a\\b", "", None, 3])
def test_study_must_be_one_visible_directory(name: object) -> None:
    assert study_fault(name) is not None


def test_ordinary_study_is_fine() -> None:
    assert study_fault("hopper lr, 2nd try") is None


def test_study_directory_is_a_study_s_name_or_refused() -> None:
    assert study_directory("hopper lr") == "hopper%20lr"
    with pytest.raises(ConfigError, match=r"study: '\.\./x' is a path"):
        study_directory("../x")


def test_seed_has_a_directory_of_its_own() -> None:
    assert job_directory({"algo.lr": 1e-3, "seed": 7}, 7).as_posix() == "algo.lr=0.001/seed=7"
    assert job_directory({}, 0).as_posix() == "default/seed=0"
