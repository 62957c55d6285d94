"""K epochs of minibatch gradient steps on one rollout, all members in the same operations (PPO Algorithm 1).

Members leave the batch as soon as they are done with it (their KL stop, their own K, a non-finite
loss): the tensors of those still training are compacted, so that a stopped member costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from ppo_sweep.learner import gaussian
from ppo_sweep.learner.batch import Batch, standardized
from ppo_sweep.learner.knobs import Knobs
from ppo_sweep.learner.optimizer import adam_step, bias_corrections, clip_gradients
from ppo_sweep.learner.surrogates import surrogate_loss, value_loss
from ppo_sweep.randomness import generator

if TYPE_CHECKING:
    from ppo_sweep.learner.population import Population


#: Means over the minibatches a member took, each at its forward pass before its step (PROTOCOL §1).
POLICY_STATISTICS = ("policy_loss", "clip_fraction", "policy_grad_norm")
VALUE_STATISTICS = ("value_loss", "value_clip_fraction", "value_grad_norm", "grad_clip_fraction")


@dataclass
class Progress:
    """What one member has done in this update."""

    epochs: int = 0
    #: Gradient steps taken by the policy and by the value function.
    policy_steps: int = 0
    value_steps: int = 0
    policy_stopped: bool = False
    #: Sums over steps, in the order POLICY_STATISTICS + VALUE_STATISTICS.
    sums: list[float] = field(default_factory=lambda: [0.0] * len(POLICY_STATISTICS + VALUE_STATISTICS))
    #: Largest minibatch KL so far (``max_kl_on=minibatch_max``).
    largest_kl: float = -math.inf
    #: Samples of the last epoch begun, in the order its minibatches took them.
    order: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    failure: str | None = None

    def means(self) -> dict[str, float]:
        """POLICY_STATISTICS over the policy's steps, VALUE_STATISTICS over the value function's."""
        taken = [self.policy_steps] * len(POLICY_STATISTICS) + [self.value_steps] * len(VALUE_STATISTICS)
        names = POLICY_STATISTICS + VALUE_STATISTICS
        return {name: total / max(count, 1) for name, total, count in zip(names, self.sums, taken, strict=True)}


def update(population: Population, batch: Batch, members: Sequence[int]) -> dict[int, Progress]:
    """Train the policies and critics of ``members`` on ``batch``; parameters of failed members stay as they were.

    Returns:
        Each member's progress; ``failure`` is set where a loss or parameter became non-finite.
    """
    training = _Training(population, batch, members)
    while training.begin_epoch():
        training.run_epoch()
    return training.progress


@dataclass(frozen=True)
class _Forward:
    """One minibatch after its forward pass; ``(n,)`` unless noted."""

    total: torch.Tensor
    policy: torch.Tensor
    value: torch.Tensor
    clipped: torch.Tensor
    value_clipped: torch.Tensor
    mean: torch.Tensor  # (n, B, A)
    log_std: torch.Tensor  # (n, 1, A)
    log_ratio: torch.Tensor  # (n, B)


def _estimates(log_ratio: torch.Tensor, exact: torch.Tensor) -> dict[str, list[float]]:
    """Every ``kl_estimator`` along the last axis, per member."""
    return {"exact": exact.tolist(), "k1": gaussian.kl_k1(log_ratio).tolist(), "k3": gaussian.kl_k3(log_ratio).tolist()}


class _Training:
    """The members that still train: compact copies of their parameters, optimiser state, knobs and samples."""

    def __init__(self, population: Population, batch: Batch, members: Sequence[int]) -> None:
        self.population, self.batch = population, batch
        self.networks, self.layout = population.networks, population.layout
        self.configs = [m.config for m in population.members]
        self.progress = {p: Progress() for p in members}
        self.minibatch_size = self.configs[0].algo.minibatch_size
        self.recompute = self.configs[0].algo.recompute_adv
        self.sgd = self.configs[0].algo.optimizer == "sgd"
        self.permutations = {
            p: generator(population.members[p].config.seed, "minibatches", population.members[p].iteration) for p in members
        }
        self.advantages, self.targets = batch.first_advantages, batch.first_targets
        self.rows: list[int] = []
        self._take(list(members))

    def _take(self, rows: list[int]) -> None:
        """Copy the members ``rows`` out of the population."""
        population = self.population
        self.rows = rows
        self.index = torch.tensor(rows, dtype=torch.int64, device=population.device)
        self.params = population.params[self.index]
        self.first, self.second = population.adam_first[self.index], population.adam_second[self.index]
        self._bind()

    def _bind(self) -> None:
        """Everything that hangs on which members train."""
        algos = [self.configs[p].algo for p in self.rows]
        self.grad = torch.empty_like(self.params)
        self.weights = {name: view.detach().requires_grad_() for name, view in self.layout.views(self.params).items()}
        self.leaves = list(self.weights.values())
        self.knobs: Knobs = self.population.knobs.rows(self.index)
        self.penalises = bool(self.knobs.penalised.any())
        self.log_std_old = self.batch.log_std_old[self.index]
        self.watches_minibatches = any(self._stops(p, "minibatch", "minibatch_max") for p in self.rows)
        self.frozen = [k for k, p in enumerate(self.rows) if self.progress[p].policy_stopped]
        # Where a policy may stop before its critic, the two count their Adam steps apart, as two optimisers would.
        self.split = any(algo.max_kl is not None and algo.max_kl_stops == "policy" for algo in algos)

    def _stops(self, p: int, *where: str) -> bool:
        algo = self.configs[p].algo
        return algo.max_kl is not None and algo.max_kl_on in where and not self.progress[p].policy_stopped

    def keep(self, staying: list[int]) -> None:
        """Write the members that leave back to the population (unless they failed) and compact the rest."""
        leaving = [k for k, p in enumerate(self.rows) if p not in staying]
        if not leaving:
            return
        done = [k for k in leaving if self.progress[self.rows[k]].failure is None]
        target = self.index[done]
        population = self.population
        population.params[target] = self.params[done]
        population.adam_first[target], population.adam_second[target] = self.first[done], self.second[done]
        kept = [k for k, p in enumerate(self.rows) if p in staying]
        self.rows = [self.rows[k] for k in kept]
        self.index = self.index[kept]
        self.params = self.params[kept]
        self.first, self.second = self.first[kept], self.second[kept]
        self._bind()

    # ------------------------------------------------------------------ epochs

    def begin_epoch(self) -> bool:
        """Let members go that have done their own K; shuffle, and lay the epoch's samples out minibatch by minibatch."""
        self.keep([p for p in self.rows if self.progress[p].epochs < self.configs[p].algo.epochs])
        if not self.rows:
            return False
        if self.recompute and self.progress[self.rows[0]].epochs > 0:
            self._recompute_advantages()
        for p in self.rows:
            self.progress[p].epochs += 1
            self.progress[p].order = self.permutations[p].permutation(self.batch.size)
        return True

    def _recompute_advantages(self) -> None:
        observations = self.batch.observations[self.index]
        with torch.no_grad():
            values = self.networks.value_of_all(self.weights, observations)
            returns = self.batch.returns.rows(self.index)
            advantages, targets = returns.advantages_and_targets(
                self.networks, self.weights, values, self.knobs.gamma, self.knobs.gae_lambda
            )
        if len(self.rows) == len(self.advantages):
            self.advantages, self.targets = advantages, targets
        else:
            self.advantages, self.targets = self.advantages.clone(), self.targets.clone()
            self.advantages[self.index], self.targets[self.index] = advantages, targets

    def run_epoch(self) -> None:
        """One pass over the rollout; afterwards the KL stop and the finiteness of every member are judged."""
        whole = self.batch.size // self.minibatch_size * self.minibatch_size
        start = 0
        while start < self.batch.size and self.rows:
            # Whole minibatches first, then the remainder that does not fill one.
            start = self._run_minibatches(start, whole if start < whole else self.batch.size)
        self._judge_epoch()

    def _run_minibatches(self, start: int, stop: int) -> int:
        """Steps on equal minibatches from sample ``start`` on; returns early, at the next sample, if a member stopped."""
        width = min(self.minibatch_size, stop - start)
        count = (stop - start) // width
        samples = self._gather(start, count, width)
        taken: list[tuple[torch.Tensor, ...]] = []
        for k in range(count):
            minibatch = {name: tensor[k] for name, tensor in samples.items()}
            forward = self._forward(minibatch)
            if self.watches_minibatches:
                stopping = self._judge_minibatch(forward, minibatch)
                if stopping:
                    self._add_statistics(taken)
                    self._stop(stopping)
                    return start + k * width
            policy_norm, value_norm, clipped = self._step(forward.total)
            taken.append((forward.policy, forward.clipped, policy_norm, forward.value, forward.value_clipped, value_norm, clipped))
        self._add_statistics(taken)
        return start + count * width

    def _gather(self, start: int, count: int, width: int) -> dict[str, torch.Tensor]:
        """The samples of ``count`` minibatches, each tensor ``(count, n, width, ·)`` and contiguous."""
        batch = self.batch
        order = np.stack([self.progress[p].order[start : start + count * width] for p in self.rows])
        chosen = torch.from_numpy(order).to(self.index.device).view(len(self.rows), count, width).transpose(0, 1)
        flat = (chosen + (self.index * batch.size)[None, :, None]).reshape(-1)

        def pick(tensor: torch.Tensor) -> torch.Tensor:
            rows = tensor.reshape(-1, *tensor.shape[2:]).index_select(0, flat)
            return rows.view(count, len(self.rows), width, *tensor.shape[2:])

        advantages = pick(self._batch_advantages())
        if self.knobs.norm_adv_minibatch.any():
            advantages = torch.where(self.knobs.norm_adv_minibatch[:, None], standardized(advantages), advantages)
        return {
            "observations": pick(batch.observations),
            "actions": pick(batch.actions),
            "mean_old": pick(batch.mean_old),
            "log_prob_old": pick(batch.log_prob_old),
            "value_old": pick(batch.value_old),
            "advantages": advantages,
            "targets": pick(self.targets),
        }

    def _batch_advantages(self) -> torch.Tensor:
        chosen = self.population.knobs.norm_adv_batch
        return torch.where(chosen[:, None], standardized(self.advantages), self.advantages) if chosen.any() else self.advantages

    # ------------------------------------------------------------------ one minibatch

    def _forward(self, minibatch: dict[str, torch.Tensor]) -> _Forward:
        """Losses of one minibatch (PPO eq. 9 with minus signs, and eq. 8's penalty) and what is measured on the way."""
        knobs = self.knobs
        mean, value = self.networks.mean_and_value(self.weights, minibatch["observations"])
        log_std = self.networks.log_std(self.weights)
        log_ratio = gaussian.log_prob(minibatch["actions"], mean, log_std) - minibatch["log_prob_old"]
        ratio = torch.exp(log_ratio)
        policy = surrogate_loss(ratio, minibatch["advantages"], knobs.clip_eps, knobs.clips)
        critic = value_loss(value, minibatch["value_old"], minibatch["targets"], knobs.vf_clip)
        total = policy + knobs.vf_coef * critic - knobs.ent_coef * gaussian.entropy(log_std)
        if self.penalises:
            total = total + self._penalty(minibatch["mean_old"], mean, log_std)
        with torch.no_grad():
            clipped = ((ratio - 1).abs() > knobs.counted_eps[:, None]).float().mean(-1)
            value_clipped = ((value - minibatch["value_old"]).abs() > knobs.vf_clip[:, None]).float().mean(-1)
        return _Forward(
            total, policy.detach(), critic.detach(), clipped, value_clipped, mean.detach(), log_std.detach(), log_ratio.detach()
        )

    def _penalty(self, mean_old: torch.Tensor, mean: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
        """β · KL(π_old ‖ π) of members that are penalised, 0 for the others, ``(n,)``."""
        # Members without a penalty enter with π = π_old, so that no gradient of theirs passes an overflow.
        chosen = self.knobs.penalised[:, None, None]
        divergence = gaussian.kl(
            mean_old, self.log_std_old, torch.where(chosen, mean, mean_old), torch.where(chosen, log_std, self.log_std_old)
        )
        return torch.where(self.knobs.penalised, self.knobs.kl_beta * divergence.mean(-1), 0.0)

    def _step(self, total: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Descend once; returns gradient norms before clipping and whether something was clipped, each ``(n,)``."""
        # The sum over members is right here only: no member's loss depends on another's parameters.
        gradients = torch.autograd.grad(total.sum(), self.leaves)
        torch.cat([g.reshape(len(self.rows), -1) for g in gradients], dim=1, out=self.grad)
        policy_size = self.layout.policy_size
        if self.frozen:
            self.grad[self.frozen, :policy_size] = 0.0
        norms = clip_gradients(self.grad, policy_size, self.knobs.max_grad_norm, self.knobs.joint_clip)
        for p in self.rows:
            self.progress[p].value_steps += 1
            self.progress[p].policy_steps += not self.progress[p].policy_stopped
        if self.split:
            self._descend_policies(slice(0, policy_size))
            self._descend(slice(policy_size, self.layout.size), self._total_steps("value_steps"))
        else:
            self._descend(slice(0, self.layout.size), self._total_steps("value_steps"))
        policy_norm, value_norm, clipped = norms
        return policy_norm, value_norm, clipped.float()

    def _total_steps(self, counter: str) -> list[int]:
        """Gradient steps since the run began, this one included."""
        members = self.population.members
        return [getattr(members[p], counter) + getattr(self.progress[p], counter) for p in self.rows]

    def _descend_policies(self, part: slice) -> None:
        """A step of the policies alone; stopped ones stand still, which Adam's momentum would not let them."""
        saved = [(tensor, tensor[self.frozen, part].clone()) for tensor in (self.params, self.first, self.second)]
        self._descend(part, [max(steps, 1) for steps in self._total_steps("policy_steps")])
        for tensor, rows in saved:
            tensor[self.frozen, part] = rows

    def _descend(self, part: slice, steps: list[int]) -> None:
        params, grad = self.params[:, part], self.grad[:, part]
        lr, device = self.knobs.lr, params.device
        if self.sgd:
            params.sub_(grad * torch.tensor(lr, dtype=torch.float32, device=device)[:, None])
            return
        corrections = [bias_corrections(step, rate) for step, rate in zip(steps, lr, strict=True)]
        scale = torch.tensor(corrections, dtype=torch.float32, device=device)
        eps = self.knobs.adam_eps[:, None]
        adam_step(params, grad, self.first[:, part], self.second[:, part], scale[:, :1], scale[:, 1:], eps)

    def _add_statistics(self, taken: list[tuple[torch.Tensor, ...]]) -> None:
        if not taken:
            return
        # One tensor (statistic, n, step); summed along its last axis, so that n does not change a bit.
        table = torch.stack([torch.stack(column, dim=-1) for column in zip(*taken, strict=True)])
        sums = table.double().sum(-1).tolist()
        for k, p in enumerate(self.rows):
            # A stopped policy has no steps to average over; its critic goes on.
            first = len(POLICY_STATISTICS) if self.progress[p].policy_stopped else 0
            for s in range(first, len(sums)):
                self.progress[p].sums[s] += sums[s][k]

    # ------------------------------------------------------------------ stopping

    def _judge_minibatch(self, forward: _Forward, minibatch: dict[str, torch.Tensor]) -> list[int]:
        """Members whose KL on this minibatch stops them at once (``max_kl_on=minibatch``); remembers the largest for the others."""
        exact = gaussian.kl(minibatch["mean_old"], self.log_std_old, forward.mean, forward.log_std).mean(-1)
        estimates = _estimates(forward.log_ratio, exact)
        stopping = []
        for k, p in enumerate(self.rows):
            algo, progress = self.configs[p].algo, self.progress[p]
            if self._stops(p, "minibatch", "minibatch_max"):
                value = estimates[algo.kl_estimator][k]
                progress.largest_kl = max(progress.largest_kl, value)
                # "Before each step" still lets every iteration take one.
                if algo.max_kl_on == "minibatch" and progress.policy_steps > 0 and value > self._max_kl(p):
                    stopping.append(p)
        return stopping

    def _judge_epoch(self) -> None:
        """After an epoch: drop members with non-finite numbers, stop those past their KL."""
        if not self.rows:
            return
        finite = torch.isfinite(self.params).all(-1).tolist()
        for k, p in enumerate(self.rows):
            if not finite[k] or not all(map(math.isfinite, self.progress[p].sums)):
                self.progress[p].failure = f"non-finite {'parameter' if not finite[k] else 'loss'} in epoch {self.progress[p].epochs}"
        self.keep([p for p in self.rows if self.progress[p].failure is None])
        past = [p for p in self.rows if self._stops(p, "minibatch_max") and self.progress[p].largest_kl > self._max_kl(p)]
        watching = [p for p in self.rows if self._stops(p, "epoch") and self.progress[p].epochs < self.configs[p].algo.epochs]
        if watching:
            index = torch.tensor([self.rows.index(p) for p in watching], device=self.index.device)
            measured = self._batch_kl(index)
            for k, p in enumerate(watching):
                if measured[self.configs[p].algo.kl_estimator][k] > self._max_kl(p):
                    past.append(p)
        self._stop(past)

    def _max_kl(self, p: int) -> float:
        limit = self.configs[p].algo.max_kl
        return math.inf if limit is None else limit

    @torch.no_grad()
    def _batch_kl(self, index: torch.Tensor) -> dict[str, list[float]]:
        """Every estimate of the KL over the whole batch, for the training members at ``index``."""
        weights = self.layout.views(self.params[index])
        chosen = self.index[index]
        batch = self.batch
        mean = self.networks.mean_of_all(weights, batch.observations[chosen])
        log_std = self.networks.log_std(weights).contiguous()
        log_ratio = gaussian.log_prob(batch.actions[chosen], mean, log_std) - batch.log_prob_old[chosen]
        exact = gaussian.kl(batch.mean_old[chosen], batch.log_std_old[chosen], mean, log_std).mean(-1)
        return _estimates(log_ratio, exact)

    def _stop(self, members: list[int]) -> None:
        """End the update of these members, or of their policies only (``max_kl_stops``)."""
        for p in members:
            self.progress[p].policy_stopped = True
        self.keep([p for p in self.rows if p not in members or self.configs[p].algo.max_kl_stops == "policy"])
        if self.rows:
            self._bind()
