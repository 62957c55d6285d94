"""Generated pages are current and complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ppo_sweep.config import knobs
from ppo_sweep.runs.naming import shortest
from ppo_sweep.runs.tables import EPISODE_COLUMNS, EVAL_COLUMNS, METRIC_COLUMNS, TIMING_COLUMNS
from ppo_sweep.sweep.help import help_text, knob_tables
from ppo_sweep.sweep.options import LauncherOptions, meanings
from ppo_sweep.sweep.study.options import StudyOptions

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("script", ["pages.py", "result_pages.py"])
def test_generated_pages_are_current(script: str) -> None:
    ended = subprocess.run([sys.executable, f"scripts/{script}", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_knob_page_has_a_row_for_every_knob() -> None:
    page, _, _ = knob_tables().partition("## Recipes")
    for key, knob, _ in knobs():
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{key}` |")]
        assert knob.doc in row
        assert row.replace("\\|", "").count("|") == 9


def test_knob_page_says_what_every_recipe_sets() -> None:
    lines = knob_tables().partition("## Recipes")[2].partition("\n## ")[0].splitlines()
    cells = {
        row[1].strip(" `"): [cell.strip(" `") for cell in row[2:-1]]
        for row in (line.split("|") for line in lines if "`" in line)
        if len(row) > 3
    }
    recipes = cells.pop("knob")
    assert set(recipes) == {path.stem for path in (ROOT / "conf" / "recipe").glob("*.yaml")}
    stated = [OmegaConf.load(ROOT / "conf" / "recipe" / f"{recipe}.yaml") for recipe in recipes]
    values = {key: [shortest(OmegaConf.select(file, key)) for file in stated] for key, _, _ in knobs()}
    assert cells == {key: row for key, row in values.items() if len(set(row)) > 1}


def test_help_lists_every_group_choice_and_knob() -> None:
    text = help_text()
    for path in (ROOT / "conf").glob("*/*.yaml"):
        [line] = [line for line in text.splitlines() if line.startswith(f"  {path.parent.name} ")]
        assert path.stem in line.split()
    for key, knob, _ in knobs():
        [line] = [line for line in text.splitlines() if line.startswith(f"  {key}=")]
        assert knob.doc in line


@pytest.mark.parametrize(("prefix", "options"), [("hydra.launcher.", LauncherOptions), ("sweep.", StudyOptions)])
def test_help_and_the_knob_page_say_what_every_option_of_a_sweep_means(prefix: str, options: type) -> None:
    text, page = help_text(), knob_tables()
    for name, _, meaning in meanings(options):
        [line] = [line for line in text.splitlines() if line.startswith(f"  {prefix}{name}=")]
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{prefix}{name}` |")]
        assert meaning in line and meaning in row


def test_help_says_that_its_values_are_the_typed_defaults_and_what_prints_the_others() -> None:
    text = help_text()
    assert "typed defaults" in text and "python train.py --cfg job" in text


@pytest.mark.parametrize(
    "columns", [METRIC_COLUMNS, EPISODE_COLUMNS, EVAL_COLUMNS, TIMING_COLUMNS], ids=["metrics", "episodes", "eval", "timing"]
)
def test_every_column_of_every_table_is_explained(columns: tuple[str, ...]) -> None:
    rows = [line for line in (ROOT / "docs" / "numbers.md").read_text().splitlines() if line.startswith("| `")]
    explained = {name for row in rows for name in re.findall(r"`([a-z0-9_.]+)`", row.split(" | ")[0])}
    assert set(columns) <= explained
