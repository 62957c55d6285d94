"""Evaluation: frozen normalisers, raw rewards, own environments and random stream (docs/numbers.md §1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ppo_sweep.config import EnvConfig
from ppo_sweep.envs import Environment, SimulationDiverged, inspect
from ppo_sweep.envs.mujoco import once
from ppo_sweep.learner.policy import Policy
from ppo_sweep.randomness import generator

#: Episodes of the evaluation after the last iteration.
FINAL_EPISODES = 100
#: Episodes played side by side, so that a forward pass serves many.
AT_ONCE = 20

Observations = npt.NDArray[np.float64]
Actions = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Evaluation:
    """Raw returns and lengths of whole episodes, in order, each ``(n,)``; the return of one that diverged is NaN."""

    mode: str
    returns: npt.NDArray[np.float64]
    lengths: npt.NDArray[np.int64]

    def row(self, env_steps: int) -> dict[str, float | int | str | None]:
        """A line of ``eval.csv``."""
        return {
            "env_steps": env_steps,
            "mode": self.mode,
            "episodes": len(self.returns),
            "return_mean": float(self.returns.mean()),
            "return_std": float(self.returns.std(ddof=1)) if len(self.returns) > 1 else None,
            "return_min": float(self.returns.min()),
            "return_max": float(self.returns.max()),
            "length_mean": float(self.lengths.mean()),
        }


def evaluate(
    policy: Policy, *, episodes: int, seed: int, mode: str = "deterministic", warn: Callable[[str], None] = lambda message: None
) -> Evaluation:
    """Whole episodes of a policy, from the same start seeds at every call.

    Args:
        policy: acts; its normaliser does not move.
        episodes: how many.
        seed: episode k starts from f(seed, "eval", k); its noise is the stream (seed, "eval_noise", iteration, k).
        mode: ``deterministic`` (mean action, clipped) or ``sampled``.
        warn: receives the environment's warnings.
    """
    noise = [generator(seed, "eval_noise", policy.iteration, k) for k in range(episodes)]

    def act(observations: Observations, playing: list[int]) -> Actions:
        actions = policy.mean(observations)
        if mode == "sampled":
            drawn = [noise[k].standard_normal(actions.shape[1], dtype=np.float32) for k in playing]
            actions = actions + policy.std * np.stack(drawn)
        return policy.clip(actions)

    returns, lengths = _play(policy.env_config, act, episodes, seed, "eval", warn)
    return Evaluation(mode, returns, lengths)


def evaluate_random(env: EnvConfig, *, episodes: int, seed: int, warn: Callable[[str], None] = lambda message: None) -> Evaluation:
    """The same of uniform actions between the bounds: what ``score_random`` is.

    Raises:
        ValueError: if an action is unbounded, where no uniform distribution exists.
    """
    spec = inspect(env)
    if not np.isfinite([spec.action_low, spec.action_high]).all():
        raise ValueError(f"{env.id} has unbounded actions, so there are no uniform ones")
    draws = [generator(seed, "random_policy", k) for k in range(episodes)]

    def act(observations: Observations, playing: list[int]) -> Actions:
        return np.stack([draws[k].uniform(spec.action_low, spec.action_high) for k in playing]).astype(np.float32)

    returns, lengths = _play(env, act, episodes, seed, "random", warn)
    return Evaluation("random", returns, lengths)


def _play(
    env: EnvConfig,
    act: Callable[[Observations, list[int]], Actions],
    episodes: int,
    seed: int,
    stream: str,
    warn: Callable[[str], None],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Play episodes 0, 1, …, each in an environment of its own; ``act(observations (n, O), episodes)`` gives ``(n, A)``.

    An episode that diverges ends there with a return of NaN: an evaluation changes nothing of the training that goes on.
    """
    returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
    warn = once(warn)  # every environment would say the same
    for first in range(0, episodes, AT_ONCE):
        playing = list(range(first, min(first + AT_ONCE, episodes)))
        with ExitStack() as stack:
            worlds = {k: Environment(env, run_seed=seed, index=k, stream=stream, warn=warn) for k in playing}
            for world in worlds.values():
                stack.callback(world.close)
            current = {k: world.reset() for k, world in worlds.items()}
            while playing:
                actions = act(np.stack([current[k] for k in playing]), playing)
                over = []
                for k, action in zip(playing, actions, strict=True):
                    world = worlds[k]
                    try:
                        current[k], reward, terminated, truncated = world.step(action)
                        ended = terminated or truncated
                        broken = None if math.isfinite(reward) and np.isfinite(current[k]).all() else "non-finite observation or reward"
                        broken = broken or (world.fault() if ended else None)
                    except SimulationDiverged as error:
                        broken = str(error)
                    if broken:
                        warn(f"an episode of an evaluation diverged, so that its mean is blank: {broken}")
                    if broken or ended:
                        returns[k], lengths[k] = math.nan if broken else world.return_, world.length
                        over.append(k)
                playing = [k for k in playing if k not in over]
    return returns, lengths
