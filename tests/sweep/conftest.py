"""``train.py`` inside the test's own process, which has loaded torch already."""

from __future__ import annotations

import importlib.util
import logging
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sweeping import TRAIN


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], int]]:
    """Carry out a command line in an empty working directory; its exit code. What it sets globally is undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    spec = importlib.util.spec_from_file_location("train", TRAIN)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "train", module)
    spec.loader.exec_module(module)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield lambda line: module.main(shlex.split(line))
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:], root.level = handlers, level
