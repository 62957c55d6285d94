"""Train PPO: ``python train.py env=hopper algo.max_kl=0.02 seed=1``, or a grid of runs with ``-m``.

The command line is checked as a whole before Hydra is entered, so that bad input costs nothing and
creates nothing; ``python train.py --help`` lists every choice and knob.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

MISSING = """\
train.py needs packages that this Python does not have: {names}
Install them into a virtual environment and try a small comparison with

    make demo

or install them only, with

    python -m venv .venv && .venv/bin/pip install -e .

and then run .venv/bin/python train.py
"""


def main(argv: list[str]) -> int:
    """Check the command line, then hand over to Hydra; returns the exit code (docs/knobs.md lists the knobs)."""
    missing = [name for name in ("numpy", "torch", "gymnasium", "mujoco", "hydra", "safetensors", "rich") if find_spec(name) is None]
    if missing:
        print(MISSING.format(names=", ".join(missing)), end="", file=sys.stderr)
        return 2

    import hydra

    from ppo_sweep.sweep.composition import CONF, VERSION_BASE
    from ppo_sweep.sweep.preparation import prepare
    from ppo_sweep.sweep.session import Session, carry_out

    prepared = prepare(argv)
    if isinstance(prepared, int):
        return prepared

    session = Session()

    @hydra.main(config_path=str(CONF), config_name="config", **VERSION_BASE)
    def run(composed: DictConfig) -> object:
        return session.run(composed)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on, instead of exiting 1 with words of its own
    return carry_out(run, session, prepared.hydra_argv)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # before a run had begun; a run catches it itself
        sys.exit(130)
