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
from ppo_sweep.learner.minibatch import Forward, Minibatch, forward
from ppo_sweep.learner.optimizer import adam_step, bias_corrections, clip_gradients
from ppo_sweep.randomness import generator

if TYPE_CHECKING:
    from ppo_sweep.learner.population import Population


#: Means over the minibatches a member took, each at its forward pass before its step (PROTOCOL §1).
POLICY_STATISTICS = ("policy_loss", "clip_fraction", "policy_grad_norm")
VALUE_STATISTICS = ("value_loss", "value_clip_fraction", "value_grad_norm", "grad_clip_fraction")

#: ``max_kl_on`` choices that need the KL of every minibatch.
MINIBATCH_STOPS = ("minibatch", "minibatch_max", "minibatch_last")


@dataclass
class Progress:
    """What one member has done in this update."""

    epochs: int = 0
    #: Gradient steps taken by the policy and by the value function.
    policy_steps: int = 0
    value_steps: int = 0
    policy_stopped: bool = False
    #: Sums of POLICY_STATISTICS and VALUE_STATISTICS over the steps taken.
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(POLICY_STATISTICS + VALUE_STATISTICS, 0.0))
    #: Largest minibatch KL so far, and that of the last one (``max_kl_on=minibatch_max``, ``minibatch_last``).
    largest_kl: float = -math.inf
    last_kl: float = -math.inf
    #: Samples of the last epoch begun, in the order its minibatches took them.
    order: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    failure: str | None = None

    def means(self) -> dict[str, float]:
        """POLICY_STATISTICS over the policy's steps, VALUE_STATISTICS over the value function's."""
        taken = dict.fromkeys(POLICY_STATISTICS, self.policy_steps) | dict.fromkeys(VALUE_STATISTICS, self.value_steps)
        return {name: total / max(taken[name], 1) for name, total in self.sums.items()}


def update(population: Population, batch: Batch, members: Sequence[int]) -> dict[int, Progress]:
    """Train the policies and critics of ``members`` on ``batch``; parameters of failed members stay as they were.

    Returns:
        Each member's progress; ``failure`` is set where a loss or parameter became non-finite.
    """
    training = _Training(population, batch, members)
    while training.begin_epoch():
        training.run_epoch()
    return training.progress


def kl_estimates(log_ratio: torch.Tensor, exact: torch.Tensor) -> dict[str, list[float]]:
    """Every ``kl_estimator``, per member, from ``log_ratio (n, B)`` and the exact KL ``(n,)``."""
    return {"exact": exact.tolist(), "k1": gaussian.kl_k1(log_ratio).tolist(), "k3": gaussian.kl_k3(log_ratio).tolist()}


class _Training:
    """The members that still train: compact copies of their parameters, optimiser state, knobs and samples.

    ``p`` is a member's slot in the population, ``k`` its row among the n that still train: ``rows[k] == p``.
    """

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
        self.advantages, self.targets = self._batch_standardized(batch.first_advantages), batch.first_targets
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
        self.watches_minibatches = any(self._watched(p, *MINIBATCH_STOPS) for p in self.rows)
        self.frozen = [k for k, p in enumerate(self.rows) if self.progress[p].policy_stopped]
        # Where a policy may stop before its critic, the two count their Adam steps apart, as two optimisers would.
        self.split = any(algo.max_kl is not None and algo.max_kl_stops == "policy" for algo in algos)

    def _watched(self, p: int, *where: str) -> bool:
        """Whether the KL of member p is held against its ``max_kl`` at one of these places."""
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
        # Into tensors of all members, which minibatches are picked from; the collecting critic's own stay as they are.
        self.advantages, self.targets = self.advantages.clone(), self.targets.clone()
        self.advantages[self.index], self.targets[self.index] = advantages, targets
        self.advantages = self._batch_standardized(self.advantages)

    def _batch_standardized(self, advantages: torch.Tensor) -> torch.Tensor:
        """``advantages (P, M)``, standardised over the batch for members that want it so."""
        chosen = self.population.knobs.norm_adv_batch
        return torch.where(chosen[:, None], standardized(advantages), advantages) if chosen.any() else advantages

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
        taken: list[dict[str, torch.Tensor]] = []
        for k, minibatch in enumerate(self._gather(start, count, width)):
            result = forward(self.networks, self.weights, self.knobs, minibatch, self.penalises)
            if self.watches_minibatches:
                stopping = self._judge_minibatch(result, minibatch)
                if stopping:
                    self._add_statistics(taken)
                    self._stop(stopping)
                    return start + k * width
            norms = self._step(result.total)
            taken.append(
                norms
                | {
                    "policy_loss": result.policy_loss,
                    "clip_fraction": result.clip_fraction,
                    "value_loss": result.value_loss,
                    "value_clip_fraction": result.value_clip_fraction,
                }
            )
        self._add_statistics(taken)
        return start + count * width

    def _gather(self, start: int, count: int, width: int) -> list[Minibatch]:
        """The next ``count`` minibatches of ``width`` samples; their tensors are contiguous rows of one gathered tensor each."""
        batch = self.batch
        order = np.stack([self.progress[p].order[start : start + count * width] for p in self.rows])
        chosen = torch.from_numpy(order).to(self.index.device).view(len(self.rows), count, width).transpose(0, 1)
        flat = (chosen + (self.index * batch.size)[None, :, None]).reshape(-1)

        def pick(tensor: torch.Tensor) -> torch.Tensor:
            """``(P, M, …)`` → ``(count, n, width, …)``."""
            rows = tensor.reshape(-1, *tensor.shape[2:]).index_select(0, flat)
            return rows.view(count, len(self.rows), width, *tensor.shape[2:])

        advantages = pick(self.advantages)
        if self.knobs.norm_adv_minibatch.any():
            advantages = torch.where(self.knobs.norm_adv_minibatch[:, None], standardized(advantages), advantages)
        picked = zip(
            pick(batch.observations), pick(batch.actions), pick(batch.mean_old), pick(batch.log_prob_old),
            pick(batch.value_old), advantages, pick(self.targets), strict=True,
        )  # fmt: skip
        return [
            Minibatch(observations, actions, mean_old, self.log_std_old, log_prob_old, value_old, advantage, target)
            for observations, actions, mean_old, log_prob_old, value_old, advantage, target in picked
        ]

    # ------------------------------------------------------------------ gradient steps

    def _step(self, total: torch.Tensor) -> dict[str, torch.Tensor]:
        """Descend once; gradient norms before clipping, and whether something was clipped, each ``(n,)``."""
        # The sum over members is right here only: no member's loss depends on another's parameters.
        gradients = torch.autograd.grad(total.sum(), self.leaves)
        torch.cat([g.reshape(len(self.rows), -1) for g in gradients], dim=1, out=self.grad)
        policy_size = self.layout.policy_size
        if self.frozen:
            self.grad[self.frozen, :policy_size] = 0.0
        policy_norm, value_norm, clipped = clip_gradients(self.grad, policy_size, self.knobs.max_grad_norm, self.knobs.joint_clip)
        for p in self.rows:
            self.progress[p].value_steps += 1
            self.progress[p].policy_steps += not self.progress[p].policy_stopped
        if self.split:
            self._descend_policies(slice(0, policy_size))
            self._descend(slice(policy_size, self.layout.size), self._total_steps("value_steps"))
        else:
            self._descend(slice(0, self.layout.size), self._total_steps("value_steps"))
        return {"policy_grad_norm": policy_norm, "value_grad_norm": value_norm, "grad_clip_fraction": clipped.float()}

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

    def _add_statistics(self, taken: list[dict[str, torch.Tensor]]) -> None:
        if not taken:
            return
        names = POLICY_STATISTICS + VALUE_STATISTICS
        # One tensor (statistic, n, step); summed along its last axis, so that n does not change a bit.
        table = torch.stack([torch.stack([step[name] for step in taken], dim=-1) for name in names])
        for name, sums in zip(names, table.double().sum(-1).tolist(), strict=True):
            for p, total in zip(self.rows, sums, strict=True):
                # A stopped policy has no steps to average over; its critic goes on.
                if name in VALUE_STATISTICS or not self.progress[p].policy_stopped:
                    self.progress[p].sums[name] += total

    # ------------------------------------------------------------------ stopping

    def _judge_minibatch(self, result: Forward, minibatch: Minibatch) -> list[int]:
        """Members whose KL on this minibatch stops them at once (``max_kl_on=minibatch``); remembers the largest and the last."""
        exact = gaussian.kl(minibatch.mean_old, minibatch.log_std_old, result.mean, result.log_std).mean(-1)
        measured = kl_estimates(result.log_ratio, exact)
        stopping = []
        for k, p in enumerate(self.rows):
            if self._watched(p, *MINIBATCH_STOPS):
                algo, progress = self.configs[p].algo, self.progress[p]
                value = measured[algo.kl_estimator][k]
                progress.largest_kl, progress.last_kl = max(progress.largest_kl, value), value
                # "Before each step" still lets every iteration take one.
                if algo.max_kl_on == "minibatch" and progress.policy_steps > 0 and self._past(p, value):
                    stopping.append(p)
        return stopping

    def _judge_epoch(self) -> None:
        """After an epoch: drop members with non-finite numbers, stop those past their KL."""
        if not self.rows:
            return
        finite = torch.isfinite(self.params).all(-1).tolist()
        for k, p in enumerate(self.rows):
            if not finite[k] or not all(map(math.isfinite, self.progress[p].sums.values())):
                self.progress[p].failure = f"non-finite {'parameter' if not finite[k] else 'loss'} in epoch {self.progress[p].epochs}"
        self.keep([p for p in self.rows if self.progress[p].failure is None])
        past = [p for p in self.rows if self._watched(p, "minibatch_max") and self._past(p, self.progress[p].largest_kl)]
        past += [p for p in self.rows if self._watched(p, "minibatch_last") and self._past(p, self.progress[p].last_kl)]
        watching = [p for p in self.rows if self._watched(p, "epoch") and self.progress[p].epochs < self.configs[p].algo.epochs]
        if watching:
            index = torch.tensor([self.rows.index(p) for p in watching], device=self.index.device)
            measured = self._batch_kl(index)
            for k, p in enumerate(watching):
                if self._past(p, measured[self.configs[p].algo.kl_estimator][k]):
                    past.append(p)
        self._stop(past)

    def _past(self, p: int, kl: float) -> bool:
        limit = self.configs[p].algo.max_kl
        return limit is not None and kl > limit

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
        return kl_estimates(log_ratio, exact)

    def _stop(self, members: list[int]) -> None:
        """End the update of these members, or of their policies only (``max_kl_stops``)."""
        if not members:
            return
        for p in members:
            self.progress[p].policy_stopped = True
        self.keep([p for p in self.rows if p not in members or self.configs[p].algo.max_kl_stops == "policy"])
        if self.rows:
            self._bind()
