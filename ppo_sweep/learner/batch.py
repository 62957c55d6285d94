"""One rollout as the update sees it: member-major, flattened to M = T·N samples, with values and targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ppo_sweep.learner import gaussian
from ppo_sweep.learner.advantages import discounted_returns, generalized_advantage
from ppo_sweep.learner.networks import Networks, Weights
from ppo_sweep.learner.rollout import Rollout

if TYPE_CHECKING:
    from ppo_sweep.learner.population import Population

#: Added to a standard deviation before dividing by it (37 details, core 7).
ADVANTAGE_EPSILON = 1e-8


@dataclass
class Batch:
    """The samples of one rollout, ``(P, M, ·)`` in the order (t, env), on the learner's device.

    Attributes:
        observations: normalised, ``(P, M, O)``.
        actions: before clipping at the bounds, ``(P, M, A)``.
        mean_old, log_std_old: π_old, ``(P, M, A)`` and ``(P, 1, A)``.
        log_prob_old: log π_old(a|s), ``(P, M)``.
        value_old: V when the rollout was collected, ``(P, M)``.
        first_advantages, first_targets: of the collecting critic, ``(P, M)``; the update computes its own anew
            before each later epoch under ``recompute_adv``.
        reward_clip_fraction: ``(P,)``.
        advantage_inputs: what these are computed from.
    """

    observations: torch.Tensor
    actions: torch.Tensor
    mean_old: torch.Tensor
    log_std_old: torch.Tensor
    log_prob_old: torch.Tensor
    value_old: torch.Tensor
    first_advantages: torch.Tensor
    first_targets: torch.Tensor
    reward_clip_fraction: torch.Tensor
    advantage_inputs: AdvantageInputs

    @property
    def size(self) -> int:
        """M."""
        return self.value_old.shape[1]


@dataclass
class AdvantageInputs:
    """What advantages and targets are computed from, again and again as the critic moves.

    Attributes:
        rewards: scaled, ``(T, P, N)``.
        terminal: nothing follows, ``(T, P, N)``.
        ends: the episode ended here, ``(T, P, N)``.
        last: normalised observation after the last step, ``(P, N, O)``.
        cut_observations: normalised, ``(P, C, O)``, zero rows where a member has fewer than C cuts.
        cut_member, cut_slot, cut_index: which member, which row of its ``cut_observations``, and which (t, env)
            of the ``(T, N)`` plane, flattened, each cut belongs to; int64 ``(cuts,)``.
        same: value at a non-terminal cut is the step's own (``bootstrap_cut=same``).
        by_returns: targets are discounted rewards (``value_target=returns``).
    """

    rewards: torch.Tensor
    terminal: torch.Tensor
    ends: torch.Tensor
    last: torch.Tensor
    cut_observations: torch.Tensor
    cut_member: torch.Tensor
    cut_slot: torch.Tensor
    cut_index: torch.Tensor
    same: bool
    by_returns: bool

    def rows(self, index: torch.Tensor) -> AdvantageInputs:
        """The same for the members ``index`` (int64, ascending)."""
        place = torch.full((self.last.shape[0],), -1, dtype=torch.int64, device=index.device)
        place[index] = torch.arange(len(index), device=index.device)
        kept = place[self.cut_member] >= 0
        return AdvantageInputs(
            rewards=self.rewards[:, index],
            terminal=self.terminal[:, index],
            ends=self.ends[:, index],
            last=self.last[index],
            cut_observations=self.cut_observations[index],
            cut_member=place[self.cut_member[kept]],
            cut_slot=self.cut_slot[kept],
            cut_index=self.cut_index[kept],
            same=self.same,
            by_returns=self.by_returns,
        )

    def advantages_and_targets(
        self, networks: Networks, weights: Weights, values: torch.Tensor, gamma: torch.Tensor, gae_lambda: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Â and value targets, each ``(P, M)``, from the current critic's ``values (P, M)`` of the rollout."""
        steps, members, envs = self.rewards.shape
        value = values.view(members, steps, envs).transpose(0, 1).contiguous()
        following = torch.empty_like(value)
        following[:-1] = value[1:]
        following[-1] = value[-1] if self.same else networks.value_of_all(weights, self.last)
        if len(self.cut_member):
            t, env = self.cut_index // envs, self.cut_index % envs
            if self.same:
                following[t, self.cut_member, env] = value[t, self.cut_member, env]
            else:
                at_cuts = networks.value_of_all(weights, self.cut_observations)
                following[t, self.cut_member, env] = at_cuts[self.cut_member, self.cut_slot]
        advantage = generalized_advantage(self.rewards, value, following, self.terminal, self.ends, gamma, gae_lambda)
        target = discounted_returns(self.rewards, self.ends, gamma) if self.by_returns else advantage + value
        return _member_major(advantage), _member_major(target)


def make_batch(population: Population, collected: Rollout) -> Batch:
    """Everything the update needs, computed once under the collecting policy and critic."""
    networks, device = population.networks, population.device
    weights = population.layout.views(population.params)
    config = population.members[0].config
    truncated_is_terminal = not config.env.bootstrap_timeouts
    ends = collected.terminated | collected.truncated
    scaled, clip_share = population.reward_scaler.scale(collected.rewards, ends)
    terminal = collected.terminated | (collected.truncated & ~collected.partial) if truncated_is_terminal else collected.terminated
    # One after the other; of a large rollout, both orders of everything at once would be what memory has to be enough for.
    collected.observations = _reordered(collected.observations)
    collected.actions = _reordered(collected.actions)
    observations, actions = _flat(collected.observations).to(device), _flat(collected.actions).to(device)
    means, values = networks.mean_and_value_of_all(weights, observations)
    log_std = networks.log_std(weights).clone()
    cut_observations, cut_member, cut_slot, cut_index = _cuts(collected, config.algo.n_envs, observations.shape[-1], device)
    advantage_inputs = AdvantageInputs(
        rewards=torch.from_numpy(scaled).to(device),
        terminal=torch.from_numpy(terminal).to(device),
        ends=torch.from_numpy(ends).to(device),
        last=collected.last.to(device),
        cut_observations=cut_observations,
        cut_member=cut_member,
        cut_slot=cut_slot,
        cut_index=cut_index,
        same=config.algo.bootstrap_cut == "same",
        by_returns=config.algo.value_target == "returns",
    )
    knobs = population.knobs
    advantages, targets = advantage_inputs.advantages_and_targets(networks, weights, values, knobs.gamma, knobs.gae_lambda)
    return Batch(
        observations=observations,
        actions=actions,
        mean_old=means,
        log_std_old=log_std,
        log_prob_old=gaussian.log_prob(actions, means, log_std),
        value_old=values,
        first_advantages=advantages,
        first_targets=targets,
        reward_clip_fraction=torch.from_numpy(clip_share),
        advantage_inputs=advantage_inputs,
    )


def standardized(advantages: torch.Tensor) -> torch.Tensor:
    """(Â − mean)/(std + 1e-8) along the last axis; a single sample stays as it is (its std is undefined)."""
    if advantages.shape[-1] == 1:
        return advantages
    return (advantages - advantages.mean(-1, keepdim=True)) / (advantages.std(-1, keepdim=True) + ADVANTAGE_EPSILON)


def _reordered(x: torch.Tensor) -> torch.Tensor:
    """``(T, P, N, F)`` as it is, in memory that is in the order ``(P, T, N, F)``."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def _flat(x: torch.Tensor) -> torch.Tensor:
    """``(T, P, N, F)`` → ``(P, T·N, F)``, contiguous."""
    steps, members, envs, features = x.shape
    return x.transpose(0, 1).contiguous().view(members, steps * envs, features)


def _member_major(x: torch.Tensor) -> torch.Tensor:
    """``(T, P, N)`` → ``(P, T·N)``, contiguous."""
    steps, members, envs = x.shape
    return x.transpose(0, 1).contiguous().view(members, steps * envs)


def _cuts(
    collected: Rollout, envs: int, features: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    members = len(collected.cuts)
    most = max((len(cuts) for cuts in collected.cuts), default=0)
    observations = np.zeros((members, most, features), np.float32)
    where: list[tuple[int, int, int]] = []
    for p, cuts in enumerate(collected.cuts):
        for slot, cut in enumerate(cuts):
            observations[p, slot] = cut.observation
            where.append((p, slot, cut.t * envs + cut.env))
    index = torch.tensor(where, dtype=torch.int64, device=device).reshape(-1, 3)
    return torch.from_numpy(observations).to(device), index[:, 0], index[:, 1], index[:, 2]
