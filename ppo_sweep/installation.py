"""What is said where packages are missing, and how this checkout's programs are typed from here.

Imports nothing beyond the standard library: the entry points ask it before anything else.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

#: The directory that holds ``ppo_sweep``; in a checkout also ``scripts`` and ``train.py``.
ROOT = Path(__file__).resolve().parents[1]

_NEEDED = ("numpy", "torch", "gymnasium", "mujoco", "hydra", "safetensors", "rich")

_MISSING = """\
{script} needs packages that this Python does not have: {names}
Install them into a virtual environment and try a small comparison with

    {there}make demo

or install them only, with

    {there}python -m venv .venv && .venv/bin/pip install -e .

and then run {program}
"""


def missing_packages(script: str, also: Sequence[str] = ()) -> str | None:
    """What to do if this Python lacks a package that ``script`` (a path below the root) needs; None if it has all."""
    missing = [name for name in (*_NEEDED, *also) if find_spec(name) is None]
    if not missing:
        return None
    there = "" if Path.cwd() == ROOT else f"cd {shlex.quote(str(ROOT))} && "
    program = f"{typed(ROOT / '.venv/bin/python')} {typed(ROOT / script)}"
    return _MISSING.format(script=script, names=", ".join(missing), there=there, program=program)


def typed(path: Path) -> str:
    """An absolute path as typed in a shell in the working directory: relative if below it, quoted if need be."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def python() -> str:
    """The Python in use as typed from here: ``python`` if that is the one, else ``.venv/bin/python`` or an absolute path."""
    executable = Path(sys.executable)
    found = shutil.which("python")
    if found is not None and _same_python(Path(found).absolute(), executable):
        return "python"
    name = typed(executable)
    return name if "/" in name else f"./{name}"


def _same_python(one: Path, other: Path) -> bool:
    """Whether two paths start the same Python: every virtual environment links to the same file, the folder tells them apart."""
    return os.path.samefile(one, other) and os.path.samefile(one.parent, other.parent)
