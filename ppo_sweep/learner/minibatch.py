"""Minibatches of all training members: gathered in blocks, each turned into one gradient.

What is descended on, per member (PPO eq. 9, with the penalty of eq. 8; minimised, L^S the entropy):

    −L^CLIP + c_VF · L^VF − c_S · L^S + β · KL(π_old ‖ π)

Losses and their derivatives by log r and V are in ``surrogates``, those of log π and KL by μ and log σ in ``gaussian``;
here the chain rule joins them, and ``backward`` takes it on through the networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ppo_sweep.learner import gaussian
from ppo_sweep.learner.backward import Backward
from ppo_sweep.learner.batch import Batch, standardized
from ppo_sweep.learner.knobs import Knobs
from ppo_sweep.learner.networks import Forward, Networks, Weights
from ppo_sweep.learner.surrogates import clip_range, surrogate_loss, surrogate_slope, value_loss, value_range, value_slope

#: Minibatches gathered at once: enough to pay the gathering's overhead once, few enough to stay in the cache.
BLOCK = 32

_ONE = torch.tensor(1.0)


@dataclass(frozen=True)
class Minibatch:
    """B samples of each of n members; of whole blocks, with a leading axis of minibatches.

    Attributes:
        observations: normalised, ``(n, B, O)``.
        actions, mean_old: ``(n, B, A)``.
        log_prob_old, advantages, targets: ``(n, B)``; advantages as the loss uses them.
        value_low, value_high: what the value is clipped to (``surrogates.value_range``), ``(n, B)``.
        ratio, value: r and V of the current policy and critic, written by :meth:`Step.forward`, ``(n, B)``.
    """

    observations: torch.Tensor
    actions: torch.Tensor
    mean_old: torch.Tensor
    log_prob_old: torch.Tensor
    advantages: torch.Tensor
    targets: torch.Tensor
    value_low: torch.Tensor
    value_high: torch.Tensor
    ratio: torch.Tensor
    value: torch.Tensor


class Block:
    """Room for up to ``BLOCK`` consecutive minibatches of ``width`` samples of each training member, filled again and again."""

    def __init__(self, batch: Batch, index: torch.Tensor, knobs: Knobs, width: int) -> None:
        """``index (n,)``: the training members' rows of ``batch``."""
        self._batch, self._index, self._knobs, self._width = batch, index, knobs, width
        self._gathered = {name: getattr(batch, name) for name in ("observations", "actions", "mean_old", "log_prob_old")}
        shape = min(BLOCK, max(batch.size // width, 1)), len(index), width
        room = {
            field: batch.value_old.new_empty(*shape, *self._gathered[field].shape[2:] if field in self._gathered else ())
            for field in Minibatch.__dataclass_fields__
        }
        self.whole = Minibatch(**room)
        self.minibatches = [Minibatch(*tensors) for tensors in zip(*(tensor.unbind(0) for tensor in room.values()), strict=True)]
        self._value_old = torch.empty_like(self.whole.value)

    def __len__(self) -> int:
        return len(self.minibatches)

    def fill(self, orders: list[npt.NDArray[np.int64]], advantages: torch.Tensor, targets: torch.Tensor) -> list[Minibatch]:
        """The minibatches of the samples ``orders[k]`` of member k; advantages and targets ``(P, M)`` as they are now."""
        chosen = torch.from_numpy(np.stack(orders)).to(self._index.device)
        count = chosen.shape[1] // self._width
        # In the order (minibatch, member, sample), counted over all members of the batch.
        rows = (chosen + (self._index * self._batch.size)[:, None]).view(len(orders), count, self._width).transpose(0, 1).reshape(-1)

        def gather(source: torch.Tensor, room: torch.Tensor) -> None:
            features = source.shape[2:]
            torch.index_select(source.reshape(-1, *features), 0, rows, out=room[:count].view(-1, *features))

        for name, source in self._gathered.items():
            gather(source, getattr(self.whole, name))
        gather(advantages, self.whole.advantages)
        gather(targets, self.whole.targets)
        gather(self._batch.value_old, self._value_old)
        low, high = value_range(self._value_old[:count], self._knobs.vf_clip)
        self.whole.value_low[:count], self.whole.value_high[:count] = low, high
        if self._knobs.norm_adv_minibatch.any():
            plain = self.whole.advantages[:count]
            plain.copy_(torch.where(self._knobs.norm_adv_minibatch[:, None], standardized(plain), plain))
        return self.minibatches[:count]

    def losses(self, count: int) -> dict[str, torch.Tensor]:
        """Columns of the first ``count`` minibatches from their ``ratio`` and ``value``, each ``(count, n)``."""
        ratio, value, advantages, targets, low, high = (
            getattr(self.whole, name)[:count] for name in ("ratio", "value", "advantages", "targets", "value_low", "value_high")
        )
        return {
            "policy_loss": surrogate_loss(ratio, advantages, *clip_range(self._knobs.clip_eps)),
            "clip_fraction": ((ratio - 1).abs() > self._knobs.counted_eps[:, None]).float().mean(-1),
            "value_loss": value_loss(value, targets, low, high),
            "value_clip_fraction": ((value < low) | (value > high)).float().mean(-1),
        }


class Step:
    """Forward and backward pass on one minibatch after the other, all of the same width.

    Attributes:
        mean, log_std: of the policy in the last forward pass, ``(n, B, A)`` and ``(n, 1, A)``.
        log_ratio: log r, ``(n, B)``.
    """

    def __init__(
        self, networks: Networks, weights: Weights, grad: torch.Tensor, knobs: Knobs, log_std_old: torch.Tensor, width: int
    ) -> None:
        """``weights`` are views of the members' parameters; ``grad (n, D)`` receives their gradient; ``log_std_old (n, 1, A)``."""
        self._knobs, self._log_std_old = knobs, log_std_old
        self._forward = Forward(networks, weights, width)
        self._backward = Backward(self._forward, grad)
        self._bounds = clip_range(knobs.clip_eps)
        self._vf_coef, self._ent_coef = knobs.vf_coef[:, None], knobs.ent_coef[:, None]
        self._penalises = bool(knobs.penalised.any())
        self._penalised, self._penalty = knobs.penalised[:, None, None], knobs.kl_beta[:, None, None] / width
        self.log_std = networks.log_std(weights)
        self._inverse_std = torch.empty_like(self.log_std, memory_format=torch.contiguous_format)
        # z and z²; large enough for the allocator to give them back to the system, and to fault them in, at every step.
        self._z, self._squares = (self.mean.new_empty(self.mean.shape) for _ in range(2))

    @property
    def mean(self) -> torch.Tensor:
        return self._forward.mean

    def forward(self, minibatch: Minibatch) -> None:
        """Write the minibatch's ``ratio`` and ``value``."""
        self._forward(minibatch.observations)
        torch.exp(torch.neg(self.log_std, out=self._inverse_std), out=self._inverse_std)
        gaussian.standard_noise(minibatch.actions, self.mean, self._inverse_std, out=self._z)
        torch.mul(self._z, self._z, out=self._squares)
        self.log_ratio = gaussian.log_prob_of_noise(self._squares, self.log_std).sub_(minibatch.log_prob_old)
        torch.exp(self.log_ratio, out=minibatch.ratio)
        minibatch.value.copy_(self._forward.value)

    def backward(self, minibatch: Minibatch) -> None:
        """Write the gradient of the total loss at the minibatch of the last forward pass, which it uses up."""
        backward = self._backward
        slope = surrogate_slope(minibatch.ratio, minibatch.advantages, *self._bounds).unsqueeze(-1)
        torch.mul(self._z.mul_(slope), self._inverse_std, out=backward.d_mean)
        # ∂ entropy/∂ log σ = 1 in every dimension.
        torch.sum(self._squares.sub_(_ONE).mul_(slope), 1, out=backward.d_log_std).sub_(self._ent_coef)
        if self._penalises:
            self._add_penalty(minibatch)
        d_value = value_slope(minibatch.value, minibatch.targets, minibatch.value_low, minibatch.value_high).mul_(self._vf_coef)
        backward(minibatch.observations, d_value)

    def _add_penalty(self, minibatch: Minibatch) -> None:
        """Add the derivatives of β · KL(π_old ‖ π), leaving members without a penalty as they are to the last bit."""
        by_mean, by_log_std = gaussian.kl_slopes(minibatch.mean_old, self._log_std_old, self.mean, self.log_std)
        for total, slope in (
            (self._backward.d_mean, by_mean * self._penalty),
            (self._backward.d_log_std, (by_log_std * self._penalty).sum(1)),
        ):
            chosen = self._penalised if total.dim() == 3 else self._penalised[..., 0]
            total.copy_(torch.where(chosen, total + slope, total))
