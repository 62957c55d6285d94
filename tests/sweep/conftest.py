"""``train.py`` inside the test's own process, which has loaded torch already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sweeping import train_in


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Carry out a command line in an empty working directory; its exit code. What it sets globally is undone."""
    with train_in(tmp_path) as carry_out:
        yield carry_out
