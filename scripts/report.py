#!/usr/bin/env python
"""Figures, tables and one self-contained page of a study, also of one that is still running.

python scripts/report.py results/hopper
python scripts/report.py results/hopper --x seconds --band interval --seeds
python scripts/report.py results/hopper results/walker2d --out reports/both

Without a study it takes the newest one below results/. Written into STUDY/report/ unless --out says otherwise.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.installation import missing_packages
from ppo_sweep.process import settle


def main() -> int:
    """Parse arguments, make the report, say where it is; 0, or 2 with a sentence for a path that cannot be used."""
    missing = missing_packages("scripts/report.py", ["pandas", "seaborn", "matplotlib", "scipy", "jinja2"])
    if missing is not None:
        print(missing, end="", file=sys.stderr)
        return 2

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "study", nargs="*", metavar="STUDY", help="directory of a study or run, several, or a pattern; the newest study by default"
    )
    parser.add_argument("--out", type=Path, help="directory of the report (default STUDY/report)")
    parser.add_argument(
        "--x", choices=("env_steps", "seconds", "updates"), default="env_steps", help="x-axis of the curves (default env_steps)"
    )
    parser.add_argument(
        "--band", choices=("std", "interval", "range"), default="std",
        help="around a mean: standard deviation of the seeds, interval of the mean, or lowest to highest (default std)",
    )  # fmt: skip
    parser.add_argument("--seeds", action="store_true", help="also draw every seed as a thin line")
    parser.add_argument("--threshold", type=float, metavar="RETURN", help="for the figure of steps to a threshold")
    given = parser.parse_args()

    from ppo_sweep.report import ReportError, load
    from ppo_sweep.report.doctor.text import summary
    from ppo_sweep.report.figures import Options
    from ppo_sweep.report.page.choosing import newest, place_of, title_of
    from ppo_sweep.report.page.writing import write

    try:
        paths = given.study or [str(newest(Path("results")))]
        results = load(*paths)
        place = place_of(paths, results, given.out)
        written = write(results, place, Options(given.x, given.band, given.seeds, given.threshold), title=title_of(results), progress=_say)
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    for note in results.notes:
        print(f"note: {note}", file=sys.stderr)
    for reason in written.missing.values():
        print(f"note: {reason}", file=sys.stderr)
    print(f"doctor: {summary(written.diagnosis)}")
    print(written.page)
    return 0


def _say(what: str) -> None:
    """On a terminal, what is being made."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what} …" if what != "page" else "\r\033[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    settle()
    sys.exit(main())
