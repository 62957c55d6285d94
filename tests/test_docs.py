"""Generated pages are current and complete."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ppo_sweep.config import knobs
from ppo_sweep.sweep.help import help_text, knob_tables

ROOT = Path(__file__).resolve().parents[1]


def test_generated_pages_are_current() -> None:
    ended = subprocess.run([sys.executable, "scripts/pages.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_knob_page_has_a_row_for_every_knob() -> None:
    page = knob_tables()
    for key, knob, _ in knobs():
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{key}` |")]
        assert knob.doc in row
        assert row.replace("\\|", "").count("|") == 9


def test_help_lists_every_group_choice_and_knob() -> None:
    text = help_text()
    for path in (ROOT / "conf").glob("*/*.yaml"):
        [line] = [line for line in text.splitlines() if line.startswith(f"  {path.parent.name} ")]
        assert path.stem in line.split()
    for key, knob, _ in knobs():
        [line] = [line for line in text.splitlines() if line.startswith(f"  {key}=")]
        assert knob.doc in line


def test_help_says_that_its_values_are_the_typed_defaults_and_what_prints_the_others() -> None:
    text = help_text()
    assert "typed defaults" in text and "python train.py --cfg job" in text
