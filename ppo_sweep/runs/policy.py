"""Policies on disk: ``load_policy(run)`` reads what a run left, or where it has got to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ppo_sweep.config import Config, ConfigError
from ppo_sweep.envs import inspect
from ppo_sweep.learner.layout import Layout
from ppo_sweep.learner.policy import Policy
from ppo_sweep.learner.population import Member, Population, architecture_of
from ppo_sweep.learner.state import MemberState
from ppo_sweep.runs.directory import load_state, read_config
from ppo_sweep.runs.errors import CorruptFile, StorageError
from ppo_sweep.runs.tensors import read_policy


def policy_of(population: Population, member: Member) -> Policy:
    """The current policy of a member, with its normaliser as it stands."""
    p = population.members.index(member)
    moments = population.observation_normalizer.moments
    return Policy(
        member.config,
        population.networks.architecture,
        population.layout.unpack(population.params[p].cpu().numpy()),
        {"mean": moments.mean[p].copy(), "m2": moments.m2[p].copy(), "count": moments.count[p].copy()},
        member.iteration - 1,
    )


def policy_from_state(config: Config, state: MemberState) -> Policy:
    """The policy inside a checkpoint."""
    architecture = architecture_of(config, inspect(config.env))
    moments = {name: np.asarray(state.arrays[f"observation_{name}"]) for name in ("mean", "m2", "count")}
    parameters = Layout(architecture).unpack(state.arrays["params"])
    return Policy(config, architecture, parameters, moments, int(state.scalars["iteration"] or 1) - 1)


def load_policy(run: str | Path) -> Policy:
    """The policy of a run directory: the final one, or of an unfinished run that of its newest checkpoint.

    Example:
        ``load_policy("results/hopper/algo.max_kl=0.02,env=hopper/seed=1").act(observation)``

    Raises:
        StorageError: if the directory holds no policy yet, or files that are not this project's.
    """
    path = Path(run)
    stored = read_policy(path)
    if stored is not None:
        return _built(path, *stored)
    state = load_state(path) if path.is_dir() else None
    if state is None:
        raise StorageError(f"{path} holds no policy and no checkpoint: is it the directory of a run (…/seed=N) that has begun?")
    return policy_from_state(read_config(path), state)


def _built(path: Path, arrays: Mapping[str, npt.NDArray[Any]], header: Mapping[str, Any]) -> Policy:
    try:
        return Policy.from_file(arrays, header)
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise CorruptFile(path / "policy.json", "fields", "those of a policy", f"{type(error).__name__}: {error}") from error
