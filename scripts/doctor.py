#!/usr/bin/env python
"""What ails a run: named symptoms with their evidence, the knob to turn, and where that is known from.

python scripts/doctor.py results/hopper
python scripts/doctor.py results/hopper/algo.max_kl=0.02,env=hopper/seed=1 --json

Exit code 0: healthy, at most notes; 1: a warning or worse; 2: no run there.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.installation import missing_packages
from ppo_sweep.process import settle


def main() -> int:
    """Parse arguments, examine, print; see the exit codes above."""
    missing = missing_packages("scripts/doctor.py", ["pandas", "scipy"])
    if missing is not None:
        print(missing, end="", file=sys.stderr)
        return 2

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="+", metavar="RUN_OR_STUDY", help="directory of a run, of a study or of all studies, or a pattern")
    parser.add_argument("--json", action="store_true", help="a JSON list of findings instead of text")
    given = parser.parse_args()

    from ppo_sweep.report import ReportError, load
    from ppo_sweep.report.doctor import examine
    from ppo_sweep.report.doctor.text import described

    try:
        diagnosis = examine(load(*given.path))
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps([finding.document() for finding in diagnosis.findings], indent=1, allow_nan=False))
        for note in diagnosis.notes:
            print(f"note: {note}", file=sys.stderr)
    else:
        print(described(diagnosis))
    return 0 if diagnosis.healthy else 1


if __name__ == "__main__":
    settle()
    sys.exit(main())
