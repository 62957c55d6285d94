"""Composing ``conf/``: which choices there are, and what a set of choices amounts to.

Composing a job takes Hydra about 40 ms, nearly all of it the same for every job of a grid. So each
distinct set of *group choices* is composed once, and the values of the command line are laid over
the result here, in microseconds.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import hydra
import omegaconf
from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ppo_sweep import config
from ppo_sweep.config import ConfigError, Fault
from ppo_sweep.runs import naming
from ppo_sweep.sweep import overrides

_PACKAGE = Path(__file__).resolve().parents[1]

#: ``conf/``: inside the package when that was installed from a wheel, else beside it, where ``train.py`` is.
CONF = next((path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if path.is_dir()), _PACKAGE.parent / "conf")

#: Hydra 1.3 must be told to use its own defaults instead of 1.1's; from 1.4 on it does, and being told so is deprecated.
VERSION_BASE = {"version_base": "1.3"} if hydra.__version__.startswith("1.3") else {}

#: Groups that may have no file yet.
_OPEN_GROUPS = ("experiment", "sweep")


@dataclass(frozen=True)
class Composition:
    """What one set of group choices amounts to."""

    #: Nested plain values, interpolations not resolved.
    values: dict[str, Any]
    #: ``hydra.sweeper.params``: the grid that an experiment file brings along.
    grid: dict[str, Any]
    #: Group → choice, defaults included.
    choices: dict[str, str]


@cache
def register() -> None:
    """Make the typed defaults known to Hydra, as ``ppo_sweep_defaults``, and the resolver that names run directories.

    Plain values, not a structured config: so a wrong value gets our message with its example, not OmegaConf's.
    """
    ConfigStore.instance().store(name="ppo_sweep_defaults", node=config.defaults(), provider="ppo_sweep")
    # OmegaConf 2.4 renames the function and warns at the old name; before 2.4 the new name was another function.
    renamed = tuple(map(int, omegaconf.__version__.split(".")[:2])) >= (2, 4)
    getattr(OmegaConf, "register_resolver" if renamed else "register_new_resolver")("job_directory", _job_directory)


def _job_directory(task_overrides: Any, seed: Any) -> str:
    """The resolver behind ``hydra.run.dir`` and ``hydra.sweep.subdir``; later overrides win, as in Hydra."""
    parsed = overrides.parser().parse_overrides(list(task_overrides))
    return str(naming.job_directory({override.key_or_group: override.value() for override in parsed}, seed))


class Composer:
    """Access to one ``conf/``; a context manager, since Hydra keeps its search path in a global.

    Args:
        conf: the directory of ``config.yaml``.
        config_dir: a further directory to find choices in.
        config_name: the primary config, in ``config_dir``; None = ``config`` in ``conf``.
    """

    def __init__(self, conf: Path = CONF, config_dir: Path | None = None, config_name: str | None = None) -> None:
        self._primary = (config_name or "config").removesuffix(".yaml")
        # Hydra looks for the primary config in its main directory only.
        main, further = (conf, config_dir) if config_name is None or config_dir is None else (config_dir, conf)
        self._conf = main.resolve()
        #: Whether configs of the user's own take part: what they say cannot be had by choosing among ours.
        self.has_further = further is not None or config_name is not None
        #: ``hydra.*=…`` and ``hydra/*=…``, which belong to every composition.
        self._hydra_overrides = [] if further is None else [f"hydra.searchpath=['file://{further.resolve()}']"]
        self._options: dict[str, list[str]] = {}
        self._cache: dict[tuple[tuple[str, str], ...], Composition] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Composer:
        register()
        self._stack.enter_context(initialize_config_dir(str(self._conf), job_name="train", **VERSION_BASE))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    @property
    def loader(self) -> ConfigLoader:
        """Hydra's loader, which knows all groups."""
        return GlobalHydra.instance().config_loader()

    def is_group(self, key: str) -> bool:
        """Whether ``key`` is chosen among files (``env``, ``hydra/launcher``), not given a value."""
        return key in _OPEN_GROUPS or bool(self.options(key))

    def groups(self) -> list[str]:
        """Our groups, without Hydra's own."""
        return sorted({*self.loader.list_groups(""), *_OPEN_GROUPS} - {"hydra"})

    def options(self, group: str) -> list[str]:
        """The choices of ``group``; empty if there is no such group."""
        if not group or "." in group:
            return []
        if group not in self._options:
            primary = self._primary if self._hydra_overrides else None  # only a changed search path needs the slower way
            self._options[group] = self.loader.get_group_options(group, ObjectType.CONFIG, primary, self._hydra_overrides or None)
        return self._options[group]

    def configure_hydra(self, words: Sequence[str]) -> None:
        """Let Hydra's own overrides of the command line take part in every composition from here on."""
        self._hydra_overrides += words
        self._options.clear()  # words may have changed the search path
        self._cache.clear()

    def choice_fault(self, group: str, choice: Any) -> Fault | None:
        """What is wrong with ``group=choice``, if anything."""
        options = self.options(group)
        if choice in options:
            return None
        if choice is None:
            off = "tuned=none chooses nothing" if group == "tuned" else "leave it out for the default"
            return Fault(group, f"null is no choice; {off}")
        near = difflib.get_close_matches(str(choice).lower(), options, n=2, cutoff=0.5)
        hint = ""
        if group == "env":
            near = [name for name in near if name != "any"]
            if re.search(r"-v\d+$", str(choice)):
                near.append(f"env.id={choice}")
            hint = "; any other environment is chosen by its registered id, for example env.id=Ant-v5"
        hint = f"; did you mean {' or '.join(near)}?" if near else hint
        known = f"choices: {' | '.join(options)}" if options else "this group has no choice yet"
        return Fault(group, f"no such choice {choice!r}{hint} ({known})")

    def compose(self, choices: Mapping[str, str]) -> Composition:
        """What these choices amount to (cached).

        Raises:
            ConfigError: when Hydra cannot compose them, in our words.
        """
        key = tuple(sorted(choices.items()))
        if key not in self._cache:
            self._cache[key] = self._compose([f"{group}={choice}" for group, choice in choices.items()])
        return self._cache[key]

    def _compose(self, chosen: list[str]) -> Composition:
        try:
            made = compose(self._primary, [*chosen, *self._hydra_overrides], return_hydra_config=True)
            grid = OmegaConf.select(made, "hydra.sweeper.params")
            values = OmegaConf.to_container(made, resolve=False)
            assert isinstance(values, dict)
            choices = values.pop("hydra")["runtime"]["choices"]
            return Composition(
                cast("dict[str, Any]", values),
                cast("dict[str, Any]", OmegaConf.to_container(grid, resolve=True)) if grid is not None else {},
                {name: choice for name, choice in choices.items() if isinstance(choice, str)},
            )
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise ConfigError([worded(error)]) from error


def overlay(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with full keys replaced (mappings merged) and interpolations resolved.

    Raises:
        ConfigError: when an interpolation leads nowhere.
    """
    merged = copy.deepcopy(dict(values))
    for key, value in settings.items():
        for name, leaf in naming.flatten(key, value).items():
            *parents, last = name.split(".")
            node = merged
            for parent in parents:
                child = node.get(parent)
                node[parent] = node = child if isinstance(child, dict) else {}
            node[last] = leaf
    if "${" not in repr(merged):
        return merged
    try:
        return cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.create(merged), resolve=True))
    except OmegaConfBaseException as error:
        raise ConfigError([worded(error)]) from error


def worded(error: Exception) -> Fault:
    """One of Hydra's or OmegaConf's errors as a fault: the key it names, and its first two lines."""
    unknown = re.search(r"Could not override '(hydra\.[^']+)'", str(error))
    if unknown is not None:
        key = unknown[1]
        return Fault(key, f"Hydra has no such setting; python train.py --cfg hydra shows all of them, and +{key}=… adds one")
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    key = str(getattr(cause, "full_key", None) or "")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("full_key:", "object_type=", "To append to your config"))]
    return Fault(key, " ".join(lines[:2]) or type(error).__name__)
