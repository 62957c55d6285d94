"""Choices that are each fine but do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ppo_sweep.config.faults import Fault

if TYPE_CHECKING:
    from ppo_sweep.config.run import Config


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
