"""The typed configuration: every knob with its unit, range, default and where the default comes from.

Floor 0: imports nothing of this package and no heavy library, so that a wrong command line is
answered in well under a second. ``conf/*.yaml`` holds *choices*; this file is the *schema*, the
source of ``docs/knobs.md`` and of every message about a wrong value.

Letters: T steps per rollout and environment, N environments per member, B minibatch, K epochs.
Sources: "PPO" Schulman et al. 2017 (arXiv 1707.06347), "37 details" Huang et al. 2022 (ICLR blog
track), "GAE" Schulman et al. 2016 (arXiv 1506.02438), "ours" = chosen here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import Any

SCHEMA_VERSION = 1

#: Keys that say *how* a run is carried out, not *what* is computed: neither in a run's name nor in its hash.
OPERATIONAL_KEYS = ("study", "results", "force", "device", "logger", "checkpoint_every", "retry_failed")


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a configuration, worded for the person who typed it."""

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


class ConfigError(ValueError):
    """A configuration with at least one fault; ``faults`` holds all of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


@dataclass(frozen=True)
class Knob:
    """What is known of one knob beside its type and default (kept as dataclass field metadata)."""

    doc: str
    source: str = "ours"
    unit: str = ""
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    choices: tuple[str, ...] = ()
    example: Any = None
    #: True: may differ between members of one population. False: part of the static signature.
    member: bool = False

    @property
    def range(self) -> str:
        """The allowed values in words: ``> 0``, ``0 … 1``, ``a | b``."""
        if self.choices:
            return " | ".join(self.choices)
        low, high = self.low, self.high
        if low is None and high is None:
            return ""
        if high is None:
            return f"{'>' if self.open_low else '≥'} {low:g}"
        if low is None:
            return f"{'<' if self.open_high else '≤'} {high:g}"
        left, right = ("(" if self.open_low else "["), (")" if self.open_high else "]")
        return f"{left}{low:g}, {high:g}{right}"


def _knob(default: Any, doc: str, **about: Any) -> Any:
    """A dataclass field that carries a :class:`Knob`."""
    meta = {"knob": Knob(doc, **about)}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=meta)
    return field(default=default, metadata=meta)


@dataclass(frozen=True)
class AlgoConfig:
    """PPO: the surrogate, the optimiser, the data it works on."""

    # --- the surrogate (PPO §3, §4, §6.1) ---
    surrogate: str = _knob(
        "clip", "objective of the policy", choices=("clip", "adaptive_kl", "fixed_kl", "none"), source="PPO eq. 7", member=True
    )
    clip_eps: float = _knob(0.2, "ε: the ratio is clipped to [1 − ε, 1 + ε]", low=0, open_low=True, source="PPO Table 1", member=True)
    clip_end: float = _knob(
        1.0, "fraction of clip_eps reached at the end of the budget (1 = constant)", low=0, high=1, source="37 details", member=True
    )
    kl_beta: float = _knob(1.0, "β: weight of the KL penalty (its start under adaptive_kl)", low=0, source="PPO Table 1", member=True)
    kl_target: float = _knob(
        0.01, "d_targ of adaptive_kl", unit="nats", low=0, open_low=True, source="PPO Table 1", example=0.01, member=True
    )
    kl_beta_factor: float = _knob(2.0, "β is multiplied or divided by this", low=1, source="PPO §4", member=True)
    kl_beta_tolerance: float = _knob(
        1.5, "β changes when KL leaves [d_targ / tolerance, d_targ · tolerance]", low=1, source="PPO §4", member=True
    )
    # --- the KL stop ---
    max_kl: float | None = _knob(
        None, "stop updating in this iteration once KL exceeds this; null = never", unit="nats", low=0, open_low=True,
        source="37 details (auxiliary)", example=0.02, member=True,
    )  # fmt: skip
    max_kl_on: str = _knob(
        "epoch",
        "where the KL is measured: the whole batch after each epoch; each minibatch before its step, stopping at once; "
        "after each epoch the largest minibatch so far, or the last one",
        choices=("epoch", "minibatch", "minibatch_max", "minibatch_last"),
        member=True,
    )
    max_kl_stops: str = _knob("both", "what stops: policy and critic, or the policy only", choices=("both", "policy"), member=True)
    kl_estimator: str = _knob(
        "exact", "how the KL of the stop is measured: exact, k1 = mean(log π_old − log π), k3 = mean((r − 1) − log r)",
        choices=("exact", "k1", "k3"), source="Schulman 2020, Approximating KL divergence", member=True,
    )  # fmt: skip
    # --- the optimiser ---
    lr: float = _knob(3e-4, "Adam step size", low=0, open_low=True, source="PPO Table 3", member=True)
    lr_end: float = _knob(
        0.0, "fraction of lr reached at the end of the budget (0 = annealed to nothing, 1 = constant)",
        low=0, high=1, source="37 details", member=True,
    )  # fmt: skip
    adam_eps: float = _knob(1e-5, "Adam's ε", low=0, open_low=True, source="37 details", member=True)
    max_grad_norm: float | None = _knob(
        0.5, "gradients longer than this (L2) are scaled down to it; null = off", low=0, open_low=True, source="37 details", member=True
    )
    grad_clip: str = _knob(
        "joint", "one norm over policy and critic, or one each", choices=("joint", "separate"), source="37 details", member=True
    )
    optimizer: str = _knob("adam", "optimiser", choices=("adam", "sgd"), source="PPO Table 3")
    # --- the data ---
    n_steps: int = _knob(2048, "T: steps per rollout and environment", unit="agent steps", low=1, source="PPO Table 3")
    n_envs: int = _knob(1, "N: environments per member", low=1, high=4096, source="PPO Table 3")
    minibatch_size: int = _knob(64, "B: samples per gradient step", low=1, source="PPO Table 3")
    epochs: int = _knob(10, "K: passes over each rollout", low=1, high=1000, source="PPO Table 3", member=True)
    recompute_adv: bool = _knob(
        False, "recompute values, advantages and targets before each epoch", source="Andrychowicz et al. 2021 (arXiv 2006.05990)"
    )
    # --- returns and advantages ---
    gamma: float = _knob(0.99, "γ: discount per agent step", low=0, high=1, source="PPO Table 3", member=True)
    gae_lambda: float = _knob(0.95, "λ of GAE", low=0, high=1, source="PPO Table 3", member=True)
    value_target: str = _knob(
        "gae", "the critic's target: V + Â, or discounted rewards without bootstrap", choices=("gae", "returns"), source="37 details"
    )
    bootstrap_cut: str = _knob(
        "next", "value at a non-terminal cut: of the true next observation, or of the same step (Schulman's first code)",
        choices=("next", "same"), source="GAE",
    )  # fmt: skip
    norm_adv: str = _knob(
        "minibatch", "advantages standardised per minibatch, over the whole batch, or not", choices=("minibatch", "batch", "off"),
        source="37 details", member=True,
    )  # fmt: skip
    # --- losses beside the surrogate ---
    ent_coef: float = _knob(0.0, "weight of the entropy bonus (c₂)", low=0, source="PPO §6.1", example=0.01, member=True)
    vf_coef: float = _knob(
        0.25, "weight of mean (V − R)², without ½: CleanRL's 0.5 is 0.25 here (c₁)", low=0, source="37 details", member=True
    )
    vf_clip: float | None = _knob(
        0.2, "the value may leave its old value by this before the loss is clipped; null = off", low=0, open_low=True,
        source="37 details", member=True,
    )  # fmt: skip
    # --- normalisation ---
    norm_obs: str = _knob(
        "mean_std", "observations: centred and scaled, centred, scaled, or as they are", choices=("mean_std", "mean", "std", "off"),
        source="37 details", member=True,
    )  # fmt: skip
    norm_obs_update: str = _knob(
        "step", "when the observation statistics move: every step, or once per rollout", choices=("step", "rollout"),
        source="37 details", member=True,
    )  # fmt: skip
    clip_obs: float | None = _knob(
        10.0, "normalised observations are clipped to ± this; null = off", low=0, open_low=True, source="37 details", member=True
    )
    norm_reward: bool = _knob(True, "rewards divided by the std of the running discounted return", source="37 details", member=True)
    clip_reward: float | None = _knob(
        10.0, "scaled rewards are clipped to ± this; null = off", low=0, open_low=True, source="37 details", member=True
    )
    # --- measurements ---
    grad_stats_every: int = _knob(
        0, "measure gradient noise every so many iterations; 0 = off (not in this version)", unit="iterations", low=0
    )


@dataclass(frozen=True)
class NetworkConfig:
    """Actor and critic: two multilayer perceptrons."""

    hidden: tuple[int, ...] = _knob((64, 64), "widths of the hidden layers", low=1, high=4096, source="PPO §6.1", example=[64, 64])
    activation: str = _knob("tanh", "non-linearity", choices=("tanh", "relu"), source="PPO §6.1")
    shared: bool = _knob(False, "actor and critic share the hidden layers", source="PPO §6.1")
    mean: str = _knob(
        "free", "the policy's mean: the last layer itself, or tanh of it times the action limit", choices=("free", "tanh"),
        source="37 details",
    )  # fmt: skip
    init: str = _knob(
        "orthogonal", "initial weights: orthogonal (√2, heads 0.01 and 1), column-normalised normal (heads 0.01 and 1), torch's default",
        choices=("orthogonal", "normc", "default"), source="37 details", member=True,
    )  # fmt: skip
    log_std_init: float = _knob(
        0.0, "log σ of the policy at the start", unit="log(action units)", low=-20, high=2, source="37 details", member=True
    )


@dataclass(frozen=True)
class EnvConfig:
    """One Gymnasium environment."""

    id: str = _knob("Pendulum-v1", "registered id, also module:Name-v0", example="Hopper-v5")
    kwargs: dict[str, Any] = _knob({}, "passed to gymnasium.make", example="{ctrl_cost_weight: 0.05}")
    max_episode_steps: int | None = _knob(None, "time limit; null = the registered one", unit="environment steps", low=1, example=1000)
    action_repeat: int = _knob(1, "environment steps per agent step", low=1, high=100, source="article (dmc)")
    clip_action: bool = _knob(True, "actions are clipped at the bounds before the step; the unclipped one is stored", source="37 details")
    bootstrap_timeouts: bool = _knob(
        True, "a time limit bootstraps the value of the true next observation; false = it counts as terminal",
        source="Pardo et al. 2018 (arXiv 1712.00378)",
    )  # fmt: skip
    stagger: bool | None = _knob(None, "first episodes are cut so that environments start out of phase; null = when N > 1")
    score_random: float | None = _knob(None, "return of uniform actions, for normalised scores", unit="return")
    score_reference: float | None = _knob(None, "return that counts as 1 in normalised scores", unit="return")


@dataclass(frozen=True)
class EvalConfig:
    """Evaluation beside training: frozen normalisers, raw rewards, own environments."""

    every: int = _knob(0, "evaluate every so many iterations; 0 = off", unit="iterations", low=0, member=True)
    episodes: int = _knob(10, "episodes per evaluation (the last one has 100)", low=1, member=True)
    mode: str = _knob("deterministic", "mean action, sampled action, or both", choices=("deterministic", "sampled", "both"), member=True)


@dataclass(frozen=True)
class Config:
    """Everything that defines one run (one member: one configuration and one seed)."""

    env: EnvConfig = field(default_factory=EnvConfig)
    algo: AlgoConfig = field(default_factory=AlgoConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    seed: int = _knob(0, "every random draw derives from it", low=0, high=2**63 - 1, member=True)
    total_steps: int = _knob(
        300_000, "budget, rounded down to whole rollouts", unit="environment steps", low=1, high=1e12, example=1_000_000, member=True
    )
    score: str = _knob(
        "return_100", "what a run is worth", choices=("return_100", "return_all", "window", "eval", "auc"), source="PPO §6.1", member=True
    )
    study: str | None = _knob(None, "directory under results; null = named after the environments", member=True)
    results: str = _knob("results", "root of all output, relative to the working directory", member=True)
    device: str = _knob("cpu", "where the learner's tensors live", choices=("cpu", "cuda"))
    force: bool = _knob(False, "start anew, deleting what an earlier run of this name left", member=True)
    retry_failed: bool = _knob(True, "run failed runs again; false = leave them", member=True)
    checkpoint_every: int = _knob(25, "checkpoint at least this often (and every minute)", unit="iterations", low=1, member=True)
    logger: str = _knob(
        "csv", "where metrics go beside the CSV tables, which are always written: nowhere (csv), TensorBoard, W&B (offline)",
        choices=("csv", "tensorboard", "wandb"), member=True,
    )  # fmt: skip

    @property
    def batch_size(self) -> int:
        """T·N: samples in one rollout."""
        return self.algo.n_steps * self.algo.n_envs

    @property
    def steps_per_iteration(self) -> int:
        """T·N·action_repeat: environment steps in one iteration."""
        return self.batch_size * self.env.action_repeat

    @property
    def budget(self) -> int:
        """Environment steps of the whole run: ``total_steps`` rounded down to whole rollouts."""
        return self.iterations * self.steps_per_iteration

    @property
    def iterations(self) -> int:
        """I: whole rollouts that fit into ``total_steps``."""
        return self.total_steps // self.steps_per_iteration

    @property
    def stagger(self) -> bool:
        """Whether environments start out of phase."""
        return self.algo.n_envs > 1 if self.env.stagger is None else self.env.stagger

    @cached_property
    def signature(self) -> tuple[tuple[str, Any], ...]:
        """What fixes tensor shapes and the loop; members of one population share it."""
        rows = ((key, value) for key, knob, value in self.walk() if not knob.member)
        return tuple((key, json.dumps(value, sort_keys=True)) for key, value in rows)

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the configuration without operational keys."""
        text = json.dumps(self.to_dict(operational=False), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def walk(self) -> Iterator[tuple[str, Knob, Any]]:
        """Yield ``(full key, knob, value)`` of every knob, in declaration order."""
        for key, knob, _ in knobs():
            value: Any = self
            for part in key.split("."):
                value = getattr(value, part)
            yield key, knob, value

    def to_dict(self, *, operational: bool = True) -> dict[str, Any]:
        """Nested plain values (tuples as lists), ready for YAML or JSON."""
        out: dict[str, Any] = {}
        for key, _, value in self.walk():
            if not operational and key in OPERATIONAL_KEYS:
                continue
            *parents, leaf = key.split(".")
            node = out
            for parent in parents:
                node = node.setdefault(parent, {})
            node[leaf] = list(value) if isinstance(value, tuple) else value
        return out

    def replace(self, **changes: Any) -> Config:
        """A copy with full keys changed: ``config.replace(**{"algo.lr": 1e-3, "seed": 2})``."""
        values = self.to_dict()
        for key, value in changes.items():
            *parents, leaf = key.split(".")
            node = values
            for parent in parents:
                node = node.setdefault(parent, {})
            node[leaf] = value
        return Config.from_dict(values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """Build from nested plain values, checking names, types, ranges and combinations.

        Full keys are accepted as well: ``{"algo.lr": 1e-3, "seed": 2}``.

        Raises:
            ConfigError: with every fault found, not only the first.
        """
        faults: list[Fault] = []
        config = _build(cls, _nested(values, faults), "", faults)
        if not faults:
            faults = list(combination_faults(config))
        if faults:
            raise ConfigError(faults)
        return typing.cast(Config, config)


def knobs() -> Iterator[tuple[str, Knob, dataclasses.Field[Any]]]:
    """Yield ``(full key, knob, dataclass field)`` of every knob, in declaration order."""
    yield from _knobs_of(Config, "")


def defaults() -> dict[str, Any]:
    """The typed defaults as nested plain values: the first layer of every composition."""
    return Config().to_dict()


def parse(key: str, value: Any) -> Any:
    """Coerce and check one value of the knob ``key``.

    Raises:
        ConfigError: if there is no such knob or the value does not fit.
    """
    for name, knob, spec in knobs():
        if name == key:
            faults: list[Fault] = []
            parsed = _coerce(_type_of(spec), knob, key, value, faults)
            if faults:
                raise ConfigError(faults)
            return parsed
    raise ConfigError([Fault(key, "no such knob")])


def combination_faults(config: Config) -> Iterator[Fault]:
    """Choices that are each fine but do not go together: which two, and why."""
    algo, network = config.algo, config.network
    if algo.minibatch_size > config.batch_size:
        yield Fault(
            "algo.minibatch_size",
            f"a minibatch of {algo.minibatch_size} does not fit into a rollout of "
            f"n_steps {algo.n_steps} × n_envs {algo.n_envs} = {config.batch_size} samples; "
            f"use algo.minibatch_size={min(64, config.batch_size)} or a longer rollout",
        )
    if config.iterations < 1:
        yield Fault(
            "total_steps",
            f"{config.total_steps} is less than one rollout of n_steps {algo.n_steps} × n_envs {algo.n_envs} × "
            f"action_repeat {config.env.action_repeat} = {config.steps_per_iteration} environment steps; "
            f"use total_steps={config.steps_per_iteration} or more, or a smaller algo.n_steps",
        )
    if network.shared and algo.grad_clip == "separate" and algo.max_grad_norm is not None:
        yield Fault(
            "algo.grad_clip",
            "separate clipping needs separate networks, but network.shared=true gives actor and critic the same hidden layers; "
            "use algo.grad_clip=joint",
        )
    if network.shared and algo.max_kl is not None and algo.max_kl_stops == "policy":
        yield Fault(
            "algo.max_kl_stops",
            "the policy alone cannot stop while network.shared=true lets the critic move its hidden layers; use algo.max_kl_stops=both",
        )
    if config.score == "eval" and config.eval.mode == "sampled":
        yield Fault("score", "score=eval is the deterministic evaluation, but eval.mode=sampled makes none; use eval.mode=both")
    if algo.grad_stats_every > 0:
        yield Fault("algo.grad_stats_every", "measuring gradient noise comes with a later version; remove it")
    if config.logger != "csv" and not _installed(config.logger):
        yield Fault("logger", f"{config.logger!r} needs a package that is missing; install it with pip install -e '.[{config.logger}]'")


def _installed(package: str) -> bool:
    """Whether the package can be imported; a directory of that name, as W&B makes in working directories, is none."""
    found = find_spec(package)
    return found is not None and found.origin is not None


def _knobs_of(cls: type[Any], prefix: str) -> Iterator[tuple[str, Knob, dataclasses.Field[Any]]]:
    for spec in dataclasses.fields(cls):
        if "knob" in spec.metadata:
            yield prefix + spec.name, spec.metadata["knob"], spec
        else:
            yield from _knobs_of(_type_of(spec), f"{prefix}{spec.name}.")


def _nested(values: Any, faults: list[Fault]) -> Any:
    """``values`` with its full keys (``algo.lr``) moved into their groups; what was handed in is not changed."""
    if not isinstance(values, Mapping):
        return values
    out = {key: value for key, value in values.items() if not (isinstance(key, str) and "." in key)}
    for key in (key for key in values if key not in out):
        *parents, leaf = key.split(".")
        node = out
        for parent in parents:
            below = node.get(parent, {})
            if not isinstance(below, Mapping):
                faults.append(unknown_key(key))
                break
            node[parent] = node = dict(below)
        else:
            if leaf in node:
                faults.append(Fault(key, "given twice, as a full key and in its group; keep one"))
            node[leaf] = values[key]
    return out


_SECTIONS: dict[str, type[Any]] = {
    "AlgoConfig": AlgoConfig, "NetworkConfig": NetworkConfig, "EnvConfig": EnvConfig, "EvalConfig": EvalConfig,
}  # fmt: skip


def _type_of(spec: dataclasses.Field[Any]) -> Any:
    """The resolved type of a field (annotations are strings under ``from __future__ import annotations``)."""
    name = str(spec.type)
    return _SECTIONS.get(name) or _TYPES[name]


_TYPES: dict[str, Any] = {
    "int": int, "float": float, "bool": bool, "str": str, "int | None": int | None, "float | None": float | None,
    "str | None": str | None, "bool | None": bool | None, "tuple[int, ...]": tuple[int, ...], "dict[str, Any]": dict[str, Any],
}  # fmt: skip


def _build(cls: type[Any], values: Any, prefix: str, faults: list[Fault]) -> Any:
    """Construct dataclass ``cls`` from a mapping, collecting faults."""
    if not isinstance(values, Mapping):
        faults.append(Fault(prefix.rstrip("."), _no_group(prefix.rstrip("."), values)))
        return cls()
    specs = {spec.name: spec for spec in dataclasses.fields(cls)}
    for name in values:
        if name not in specs:
            faults.append(unknown_key(f"{prefix}{name}"))
    arguments: dict[str, Any] = {}
    for name, spec in specs.items():
        if name not in values:
            continue
        if "knob" in spec.metadata:
            arguments[name] = _coerce(_type_of(spec), spec.metadata["knob"], prefix + name, values[name], faults)
        else:
            arguments[name] = _build(_type_of(spec), values[name], f"{prefix}{name}.", faults)
    return cls() if faults else cls(**arguments)


_GROUP_EXAMPLES = {"env": {"id": "Hopper-v5"}, "network": {"hidden": [64, 64]}, "eval": {"every": 10}}


def _no_group(section: str, value: Any) -> str:
    example: dict[str, Any] = {section or "algo": _GROUP_EXAMPLES.get(section, {"lr": 3e-4})}
    choice = " (a choice of conf/ is for the command line)" if isinstance(value, str) else ""
    return f"{value!r} is not a group of knobs{choice}; for example {example}"


def unknown_key(key: str, also: Sequence[str] = ()) -> Fault:
    """The fault for a key that is no knob, naming the nearest that are (``also``: further valid keys)."""
    import difflib

    valid = [name for name, _, _ in knobs()] + list(also)
    near = difflib.get_close_matches(key, valid, n=3, cutoff=0.6)
    leaf = key.rsplit(".", 1)[-1]
    near += [name for name in valid if name.rsplit(".", 1)[-1] == leaf and name not in near]
    hint = f"did you mean {' or '.join(near[:3])}?" if near else "see `python train.py --help` for all of them"
    return Fault(key, f"no such knob; {hint}")


def _coerce(kind: Any, knob: Knob, key: str, value: Any, faults: list[Fault]) -> Any:
    """``value`` as ``kind``, or a fault that says value, what is allowed and an example."""
    example = knob.example if knob.example is not None else next(iter(knob.choices), None)
    hint = f"; for example {key}={example}" if example is not None else ""

    def fault(expected: str) -> None:
        shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
        faults.append(Fault(key, f"{shown} is not {expected}{hint}"))

    or_null = ""
    if isinstance(kind, types.UnionType):
        or_null = " or null"
        if value is None:
            return None
        kind = next(option for option in kind.__args__ if option is not type(None))
    allowed = f" {_in_range(knob)}" if knob.range and not knob.choices else ""
    if typing.get_origin(kind) is tuple:
        items = value if isinstance(value, Sequence) and not isinstance(value, str) else None
        if items is None or not all(isinstance(v, int) and not isinstance(v, bool) and _inside(knob, v) for v in items):
            fault(f"a list of whole numbers{allowed}")
            return ()
        return tuple(items)
    if typing.get_origin(kind) is dict:
        if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
            fault("a mapping of names to values")
            return {}
        faults += [Fault(f"{key}{place}", why) for place, why in _unfit_leaves(value)]
        return dict(value)
    if kind is bool:
        if not isinstance(value, bool):
            fault(f"true or false{or_null}")
        return value
    if kind is str:
        if not isinstance(value, str) or not value:
            fault("a name" if not knob.choices else f"one of {knob.range}")
        elif knob.choices and value not in knob.choices:
            fault(f"one of {knob.range}")
        return value
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if kind is int and isinstance(number, float) and math.isfinite(number) and number == int(number):
        number = int(number)  # total_steps=1e6 is a whole number, written as a float
    if number is None or not math.isfinite(number) or (kind is int and isinstance(number, float)):
        fault(f"a {'whole' if kind is int else 'finite'} number{allowed}{or_null}")
        return value
    if not _inside(knob, number):
        fault(_in_range(knob))
        return value
    return kind(number)


def _in_range(knob: Knob) -> str:
    """``> 0``, ``in [0, 1]``: the range as it follows a number in a sentence."""
    return knob.range if knob.range[0] in "<>≤≥" else f"in {knob.range}"


def _unfit_leaves(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """``(.key.key, why)`` of what cannot be an argument of an environment; infinity can (``healthy_z_range``)."""
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _unfit_leaves(below, f"{place}.{name}")
    elif isinstance(value, (list, tuple)):
        for index, below in enumerate(value):
            yield from _unfit_leaves(below, f"{place}.{index}")
    elif isinstance(value, float) and math.isnan(value):
        yield place, "nan is not a number"
    elif not isinstance(value, (str, int, float, bool, types.NoneType)):
        yield place, f"{value!r} is not a plain value (number, text, true, false, null, list or mapping)"


def _inside(knob: Knob, number: float) -> bool:
    if knob.low is not None and (number < knob.low or (knob.open_low and number == knob.low)):
        return False
    return not (knob.high is not None and (number > knob.high or (knob.open_high and number == knob.high)))
