"""When a member's update ends early: its KL from the collecting policy, measured as its knobs say (docs/numbers.md §1).

A stopping rule, not a bound: one epoch always runs, except under ``max_kl_on=minibatch``, where one step does.
"""

from __future__ import annotations

import torch

from ppo_sweep.config import AlgoConfig
from ppo_sweep.learner import gaussian
from ppo_sweep.learner.batch import Batch
from ppo_sweep.learner.networks import Networks, Weights

#: ``max_kl_on`` choices that need the KL of every minibatch.
MINIBATCH_STOPS = ("minibatch", "minibatch_max", "minibatch_last")


def past(algo: AlgoConfig, kl: float) -> bool:
    """Whether ``kl`` is more than the member allows."""
    return algo.max_kl is not None and kl > algo.max_kl


def estimates(log_ratio: torch.Tensor, exact: torch.Tensor) -> dict[str, list[float]]:
    """Every ``kl_estimator``, per member, from ``log_ratio (n, B)`` and the exact KL per sample ``(n, B)``."""
    return {"exact": exact.mean(-1).tolist(), "k1": gaussian.kl_k1(log_ratio).tolist(), "k3": gaussian.kl_k3(log_ratio).tolist()}


def whole_batch(networks: Networks, weights: Weights, batch: Batch, members: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """log r and the exact KL of every sample of the ``members`` (rows of ``batch``), each ``(n, M)``, under their ``weights``."""
    log_std, log_std_old = networks.log_std(weights).contiguous(), batch.log_std_old[members]
    log_ratio, divergence = batch.log_prob_old.new_empty(2, len(members), batch.size)
    everyone = len(members) == len(batch.observations)  # then in order, and nothing need be copied
    observations, actions, mean_old, log_prob_old = (
        tensor if everyone else tensor[members] for tensor in (batch.observations, batch.actions, batch.mean_old, batch.log_prob_old)
    )
    # Part by part: the intermediate results of a whole rollout would not stay in the cache.
    for part, forward in networks.in_chunks(weights, observations, value=False):
        log_ratio[:, part] = gaussian.log_prob(actions[:, part], forward.mean, log_std) - log_prob_old[:, part]
        divergence[:, part] = gaussian.kl(mean_old[:, part], log_std_old, forward.mean, log_std)
    return log_ratio, divergence
