#!/usr/bin/env python
"""Precision and recall of the doctor's symptoms on runs whose illness is known.

python scripts/calibrate_doctor.py
python scripts/calibrate_doctor.py --half fit --try clip_fraction=0.3,0.4,0.5

The list of runs has the columns run,expected,half. A run lies below --results and may be a whole study; expected are the
symptoms that were planted, separated by spaces: a|b for either, ?a for one that may be there or not, blank if healthy.
Thresholds are set on one half and then left alone; the other half says how good they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.installation import missing_packages
from ppo_sweep.process import settle

LABELS = Path(__file__).resolve().parents[1] / "docs" / "doctor_runs.csv"


def main() -> int:
    """Parse arguments, judge, print Markdown; 0, or 2 with a message."""
    missing = missing_packages("scripts/calibrate_doctor.py", ["pandas"])
    if missing is not None:
        print(missing, end="", file=sys.stderr)
        return 2

    from ppo_sweep.report import ReportError
    from ppo_sweep.report.doctor.calibration import changed, described, halves, judge, read_labels, table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, nargs="?", default=LABELS, help="the list of runs; docs/doctor_runs.csv by default")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where the studies of the list lie (results)")
    parser.add_argument("--half", action="append", help="only this half (may be given twice); all by default")
    parser.add_argument("--try", dest="trials", metavar="NAME=VALUE,…", help="values to try one after another for a threshold")
    parser.add_argument("--runs", type=Path, metavar="FILE", help="write what was planted and found in every run as CSV")
    given = parser.parse_args()
    try:
        labelled = [item for item in read_labels(given.labels, given.results) if given.half is None or item.half in given.half]
        if not labelled:
            raise ReportError(f"{given.labels} has no half {' or '.join(given.half)}")
        loaded = halves(labelled)
        name, _, values = (given.trials or "").partition("=")
        for setting in [f"{name}={value}" for value in values.split(",")] if given.trials else [""]:
            thresholds = changed([setting] if setting else [])
            outcomes = [(half.name, judge(half, thresholds)) for half in loaded]
            if setting:
                print(f"### {setting}\n")
            print("\n".join(described(half, judged) for half, judged in outcomes))
        if given.runs is not None:
            given.runs.write_text(table(outcomes), encoding="utf-8")
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    settle()
    sys.exit(main())
