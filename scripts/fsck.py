#!/usr/bin/env python
"""Check the files of a study: checksums, tables, checkpoints, leftovers. Repairs what can be repaired, lists the rest.

python scripts/fsck.py results/hopper
python scripts/fsck.py results/hopper --dry-run
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.installation import missing_packages
from ppo_sweep.process import settle

if TYPE_CHECKING:
    from ppo_sweep.sweep.fsck import Report

_LABELS = {"repaired": "repaired", "repairable": "to repair", "left": "left"}


def main() -> int:
    """Parse arguments, check, print; 0 if all is well or repaired, 1 if something is left, 2 for a path that is no study's."""
    missing = missing_packages("scripts/fsck.py")
    if missing is not None:
        print(missing, end="", file=sys.stderr)
        return 2

    from ppo_sweep.runs import strict_json
    from ppo_sweep.runs.errors import StorageError
    from ppo_sweep.sweep.fsck import fsck
    from ppo_sweep.sweep.overview import studies_at

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, metavar="STUDY", help="directory of a study, of one of its runs, or of all studies")
    parser.add_argument("--dry-run", action="store_true", help="change nothing; say what would be repaired")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of text")
    given = parser.parse_args()
    try:
        studies = studies_at(given.path)
    except StorageError as error:
        print(error, file=sys.stderr)
        return 2
    reports = [fsck(study, part, dry_run=given.dry_run) for study, part in studies]
    if given.json:
        plain = [{**asdict(report), "study": str(report.study)} for report in reports]
        print(strict_json.encode({"studies": plain}).decode(), end="")
    else:
        for report in reports:
            print(described(report))
    return 0 if all(report.clean for report in reports) else 1


def described(report: Report) -> str:
    """Every finding in a line, and the sum of it."""
    lines = [
        f"  {finding.path or report.study}: {finding.what}\n    {_LABELS[finding.outcome]}: {finding.remedy}" for finding in report.findings
    ]
    lines += [f"  {path}: in use, skipped" for path in report.in_use]
    counts = [f"{report.count(outcome)} {label}" for outcome, label in _LABELS.items() if report.count(outcome)]
    runs = f"{report.checked} {'run' if report.checked == 1 else 'runs'} checked"
    if report.in_use:
        runs += f", {len(report.in_use)} in use and skipped"
    if report.checked or counts:
        runs += f": {', '.join(counts) or 'all is well'}"
    return "\n".join([f"{report.study}: {runs}", *lines])


if __name__ == "__main__":
    settle()
    sys.exit(main())
