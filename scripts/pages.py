"""Write the pages of docs/ whose tables are made from the code: ``python scripts/pages.py`` (``--check`` only compares)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.report.doctor.documentation import doctor_tables
from ppo_sweep.sweep.help import knob_tables

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = {"knobs.md": knob_tables, "doctor.md": doctor_tables}

#: What follows this line in a page is written by hand and kept.
BY_HAND = "<!-- below: written by hand -->\n"


def main() -> int:
    """Write the pages, or with ``--check`` exit 1 if one is not current."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is not current")
    check = parser.parse_args().check
    stale = []
    for name, tables in PAGES.items():
        page = DOCS / name
        current = page.read_text(encoding="utf-8") if page.exists() else ""
        text = f"{tables()}\n{BY_HAND}{current.partition(BY_HAND)[2]}"
        if current != text:
            stale.append(f"docs/{name}")
            if not check:
                page.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"{' and '.join(stale)} not current; run python scripts/pages.py", file=sys.stderr)
        return 1
    print(f"written: {', '.join(stale)}" if stale else "all pages are current")
    return 0


if __name__ == "__main__":
    sys.exit(main())
