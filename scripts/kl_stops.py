"""What ``target_kl = 0.02`` means in five places, measured on one Hopper run: ``python scripts/kl_stops.py``.

A run without a KL stop is taken as it goes; at every fifth iteration one member per rule continues
from its state, with the same rollout and the same minibatches, and only the rule differs.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict

from ppo_sweep.config import Config
from ppo_sweep.learner.population import Population

#: Rule → the knobs that express it for a target of 0.02.
RULES: dict[str, dict[str, float | str]] = {
    "no stop": {},
    "Stable-Baselines3 `target_kl`: k3 of each minibatch before its step, × 1.5, stops all": {
        "algo.max_kl": 0.03, "algo.max_kl_on": "minibatch", "algo.kl_estimator": "k3",
    },
    "CleanRL `--target-kl`: k3 of the last minibatch, after the epoch, stops all": {
        "algo.max_kl": 0.02, "algo.max_kl_on": "minibatch_last", "algo.kl_estimator": "k3",
    },
    "Spinning Up `target_kl`: k1 of the whole batch, × 1.5, stops the policy": {
        "algo.max_kl": 0.03, "algo.max_kl_on": "epoch", "algo.kl_estimator": "k1", "algo.max_kl_stops": "policy",
    },
    "the article's `--target_kl`: k1, largest minibatch so far, after the epoch, stops all": {
        "algo.max_kl": 0.02, "algo.max_kl_on": "minibatch_max", "algo.kl_estimator": "k1",
    },
    "here `algo.max_kl`: exact, whole batch, after the epoch, stops all": {"algo.max_kl": 0.02},
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="Hopper-v5", help="Gymnasium id")
    parser.add_argument("--steps", type=int, default=200_000, help="length of the run (default 200000)")
    parser.add_argument("--lr", type=float, default=1e-3, help="its learning rate; at 3e-4 few rules ever stop (default 0.001)")
    given = parser.parse_args()
    # A constant learning rate, so that late iterations still have something to stop.
    config = Config().replace(**{"env.id": given.env, "total_steps": given.steps, "algo.lr": given.lr, "algo.lr_end": 1.0})
    run = Population(config)
    member = run.admit(config)
    kl: dict[str, list[float]] = defaultdict(list)
    epochs: dict[str, list[float]] = defaultdict(list)
    while not member.finished:
        if member.iteration % 5 == 0:
            state = run.state_of(member)
            twins = Population(config)
            for rule in RULES.values():
                twins.admit(config.replace(**rule), state)
            for rule_name, outcome in zip(RULES, twins.iterate(), strict=True):
                assert outcome.row is not None
                kl[rule_name].append(float(outcome.row["kl"] or 0.0))
                epochs[rule_name].append(float(outcome.row["epochs"] or 0))
            for twin in list(twins.members):
                twins.evict(twin)
        run.iterate()
    count = len(kl["no stop"])
    print(f"{given.env}, recipe standard with a constant learning rate of {given.lr:g}, seed 0:")
    print(f"{count} iterations out of {config.iterations}.\n")
    print("| rule, for a target of 0.02 | epochs begun, mean | exact KL reached, median | 10 % … 90 % |")
    print("|---|---|---|---|")
    for name in RULES:
        tenths = statistics.quantiles(kl[name], n=10)
        print(
            f"| {name} | {statistics.mean(epochs[name]):.1f} | {statistics.median(kl[name]):.4f} "
            f"| {tenths[0]:.4f} … {tenths[-1]:.4f} |"
        )  # fmt: skip


if __name__ == "__main__":
    main()
