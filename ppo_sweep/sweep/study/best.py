"""``best.yaml``: the winner as a primary config, which runs it again under any seeds ::

python train.py --config-dir results/STUDY --config-name best -m 'seed=range(3,8)'
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ppo_sweep.runs import durable
from ppo_sweep.sweep.study.kept import BEST


def write(
    study: Path, overrides: Mapping[str, Any], groups: Sequence[str], seeds: int, lines: Sequence[str], environments: Sequence[str] = ()
) -> None:
    """Write a study's ``best.yaml``.

    Args:
        study: its directory.
        overrides: full key → value of everything that makes the winner out of ``conf/config.yaml``: group choices, what the
            command line fixed, and the searched knobs; ``env`` unless ``environments`` are given.
        groups: which of these keys are choices among files.
        seeds: how many the winner was searched with, 0 …: the command takes others.
        lines: what is to be said of it.
        environments: that the winner was searched on, if ``sweep.env`` named them; the first one is the file's, the command takes all.

    Raises:
        StorageError: the disk refuses.
    """
    durable.replace(study / BEST, content(study, overrides, groups, seeds, lines, environments).encode(), "study")


def content(
    study: Path, overrides: Mapping[str, Any], groups: Sequence[str], seeds: int, lines: Sequence[str], environments: Sequence[str] = ()
) -> str:
    """The text of :func:`write`."""
    if environments:
        overrides = {**overrides, "env": environments[0]}
    choices = {key: value for key, value in overrides.items() if key in groups and key != "sweep"}
    values: dict[str, Any] = {"study": f"{study.name}-best"}
    for key, value in overrides.items():
        if key in choices or key == "study" or key.startswith(("sweep", "hydra")):
            continue
        *parents, leaf = key.split(".")
        node = values
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = list(value) if isinstance(value, tuple) else value
    defaults = ["config", *({f"override {group}": choice} for group, choice in choices.items()), "_self_"]
    fresh = f"'seed=range({seeds},{seeds + 5})'"
    every = f" env={','.join(environments)}" if len(environments) > 1 else ""
    comment = [f"python train.py --config-dir {shlex.quote(str(study))} --config-name best -m {fresh}{every}", *lines]
    head = "".join(f"# {line}\n" for line in comment)
    return f"{head}{yaml.safe_dump({'defaults': defaults}, sort_keys=False)}{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}"
