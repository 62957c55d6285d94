"""Train PPO: ``python train.py env=hopper algo.max_kl=0.02 seed=1``, or a grid of runs with ``-m``.

The command line is checked as a whole before Hydra is entered, so that bad input costs nothing and
creates nothing; ``python train.py --help`` lists every choice and knob.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ppo_sweep.installation import missing_packages
from ppo_sweep.process import settle

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main(argv: list[str]) -> int:
    """Check the command line, then hand over to Hydra; returns the exit code (docs/knobs.md lists the knobs)."""
    missing = missing_packages("train.py")
    if missing is not None:
        print(missing, end="", file=sys.stderr)
        return 2

    import hydra

    from ppo_sweep.sweep.composition import CONF, VERSION_BASE
    from ppo_sweep.sweep.preparation import prepare
    from ppo_sweep.sweep.session import Session, carry_out

    prepared = prepare(argv)
    if isinstance(prepared, int):
        return prepared

    session = Session(argv, prepared.study)

    @hydra.main(config_path=str(CONF), config_name="config", **VERSION_BASE)
    def run(composed: DictConfig) -> object:
        return session.run(composed)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on, instead of exiting 1 with words of its own
    return carry_out(run, session, prepared.hydra_argv)


if __name__ == "__main__":
    settle()
    sys.exit(main(sys.argv[1:]))
