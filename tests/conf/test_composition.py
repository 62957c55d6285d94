"""The shipped configs: each composes, validates and runs as its header says; later layers win."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from ppo_sweep import config
from ppo_sweep.config import Config, ConfigError
from ppo_sweep.sweep.command_line import check
from ppo_sweep.sweep.composition import CONF

FILES = sorted(CONF.rglob("*.yaml"))
RECIPES = sorted(path.stem for path in (CONF / "recipe").glob("*.yaml"))
ENVIRONMENTS = sorted(path.stem for path in (CONF / "env").glob("*.yaml") if path.stem != "any")


def composed(*words: str, conf: Path = CONF) -> Config:
    """The configuration of a single-run command line."""
    [job] = check(words, conf).jobs
    return job.config


def command_of(path: Path) -> list[str]:
    """The command in a config's header: its first comment that is no directive to Hydra."""
    line = next(line for line in path.read_text().splitlines() if not line.startswith("# @package"))
    found = re.fullmatch(r"# python train\.py(.*)", line)
    assert found is not None, f"{path}: {line!r} is no command"
    return shlex.split(found[1])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_header_is_a_command_that_uses_the_file(path: Path) -> None:
    checked = check(command_of(path))
    assert len(checked.jobs) >= 1 or checked.study is not None
    if path.parent != CONF:
        stated = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        assert isinstance(stated, dict) or path.stem == "none"
        assert f"{path.parent.relative_to(CONF).as_posix()}={path.stem}" in command_of(path) or implied(path)


def implied(path: Path) -> bool:
    """Files chosen by other choices: ``tuned/RECIPE_ENV``, ``env/any`` and the options that every study has."""
    words = command_of(path)
    if path.parent.name == "tuned":
        recipe, _, env = path.stem.partition("_")
        return words == [f"recipe={recipe}", f"env={env}"]
    if path.parent.name == "options":
        return any(word.startswith("sweep.") for word in words)
    return path.stem == "any" and any(word.startswith("env.id=") for word in words)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_recipe_goes_with_every_environment(recipe: str, env: str) -> None:
    made = composed(f"recipe={recipe}", f"env={env}")
    assert made.iterations > 1
    assert made.batch_size % made.algo.minibatch_size == 0


_ALGO = """lr lr_end adam_eps max_grad_norm grad_clip n_steps n_envs minibatch_size epochs recompute_adv gamma gae_lambda value_target
bootstrap_cut norm_adv ent_coef vf_coef vf_clip norm_obs norm_obs_update clip_obs norm_reward clip_reward max_kl max_kl_on max_kl_stops
kl_estimator"""
PINNED = {
    *(f"algo.{name}" for name in _ALGO.split()),
    *(f"network.{name}" for name in ("init", "log_std_init", "activation", "mean")),
    *(f"env.{name}" for name in ("bootstrap_timeouts", "clip_action")),
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_pins_every_detail_and_no_surrogate(recipe: str) -> None:
    stated = OmegaConf.to_container(OmegaConf.load(CONF / "recipe" / f"{recipe}.yaml"))
    assert isinstance(stated, dict)
    keys = {f"{section}.{name}" for section, values in stated.items() for name in values}
    assert keys == PINNED


@pytest.mark.parametrize("algo", sorted(path.stem for path in (CONF / "algo").glob("*.yaml")))
def test_surrogate_states_nothing_but_its_own_knobs(algo: str) -> None:
    stated = OmegaConf.to_container(OmegaConf.load(CONF / "algo" / f"{algo}.yaml"))
    assert isinstance(stated, dict)
    assert not {f"algo.{name}" for name in stated} & PINNED


def test_standard_recipe_is_the_typed_default() -> None:
    """Both are the 37 details: ``ppo_sweep.train({})`` is ``recipe=standard``."""
    made = composed("recipe=standard", "tuned=none").replace(**{"env.score_random": None, "env.score_reference": None})
    assert made.to_dict(operational=False) == Config().to_dict(operational=False)


@pytest.fixture
def layered(tmp_path: Path) -> Path:
    """A copy of ``conf/`` in which env, recipe, tuned and an experiment all set the same knobs."""
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    (conf / "experiment").mkdir(exist_ok=True)

    def write(name: str, **values: Any) -> None:
        layer = {"algo": values}
        (conf / f"{name}.yaml").write_text(f"# @package _global_\n{OmegaConf.to_yaml(OmegaConf.create(layer))}")

    write("env/layer", gamma=0.1, gae_lambda=0.1, lr=0.1, ent_coef=0.1, vf_coef=0.1)
    write("recipe/layer", gamma=0.2, gae_lambda=0.2, lr=0.2, ent_coef=0.2)
    write("tuned/layer_layer", gamma=0.3, gae_lambda=0.3, lr=0.3)
    write("experiment/layer", gamma=0.4, gae_lambda=0.4)
    return conf


def test_later_layers_win(layered: Path) -> None:
    algo = composed("env=layer", "recipe=layer", "experiment=layer", "algo.gamma=0.5", "total_steps=1e5", conf=layered).algo
    assert algo.gamma == 0.5  # command line over experiment
    assert algo.gae_lambda == 0.4  # experiment over tuned
    assert algo.lr == 0.3  # tuned over recipe
    assert algo.ent_coef == 0.2  # recipe over environment
    assert algo.vf_coef == 0.1  # environment over typed defaults
    assert algo.epochs == config.defaults()["algo"]["epochs"]


def test_config_file_wins_over_typed_defaults_and_loses_to_groups(layered: Path) -> None:
    (layered / "config.yaml").write_text((layered / "config.yaml").read_text().replace("seed: 0", "seed: 5\nalgo: {gamma: 0.6, epochs: 3}"))
    made = composed("env=layer", conf=layered)
    assert made.seed == 5
    assert made.algo.epochs == 10  # pinned by the recipe
    assert made.algo.gamma == 0.99


def test_tuned_values_follow_recipe_and_environment() -> None:
    assert composed().algo.gamma == 0.9
    assert composed("env=hopper").algo.gamma == 0.99
    assert composed("recipe=paper").algo.gamma == 0.99
    assert composed("tuned=none").algo.gamma == 0.99
    assert composed("recipe=strong").algo.n_envs == 8
    assert composed("env=hopper", "tuned=standard_pendulum").algo.gamma == 0.9


def test_tuned_pendulum_keeps_rollouts_short() -> None:
    for recipe in ("standard", "strong"):
        made = composed(f"recipe={recipe}")
        assert made.algo.gamma == 0.9
        assert made.algo.n_envs <= 8
        assert made.batch_size <= 4096


def test_id_alone_takes_nothing_of_another_task() -> None:
    made = composed("env.id=MountainCarContinuous-v0")
    assert made.env.score_reference is None
    assert made.env.score_random is None
    assert made.algo.gamma == 0.99
    assert made.total_steps == 1_000_000


def test_id_beside_a_choice_must_be_the_choice_s_own() -> None:
    assert composed("env=pendulum", "env.id=Pendulum-v1").total_steps == 300_000
    with pytest.raises(ConfigError, match="is another environment than env=pendulum"):
        composed("env=pendulum", "env.id=MountainCarContinuous-v0")


@pytest.mark.parametrize(
    ("env", "budget", "reference"),
    [
        ("pendulum", 300_000, -150),
        ("halfcheetah", 1_000_000, 5783.9),
        ("hopper", 1_000_000, 3450.1),
        ("walker2d", 1_000_000, 4318.6),
        ("dmc_cheetah_run", 1_000_000, 432.6),
    ],
)
def test_environment_carries_budget_and_reference(env: str, budget: int, reference: float) -> None:
    made = composed(f"env={env}")
    assert made.total_steps == budget
    assert made.env.score_reference == reference


def test_article_stops_on_the_largest_minibatch_and_paper_never() -> None:
    article, paper = composed("recipe=article", "env=hopper").algo, composed("recipe=paper", "env=hopper").algo
    assert (article.max_kl, article.max_kl_on, article.max_kl_stops, article.kl_estimator) == (0.03, "minibatch_max", "both", "k1")
    assert paper.max_kl is None


def test_bare_differs_from_the_article_only_by_what_its_ladder_adds() -> None:
    bare, article = composed("recipe=bare", "env=hopper"), composed("recipe=article", "env=hopper")
    differing = {key for (key, _, one), (_, _, other) in zip(bare.walk(), article.walk(), strict=True) if one != other}
    assert differing == {
        *("algo.value_target", "algo.bootstrap_cut", "algo.vf_clip", "algo.max_kl"),
        *("algo.norm_obs", "algo.clip_obs", "algo.norm_reward", "algo.clip_reward"),
    }
