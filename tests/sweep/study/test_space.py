"""Search spaces: what they hold, and the way from parameters to configurations and back."""

from __future__ import annotations

import math

import optuna
import pytest
from spaces import compositions, default_space, space

from ppo_sweep.sweep.study.domains import ZERO_SHARE, Choices, Interval, Outside
from ppo_sweep.sweep.study.options import StudyOptions
from ppo_sweep.sweep.study.space import Space

LR = {"low": 1e-5, "high": 1e-2, "log": True}


def asked(space: Space, count: int, seed: int = 0) -> list[dict[str, object]]:
    """Parameters of random trials."""
    storage = optuna.storages.InMemoryStorage()
    storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "test")
    study = optuna.Study("test", storage, sampler=optuna.samplers.RandomSampler(seed=seed))
    return [space.suggest(study.ask()) for _ in range(count)]


def test_the_default_space_is_that_of_the_protocol() -> None:
    made = default_space()
    assert made.lines() == [
        "algo.lr               log [3e-5, 0.003]",
        "algo.gamma            1 − x, x in log [0.0001, 0.1]",
        "algo.gae_lambda       1 − x, x in log [0.005, 0.3]",
        "algo.clip_eps         {0.1, 0.2, 0.3}  if algo.surrogate is clip",
        "algo.max_kl           {null, 0.01, 0.02, 0.05}",
        "algo.ent_coef         {0} ∪ log [1e-5, 0.02]",
        "network.log_std_init  [-1.5, 0]",
        "algo.epochs           {5, 10, 20}",
    ]
    assert str(made.signatures()) == "1 static signature"


@pytest.mark.parametrize("recipe", ["standard", "strong", "paper", "article", "bare"])
@pytest.mark.parametrize("env", ["pendulum", "hopper"])
def test_the_default_configuration_lies_in_the_default_space_unless_it_says_so(recipe: str, env: str) -> None:
    made = default_space(recipe=recipe, env=env)
    outside = {"article": ("algo.max_kl",)}.get(recipe, ())
    assert made.default().outside == outside
    if not outside:
        overrides = made.overrides(made.default().params)
        assert made.config(overrides) == made.config({})


def test_the_surrogate_decides_which_of_its_knobs_is_searched() -> None:
    def keys(**fixed: object) -> set[str]:
        return {searched.key for searched in default_space(**fixed).searched}

    assert keys(algo="adaptive_kl") - keys() == {"algo.kl_target"}
    assert keys() - keys(algo="adaptive_kl") == {"algo.clip_eps"}
    assert keys(algo="no_clip") < keys()


def test_a_conditional_knob_is_searched_exactly_when_its_condition_holds() -> None:
    made = space(
        {
            "algo.kl_target": {"low": 0.003, "high": 0.03, "log": True, "when": {"algo": "adaptive_kl"}},
            "algo": {"choices": ["clip", "adaptive_kl"]},
            "algo.clip_eps": {"choices": [0.1, 0.3], "when": {"algo.surrogate": "clip"}},
        }
    )
    trials = [made.overrides(params) for params in asked(made, 30)]
    assert {trial["algo"] for trial in trials} == {"clip", "adaptive_kl"}
    for trial in trials:
        assert ("algo.kl_target" in trial) == (trial["algo"] == "adaptive_kl")
        assert ("algo.clip_eps" in trial) == (trial["algo"] == "clip")
        assert next(iter(trial)) == "algo"
        config = made.config(trial)
        assert config.algo.surrogate == trial["algo"]
        assert config.algo.kl_target == trial.get("algo.kl_target", 0.01)


def test_conditions_follow_conditions() -> None:
    made = space(
        {
            "algo.max_kl_on": {"choices": ["epoch", "minibatch"], "when": {"algo.max_kl": [0.01, 0.02]}},
            "algo.max_kl": {"choices": [None, 0.01, 0.02]},
            "algo.kl_estimator": {"choices": ["k1", "k3"], "when": {"algo.max_kl_on": "minibatch"}},
        }
    )
    for params in asked(made, 40):
        assert ("algo.max_kl_on" in params) == (params["algo.max_kl"] is not None)
        assert ("algo.kl_estimator" in params) == (params.get("algo.max_kl_on") == "minibatch")


def test_parameters_and_overrides_are_each_other_s_inverse() -> None:
    made = default_space()
    for params in asked(made, 50):
        overrides = made.overrides(params)
        back = made.params(overrides)
        assert back.keys() == params.keys()
        again = made.overrides(back)
        assert again.keys() == overrides.keys()
        for key, value in overrides.items():
            assert again[key] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)
        config = made.config(overrides)
        assert config.algo.lr == overrides["algo.lr"]
        assert config.algo.gamma == 1 - params["1-algo.gamma"]  # type: ignore[operator]


def test_an_override_that_the_space_does_not_hold_has_no_parameters() -> None:
    made = space({"algo.lr": LR, "algo.max_kl": {"choices": [None, 0.02]}})
    for wrong in ({"algo.lr": 1.0}, {"algo.max_kl": 0.05}, {"algo.epochs": 5}, {"algo.lr": "fast"}):
        with pytest.raises(Outside):
            made.params(wrong)


def test_zero_beside_a_logarithmic_interval_has_its_share() -> None:
    made = Interval(1e-5, 0.02, log=True, zero=True)
    length = math.log(made.high / made.bottom)
    assert math.log(made.low / made.bottom) / length == pytest.approx(ZERO_SHARE)
    assert made.value(made.bottom) == 0.0
    assert made.value(made.low) == made.low
    assert made.value(made.coordinate(0)) == 0.0
    trials = asked(space({"algo.ent_coef": {"low": 1e-5, "high": 0.02, "log": True, "zero": True}}), 500)
    share = sum(params["algo.ent_coef (0 below 1e-05)"] < 1e-5 for params in trials) / len(trials)  # type: ignore[operator]
    assert abs(share - ZERO_SHARE) < 3 * math.sqrt(0.2 * 0.8 / 500)


def test_one_minus_searches_discounts_on_the_scale_on_which_they_differ() -> None:
    made = space({"algo.gamma": {"low": 1e-4, "high": 0.1, "log": True, "one_minus": True}})
    gammas = sorted(made.overrides(params)["algo.gamma"] for params in asked(made, 300))
    assert gammas[0] >= 0.9
    assert gammas[-1] <= 0.9999
    assert gammas[150] == pytest.approx(1 - math.sqrt(1e-4 * 0.1), abs=0.002)
    assert space({"algo.gamma": {"low": 1e-4, "high": 0.1, "log": True, "one_minus": True}}, env="pendulum").default().params == {
        "1-algo.gamma": 0.1
    }


@pytest.mark.parametrize(
    ("key", "text", "domain"),
    [
        ("algo.lr", "tag(log, interval(1e-5, 1e-2))", Interval(1e-5, 1e-2, log=True)),
        ("algo.lr", "interval(0.001, 0.01)", Interval(0.001, 0.01)),
        ("algo.max_kl", "choice(0.02,0.05,null)", Choices((0.02, 0.05, None))),
        ("algo.max_kl", "0.02,null", Choices((0.02, None))),
        ("algo.epochs", "int(interval(5, 20))", Interval(5, 20, whole=True)),
        ("algo.epochs", "interval(5, 20)", Interval(5, 20, whole=True)),
        ("algo.epochs", "tag(log, int(interval(4, 64)))", Interval(4, 64, log=True, whole=True)),
        ("algo.epochs", "range(5, 21, 5)", Interval(5, 20, step=5, whole=True)),
        ("algo.gamma", "range(0.9, 1.0, 0.02)", Interval(0.9, 0.98, step=0.02)),
        ("algo.epochs", "shuffle(range(5, 21, 5))", Choices((5, 10, 15, 20))),
        ("network.hidden", "choice([64,64],[256,256])", Choices(((64, 64), (256, 256)))),
        ("algo.norm_adv", "batch,off", Choices(("batch", "off"))),
        ("algo", "clip,adaptive_kl", Choices(("clip", "adaptive_kl"))),
    ],
)
def test_the_override_syntax_of_hydra_s_optuna_plugin(key: str, text: str, domain: object) -> None:
    [searched] = space({}, typed={key: text}).searched
    found = searched.domain
    if isinstance(found, Choices):
        found = Choices(tuple(sorted(found.values, key=repr))) if "shuffle" in text else found
        domain = Choices(tuple(sorted(domain.values, key=repr))) if "shuffle" in text and isinstance(domain, Choices) else domain
    assert found == domain


def test_a_sweep_of_the_command_line_replaces_the_entry_and_keeps_its_condition() -> None:
    entry = {"algo.clip_eps": {"choices": [0.1, 0.2], "when": {"algo.surrogate": "clip"}}, "algo.lr": LR}
    made = space(entry, typed={"algo.clip_eps": "interval(0.05, 0.4)", "algo.epochs": "5,10"})
    assert made.lines() == [
        "algo.clip_eps  [0.05, 0.4]  if algo.surrogate is clip",
        "algo.lr        log [1e-5, 0.01]",
        "algo.epochs    {5, 10}",
    ]


def test_a_fixed_knob_and_a_null_entry_are_not_searched() -> None:
    made = space({"algo.lr": LR, "algo.epochs": {"choices": [5, 10]}, "algo.gamma": None}, algo__lr=1e-3)
    assert [searched.key for searched in made.searched] == ["algo.epochs"]
    assert made.config({"algo.epochs": 5}).algo.lr == 1e-3


def test_a_list_can_be_a_choice() -> None:
    made = space({"network.hidden": {"choices": [[64, 64], [256, 256]]}})
    widths = {made.config(made.overrides(params)).network.hidden for params in asked(made, 20)}
    assert widths == {(64, 64), (256, 256)}
    assert made.default().params == {"network.hidden": "[64,64]"}
    assert made.signatures().count == 2


def test_signatures_are_counted_over_choices_of_static_knobs_and_groups() -> None:
    shapes = {"algo.n_steps": {"choices": [1024, 2048]}, "algo.n_envs": {"choices": [1, 4]}, "algo.lr": LR}
    assert space(shapes, recipe="standard").signatures().count == 4
    assert space({"recipe": {"choices": ["strong", "paper"]}}).signatures().count == 2  # vf_clip is a member's, clip_action is not
    assert str(space({"algo.n_steps": {"low": 512, "high": 4096}}).signatures()) == "at least 3 static signatures"
    two = space({"algo.lr": LR}, environments=("hopper", "walker2d"))
    assert two.signatures().count == 2


def test_several_environments_share_a_configuration_and_keep_their_own_defaults() -> None:
    made = space({"algo.lr": LR, "algo.epochs": {"choices": [5, 10]}}, environments=("pendulum", "hopper"))
    assert made.config({}, "pendulum").algo.gamma == 0.9
    assert made.config({}, "hopper").algo.gamma == 0.99
    assert made.config({"algo.lr": 2e-3}, "hopper").env.id == "Hopper-v5"
    default = made.default()
    assert default.outside == ("algo.lr",)  # 1e-3 by tuned/standard_pendulum, 3e-4 elsewhere
    assert default.params == {"algo.epochs": 10}


def test_a_space_is_described_in_plain_values() -> None:
    made = space({"algo": {"choices": ["clip", "adaptive_kl"]}, "algo.kl_target": {**LR, "when": {"algo": "adaptive_kl"}}})
    assert made.describe() == {
        "algo": {"choices": ["clip", "adaptive_kl"]},
        "algo.kl_target": {"low": 1e-5, "high": 1e-2, "log": True, "when": {"algo": ["adaptive_kl"]}},
    }


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes", "qmc", "random", "nsga2", "grid_study"])
def test_every_shipped_study_composes_to_valid_options(name: str) -> None:
    words = {"sweep.metric": ["mean", "std"], "sweep.direction": ["maximize", "minimize"]} if name == "nsga2" else {}
    with compositions() as made:
        values = made.composer.compose({"sweep": name}).values["sweep"]
    options = StudyOptions.of({**values, **{key.removeprefix("sweep."): value for key, value in words.items()}})
    assert options.sampler == name.removesuffix("_study")
    if name == "tpe":
        assert options == StudyOptions()


def test_a_study_without_a_file_s_space_searches_what_is_typed() -> None:
    with compositions() as made:
        values = made.composer.compose({"sweep": "tpe", "sweep/space": "none"}).values["sweep"]
    assert values["space"] == {}


def test_an_end_of_zero_belongs_to_the_description() -> None:
    assert space({"network.log_std_init": {"low": -1.5, "high": 0.0}}).describe()["network.log_std_init"] == {"low": -1.5, "high": 0.0}
