"""The options of ``train.py`` (what starts with a dash); everything else is an override."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from ppo_sweep.config import ConfigError, Fault, knobs

#: What is to be done: train; print our help; check, then let Hydra print; let Hydra answer alone.
Task = Literal["run", "help", "show", "hydra"]

#: What is chosen among the files of ``conf/``.
_GROUPS = ("env", "algo", "recipe", "network", "tuned", "experiment", "sweep")

_REFUSED = {
    "--config-path": "the configs are in conf/; add a directory of your own with --config-dir DIR",
    "--experimental-rerun": "it reads a pickle, which may run any code; type the overrides of .hydra/overrides.yaml again",
}


@dataclass(frozen=True)
class Arguments:
    """A command line, split."""

    overrides: tuple[str, ...]
    task: Task
    multirun: bool
    #: Options that Hydra is to see, as it spells them.
    flags: tuple[str, ...]
    #: A further directory of configs (``--config-dir``).
    config_dir: Path | None
    #: The primary config in it (``--config-name``), instead of ``conf/config.yaml``.
    config_name: str | None = None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError([Fault("", f"{message}; see `python train.py --help`")])


def parser() -> argparse.ArgumentParser:
    """The options of ``train.py``: Hydra's, with the same spelling."""
    made = _Parser(add_help=False, allow_abbrev=False)
    made.add_argument("overrides", nargs="*")
    made.add_argument("-h", "--help", action="store_true")
    made.add_argument("-m", "--multirun", action="store_true")
    made.add_argument("-r", "--run", action="store_true")
    made.add_argument("-cd", "--config-dir", type=Path)
    made.add_argument("-c", "--cfg", choices=("job", "hydra", "all"))
    made.add_argument("-p", "--package")
    made.add_argument("--resolve", action="store_true")
    made.add_argument("-i", "--info", const="all", nargs="?", choices=_INFO)
    made.add_argument("--hydra-help", action="store_true")
    made.add_argument("--version", action="store_true")
    made.add_argument("-sc", "--shell-completion", action="store_true")
    made.add_argument("-cn", "--config-name")
    made.add_argument("-cp", "--config-path", dest="refused", action="append_const", const="--config-path")
    made.add_argument("--experimental-rerun", dest="refused", action="append_const", const="--experimental-rerun")
    return made


_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


def split(argv: Sequence[str]) -> Arguments:
    """Split a command line into options and overrides.

    Raises:
        ConfigError: for unknown, refused or contradicting options.
    """
    known, unknown = parser().parse_known_intermixed_args(argv)
    options: list[str] = []
    overrides: list[str] = list(known.overrides)
    for word in unknown:
        (options if word.startswith("-") else overrides).append(word)
    faults = [Fault(name, _REFUSED[name]) for name in known.refused or ()]
    if not faults:
        faults = [_unknown_option(word) for word in options]
    if known.config_dir is not None and not known.config_dir.is_dir():
        faults.append(Fault("--config-dir", f"there is no directory {str(known.config_dir)!r}"))
    elif known.config_name is not None:
        faults += _config_name_faults(known.config_name, known.config_dir)
    shown = [name for name in ("cfg", "info") if getattr(known, name) is not None]
    if known.multirun and (known.run or shown):
        other = f"--{shown[0]}" if shown else "--run"
        faults.append(Fault("-m", f"{other} and --multirun exclude each other; leave one out"))
    if known.resolve and not known.cfg:
        faults.append(Fault("--resolve", "goes with --cfg: python train.py --cfg job --resolve"))
    if faults:
        raise ConfigError(faults)
    task: Task = "run"
    if known.help:
        task = "help"
    elif known.hydra_help or known.version or known.shell_completion:
        task = "hydra"
    elif shown:
        task = "show"
    return Arguments(tuple(overrides), task, known.multirun, tuple(_flags(known)), known.config_dir, known.config_name)


def _config_name_faults(name: str, directory: Path | None) -> list[Fault]:
    """A primary config of one's own is a file of ``--config-dir``, such as a study's ``best.yaml``."""
    if directory is None:
        example = "--config-dir results/STUDY --config-name best"
        return [Fault("--config-name", f"names a config in a directory of yours; add that, for example {example}")]
    if not (directory / f"{name.removesuffix('.yaml')}.yaml").is_file():
        return [Fault("--config-name", f"there is no {name.removesuffix('.yaml')}.yaml in {str(directory)!r}")]
    return []


def _flags(known: argparse.Namespace) -> list[str]:
    """The options as Hydra is to see them."""
    flags = [
        option
        for option, given in {
            "--multirun": known.multirun,
            "--run": known.run,
            "--resolve": known.resolve,
            "--hydra-help": known.hydra_help,
            "--version": known.version,
            "--shell-completion": known.shell_completion,
        }.items()
        if given
    ]
    for option in ("cfg", "package", "config_dir", "config_name", "info"):
        if getattr(known, option) is not None:
            flags += [f"--{option.replace('_', '-')}", str(getattr(known, option))]
    return flags


def _unknown_option(word: str) -> Fault:
    name = word.partition("=")[0].lstrip("-").replace("-", "_")
    found = next((spec for key, _, spec in knobs() if key == name), None)
    if found is not None:
        value = word.partition("=")[2] or ("true" if found.type == "bool" else "…")
        return Fault(word, f"no such option; knobs are written without dashes: {name}={value}")
    if name in _GROUPS and "=" not in word:
        return Fault(word, f"no such option; choices are written without dashes: {name}=…")
    options = [option for action in parser()._actions for option in action.option_strings if option not in _REFUSED]
    near = difflib.get_close_matches(word.partition("=")[0], options, n=2, cutoff=0.8 if "=" in word else 0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "see `python train.py --help`"
    if word.startswith("--") and "=" in word and not near:
        hint = f"knobs are written without dashes: {word.lstrip('-')}"
    return Fault(word, f"no such option; {hint}")
