"""The table of symptoms: how bad each is, what finds it, what to turn and where that is known from.

A new symptom is one function in ``doctor/symptoms`` and one entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ppo_sweep.report.doctor.evidence import Evidence
from ppo_sweep.report.doctor.record import RunRecord, SeedGroup
from ppo_sweep.report.doctor.symptoms import learning, policy, seeds, update
from ppo_sweep.report.doctor.thresholds import Thresholds

#: From the mildest: a note is worth knowing, a warning worth a change, a severe run is spoilt.
SEVERITIES = ("note", "warning", "severe")

Seen = TypeVar("Seen", RunRecord, SeedGroup)


@dataclass(frozen=True)
class Rule(Generic[Seen]):
    """One symptom.

    Attributes:
        symptom: its name.
        severity: one of :data:`SEVERITIES`.
        check: says whether it is there, and why.
        meaning: what it is, for somebody who tunes a task, in one sentence.
        knob: what to turn first.
        advice: in which direction, and why.
        source: who found it, or "ours".
    """

    symptom: str
    severity: str
    check: Callable[[Seen, Thresholds], Evidence | None]
    meaning: str
    knob: str
    advice: str
    source: str


_ARTICLE = "Zhang Hengrui 2020, the article on tuning PPO (zhihu p/207435700)"
_SCHULMAN = "Schulman 2016, The Nuts and Bolts of Deep RL Research (slides)"
_DETAILS = "Huang et al. 2022, The 37 Implementation Details of Proximal Policy Optimization"
_ENGSTROM = "Engstrom et al. 2020, Implementation Matters in Deep Policy Gradients (arXiv 2005.12729)"

#: Of one run, most telling first.
RUN_RULES: tuple[Rule[RunRecord], ...] = (
    Rule(
        "non_finite", "severe", learning.non_finite,
        meaning="Numbers became infinite or NaN; nothing after that can be trusted.",
        knob="algo.lr",
        advice="Lower algo.lr, set algo.max_grad_norm, and keep algo.norm_obs and algo.norm_reward on; if the simulator itself exploded, "
        "keep env.clip_action=true.",
        source="ours",
    ),
    Rule(
        "return_collapse", "severe", learning.return_collapse,
        meaning="The policy had learned, and lost most of it again.",
        knob="algo.max_kl",
        advice="Make updates smaller: set or lower algo.max_kl (0.02 is a start), or lower algo.lr, or let it fall (algo.lr_end=0).",
        source=f"{_ARTICLE}: the return that falls at iteration 100 and never recovers; {_SCHULMAN}: a KL spike, then a drastic loss "
        "of performance",
    ),
    Rule(
        "entropy_collapse", "severe", policy.entropy_collapse,
        meaning="The policy has stopped exploring before it could have found anything.",
        knob="algo.ent_coef",
        advice="Raise algo.ent_coef (0.001 to 0.01), or slow the policy down with a lower algo.lr or algo.max_kl. A negative entropy by "
        "itself is harmless: it is a density's.",
        source=f"{_ARTICLE}: entropy that changes too fast, because the actor does; {_SCHULMAN}: a premature drop in policy entropy",
    ),
    Rule(
        "entropy_rising", "warning", policy.entropy_rising,
        meaning="The entropy bonus outweighs what the return says about σ: the policy becomes more random instead of better.",
        knob="algo.ent_coef",
        advice="Lower algo.ent_coef, to 0 if need be. How much bonus a task bears differs: dm_control's cheetah, whose reward has no "
        "control cost, bears less than HalfCheetah.",
        source=f"{_ARTICLE}: dm_control cheetah-run, cured by an entropy coefficient of 0",
    ),
    Rule(
        "kl_spike", "warning", update.kl_spike,
        meaning="Updates change the policy too far, some or all of them: the data then says little about the new policy.",
        knob="algo.max_kl",
        advice="Set or lower algo.max_kl (0.02 is a start), or lower algo.lr or algo.epochs: clipping the ratio does not bound the KL.",
        source=f"{_ARTICLE}, and {_ENGSTROM} which it quotes: clipping does not bound the KL; {_SCHULMAN}: KL spikes",
    ),
    Rule(
        "max_kl_too_small", "warning", update.max_kl_too_small,
        meaning="The KL stop ends nearly every update after one epoch: most of the work that the data would allow is never done.",
        knob="algo.max_kl",
        advice="Raise algo.max_kl, or measure it less noisily (algo.max_kl_on=epoch, algo.kl_estimator=exact); if one epoch is meant, "
        "algo.epochs=1 says so.",
        source="ours, after the early stopping of Spinning Up and of the article",
    ),
    Rule(
        "value_not_learning", "warning", learning.value_not_learning,
        meaning="The critic hardly predicts the returns, so advantages are mostly noise.",
        knob="algo.value_target",
        advice="Use algo.value_target=gae, algo.norm_reward=true and algo.norm_obs=mean_std; then raise algo.epochs or algo.lr, and check "
        "that algo.gamma suits the horizon.",
        source=f"{_ARTICLE}: the value loss that stays high with discounted returns as targets; {_SCHULMAN}: explained variance",
    ),
    Rule(
        "clip_fraction_high", "warning", update.clip_fraction_high,
        meaning="Most samples are clipped and no longer pull: later epochs only push a few outliers further.",
        knob="algo.lr",
        advice="Lower algo.lr or algo.epochs, set algo.max_kl, or raise algo.minibatch_size; raise algo.clip_eps only if the KL is small.",
        source=f"{_DETAILS}: debug variables; ours",
    ),
    Rule(
        "action_saturation", "warning", policy.action_saturation,
        meaning="The mean action itself lies beyond the bounds, where moving it changes nothing and gradients vanish.",
        knob="network.mean",
        advice="Use network.mean=tanh, or lower algo.lr; if the best action is at the bounds (bang-bang control) this is no fault.",
        source="Chou, Maturana and Scherer 2017, Improving Stochastic Policy Gradients in Continuous Control with Deep "
        "Reinforcement Learning using the Beta Distribution: Gaussian actions at bounds",
    ),
    Rule(
        "grad_clip_always", "warning", update.grad_clip_always,
        meaning="One norm is clipped for both networks, and the critic's gradient fills it: its error shrinks the policy's step.",
        knob="algo.grad_clip",
        advice="Set algo.grad_clip=separate, or lower algo.vf_coef, or scale the reward (algo.norm_reward=true).",
        source=f"{_DETAILS}: global gradient clipping; ours",
    ),
    Rule(
        "kl_off_target", "warning", update.kl_off_target,
        meaning="The adaptive penalty does not hold the KL at its target.",
        knob="algo.kl_beta",
        advice="Move algo.kl_beta, algo.lr or algo.epochs until β has room to settle.",
        source="Schulman et al. 2017, Proximal Policy Optimization Algorithms, §4",
    ),
    Rule(
        "timeouts_terminal", "warning", learning.timeouts_terminal,
        meaning="Nearly every episode ends at the time limit, and the critic is told that nothing would have followed.",
        knob="env.bootstrap_timeouts",
        advice="Set env.bootstrap_timeouts=true, unless a published result is to be reproduced.",
        source="Pardo et al. 2018, Time Limits in Reinforcement Learning (arXiv 1712.00378)",
    ),
    Rule(
        "lr_exhausted", "note", learning.lr_exhausted,
        meaning="The learning rate has run out while the return was still rising: the budget ended the learning, not the task.",
        knob="total_steps",
        advice="Raise total_steps, or keep more of the rate at the end (algo.lr_end=0.3).",
        source=f"{_DETAILS}: learning rate annealing; ours",
    ),
    Rule(
        "max_kl_no_effect", "note", update.max_kl_no_effect,
        meaning="The KL stop is set and never stops anything.",
        knob="algo.max_kl",
        advice="Lower algo.max_kl if it is meant to act; otherwise null gives the same run.",
        source="ours",
    ),
    Rule(
        "too_few_episodes", "note", learning.too_few_episodes,
        meaning="The score rests on few, or on old, episodes.",
        knob="total_steps",
        advice="Raise total_steps, lower algo.n_envs where the score lags, or use score=eval.",
        source="ours",
    ),
    Rule(
        "reward_clipped", "note", learning.reward_clipped,
        meaning="Large rewards are cut: what is optimised is no longer quite the task.",
        knob="algo.clip_reward",
        advice="Raise algo.clip_reward or set it to null.",
        source=f"{_ENGSTROM}: reward clipping",
    ),
)  # fmt: skip

#: Of a group of seeds.
GROUP_RULES: tuple[Rule[SeedGroup], ...] = (
    Rule(
        "seeds_bimodal", "note", seeds.seeds_bimodal,
        meaning="The seeds fall into two camps; their mean and its interval describe neither.",
        knob="seed",
        advice="Look at the strips of seeds instead of the mean, run more seeds, and compare the camps' curves for what parts them.",
        source="Henderson et al. 2018, Deep Reinforcement Learning that Matters (arXiv 1709.06560): seeds of one setting; ours",
    ),
)  # fmt: skip

RULES: tuple[Rule[Any], ...] = (*RUN_RULES, *GROUP_RULES)
SYMPTOMS: tuple[str, ...] = tuple(rule.symptom for rule in RULES)
