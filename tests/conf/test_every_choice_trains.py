"""Every shipped environment, recipe, tuned file and algorithm trains for two iterations, the algorithms side by side."""

from __future__ import annotations

import math

import pytest

from ppo_sweep.learner.population import Population
from ppo_sweep.sweep.command_line import check
from ppo_sweep.sweep.composition import CONF


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("env", [name for name in choices("env") if name != "any"])
@pytest.mark.parametrize("recipe", choices("recipe"))
def test_every_algorithm_trains_under_every_recipe_in_every_environment(recipe: str, env: str) -> None:
    # One epoch instead of ten: what a configuration can break shows in the first.
    jobs = check(["-m", f"env={env}", f"recipe={recipe}", f"algo={','.join(choices('algo'))}", "algo.epochs=1"]).jobs
    population = Population(jobs[0].config)
    for job in jobs:
        population.admit(job.config)
    for iteration in (1, 2):
        for job, outcome in zip(jobs, population.iterate(), strict=True):
            assert outcome.failure is None, f"{job.path}: {outcome.failure}"
            assert outcome.row is not None
            assert outcome.row["env_steps"] == iteration * job.config.steps_per_iteration
            assert math.isfinite(outcome.row["policy_loss"] or 0.0)
            # One epoch on one's own data moves the policy, without a clip perhaps far, but not out of sight.
            assert 0 < (outcome.row["kl"] or 0.0) < 1, f"{job.path}: KL {outcome.row['kl']}"
    for member in list(population.members):
        population.evict(member)
