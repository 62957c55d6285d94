#!/usr/bin/env python
"""Returns of a trained policy, or of uniform actions, in raw rewards.

python scripts/eval.py results/hopper/algo.max_kl=0.02,env=hopper/seed=1 --episodes 100
python scripts/eval.py --random env=hopper --episodes 100
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.installation import missing_packages

if TYPE_CHECKING:
    from ppo_sweep.runs.evaluation import Evaluation


def main() -> int:
    """Parse arguments, evaluate, print; 0, or 2 with a message."""
    missing = missing_packages("scripts/eval.py")
    if missing is not None:
        print(missing, end="", file=sys.stderr)
        return 2

    from ppo_sweep.config import ConfigError
    from ppo_sweep.runs.errors import StorageError

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help="directory of a run: results/STUDY/NAME/seed=N")
    parser.add_argument("--random", nargs="+", metavar="OVERRIDE", help="uniform actions in the environment of these overrides instead")
    parser.add_argument("--episodes", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the episodes' starts and of the noise (default 0)")
    parser.add_argument("--mode", choices=("deterministic", "sampled"), default="deterministic", help="mean or sampled actions")
    given = parser.parse_args()
    if (given.run is None) == (given.random is None):
        parser.error("give either a RUN or --random with overrides, for example --random env=hopper")
    if given.episodes < 1 or given.seed < 0:
        parser.error("--episodes is at least 1, --seed at least 0")
    try:
        if given.random is not None:
            title, result = of_uniform_actions(given.random, given.episodes, given.seed)
        else:
            title, result = of_policy(given.run, given.episodes, given.seed, given.mode)
    except (ConfigError, StorageError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{title}, {given.episodes} episodes, seed {given.seed}")
    print(described(result))
    return 0


def of_policy(run: Path, episodes: int, seed: int, mode: str) -> tuple[str, Evaluation]:
    """What is evaluated, in words, and its returns."""
    from ppo_sweep import load_policy
    from ppo_sweep.runs.evaluation import evaluate

    policy = load_policy(run)
    title = f"{policy.env_config.id}, {mode} actions of the policy after {policy.iteration} iterations"
    return title, evaluate(policy, episodes=episodes, seed=seed, mode=mode, warn=_warn)


def of_uniform_actions(overrides: Sequence[str], episodes: int, seed: int) -> tuple[str, Evaluation]:
    """The same of uniform actions: what ``env.score_random`` is."""
    from ppo_sweep.runs.evaluation import evaluate_random
    from ppo_sweep.sweep.command_line import check

    env = check(overrides).jobs[0].config.env
    return f"{env.id}, uniform actions", evaluate_random(env, episodes=episodes, seed=seed, warn=_warn)


def described(result: Evaluation) -> str:
    """Mean, spread and extent of the returns; lengths in agent steps."""
    returns = result.returns
    n = len(returns)
    sd = f"{returns.std(ddof=1):.2f}" if n > 1 else "–"
    return (
        f"return  mean {returns.mean():.2f}  sd {sd}  min {returns.min():.2f}  max {returns.max():.2f}  n {n}\n"
        f"length  mean {result.lengths.mean():.1f}"
    )


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
