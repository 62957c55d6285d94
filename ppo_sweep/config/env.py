"""``env.*``: one Gymnasium environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ppo_sweep.config.declaring import knob_field


@dataclass(frozen=True)
class EnvConfig:
    """One Gymnasium environment."""

    id: str = knob_field("Pendulum-v1", "registered id, also module:Name-v0", example="Hopper-v5")
    kwargs: dict[str, Any] = knob_field({}, "passed to gymnasium.make", example="{ctrl_cost_weight: 0.05}")
    max_episode_steps: int | None = knob_field(None, "time limit; null = the registered one", unit="environment steps", low=1, example=1000)
    action_repeat: int = knob_field(1, "environment steps per agent step", low=1, high=100, source="article (dmc)")
    clip_action: bool = knob_field(
        True, "actions are clipped at the bounds before the step; the unclipped one is stored", source="37 details"
    )
    bootstrap_timeouts: bool = knob_field(
        True, "a time limit bootstraps the value of the true next observation; false = it counts as terminal",
        source="Pardo et al. 2018 (arXiv 1712.00378)",
    )  # fmt: skip
    stagger: bool | None = knob_field(None, "first episodes are cut so that environments start out of phase; null = when N > 1")
    score_random: float | None = knob_field(None, "return of uniform actions, for normalised scores", unit="return")
    score_reference: float | None = knob_field(None, "return that counts as 1 in normalised scores", unit="return")
