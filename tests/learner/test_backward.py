"""The hand-written gradient against torch's autograd of the losses, in float64, for every kind of member side by side."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from ppo_sweep.config import Config
from ppo_sweep.learner import gaussian
from ppo_sweep.learner.batch import Batch, standardized
from ppo_sweep.learner.knobs import Knobs
from ppo_sweep.learner.layout import Architecture
from ppo_sweep.learner.minibatch import Block, Minibatch, Step
from ppo_sweep.learner.networks import Networks, initial_parameters
from ppo_sweep.learner.surrogates import clip_range, surrogate_loss, value_loss, value_range

#: Members of one population: every surrogate, coefficient, clip and advantage scale.
MEMBERS: list[dict[str, Any]] = [
    {},
    {"algo.clip_eps": 0.05, "algo.ent_coef": 0.1, "algo.vf_clip": None},
    {"algo.surrogate": "none", "algo.vf_coef": 2.0, "algo.norm_adv": "batch"},
    {"algo.surrogate": "fixed_kl", "algo.kl_beta": 3.0, "algo.norm_adv": "off"},
    {"algo.surrogate": "adaptive_kl", "algo.kl_beta": 0.5, "algo.vf_clip": 0.01, "algo.ent_coef": 0.01},
    {"algo.vf_coef": 0.0, "algo.vf_clip": 10.0, "algo.clip_eps": 0.9},
]
O, A, B = 5, 3, 15  # noqa: E741


def shape(hidden: tuple[int, ...], activation: str, shared: bool, mean: str) -> Architecture:
    return Architecture(O, (-2.0, -1.0, 0.0), (2.0, 1.0, 5.0), hidden, activation, shared, mean)


def doubled(knobs: Knobs) -> Knobs:
    return Knobs(**{k: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v for k, v in vars(knobs).items()})


class Problem:
    """A minibatch of random samples, members whose policies have moved on since, and both gradients."""

    def __init__(self, architecture: Architecture, members: list[dict[str, Any]], spread: float = 0.3) -> None:
        self.networks = Networks(architecture)
        layout = self.networks.layout
        rng = torch.Generator().manual_seed(0)

        def noise(*size: int) -> torch.Tensor:
            return torch.randn(*size, generator=rng).double()

        n = len(members)
        rows = [layout.pack(initial_parameters(layout, "default", -0.3, np.random.default_rng(k))) for k in range(n)]
        self.params = torch.from_numpy(np.stack(rows)).double()
        self.used = self.params != 0
        weights = layout.views(self.params)
        configs = [Config().replace(**member) for member in members]
        self.knobs = doubled(Knobs.of(configs, [1] * n, [config.algo.kl_beta for config in configs], torch.device("cpu")))
        self.log_std_old = self.networks.log_std(weights).clone()
        x = noise(n, B, O)
        mean_old, value_old = self.networks.mean_and_value(weights, x)
        mean_old, value_old = mean_old.clone(), value_old.clone()
        actions = mean_old + torch.exp(self.log_std_old) * noise(n, B, A)
        moved = self.params + 0.03 * noise(*self.params.shape) * self.used
        self.params.copy_(moved)
        advantages = noise(n, B)
        low, high = value_range(value_old, self.knobs.vf_clip)
        self.minibatch = Minibatch(
            x, actions, mean_old, gaussian.log_prob(actions, mean_old, self.log_std_old) - spread * noise(n, B), advantages,
            noise(n, B), low, high, noise(n, B), noise(n, B),
        )  # fmt: skip

    def by_hand(self) -> torch.Tensor:
        grad = torch.full_like(self.params, math.nan)
        step = Step(self.networks, self.networks.layout.views(self.params), grad, self.knobs, self.log_std_old, B)
        for _ in range(2):  # the second time into buffers that the first one has used
            step.forward(self.minibatch)
            step.backward(self.minibatch)
        return grad

    def total(self, flat: torch.Tensor) -> torch.Tensor:
        """What is descended on, ``(n,)``, written with ordinary torch operations on parameters ``flat (n, D)``."""
        w, knobs, m = self.networks.layout.views(flat), self.knobs, self.minibatch
        architecture = self.networks.architecture
        activate = torch.tanh if architecture.activation == "tanh" else torch.relu

        def trunk(name: str) -> torch.Tensor:
            h = m.observations
            for k in range(len(architecture.hidden)):
                h = activate(h @ w[f"{name}.{k}.weight"] + w[f"{name}.{k}.bias"])
            return h

        mean = (trunk("policy") @ w["policy.mean.weight"] + w["policy.mean.bias"])[..., :A]
        if architecture.mean == "tanh":
            mean = torch.tensor([0.0, 0.0, 2.5]) + torch.tensor([2.0, 1.0, 2.5]) * torch.tanh(mean)
        features = trunk("policy" if architecture.shared else "value")
        value = (features * w["value.head.weight"][..., : features.shape[-1]]).sum(-1) + w["value.head.bias"][:, 0, :1]
        log_std = w["policy.log_std"][..., :A]
        new = torch.distributions.Normal(mean, log_std.exp().expand_as(mean))
        old = torch.distributions.Normal(m.mean_old, self.log_std_old.exp().expand_as(mean))
        ratio = torch.exp(new.log_prob(m.actions).sum(-1) - m.log_prob_old)
        total = surrogate_loss(ratio, m.advantages, *clip_range(knobs.clip_eps))
        total = total + knobs.vf_coef * value_loss(value, m.targets, m.value_low, m.value_high)
        total = total - knobs.ent_coef * new.entropy().sum(-1).mean(-1)
        divergence = torch.distributions.kl_divergence(old, new).sum(-1).mean(-1)
        return total + torch.where(knobs.penalised, knobs.kl_beta * divergence, 0.0)

    def by_autograd(self) -> torch.Tensor:
        flat = self.params.clone().requires_grad_()
        return torch.autograd.grad(self.total(flat).sum(), flat)[0]


@pytest.mark.parametrize("hidden", [(), (9,), (20, 7), (16, 33, 4)], ids=str)
@pytest.mark.parametrize(("activation", "mean"), itertools.product(["tanh", "relu"], ["free", "tanh"]))
@pytest.mark.parametrize("shared", [False, True])
def test_gradient_equals_autograd_for_every_kind_of_member(hidden: tuple[int, ...], activation: str, mean: str, shared: bool) -> None:
    problem = Problem(shape(hidden, activation, shared, mean), MEMBERS)
    found = problem.by_hand()
    torch.testing.assert_close(found, problem.by_autograd(), rtol=1e-9, atol=1e-12)
    assert not found[~problem.used & (problem.by_autograd() == 0)].any()
    outside = (problem.minibatch.ratio[0] - 1).abs() > 0.2
    assert outside.any(), "some samples beyond the clip"
    assert not outside.all(), "and some within"


def test_gradient_equals_differences_of_the_total_loss() -> None:
    """Independent of autograd: central differences along random directions."""
    problem = Problem(shape((9, 6), "tanh", False, "free"), MEMBERS)
    grad = problem.by_hand()
    rng = torch.Generator().manual_seed(1)
    for _ in range(20):
        direction = torch.randn(*grad.shape, generator=rng).double() * problem.used
        h = 1e-6
        difference = (problem.total(problem.params + h * direction) - problem.total(problem.params - h * direction)) / (2 * h)
        torch.testing.assert_close((grad * direction).sum(-1), difference, rtol=1e-5, atol=1e-7)


def test_neighbours_with_a_penalty_change_no_bit_of_a_member_without() -> None:
    architecture = shape((20, 7), "tanh", False, "free")
    plain, mixed = (Problem(architecture, [MEMBERS[0], neighbour]) for neighbour in (MEMBERS[1], MEMBERS[3]))
    assert torch.equal(plain.by_hand()[0], mixed.by_hand()[0])
    assert not torch.equal(plain.by_hand()[1], mixed.by_hand()[1])


@pytest.mark.parametrize("kind", ["clip", "none"])
def test_an_overflowed_ratio_leaves_the_gradient_finite_exactly_where_it_is_clipped(kind: str) -> None:
    problem = Problem(shape((9,), "tanh", False, "free"), [{"algo.surrogate": kind}])
    m = problem.minibatch
    m.log_prob_old[0, 2] -= 800.0  # e^800 is infinite in float64, too
    m.advantages[0, 2] = 1.5
    grad = problem.by_hand()
    assert torch.isinf(m.ratio[0, 2])
    if kind == "none":
        assert not torch.isfinite(grad).all()
        return
    assert torch.isfinite(grad).all()
    # As if the sample were not there, apart from the mean over B.
    m.advantages[0, 2] = 0.0
    torch.testing.assert_close(problem.by_hand(), grad, rtol=0, atol=0)


def test_a_block_gathers_each_members_own_samples_and_clips_around_its_old_values() -> None:
    rng = np.random.default_rng(0)
    P, M, width = 3, 20, 4
    tensors = {"observations": (P, M, O), "actions": (P, M, A), "mean_old": (P, M, A), "log_prob_old": (P, M), "value_old": (P, M)}
    made = {name: torch.from_numpy(rng.normal(size=size)) for name, size in tensors.items()}
    batch = Batch(**made, **dict.fromkeys(("log_std_old", "first_advantages", "first_targets", "reward_clip_fraction", "advantage_inputs")))  # type: ignore[arg-type]
    members = [{"algo.norm_adv": "minibatch", "algo.vf_clip": 0.5}, {"algo.norm_adv": "off", "algo.vf_clip": None}]
    knobs = doubled(Knobs.of([Config().replace(**m) for m in members], [1, 1], [1.0, 1.0], torch.device("cpu")))
    advantages, targets = (torch.from_numpy(rng.normal(size=(P, M))) for _ in range(2))
    block = Block(batch, torch.tensor([0, 2]), knobs, width)
    orders = [rng.permutation(M)[:8] for _ in range(2)]
    for _ in range(2):
        minibatches = block.fill(orders, advantages, targets)
        assert len(minibatches) == 2
        for (j, minibatch), (k, p) in itertools.product(enumerate(minibatches), enumerate([0, 2])):
            chosen = orders[k][j * width : (j + 1) * width]
            for name in ("observations", "actions", "mean_old", "log_prob_old"):
                assert torch.equal(getattr(minibatch, name)[k], made[name][p, chosen]), name
            assert torch.equal(minibatch.targets[k], targets[p, chosen])
            expected = advantages[p, chosen]
            assert torch.equal(minibatch.advantages[k], standardized(expected) if k == 0 else expected)
            c = 0.5 if k == 0 else math.inf
            assert torch.equal(minibatch.value_low[k], made["value_old"][p, chosen] - c)
            assert torch.equal(minibatch.value_high[k], made["value_old"][p, chosen] + c)
