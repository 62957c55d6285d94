"""Wrong search spaces: each is named, with what to do, before anything runs."""

from __future__ import annotations

from typing import Any

import pytest
from spaces import compositions, space

from ppo_sweep.config import ConfigError
from ppo_sweep.sweep.study import samplers
from ppo_sweep.sweep.study.options import StudyOptions, sampler_seed
from ppo_sweep.sweep.study.rungs import Budget, place
from ppo_sweep.sweep.study.space import Space

LR = {"low": 1e-5, "high": 1e-2, "log": True}

#: Definitions in a YAML file → what is said.
WRONG: list[tuple[dict[str, Any], str]] = [
    # keys
    ({"algo.lrr": LR}, "algo.lrr: no such knob; did you mean algo.lr"),
    ({"lr": LR}, "lr: no such knob; did you mean algo.lr?"),
    ({"algo": {"lr": LR}}, "algo: has no word 'lr'; write it as one key: algo.lr: {…}"),
    ({"seed": {"low": 0, "high": 9}}, "seed: cannot be searched: every trial runs several seeds: their number is sweep.seeds"),
    ({"env": {"choices": ["hopper", "walker2d"]}}, "env: cannot be searched: every configuration is tried on the same environments"),
    ({"env.id": {"choices": ["Hopper-v5", "Ant-v5"]}}, "env.id: cannot be searched"),
    ({"score": {"choices": ["auc", "window"]}}, "score: cannot be searched: it says what a trial is worth"),
    ({"study": {"choices": ["a", "b"]}}, "study: cannot be searched: it says how to run"),
    ({}, "sweep.space: holds no knob to search; for example algo.lr="),
    # entries
    ({"algo.lr": 3e-4}, "algo.lr: 0.0003 is one value and nothing to search; fix it on the command line"),
    ({"algo.lr": {}}, "algo.lr: has no low; give low and high, or choices"),
    ({"algo.lr": {"low": 1e-5}}, "algo.lr: has no high"),
    ({"algo.lr": {"lo": 1e-5, "high": 1e-2}}, "algo.lr: has no word 'lo'; did you mean low?"),
    ({"algo.lr": {"type": "real", "low": 1e-5, "high": 1e-2}}, "type 'real' is not one of float, int, categorical"),
    ({"algo.lr": {"type": "categorical", "low": 1e-5, "high": 1e-2}}, "is categorical, so it needs choices"),
    # intervals
    ({"algo.lr": {"low": 1e-2, "high": 1e-5, "log": True}}, "algo.lr: low 0.01 is greater than high 1e-05; exchange them"),
    ({"algo.lr": {"low": 1e-3, "high": 1e-3}}, "low and high are both 0.001, which is nothing to search"),
    ({"algo.ent_coef": {"low": 0, "high": 0.02, "log": True}}, "begins above 0, not at 0; a 0 beside a logarithmic interval is zero: true"),
    ({"network.log_std_init": {"low": -1, "high": 0, "log": True}}, "a logarithmic scale begins above 0, not at -1"),
    ({"algo.ent_coef": {"low": 0, "high": 0.02, "zero": True}}, "without log: true start the interval at low: 0"),
    ({"algo.lr": {**LR, "zero": True}}, "algo.lr: 0.0 is not > 0 (an end of {0} ∪ log [1e-5, 0.01])"),
    ({"algo.lr": {**LR, "step": 1e-3}}, "log and step exclude each other"),
    ({"algo.gamma": {"low": 0.9, "high": 0.99, "step": 0}}, "step 0 is not above 0"),
    ({"algo.gamma": {"low": 0.9, "high": 0.99, "step": 0.5}}, "step 0.5 is longer than the interval"),
    (
        {"algo.gamma": {"low": 0.9, "high": 0.99, "step": 0.04}},
        "high 0.99 is not reached in steps of 0.04 from 0.9; the last step is at high: 0.98",
    ),
    ({"algo.lr": {"low": "a", "high": 1}}, "low: 'a' is not a finite number"),
    ({"algo.lr": {"low": 1e-5, "high": float("nan")}}, "high: nan is not a finite number"),
    ({"algo.lr": {"low": 1e-5, "high": 1e-2, "log": "yes"}}, "log: 'yes' is not true or false"),
    ({"algo.gamma": {"low": 0.9, "high": 1.1}}, "algo.gamma: 1.1 is not in [0, 1] (an end of [0.9, 1.1])"),
    (
        {"algo.gamma": {"low": 1e-4, "high": 1.5, "one_minus": True}},
        "algo.gamma: -0.5 is not in [0, 1] (an end of 1 − x, x in [0.0001, 1.5])",
    ),
    ({"algo.epochs": {"low": 2.5, "high": 20}}, "algo.epochs: 2.5 is not a whole number, and the knob is one"),
    ({"algo.epochs": {"low": 0, "high": 20}}, "algo.epochs: 0 is not in [1, 1000]"),
    ({"algo.surrogate": {"low": 0, "high": 1}}, "algo.surrogate: is no number, so it has no interval; name what to choose from"),
    ({"algo.norm_reward": {"low": 0, "high": 1}}, "{choices: [true, false]}"),
    # choices
    ({"algo.epochs": {"choices": []}}, "algo.epochs: choices is empty; name at least two values"),
    ({"algo.epochs": {"choices": [10]}}, "has one choice, which is nothing to search; name a second one"),
    ({"algo.epochs": {"choices": [5, 10, 5]}}, "algo.epochs: 5 is named twice among its choices"),
    ({"algo.epochs": {"choices": [5, 5.0]}}, "is named twice among its choices"),
    ({"algo.epochs": {"choices": 5}}, "choices: 5 is not a list"),
    ({"algo.epochs": {"choices": [5, 10], "low": 1}}, "has choices, which go without low"),
    ({"algo.lr": {"choices": [None, 1e-3]}}, "algo.lr: null is not a finite number > 0"),
    ({"algo.norm_adv": {"choices": ["batch", False]}}, "algo.norm_adv: false is not one of minibatch | batch | off"),
    # groups
    ({"algo": {"low": 0, "high": 1}}, "algo: is a choice among files, so it has no interval"),
    ({"algo": {"choices": ["clip", "klip"]}}, "algo: no such choice 'klip'; did you mean clip or no_clip?"),
    ({"algo": {"choices": ["clip", 5]}}, "algo: 5 is not the name of a file of conf/algo/"),
    # conditions
    ({"algo.lr": {**LR, "when": "clip"}}, "when: 'clip' is no condition; for example when: {algo: adaptive_kl}"),
    ({"algo.lr": {**LR, "when": {"algo": []}}}, "when: algo names no value"),
    ({"algo.lr": {**LR, "when": {"algoo": "clip"}}}, "algo.lr: when: algoo: no such knob"),
    ({"algo.lr": {**LR, "when": {"algo": "klip"}}}, "algo.lr: when algo=klip cannot be: no such choice 'klip'"),
    ({"algo.lr": {**LR, "when": {"algo.epochs": 0}}}, "algo.lr: when algo.epochs=0 cannot be: 0 is not in [1, 1000]"),
    ({"algo.lr": {**LR, "when": {"algo.lr": 1e-3}}}, "algo.lr: is searched under a condition on itself"),
    (
        {"algo": {"choices": ["clip", "no_clip"]}, "algo.kl_target": {**LR, "when": {"algo": "adaptive_kl"}}},
        "algo.kl_target: when algo=adaptive_kl cannot occur: algo is searched in {clip, no_clip}",
    ),
    (
        {
            "algo.epochs": {"choices": [5, 10], "when": {"algo.norm_adv": "batch"}},
            "algo.norm_adv": {"choices": ["batch", "off"], "when": {"algo.vf_clip": 0.2}},
            "algo.vf_clip": {"choices": [None, 0.2], "when": {"algo.epochs": 5}},
        },
        "algo.epochs: is searched under conditions that go round in a circle: "
        "algo.epochs → algo.norm_adv → algo.vf_clip → algo.epochs; break it",
    ),
    # together
    ({"total_steps": {"choices": [100_000, 200_000]}}, "total_steps: is searched, so trials have no rungs in common"),
    (
        {"algo.minibatch_size": {"choices": [64, 4096]}},
        "algo.minibatch_size: a minibatch of 4096 does not fit into a rollout of n_steps 32 × n_envs 64 = 2048 samples",
    ),
    (
        {"network.shared": {"choices": [True, False]}, "algo.grad_clip": {"choices": ["joint", "separate"]}},
        "algo.grad_clip: separate clipping needs separate networks",
    ),
    ({"algo.n_steps": {"low": 64, "high": 2_000_000}}, "total_steps: 1000000 is less than one rollout"),
]


@pytest.mark.parametrize(
    ("definitions", "said"), WRONG, ids=[f"{index}-{next(iter(entry), 'empty')}" for index, (entry, _) in enumerate(WRONG)]
)
def test_a_wrong_definition_is_named(definitions: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        space(definitions)
    assert said in str(raised.value)


TYPED = {
    "algo.lr": {
        "interval(1e-2, 1e-5)": "low 0.01 is greater than high 1e-05",
        "tag(log, interval(0, 1e-2))": "a logarithmic scale begins above 0",
        "tag(lin, interval(1e-5, 1e-2))": "no such tag: lin; the only one is log",
        "tag(log, choice(1e-5, 1e-2))": "a logarithmic scale is for an interval",
        "choice()": "empty choice is not legal",
        "choice(1e-3)": "has one choice",
        "1e-3,1e-3": "is named twice",
        "choice(1e-3, fast)": "'fast' is not a finite number",
        "range(0.1, 0.05, 0.01)": "holds no value",
        "range(0.1, 0.2, -0.1)": "step -0.1 is not above 0",
        "range(1, 2)": "holds one value",
        "interval(1e-5": "cannot be read",
    },
    "algo.epochs": {"interval(2.5, 10)": "2.5 is not a whole number"},
    "algo.kl_target": {"interval(0.01, 0.02)": "is used only with algo.surrogate=adaptive_kl, but algo.surrogate is clip"},
}


@pytest.mark.parametrize(("key", "text", "said"), [(key, text, said) for key, texts in TYPED.items() for text, said in texts.items()])
def test_a_wrong_sweep_on_the_command_line_is_named(key: str, text: str, said: str) -> None:
    conditional = {"algo.kl_target": {"low": 0.003, "high": 0.03, "when": {"algo.surrogate": "adaptive_kl"}}}
    with pytest.raises(ConfigError) as raised:
        space(conditional, typed={key: text})
    assert str(raised.value).startswith(f"{key}: ")
    assert said in str(raised.value)


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"samplr": "tpe"}, "sweep.samplr: no such option of a study; did you mean sweep.sampler"),
    ({"sampler": "tpee"}, "sweep.sampler: 'tpee' is not one of tpe | gp | cmaes | qmc | random | grid | nsga2; did you mean tpe?"),
    ({"pruner": None}, "sweep.pruner: null is not one of median |"),
    ({"n_trials": 0}, "sweep.n_trials: 0 is not a whole number from 1 to"),
    ({"seeds": 2.5}, "sweep.seeds: 2.5 is not a whole number"),
    ({"seeds": [0, 1, 2]}, "sweep.seeds: [0, 1, 2] is not a whole number"),
    ({"metric": "average"}, "sweep.metric: 'average' is not one of mean |"),
    ({"metric": "auk.mean"}, "did you mean auc.mean"),
    ({"metric": ["mean", "mean"]}, "names one objective twice"),
    ({"metric": "iqm"}, "sweep.metric: iqm of sweep.seeds=3 is not defined; use sweep.seeds=4 or more"),
    ({"metric": "mean_minus_std", "seeds": 1}, "mean_minus_std of sweep.seeds=1 is not defined"),
    ({"metric": ["mean", "std"]}, "2 objectives need as many directions, not 1"),
    (
        {"metric": ["mean", "std"], "direction": ["maximize", "minimize"]},
        "sweep.pruner: median compares one number, but there are 2 objectives; use sweep.pruner=none",
    ),
    (
        {"metric": ["mean", "std"], "direction": ["maximize", "minimize"], "pruner": "none", "sampler": "cmaes"},
        "sweep.sampler: cmaes optimises one objective, not 2",
    ),
    ({"metric": "std", "direction": "minimize"}, "sweep.metric: std says how far scores spread, not how good they are"),
    ({"metric": ["auc.std", "mean"]}, "auc.std says how far scores spread"),
    ({"pruner": "wilcoxon", "seeds": 4, "env": ["hopper", "pendulum"]}, "which hopper and pendulum have on different scales"),
    ({"direction": "up"}, "sweep.direction: 'up' is not one of maximize | minimize"),
    ({"pruner": "wilcoxon"}, "needs at least 4 of them: with sweep.seeds=3 its smallest p is 0.125; use sweep.seeds=4 or more"),
    ({"rungs": [0.5, 0.25]}, "sweep.rungs: [0.5, 0.25] is not a rising list of places"),
    ({"rungs": [0.5, 200_000]}, "mixes shares of the budget (below 1) with environment steps"),
    ({"rungs": 3, "pruner": "none"}, "sweep.rungs: nothing is pruned with sweep.pruner=none"),
    ({"prune_audit": 1.5}, "sweep.prune_audit: 1.5 is not a number from 0 to 1"),
    ({"timeout": "2h"}, "sweep.timeout: '2h' is not a number of at least 1, or null; for example 3600"),
    ({"max_env_steps": -1}, "sweep.max_env_steps: -1 is not a whole number"),
    ({"storage": "here.db"}, "sweep.storage: 'here.db' is not the URL of a database"),
    ({"env": ["hopper", "hopper"]}, "sweep.env: ['hopper', 'hopper'] names an environment twice"),
    ({"confirm_top": 9}, "sweep.confirm_top: 9 is not a whole number from 0 to 8"),
]


@pytest.mark.parametrize(("given", "said"), OPTIONS, ids=str)
def test_a_wrong_option_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        StudyOptions.of(given)
    assert said in str(raised.value)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        space({"algo.lrr": LR, "algo.epochs": {"choices": []}, "seed": {"choices": [1, 2]}, "algo": {"choices": ["clip", "klip"]}})
    assert {fault.key for fault in raised.value.faults} == {"algo.lrr", "algo.epochs", "seed", "algo"}
    with pytest.raises(ConfigError) as raised:
        StudyOptions.of({"sampler": "x", "n_trials": -1, "foo": 1})
    assert len(raised.value.faults) == 3
    with pytest.raises(ConfigError) as raised:
        StudyOptions.of({"n_trials": 0, "pruner": "wilcoxon", "metric": "iqm", "seeds": 3})
    assert [fault.key for fault in raised.value.faults] == ["sweep.n_trials", "sweep.metric", "sweep.pruner"]


def test_an_environment_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match=r"sweep\.env: no such choice 'hoper'; did you mean hopper\?"):
        space({"algo.lr": LR}, environments=("hopper", "hoper"))


def test_several_seeds_are_refused_with_a_pointer_to_sweep_seeds() -> None:
    assert sampler_seed(4) == sampler_seed([4]) == 4
    with pytest.raises(ConfigError, match=r"seed: 0,1,2: one seed, a whole number, seeds the study's sampler; .* sweep\.seeds=3"):
        sampler_seed((0, 1, 2))
    with pytest.raises(ConfigError, match=r"seed: -1: one seed, a whole number, .* sweep\.seeds$"):
        sampler_seed(-1)


def test_a_grid_without_end_and_too_few_numbers_for_cmaes_are_named() -> None:
    made = space({"algo.lr": LR, "algo.epochs": {"choices": [5, 10]}})
    [fault] = samplers.faults("grid", made)
    assert fault.key == "algo.lr"
    assert "has no end of values for a grid" in fault.message
    [fault] = samplers.faults(
        "grid", space({"algo.epochs": {"low": 1, "high": 1000}, "algo.lr": {"low": 1e-4, "high": 2e-2, "step": 1e-4}})
    )
    assert str(fault) == "sweep.sampler: a grid of 200000 combinations at most; a study may list 100000: use another sampler, or steps"
    assert any("at least 2 intervals" in fault.message for fault in samplers.faults("cmaes", made))


def test_a_missing_package_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers, "find_spec", lambda name: None)
    made = space({"algo.lr": LR, "algo.gamma": {"low": 0.9, "high": 0.99}})
    [fault] = samplers.faults("cmaes", made)
    assert str(fault) == "sweep.sampler: cmaes needs the package cmaes: pip install cmaes; or use sweep.sampler=tpe"


def test_a_rung_shorter_than_an_episode_in_each_environment_is_named() -> None:
    budget = Budget(space({"algo.lr": LR}, algo__n_envs=8, algo__n_steps=256).config({}), horizon=1000)
    with pytest.raises(ConfigError, match=r"a rung at 4000 is shorter than one episode .* = 8000 environment steps"):
        place([budget], "median", (4000, 500_000))
    with pytest.raises(ConfigError, match="a rung at 2e\\+06 is at or behind the end"):
        place([budget], "median", (500_000, 2_000_000))


def test_a_knob_that_is_never_used_is_left_out_with_a_note_unless_it_was_typed() -> None:
    conditional = {"algo.lr": LR, "algo.kl_target": {"low": 0.003, "high": 0.03, "when": {"algo": "adaptive_kl"}}}
    made = space(conditional)
    assert [searched.key for searched in made.searched] == ["algo.lr"]
    assert made.notes == ("algo.kl_target is not searched: it is used only with algo=adaptive_kl, and algo is clip",)
    assert [searched.key for searched in space(conditional, algo="adaptive_kl").searched] == ["algo.lr", "algo.kl_target"]


def test_too_many_sets_of_choices_are_refused_before_they_are_composed() -> None:
    groups = {
        "algo": {"choices": ["clip", "adaptive_kl", "fixed_kl", "no_clip"]},
        "recipe": {"choices": ["article", "bare", "paper", "standard", "strong"]},
        "tuned": {"choices": ["none", "standard_pendulum", "strong_pendulum"]},
    }
    with (
        compositions(env="hopper") as made,
        pytest.raises(ConfigError, match=r"120 sets of group choices .* in 2 environments, more than 200"),
    ):
        Space.read(groups, made, environments=("hopper", "walker2d"))
