"""PPO for one member, written the slow and obvious way: the oracle of the population.

``torch.nn.Linear``, ``torch.distributions``, ``torch.optim`` and ``clip_grad_norm_``, loops over steps, float64, no
population axis, no padding, no import from the learner. Two things come from outside, because they are draws:
the actions that the population took, and the streams of ``ppo_sweep.randomness``.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

from ppo_sweep.config import Config
from ppo_sweep.randomness import episode_seed, generator


class Moments:
    """Welford's update, one vector at a time, from a prior of weight 1e-4 with mean 0 and variance 1."""

    def __init__(self, size: int) -> None:
        self.count, self.mean, self.m2 = 1e-4, np.zeros(size), np.full(size, 1e-4)

    def push(self, x: np.ndarray) -> None:
        self.count += 1
        delta = x - self.mean
        self.mean = self.mean + delta / self.count
        self.m2 = self.m2 + delta * (x - self.mean)

    @property
    def std(self) -> np.ndarray:
        return np.sqrt(self.m2 / self.count + 1e-8)


class ActorCritic(nn.Module):
    """Two perceptrons of ``nn.Linear`` (or one trunk with two heads), filled from named parameters ``(in, out)``."""

    def __init__(self, config: Config, parameters: dict[str, np.ndarray], low: np.ndarray, high: np.ndarray) -> None:
        super().__init__()
        self.bounded = config.network.mean == "tanh"
        self.centre, self.half = torch.tensor((high + low) / 2).double(), torch.tensor((high - low) / 2).double()
        self.shared = config.network.shared
        activation = {"tanh": nn.Tanh, "relu": nn.ReLU}[config.network.activation]

        def linear(weight: np.ndarray, bias: np.ndarray) -> nn.Linear:
            weight = weight if weight.ndim == 2 else weight[:, None]
            layer = nn.Linear(*weight.shape).double()
            with torch.no_grad():
                layer.weight.copy_(torch.tensor(weight.T))
                layer.bias.copy_(torch.tensor(bias))
            return layer

        def trunk(name: str) -> nn.Sequential:
            layers: list[nn.Module] = []
            for k in range(len(config.network.hidden)):
                layers += [linear(parameters[f"{name}.{k}.weight"], parameters[f"{name}.{k}.bias"]), activation()]
            return nn.Sequential(*layers)

        self.actor = trunk("policy")
        self.critic = self.actor if self.shared else trunk("value")
        self.mean_head = linear(parameters["policy.mean.weight"], parameters["policy.mean.bias"])
        self.value_head = linear(parameters["value.head.weight"], parameters["value.head.bias"])
        self.log_std = nn.Parameter(torch.tensor(parameters["policy.log_std"]).double())

    def policy(self, x: torch.Tensor) -> Independent:
        mean = self.mean_head(self.actor(x))
        mean = self.centre + self.half * torch.tanh(mean) if self.bounded else mean
        return Independent(Normal(mean, self.log_std.exp()), 1)

    def value(self, x: torch.Tensor) -> torch.Tensor:
        return self.value_head(self.critic(x)).squeeze(-1)

    def policy_parameters(self) -> list[nn.Parameter]:
        return [*self.actor.parameters(), *self.mean_head.parameters(), self.log_std]

    def value_parameters(self) -> list[nn.Parameter]:
        return [*([] if self.shared else self.critic.parameters()), *self.value_head.parameters()]

    def named(self) -> dict[str, np.ndarray]:
        """Parameters under the names and shapes of the run's files."""
        out: dict[str, torch.Tensor] = {"policy.log_std": self.log_std}
        trunks = [("policy", self.actor)] + ([] if self.shared else [("value", self.critic)])
        for name, module in trunks:
            for k, layer in enumerate(part for part in module if isinstance(part, nn.Linear)):
                out |= {f"{name}.{k}.weight": layer.weight.T, f"{name}.{k}.bias": layer.bias}
        out |= {"policy.mean.weight": self.mean_head.weight.T, "policy.mean.bias": self.mean_head.bias}
        out |= {"value.head.weight": self.value_head.weight[0], "value.head.bias": self.value_head.bias}
        return {name: tensor.detach().numpy() for name, tensor in out.items()}


@dataclass
class Step:
    """One step of one environment, as the learner should have seen it."""

    x: np.ndarray
    action: np.ndarray
    raw_reward: float
    reward: float = math.nan
    terminated: bool = False
    timeout: bool = False
    partial: bool = False
    #: Normalised observation after the step, the episode's last where it ended here.
    after: np.ndarray | None = None


@dataclass
class Update:
    """What the update did: counters, and one value per minibatch taken."""

    epochs: int = 0
    first_ratio: float = math.nan
    policy: dict[str, list[float]] = field(default_factory=lambda: {"policy_loss": [], "clip_fraction": [], "policy_grad_norm": []})
    value: dict[str, list[float]] = field(
        default_factory=lambda: {"value_loss": [], "value_clip_fraction": [], "value_grad_norm": [], "grad_clip_fraction": []}
    )
    order: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


class SlowMember:
    """One configuration and seed."""

    def __init__(self, config: Config, parameters: dict[str, np.ndarray]) -> None:
        self.config, self.algo, self.iteration = config, config.algo, 1
        make = lambda: gymnasium.make(config.env.id, max_episode_steps=config.env.max_episode_steps, **config.env.kwargs)  # noqa: E731
        self.envs = [make() for _ in range(config.algo.n_envs)]
        space = self.envs[0].action_space
        assert isinstance(space, gymnasium.spaces.Box)
        self.low, self.high = space.low, space.high
        self.net = ActorCritic(config, parameters, space.low, space.high)
        spec = self.envs[0].spec
        assert spec is not None
        assert spec.max_episode_steps is not None
        self.horizon = spec.max_episode_steps
        self.episode, self.length = [0] * len(self.envs), [0] * len(self.envs)
        self.raw = np.stack([self._reset(i) for i in range(len(self.envs))])
        self.seen, self.returns, self.acc = Moments(self.raw.shape[1]), Moments(1), np.zeros(len(self.envs))
        if config.algo.norm_obs_update == "step":
            for row in self.raw:
                self.seen.push(row)
        kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[config.algo.optimizer]
        more: dict[str, Any] = {"eps": config.algo.adam_eps} if config.algo.optimizer == "adam" else {}
        self.policy_optimizer = kind(self.net.policy_parameters(), lr=config.algo.lr, **more)
        self.value_optimizer = kind(self.net.value_parameters(), lr=config.algo.lr, **more)
        self.kl_beta = config.algo.kl_beta

    def _reset(self, i: int) -> np.ndarray:
        seed = episode_seed(self.config.seed, "episode", i, self.episode[i])
        return np.array(self.envs[i].reset(seed=seed)[0], np.float64)

    def annealed(self, start: float, end: float) -> float:
        return start * (1 - (1 - end) * (self.iteration - 1) / self.config.iterations)

    def normalized(self, raw: np.ndarray) -> np.ndarray:
        algo = self.algo
        if algo.norm_obs == "off":
            return raw.copy()
        x = raw - self.seen.mean if algo.norm_obs.startswith("mean") else raw
        x = x / self.seen.std if algo.norm_obs.endswith("std") else x
        return x if algo.clip_obs is None else np.clip(x, -algo.clip_obs, algo.clip_obs)

    # ------------------------------------------------------------------ rollout

    def collect(self, actions: np.ndarray) -> list[list[Step]]:
        """Take ``actions (T, N, A)``; the steps, ``[t][env]``."""
        rollout, acted_on = [], []
        stepwise = self.algo.norm_obs_update == "step"
        for row in actions:
            acted_on.append(self.raw.copy())
            steps = [Step(self.normalized(self.raw[i]), row[i], 0.0) for i in range(len(self.envs))]
            for i, step in enumerate(steps):
                after, reward, terminated, truncated, _ = self.envs[i].step(np.clip(row[i], self.low, self.high))
                self.raw[i] = after
                self.length[i] += 1
                cut = math.ceil((i + 1) * self.horizon / len(self.envs))
                staggered = self.config.stagger and self.episode[i] == 0 and self.length[i] == cut < self.horizon
                step.raw_reward, step.terminated = float(reward), terminated
                step.timeout = truncated and not terminated
                step.partial = staggered and not terminated and not truncated
            if stepwise:
                for raw in self.raw:
                    self.seen.push(raw)
            ended = [i for i, step in enumerate(steps) if step.terminated or step.timeout or step.partial]
            for i in ended:
                steps[i].after = self.normalized(self.raw[i])
            for i in ended:
                self.episode[i], self.length[i] = self.episode[i] + 1, 0
                self.raw[i] = self._reset(i)
            if stepwise:
                for i in ended:
                    self.seen.push(self.raw[i])
            # Where the episode goes on, what follows is what the policy will act on next, normalised as it will be then.
            for i, step in enumerate(steps):
                step.after = step.after if i in ended else self.normalized(self.raw[i])
            rollout.append(steps)
        if not stepwise:
            for raw in np.concatenate(acted_on):
                self.seen.push(raw)
        self._scale_rewards(rollout)
        return rollout

    def _scale_rewards(self, rollout: list[list[Step]]) -> None:
        algo = self.algo
        for steps in rollout:
            for i, step in enumerate(steps):
                self.acc[i] = algo.gamma * self.acc[i] + step.raw_reward
            for value in self.acc:
                self.returns.push(np.array([value]))
            for i, step in enumerate(steps):
                step.reward = step.raw_reward
                if algo.norm_reward:
                    step.reward = step.raw_reward / float(self.returns.std[0])
                    step.reward = (
                        step.reward if algo.clip_reward is None else float(np.clip(step.reward, -algo.clip_reward, algo.clip_reward))
                    )
                if step.terminated or step.timeout or step.partial:
                    self.acc[i] = 0.0

    # ------------------------------------------------------------------ advantages

    @torch.no_grad()
    def values_of(self, x: list[list[Any]]) -> np.ndarray:
        return self.net.value(torch.tensor(np.array(x)).double()).numpy()

    def advantages_and_targets(self, rollout: list[list[Step]]) -> tuple[np.ndarray, np.ndarray]:
        """Â and targets ``(T·N,)``, each by its own sum over the future."""
        T, N = len(rollout), len(rollout[0])
        gamma, decay = self.algo.gamma, self.algo.gamma * self.algo.gae_lambda
        value, value_after = (self.values_of([[getattr(step, of) for step in steps] for steps in rollout]) for of in ("x", "after"))
        delta, ends = np.zeros((T, N)), np.zeros((T, N), bool)
        for t in range(T):
            for i in range(N):
                step = rollout[t][i]
                ends[t, i] = step.terminated or step.timeout or step.partial
                cut = step.timeout or step.partial or t == T - 1
                if step.terminated or (step.timeout and not self.config.env.bootstrap_timeouts):
                    following = 0.0
                elif cut:
                    following = value[t, i] if self.algo.bootstrap_cut == "same" else value_after[t, i]
                else:
                    following = value[t + 1, i]
                delta[t, i] = step.reward + gamma * following - value[t, i]
        advantage, returns = np.zeros((T, N)), np.zeros((T, N))
        for t in range(T):
            for i in range(N):
                for k in range(t, T):
                    advantage[t, i] += decay ** (k - t) * delta[k, i]
                    returns[t, i] += gamma ** (k - t) * rollout[k][i].reward
                    if ends[k, i]:
                        break
        target = returns if self.algo.value_target == "returns" else advantage + value
        return advantage.ravel(), target.ravel()

    # ------------------------------------------------------------------ update

    def train(self, rollout: list[list[Step]]) -> dict[str, Any]:
        """One iteration's update; the metrics row that it should yield (columns about episodes left out)."""
        flat = [step for steps in rollout for step in steps]
        x = torch.tensor(np.array([step.x for step in flat])).double()
        actions = torch.tensor(np.array([step.action for step in flat])).double()
        old = copy.deepcopy(self.net)
        with torch.no_grad():
            pi_old, value_old = old.policy(x), old.value(x)
            log_prob_old = pi_old.log_prob(actions)
        first_advantage, first_target = self.advantages_and_targets(rollout)
        self._x, self._actions, self._old, self._log_prob_old, self._value_old = x, actions, old, log_prob_old, value_old
        done = self._update(rollout, first_advantage, first_target)
        low, high = torch.tensor(self.low), torch.tensor(self.high)
        residual = first_target - value_old.numpy()
        std = old.log_std.detach().exp()
        row: dict[str, Any] = {
            "entropy": float(pi_old.entropy()[0]),
            "action_std": float(std.mean()), "action_std_min": float(std.min()), "action_std_max": float(std.max()),
            "action_saturation": float(((actions < low) | (actions > high)).double().mean()),
            "mean_saturation": float(((pi_old.mean < low) | (pi_old.mean > high)).double().mean()),
            "value_mean": float(value_old.mean()),
            "explained_variance": 1 - residual.var() / first_target.var(),
            "adv_std": first_advantage.std(),
            "reward_scale": float(self.returns.std[0]) if self.algo.norm_reward else 1.0,
            "epochs": done.epochs, "lr": self.annealed(self.algo.lr, self.algo.lr_end),
            "kl_beta": self.kl_beta if self.algo.surrogate in ("adaptive_kl", "fixed_kl") else None,
        }  # fmt: skip
        if self.algo.norm_reward and self.algo.clip_reward is not None:
            row["reward_clip_fraction"] = float(np.mean([abs(abs(step.reward) - self.algo.clip_reward) < 1e-12 for step in flat]))
        with torch.no_grad():
            pi = self.net.policy(x)
            divergence, log_ratio = kl_divergence(pi_old, pi), pi.log_prob(actions) - log_prob_old
        B = self.algo.minibatch_size
        row |= {
            "kl": float(divergence.mean()),
            "kl_max": max(float(divergence[done.order[k : k + B]].mean()) for k in range(0, len(flat), B)),
            "kl_sample": float(-log_ratio.mean()),
            "ratio_max": float(log_ratio.exp().max()),
        }
        row |= {name: float(np.mean(values)) for name, values in (done.policy | done.value).items()}
        if self.algo.vf_clip is None:
            row["value_clip_fraction"] = None
        if self.algo.surrogate == "adaptive_kl":
            if row["kl"] < self.algo.kl_target / self.algo.kl_beta_tolerance:
                self.kl_beta /= self.algo.kl_beta_factor
            elif row["kl"] > self.algo.kl_target * self.algo.kl_beta_tolerance:
                self.kl_beta *= self.algo.kl_beta_factor
            self.kl_beta = min(max(self.kl_beta, 2.0**-20), 2.0**20)
        self.iteration += 1
        return row

    def _update(self, rollout: list[list[Step]], first_advantage: np.ndarray, first_target: np.ndarray) -> Update:
        algo, done = self.algo, Update()
        rng = generator(self.config.seed, "minibatches", self.iteration)
        advantage, target = first_advantage, first_target
        policy_stopped, largest, last = False, -math.inf, -math.inf
        limit = math.inf if algo.max_kl is None else algo.max_kl
        for epoch in range(algo.epochs):
            if algo.recompute_adv and epoch > 0:
                advantage, target = self.advantages_and_targets(rollout)
            scaled = (advantage - advantage.mean()) / (advantage.std(ddof=1) + 1e-8) if algo.norm_adv == "batch" else advantage
            done.epochs += 1
            done.order = rng.permutation(len(advantage))
            for k in range(0, len(advantage), algo.minibatch_size):
                chosen = done.order[k : k + algo.minibatch_size]
                estimate = 0.0 if algo.max_kl is None else self._kl(chosen)
                if not policy_stopped:
                    largest, last = max(largest, estimate), estimate
                if algo.max_kl_on == "minibatch" and done.policy["policy_loss"] and estimate > limit:
                    if algo.max_kl_stops == "both":
                        return done
                    policy_stopped = True
                self._step(chosen, scaled[chosen], target[chosen], policy_stopped, done)
            over = {"minibatch_max": largest, "minibatch_last": last}.get(algo.max_kl_on, -math.inf)
            if algo.max_kl is not None and algo.max_kl_on == "epoch":
                over = self._kl(np.arange(len(advantage)))
            if over > limit:
                if algo.max_kl_stops == "both":
                    return done
                policy_stopped = True
        return done

    def _kl(self, chosen: np.ndarray) -> float:
        """The estimator of the KL stop on some samples."""
        with torch.no_grad():
            pi_old, pi = self._old.policy(self._x[chosen]), self.net.policy(self._x[chosen])
            log_ratio = pi.log_prob(self._actions[chosen]) - self._log_prob_old[chosen]
        if self.algo.kl_estimator == "exact":
            return float(kl_divergence(pi_old, pi).mean())
        return float(-log_ratio.mean() if self.algo.kl_estimator == "k1" else ((log_ratio.exp() - 1) - log_ratio).mean())

    def _step(self, chosen: np.ndarray, advantage: np.ndarray, target: np.ndarray, policy_stopped: bool, done: Update) -> None:
        algo, net = self.algo, self.net
        eps = self.annealed(algo.clip_eps, algo.clip_end)
        if algo.norm_adv == "minibatch" and len(chosen) > 1:
            advantage = (advantage - advantage.mean()) / (advantage.std(ddof=1) + 1e-8)
        A, R, V_old = torch.tensor(advantage), torch.tensor(target), self._value_old[chosen]
        pi, V = net.policy(self._x[chosen]), net.value(self._x[chosen])
        ratio = (pi.log_prob(self._actions[chosen]) - self._log_prob_old[chosen]).exp()
        if algo.surrogate == "clip":
            policy_loss = -torch.min(ratio * A, ratio.clamp(1 - eps, 1 + eps) * A).mean()
        else:
            policy_loss = -(ratio * A).mean()
        value_loss = ((V - R) ** 2).mean()
        if algo.vf_clip is not None:
            value_loss = torch.max((V - R) ** 2, (V_old + (V - V_old).clamp(-algo.vf_clip, algo.vf_clip) - R) ** 2).mean()
        loss = policy_loss + algo.vf_coef * value_loss - algo.ent_coef * pi.entropy().mean()
        if algo.surrogate in ("adaptive_kl", "fixed_kl"):
            loss = loss + self.kl_beta * kl_divergence(self._old.policy(self._x[chosen]), pi).mean()
        net.zero_grad()
        loss.backward()
        policy, value = net.policy_parameters(), net.value_parameters()
        if policy_stopped:
            for parameter in policy:
                parameter.grad = None
        norms = [math.sqrt(sum(float((p.grad**2).sum()) for p in part if p.grad is not None)) for part in (policy, value)]
        clipped = False
        if algo.max_grad_norm is not None:
            groups = [policy + value] if algo.grad_clip == "joint" else [policy, value]
            for group in groups:
                clipped |= float(nn.utils.clip_grad_norm_(group, algo.max_grad_norm)) + 1e-6 > algo.max_grad_norm
        for optimizer, stands in ((self.policy_optimizer, policy_stopped), (self.value_optimizer, False)):
            for group in optimizer.param_groups:
                group["lr"] = self.annealed(algo.lr, algo.lr_end)
            if not stands:
                optimizer.step()
        if not policy_stopped:
            counted = eps if algo.surrogate == "clip" else 0.2
            done.policy["policy_loss"].append(float(policy_loss.detach()))
            done.policy["clip_fraction"].append(float(((ratio - 1).abs() > counted).double().mean()))
            done.policy["policy_grad_norm"].append(norms[0])
        done.value["value_loss"].append(float(value_loss.detach()))
        done.value["value_clip_fraction"].append(float(((V - V_old).abs() > (algo.vf_clip or math.inf)).double().mean()))
        done.value["value_grad_norm"].append(norms[1])
        done.value["grad_clip_fraction"].append(float(clipped))
