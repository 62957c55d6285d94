"""docs/architecture.md speaks of what is there."""

from __future__ import annotations

import ast
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


#: Packages that are one table of modules of the same kind, which their first lines explain as a whole.
OF_ONE_KIND = ("report/figures", "report/study/figures", "_hydra/hydra_plugins/ppo_sweep_hydra")


@pytest.mark.parametrize("init", sorted((ROOT / "ppo_sweep").glob("*/**/__init__.py")), ids=lambda path: path.parent.name)
def test_the_first_lines_of_a_package_name_each_of_its_modules(init: Path) -> None:
    if init.parent.relative_to(ROOT / "ppo_sweep").as_posix() in OF_ONE_KIND:
        return
    inside = {path.stem for path in init.parent.glob("*.py")} | {path.parent.name for path in init.parent.glob("*/__init__.py")}
    said = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
    assert not inside - {"__init__"} - set(re.findall(r"\w+", said))


def test_the_page_names_every_package() -> None:
    packages = {path.parent.name for path in (ROOT / "ppo_sweep").glob("*/__init__.py")}
    assert packages <= set(re.findall(r"ppo_sweep/([a-z_]+)/", TEXT))
    assert len(NAMED) > 20
