"""``algo.*``: the surrogate, the optimiser, the data they work on.

Letters: T steps per rollout and environment, N environments per member, B minibatch, K epochs.
Sources: "PPO" Schulman et al. 2017 (arXiv 1707.06347), "37 details" Huang et al. 2022 (ICLR blog
track), "GAE" Schulman et al. 2016 (arXiv 1506.02438), "ours" = chosen here.
"""

from __future__ import annotations

from dataclasses import dataclass

from ppo_sweep.config.declaring import knob_field


@dataclass(frozen=True)
class AlgoConfig:
    """PPO: the surrogate, the optimiser, the data it works on."""

    # --- the surrogate (PPO §3, §4, §6.1) ---
    surrogate: str = knob_field(
        "clip", "objective of the policy", choices=("clip", "adaptive_kl", "fixed_kl", "none"), source="PPO eq. 7", member=True
    )
    clip_eps: float = knob_field(0.2, "ε: the ratio is clipped to [1 − ε, 1 + ε]", low=0, open_low=True, source="PPO Table 1", member=True)
    clip_end: float = knob_field(
        1.0, "fraction of clip_eps reached at the end of the budget (1 = constant)", low=0, high=1, source="37 details", member=True
    )
    kl_beta: float = knob_field(1.0, "β: weight of the KL penalty (its start under adaptive_kl)", low=0, source="PPO Table 1", member=True)
    kl_target: float = knob_field(
        0.01, "d_targ of adaptive_kl", unit="nats", low=0, open_low=True, source="PPO Table 1", example=0.01, member=True
    )
    kl_beta_factor: float = knob_field(2.0, "β is multiplied or divided by this", low=1, source="PPO §4", member=True)
    kl_beta_tolerance: float = knob_field(
        1.5, "β changes when KL leaves [d_targ / tolerance, d_targ · tolerance]", low=1, source="PPO §4", member=True
    )
    # --- the KL stop ---
    max_kl: float | None = knob_field(
        None, "stop updating in this iteration once KL exceeds this; null = never", unit="nats", low=0, open_low=True,
        source="37 details (auxiliary)", example=0.02, member=True,
    )  # fmt: skip
    max_kl_on: str = knob_field(
        "epoch",
        "where the KL is measured: the whole batch after each epoch; each minibatch before its step, stopping at once; "
        "after each epoch the largest minibatch so far, or the last one",
        choices=("epoch", "minibatch", "minibatch_max", "minibatch_last"),
        member=True,
    )
    max_kl_stops: str = knob_field("both", "what stops: policy and critic, or the policy only", choices=("both", "policy"), member=True)
    kl_estimator: str = knob_field(
        "exact", "how the KL of the stop is measured: exact, k1 = mean(log π_old − log π), k3 = mean((r − 1) − log r)",
        choices=("exact", "k1", "k3"), source="Schulman 2020, Approximating KL divergence", member=True,
    )  # fmt: skip
    # --- the optimiser ---
    lr: float = knob_field(3e-4, "Adam step size", low=0, open_low=True, source="PPO Table 3", member=True)
    lr_end: float = knob_field(
        0.0, "fraction of lr reached at the end of the budget (0 = annealed to nothing, 1 = constant)",
        low=0, high=1, source="37 details", member=True,
    )  # fmt: skip
    adam_eps: float = knob_field(1e-5, "Adam's ε", low=0, open_low=True, source="37 details", member=True)
    max_grad_norm: float | None = knob_field(
        0.5, "gradients longer than this (L2) are scaled down to it; null = off", low=0, open_low=True, source="37 details", member=True
    )
    grad_clip: str = knob_field(
        "joint", "one norm over policy and critic, or one each", choices=("joint", "separate"), source="37 details", member=True
    )
    optimizer: str = knob_field("adam", "optimiser", choices=("adam", "sgd"), source="PPO Table 3")
    # --- the data ---
    n_steps: int = knob_field(2048, "T: steps per rollout and environment", unit="agent steps", low=1, source="PPO Table 3")
    n_envs: int = knob_field(1, "N: environments per member", low=1, high=4096, source="PPO Table 3")
    minibatch_size: int = knob_field(64, "B: samples per gradient step", low=1, source="PPO Table 3")
    epochs: int = knob_field(10, "K: passes over each rollout", low=1, high=1000, source="PPO Table 3", member=True)
    recompute_adv: bool = knob_field(
        False, "recompute values, advantages and targets before each epoch", source="Andrychowicz et al. 2021 (arXiv 2006.05990)"
    )
    # --- returns and advantages ---
    gamma: float = knob_field(0.99, "γ: discount per agent step", low=0, high=1, source="PPO Table 3", member=True)
    gae_lambda: float = knob_field(0.95, "λ of GAE", low=0, high=1, source="PPO Table 3", member=True)
    value_target: str = knob_field(
        "gae", "the critic's target: V + Â, or discounted rewards without bootstrap", choices=("gae", "returns"), source="37 details"
    )
    bootstrap_cut: str = knob_field(
        "next", "value at a non-terminal cut: of the true next observation, or of the same step (Schulman's first code)",
        choices=("next", "same"), source="GAE",
    )  # fmt: skip
    norm_adv: str = knob_field(
        "minibatch", "advantages standardised per minibatch, over the whole batch, or not", choices=("minibatch", "batch", "off"),
        source="37 details", member=True,
    )  # fmt: skip
    # --- losses beside the surrogate ---
    ent_coef: float = knob_field(0.0, "weight of the entropy bonus (c₂)", low=0, source="PPO §6.1", example=0.01, member=True)
    vf_coef: float = knob_field(
        0.25, "weight of mean (V − R)², without ½: CleanRL's 0.5 is 0.25 here (c₁)", low=0, source="37 details", member=True
    )
    vf_clip: float | None = knob_field(
        0.2, "the value may leave its old value by this before the loss is clipped; null = off", low=0, open_low=True,
        source="37 details", member=True,
    )  # fmt: skip
    # --- normalisation ---
    norm_obs: str = knob_field(
        "mean_std", "observations: centred and scaled, centred, scaled, or as they are", choices=("mean_std", "mean", "std", "off"),
        source="37 details", member=True,
    )  # fmt: skip
    norm_obs_update: str = knob_field(
        "step", "when the observation statistics move: every step, or once per rollout", choices=("step", "rollout"),
        source="37 details", member=True,
    )  # fmt: skip
    clip_obs: float | None = knob_field(
        10.0, "normalised observations are clipped to ± this; null = off", low=0, open_low=True, source="37 details", member=True
    )
    norm_reward: bool = knob_field(True, "rewards divided by the std of the running discounted return", source="37 details", member=True)
    clip_reward: float | None = knob_field(
        10.0, "scaled rewards are clipped to ± this; null = off", low=0, open_low=True, source="37 details", member=True
    )
    # --- measurements ---
    grad_stats_every: int = knob_field(
        0, "measure gradient noise every so many iterations; 0 = off (not in this version)", unit="iterations", low=0
    )
