"""A whole run: the sections together with seed, budget and what is kept; evaluation beside training (``eval.*``)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ppo_sweep.config.algo import AlgoConfig
from ppo_sweep.config.combinations import combination_faults
from ppo_sweep.config.declaring import Knob, knob_field
from ppo_sweep.config.env import EnvConfig
from ppo_sweep.config.faults import ConfigError, Fault
from ppo_sweep.config.network import NetworkConfig
from ppo_sweep.config.reading import build, coerce, knobs_of, no_such_knob

SCHEMA_VERSION = 1

#: Keys that say *how* a run is carried out, not *what* is computed: neither in a run's name nor in its hash.
OPERATIONAL_KEYS = ("study", "results", "force", "device", "logger", "checkpoint_every", "retry_failed")


@dataclass(frozen=True)
class EvalConfig:
    """Evaluation beside training: frozen normalisers, raw rewards, own environments."""

    every: int = knob_field(0, "evaluate every so many iterations; 0 = off", unit="iterations", low=0, member=True)
    episodes: int = knob_field(10, "episodes per evaluation (the last one has 100)", low=1, member=True)
    mode: str = knob_field(
        "deterministic", "mean action, sampled action, or both", choices=("deterministic", "sampled", "both"), member=True
    )


@dataclass(frozen=True)
class Config:
    """Everything that defines one run (one member: one configuration and one seed)."""

    env: EnvConfig = field(default_factory=EnvConfig)
    algo: AlgoConfig = field(default_factory=AlgoConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    seed: int = knob_field(0, "every random draw derives from it", low=0, high=2**63 - 1, member=True)
    total_steps: int = knob_field(
        300_000, "budget, rounded down to whole rollouts", unit="environment steps", low=1, high=1e12, example=1_000_000, member=True
    )
    score: str = knob_field(
        "return_100", "what a run is worth", choices=("return_100", "return_all", "window", "eval", "auc"), source="PPO §6.1", member=True
    )
    study: str | None = knob_field(None, "directory under results; null = named after the environments", member=True)
    results: str = knob_field("results", "root of all output, relative to the working directory", member=True)
    device: str = knob_field("cpu", "where the learner's tensors live", choices=("cpu", "cuda"))
    force: bool = knob_field(False, "start anew, deleting what an earlier run of this name left", member=True)
    retry_failed: bool = knob_field(True, "run failed runs again; false = leave them", member=True)
    checkpoint_every: int = knob_field(25, "checkpoint at least this often (and every minute)", unit="iterations", low=1, member=True)
    logger: str = knob_field(
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
        config = build(cls, values, faults)
        if not faults:
            faults = list(combination_faults(config))
        if faults:
            raise ConfigError(faults)
        return config


def knobs() -> Iterator[tuple[str, Knob, dataclasses.Field[Any]]]:
    """Yield ``(full key, knob, dataclass field)`` of every knob, in declaration order."""
    return ((key, knob, spec) for key, knob, spec, _ in knobs_of(Config))


def defaults() -> dict[str, Any]:
    """The typed defaults as nested plain values: the first layer of every composition."""
    return Config().to_dict()


def parse(key: str, value: Any) -> Any:
    """Coerce and check one value of the knob ``key``.

    Raises:
        ConfigError: if there is no such knob or the value does not fit.
    """
    for name, knob, _, kind in knobs_of(Config):
        if name == key:
            faults: list[Fault] = []
            parsed = coerce(kind, knob, key, value, faults)
            if faults:
                raise ConfigError(faults)
            return parsed
    raise ConfigError([Fault(key, "no such knob")])


def unknown_key(key: str, also: Sequence[str] = ()) -> Fault:
    """The fault for a key that is no knob, naming the nearest that are (``also``: further valid keys)."""
    return no_such_knob(key, Config, also)
