"""docs/architecture.md speaks of what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

NAMED = sorted(set(re.findall(r"\b(?:config|envs|learner|runs|sweep|report)/[a-z_]+(?:/[a-z_]+)?(?![a-z_.])", TEXT)))


@pytest.mark.parametrize("name", NAMED)
def test_a_module_that_the_page_names_exists(name: str) -> None:
    path = ROOT / "ppo_sweep" / name
    assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def test_the_page_names_every_package() -> None:
    packages = {path.parent.name for path in (ROOT / "ppo_sweep").glob("*/__init__.py")}
    assert packages <= set(re.findall(r"ppo_sweep/([a-z_]+)/", TEXT))
    assert len(NAMED) > 20
