"""Write ``docs/doctor.md`` from the doctor's rules: ``python scripts/doctor_page.py`` (``--check`` only compares)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppo_sweep.report.doctor.documentation import tables

PAGE = Path(__file__).resolve().parents[1] / "docs" / "doctor.md"

#: What follows this line in the page is written by hand and kept.
BY_HAND = "<!-- below: written by hand -->\n"


def main() -> int:
    """Write the page, or with ``--check`` exit 1 if it is not current."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true", help="write nothing; exit 1 if docs/doctor.md is not current")
    current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    text = f"{tables()}\n{BY_HAND}{current.partition(BY_HAND)[2]}"
    if arguments.parse_args().check:
        if current != text:
            print("docs/doctor.md is not current; run python scripts/doctor_page.py", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE.name}: {'unchanged' if current == text else 'written'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
