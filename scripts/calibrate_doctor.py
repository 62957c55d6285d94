#!/usr/bin/env python
"""Precision and recall of the doctor's symptoms on runs whose illness is known.

python scripts/calibrate_doctor.py labels.csv
python scripts/calibrate_doctor.py labels.csv --half fit --try clip_fraction=0.3,0.4,0.5

labels.csv has the columns run,expected,half. A run is relative to the file and may be a whole study; expected are the
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


def main() -> int:
    """Parse arguments, judge, print Markdown; 0, or 2 with a message."""
    missing = missing_packages("scripts/calibrate_doctor.py", ["pandas"])
    if missing is not None:
        print(missing, end="", file=sys.stderr)
        return 2

    from ppo_sweep.report import ReportError
    from ppo_sweep.report.doctor.calibration import changed, described, halves, judge, read_labels

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, help="the list of runs")
    parser.add_argument("--half", action="append", help="only this half (may be given twice); all by default")
    parser.add_argument("--try", dest="trials", metavar="NAME=VALUE,…", help="values to try one after another for a threshold")
    given = parser.parse_args()
    try:
        labelled = [item for item in read_labels(given.labels) if given.half is None or item.half in given.half]
        if not labelled:
            raise ReportError(f"{given.labels} has no half {' or '.join(given.half)}")
        loaded = halves(labelled)
        name, _, values = (given.trials or "").partition("=")
        for setting in [f"{name}={value}" for value in values.split(",")] if given.trials else [""]:
            if setting:
                print(f"### {setting}\n")
            print(described([judge(half, changed([setting] if setting else [])) for half in loaded]))
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    settle()
    sys.exit(main())
