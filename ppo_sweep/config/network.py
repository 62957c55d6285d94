"""``network.*``: actor and critic."""

from __future__ import annotations

from dataclasses import dataclass

from ppo_sweep.config.declaring import knob_field


@dataclass(frozen=True)
class NetworkConfig:
    """Actor and critic: two multilayer perceptrons."""

    hidden: tuple[int, ...] = knob_field((64, 64), "widths of the hidden layers", low=1, high=4096, source="PPO §6.1", example=[64, 64])
    activation: str = knob_field("tanh", "non-linearity", choices=("tanh", "relu"), source="PPO §6.1")
    shared: bool = knob_field(False, "actor and critic share the hidden layers", source="PPO §6.1")
    mean: str = knob_field(
        "free", "the policy's mean: the last layer itself, or tanh of it times the action limit", choices=("free", "tanh"),
        source="37 details",
    )  # fmt: skip
    init: str = knob_field(
        "orthogonal", "initial weights: orthogonal (√2, heads 0.01 and 1), column-normalised normal (heads 0.01 and 1), torch's default",
        choices=("orthogonal", "normc", "default"), source="37 details", member=True,
    )  # fmt: skip
    log_std_init: float = knob_field(
        0.0, "log σ of the policy at the start", unit="log(action units)", low=-20, high=2, source="37 details", member=True
    )
