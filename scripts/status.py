#!/usr/bin/env python
"""Where a study stands: its runs, how far they have got, and whether a sweep is at work on it. Touches nothing.

python scripts/status.py results/hopper
python scripts/status.py results/hopper --json
python scripts/status.py results
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.installation import ROOT, missing_packages, python, typed
from ppo_sweep.process import settle

if TYPE_CHECKING:
    from ppo_sweep.sweep.overview import Overview


def main() -> int:
    """Parse arguments, look, print; 0, or 2 with a message for a path that is no study's."""
    missing = missing_packages("scripts/status.py")
    if missing is not None:
        print(missing, end="", file=sys.stderr)
        return 2

    from ppo_sweep.runs import strict_json
    from ppo_sweep.runs.errors import StorageError
    from ppo_sweep.sweep.overview import look_at, studies_at
    from ppo_sweep.sweep.overview_text import document

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, nargs="+", metavar="PATH", help="directory of a study, of one of its runs, or of all studies")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of text")
    given = parser.parse_args()
    overviews, code = [], 0
    for path in given.path:
        try:
            found = [look_at(study, part) for study, part in studies_at(path)]
        except StorageError as error:
            print(error, file=sys.stderr)
            code = 2
            continue
        if not given.json:
            for overview in found:
                # Of a directory of studies, a line for each is enough.
                show(overview, table=os.path.realpath(overview.study / overview.part) == os.path.realpath(path))
        overviews += found
    if given.json and (overviews or code == 0):
        print(strict_json.encode(document(overviews)).decode(), end="")
    return code


def show(overview: Overview, *, table: bool) -> None:
    """The summary, the table of the runs if that is asked for, and what could not be read."""
    from rich.console import Console

    from ppo_sweep.sweep.overview_text import faults, plain_table, print_table, search_lines, summary

    print(summary(overview))
    for line in search_lines(overview):
        print(f"  {line}")
    if table and sys.stdout.isatty():
        print_table(overview.runs, Console(file=sys.stdout, highlight=False))
    elif table and overview.runs:
        print(plain_table(overview.runs))
    found = list(faults(overview))
    for fault in found if table else found[:1]:
        print(f"warning: {fault}")
    if found:
        print(f"{python()} {typed(ROOT / 'scripts' / 'fsck.py')} {typed(overview.study.absolute())} checks it and repairs what can be")


if __name__ == "__main__":
    settle()
    sys.exit(main())
