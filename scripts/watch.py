#!/usr/bin/env python
"""A film of a trained policy: mp4, gif, or a strip of frames at equal times (png).

python scripts/watch.py results/hopper/algo.max_kl=0.02,env=hopper/seed=1
python scripts/watch.py results/hopper/algo.max_kl=0.02,env=hopper/seed=1 --out strip.png --frames 8
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.installation import missing_packages


def main() -> int:
    """Parse arguments and film; 0, or 2 with a message."""
    missing = missing_packages("scripts/watch.py", also=["PIL"])
    if missing is not None:
        print(missing, end="", file=sys.stderr)
        return 2

    from ppo_sweep.config import ConfigError
    from ppo_sweep.runs.errors import StorageError
    from ppo_sweep.runs.filming import Request
    from ppo_sweep.runs.watching import FORMATS, NoRenderer, default_film, watch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="directory of a run: results/STUDY/NAME/seed=N")
    parser.add_argument("--out", type=Path, help=f"file to write ({', '.join(FORMATS)}); default: watch.mp4 or watch.gif in RUN")
    parser.add_argument("--frames", type=int, default=8, help="frames of a strip (default 8)")
    parser.add_argument("--seed", type=int, default=0, help="which episode (default 0)")
    parser.add_argument("--mode", choices=("deterministic", "sampled"), default="deterministic", help="mean or sampled actions")
    given = parser.parse_args()
    if given.frames < 2:
        parser.error("--frames: a strip has at least 2")
    if given.seed < 0:
        parser.error("--seed: a whole number from 0")
    out = given.out or default_film(given.run)
    try:
        filmed = watch(Request(str(given.run), str(out), given.frames, given.seed, given.mode))
    except (ConfigError, NoRenderer, StorageError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{filmed.out}: {filmed.frames} frames of an episode of {filmed.length} steps, return {filmed.return_:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
