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

from ppo_sweep.learner import gaussian, kl_stop
from ppo_sweep.learner.batch import Batch, standardized
from ppo_sweep.learner.knobs import Knobs
from ppo_sweep.learner.minibatch import Block, Minibatch, Step
from ppo_sweep.learner.optimizer import Adam, GradientClip, Part, Sgd
from ppo_sweep.randomness import generator

if TYPE_CHECKING:
    from ppo_sweep.learner.population import Population


#: Means over the minibatches a member took, each at its forward pass before its step (docs/numbers.md §1).
POLICY_STATISTICS = ("policy_loss", "clip_fraction", "policy_grad_norm")
VALUE_STATISTICS = ("value_loss", "value_clip_fraction", "value_grad_norm", "grad_clip_fraction")


@dataclass
class UpdateProgress:
    """What one member has done in this update."""

    epochs: int = 0
    #: Gradient steps taken by the policy and by the value function.
    policy_steps: int = 0
    value_steps: int = 0
    policy_stopped: bool = False
    #: Sums over the steps taken, in the order of POLICY_STATISTICS and VALUE_STATISTICS.
    policy_sums: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(POLICY_STATISTICS)))
    value_sums: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(VALUE_STATISTICS)))
    #: Largest minibatch KL so far, and that of the last one (``max_kl_on=minibatch_max``, ``minibatch_last``).
    largest_kl: float = -math.inf
    last_kl: float = -math.inf
    #: Samples of the last epoch begun, in the order its minibatches took them.
    order: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    failure: str | None = None

    def means(self) -> dict[str, float]:
        """POLICY_STATISTICS over the policy's steps, VALUE_STATISTICS over the value function's."""
        policy, value = self.policy_sums / max(self.policy_steps, 1), self.value_sums / max(self.value_steps, 1)
        return dict(zip(POLICY_STATISTICS + VALUE_STATISTICS, [*policy.tolist(), *value.tolist()], strict=True))


def update(population: Population, batch: Batch, members: Sequence[int]) -> dict[int, UpdateProgress]:
    """Train the policies and critics of ``members`` on ``batch``; parameters of failed members stay as they were.

    Returns:
        Each member's progress; ``failure`` is set where a loss or parameter became non-finite.
    """
    training = _Training(population, batch, members)
    while training.begin_epoch():
        training.run_epoch()
    return training.progress


class _Training:
    """The members that still train: compact copies of their parameters and optimiser state.

    ``p`` is a member's slot in the population, ``k`` its row among the n that still train: ``rows[k] == p``.
    """

    def __init__(self, population: Population, batch: Batch, members: Sequence[int]) -> None:
        self.population, self.batch = population, batch
        self.networks, self.layout = population.networks, population.layout
        self.configs = [m.config for m in population.members]
        self.progress = {p: UpdateProgress() for p in members}
        self.permutations = {
            p: generator(population.members[p].config.seed, "minibatches", population.members[p].iteration) for p in members
        }
        self.advantages, self.targets = self._batch_standardized(batch.first_advantages), batch.first_targets
        self.rows = list(members)
        self.index = torch.tensor(self.rows, dtype=torch.int64, device=population.device)
        self.params = population.params[self.index]
        self.first, self.second = population.adam_first[self.index], population.adam_second[self.index]
        self._bind()

    def _bind(self) -> None:
        """Everything that hangs on which members train, and on which policies stand still."""
        self.knobs: Knobs = self.population.knobs.rows(self.index)
        self.weights = self.layout.views(self.params)
        self.grad = torch.empty_like(self.params)
        self.frozen = [k for k, p in enumerate(self.rows) if self.progress[p].policy_stopped]
        self.watched = [k for k, p in enumerate(self.rows) if self._watches(p, *kl_stop.MINIBATCH_STOPS)]
        self.blocks: dict[int, tuple[Block, Step]] = {}
        self.clip = GradientClip(self.grad, self.layout.policy_size, self.knobs.max_grad_norm, self.knobs.joint_clip)
        parts = [part for k, p in enumerate(self.rows) for part in self._parts(k, p)]
        self.optimizer = Sgd(parts) if self.configs[0].algo.optimizer == "sgd" else Adam(parts)

    def _parts(self, k: int, p: int) -> list[Part]:
        """What of a member steps together; the two counts of steps are equal unless the policy may stop before its critic."""
        member, progress, algo = self.population.members[p], self.progress[p], self.configs[p].algo
        policy, value = slice(0, self.layout.policy_size), slice(self.layout.policy_size, self.layout.size)
        policy_steps, value_steps = member.policy_steps + progress.policy_steps, member.value_steps + progress.value_steps
        chosen = [(slice(0, self.layout.size), value_steps)]
        if algo.max_kl is not None and algo.max_kl_stops == "policy":
            # The policy may stop before its critic: the two count their steps apart, as two optimisers would.
            chosen = [(value, value_steps)] if progress.policy_stopped else [(policy, policy_steps), (value, value_steps)]
        params, grad, first, second = self.params[k], self.grad[k], self.first[k], self.second[k]
        lr, eps = self.knobs.lr[k], algo.adam_eps
        return [Part(params[at], grad[at], first[at], second[at], lr, eps, steps) for at, steps in chosen]

    def _watches(self, p: int, *where: str) -> bool:
        """Whether the KL of member p is held against its ``max_kl`` at one of these places."""
        algo = self.configs[p].algo
        return algo.max_kl is not None and algo.max_kl_on in where and not self.progress[p].policy_stopped

    def keep(self, staying: list[int]) -> None:
        """Write the members that leave back to the population (unless they failed) and compact the rest."""
        leaving = [k for k, p in enumerate(self.rows) if p not in staying]
        if not leaving:
            return
        done = [k for k in leaving if self.progress[self.rows[k]].failure is None]
        population, target = self.population, self.index[done]
        population.params[target] = self.params[done]
        population.adam_first[target], population.adam_second[target] = self.first[done], self.second[done]
        kept = [k for k, p in enumerate(self.rows) if p in staying]
        self.rows = [self.rows[k] for k in kept]
        self.index, self.params = self.index[kept], self.params[kept]
        self.first, self.second = self.first[kept], self.second[kept]
        self._bind()

    # ------------------------------------------------------------------ epochs

    def begin_epoch(self) -> bool:
        """Let members go that have done their own K; shuffle, and look at the samples anew where asked for."""
        self.keep([p for p in self.rows if self.progress[p].epochs < self.configs[p].algo.epochs])
        if not self.rows:
            return False
        if self.configs[0].algo.recompute_adv and self.progress[self.rows[0]].epochs > 0:
            self._recompute_advantages()
        for p in self.rows:
            self.progress[p].epochs += 1
            self.progress[p].order = self.permutations[p].permutation(self.batch.size)
        return True

    def _recompute_advantages(self) -> None:
        values = self.networks.value_of_all(self.weights, self.batch.observations[self.index])
        inputs = self.batch.advantage_inputs.rows(self.index)
        advantages, targets = inputs.advantages_and_targets(self.networks, self.weights, values, self.knobs.gamma, self.knobs.gae_lambda)
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
        size, width = self.batch.size, self.configs[0].algo.minibatch_size
        whole = size // width * width
        start = 0
        while start < size and self.rows:
            # Whole minibatches first, then the remainder that does not fill one.
            start = self._run_block(start, *((width, whole) if start < whole else (size - whole, size)))
        self._judge_epoch()

    def _run_block(self, start: int, width: int, stop: int) -> int:
        """Steps on minibatches of ``width`` from sample ``start`` on; returns the next sample, early if a member stopped."""
        if width not in self.blocks:
            step = Step(self.networks, self.weights, self.grad, self.knobs, self.batch.log_std_old[self.index], width)
            self.blocks[width] = Block(self.batch, self.index, self.knobs, width), step
        block, step = self.blocks[width]
        end = min(stop, start + len(block) * width)
        minibatches = block.fill([self.progress[p].order[start:end] for p in self.rows], self.advantages, self.targets)
        clipping: list[tuple[torch.Tensor, torch.Tensor]] = []
        stopping: list[int] = []
        for minibatch in minibatches:
            step.forward(minibatch)
            if self.watched:
                stopping = self._judge_minibatch(step, minibatch, len(clipping))
                if stopping:
                    break
            step.backward(minibatch)
            if self.frozen:
                self.grad[self.frozen, : self.layout.policy_size] = 0.0
            clipping.append(self.clip())
            self.optimizer.step()
        if clipping:
            self._add_statistics(block, clipping)
        if stopping:
            self._drop_non_finite(stopping)  # who stops in mid-epoch does not see its end
        self._stop(stopping)
        return start + len(clipping) * width

    def _add_statistics(self, block: Block, clipping: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Count the steps of one block and add what was measured at them."""
        columns = block.losses(len(clipping))
        norms, factors = (torch.stack(tensors) for tensors in zip(*clipping, strict=True))
        columns |= {"policy_grad_norm": norms[..., 0], "value_grad_norm": norms[..., 1], "grad_clip_fraction": factors.amin(-1) < 1}
        policy, value = (
            torch.stack([columns[name].double() for name in names], dim=-1).cpu().numpy() for names in (POLICY_STATISTICS, VALUE_STATISTICS)
        )
        for k, p in enumerate(self.rows):
            progress = self.progress[p]
            progress.value_steps += len(clipping)
            progress.value_sums = _added(progress.value_sums, value[:, k])
            if not progress.policy_stopped:  # else it has no steps to average over; its critic goes on
                progress.policy_steps += len(clipping)
                progress.policy_sums = _added(progress.policy_sums, policy[:, k])

    # ------------------------------------------------------------------ stopping

    def _judge_minibatch(self, step: Step, minibatch: Minibatch, taken: int) -> list[int]:
        """Members whose KL on this minibatch stops them at once (``max_kl_on=minibatch``); remembers the largest and the last.

        ``taken``: steps of this block so far, which are not counted yet.
        """
        exact = gaussian.kl(minibatch.mean_old, self.batch.log_std_old[self.index], step.mean, step.log_std)
        measured = kl_stop.estimates(step.log_ratio, exact)
        stopping = []
        for k in self.watched:
            p = self.rows[k]
            algo, progress = self.configs[p].algo, self.progress[p]
            value = measured[algo.kl_estimator][k]
            progress.largest_kl, progress.last_kl = max(progress.largest_kl, value), value
            # "Before each step" still lets every iteration take one.
            if algo.max_kl_on == "minibatch" and progress.policy_steps + taken > 0 and kl_stop.past(algo, value):
                stopping.append(p)
        return stopping

    def _judge_epoch(self) -> None:
        """After an epoch: drop members with non-finite numbers, stop those past their KL."""
        self._drop_non_finite(self.rows)
        past = []
        for p in self.rows:
            algo, progress = self.configs[p].algo, self.progress[p]
            for watched, value in (("minibatch_max", progress.largest_kl), ("minibatch_last", progress.last_kl)):
                if self._watches(p, watched) and kl_stop.past(algo, value):
                    past.append(p)
        watching = [
            k for k, p in enumerate(self.rows) if self._watches(p, "epoch") and self.progress[p].epochs < self.configs[p].algo.epochs
        ]
        if watching:
            weights = self.layout.views(self.params[watching])
            measured = kl_stop.estimates(*kl_stop.whole_batch(self.networks, weights, self.batch, self.index[watching]))
            for place, k in enumerate(watching):
                algo = self.configs[self.rows[k]].algo
                if kl_stop.past(algo, measured[algo.kl_estimator][place]):
                    past.append(self.rows[k])
        self._stop(past)

    def _drop_non_finite(self, members: list[int]) -> None:
        """Let those of ``members`` with a non-finite loss or parameter go; nothing of them is written back."""
        finite = dict(zip(self.rows, torch.isfinite(self.params).all(-1).tolist(), strict=True))
        for p in members:
            progress = self.progress[p]
            if not finite[p] or not np.isfinite([*progress.policy_sums, *progress.value_sums]).all():
                progress.failure = f"non-finite {'loss' if finite[p] else 'parameter'} in epoch {progress.epochs}"
        self.keep([p for p in self.rows if self.progress[p].failure is None])

    def _stop(self, members: list[int]) -> None:
        """End the update of these members, or of their policies only (``max_kl_stops``)."""
        if not members:
            return
        for p in members:
            self.progress[p].policy_stopped = True
        self.keep([p for p in self.rows if p not in members or self.configs[p].algo.max_kl_stops == "policy"])
        if self.rows:
            self._bind()


def _added(sums: npt.NDArray[np.float64], rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """``sums (s,)`` plus each of ``rows (count, s)`` in order: the bits do not depend on where a block ended."""
    total: npt.NDArray[np.float64] = np.cumsum(np.concatenate([sums[None], rows]), axis=0)[-1]
    return total
