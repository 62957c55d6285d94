"""Overrides: ``KEY=VALUE`` words in Hydra's grammar, parsed by Hydra's own parser, with faults in our words."""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import cache
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.errors import HydraException

from ppo_sweep import config
from ppo_sweep.config import Fault
from ppo_sweep.runs import naming
from ppo_sweep.sweep.options import LauncherOptions

#: More values than this in one sweep are a slip (`range(0,1e6)`), not a wish.
MAX_VALUES = 100_000

#: Hydra settings that the file contract fixes, with what to use instead.
_FIXED = {
    "hydra.run.dir": "a run's directory follows from its overrides; choose another root with results= or another study with study=",
    "hydra.sweep.dir": "a run's directory follows from its overrides; choose another root with results= or another study with study=",
    "hydra.sweep.subdir": "a run's directory follows from its overrides",
    "hydra.job.name": "it names train.log, which other tools look for",
    "hydra.output_subdir": "it names .hydra/, where other tools look for how a run was composed",
    "hydra.mode": "use -m for a grid, nothing for a single run",
}


_LAUNCHER_KEYS = tuple(f"hydra.launcher.{field.name}" for field in fields(LauncherOptions))


@dataclass(frozen=True)
class Setting:
    """One override: a key and the value, or values of a sweep, that it gets."""

    #: Full key, without ``+``.
    key: str
    #: Parsed values, one or as many as the sweep has.
    values: tuple[Any, ...]
    #: The right-hand side as typed.
    text: str
    #: A choice among files, not a value.
    group: bool
    #: Whether it was written as a sweep (possibly of one value).
    swept: bool
    #: Whether it was written with ``+``: the key may be new.
    added: bool = False

    @property
    def hydra(self) -> bool:
        """Whether it is addressed to Hydra itself."""
        return self.key.startswith(("hydra.", "hydra/"))

    @property
    def word(self) -> str:
        """The override as Hydra accepts it in struct mode: ``++`` where a key may be new."""
        new = self.key.startswith("env.kwargs") or (self.hydra and self.added)
        return f"{'++' if new else ''}{self.key}={self.text}"


@cache
def parser() -> OverridesParser:
    """Hydra's parser, made once."""
    return OverridesParser.create()


def read(
    words: Iterable[str],
    *,
    multirun: bool,
    is_group: Callable[[str], bool],
    groups: Sequence[str],
    loader: ConfigLoader,
    study: bool = False,
) -> tuple[list[Setting], list[Fault]]:
    """Parse overrides.

    Args:
        words: as typed.
        multirun: whether ``-m`` was given, so that sweeps are allowed.
        is_group: tells choices among files from values.
        groups: names of our groups, for suggestions.
        loader: expands ``glob(…)``.
        study: whether sweeps are to be searched, not to be run through: intervals are allowed, and a sweep is no grid.

    Returns:
        What could be read, in order, and what is wrong with the rest; a setting may be returned *and* be faulty.
    """
    settings: list[Setting] = []
    whole, faults = _split_by_the_shell(list(words))
    for word in map(_null_as_a_choice, whole):
        try:
            parsed = parser().parse_overrides([word])[0]
        except HydraException as error:
            faults.append(_malformed(word, str(error), groups))
            continue
        parsed.config_loader = loader
        refusal = _refusal(parsed)
        if refusal is not None:
            faults.append(refusal)
            continue
        group = is_group(parsed.key_or_group)
        if group and isinstance(parsed.value(), dict):
            faults.append(Fault(parsed.key_or_group, f"is a choice; give its knobs one by one: {_example(parsed.key_or_group)}"))
            continue
        try:
            values = _values(parsed)
        except (HydraException, ValueError, ArithmeticError) as error:
            faults.append(Fault(parsed.key_or_group, f"this sweep cannot be expanded: {_first_line(error)}"))
            continue
        text = word.split("=", 1)[1]
        if text.startswith("="):
            faults.append(Fault(parsed.key_or_group, f"has one '=' too many; write {parsed.key_or_group}={text.lstrip('=')}"))
            continue
        if not study and parsed.is_range_sweep() and any(isinstance(value, float) for value in values):
            text = f"choice({','.join(map(naming.shortest, values))})"
        setting = Setting(parsed.key_or_group, values, text, group, parsed.is_sweep_override(), added=word.startswith("+"))
        if not study or setting.hydra or not multirun:
            faults += _sweep_faults(setting, parsed, multirun)
        settings.append(setting)
    counts = Counter(setting.key for setting in settings)
    faults += [Fault(key, f"given {count} times; keep one") for key, count in counts.items() if count > 1]
    return settings, faults


def _split_by_the_shell(words: Sequence[str]) -> tuple[list[str], list[Fault]]:
    """Words that are whole, and a fault for each value with blanks that the shell has made several words of."""
    whole: list[str] = []
    faults: list[Fault] = []
    for word in words:
        goes_on = (
            bool(whole) and "=" in whole[-1] and "=" not in word and (whole[-1].endswith(",") or word.startswith(",") or _open(whole[-1]))
        )
        if goes_on:
            whole[-1] += f" {word}"
        else:
            whole.append(word)
    given = set(words)
    for word in [word for word in whole if word not in given]:
        whole.remove(word)
        key, _, value = word.partition("=")
        said = f"{value!r} has blanks, at which the shell splits it; leave them out: {key}={value.replace(' ', '')}"
        faults.append(Fault(key.lstrip("+"), said))
    return whole, faults


def _open(word: str) -> bool:
    """Whether a bracket is still to be closed."""
    return any(word.count(left) > word.count(right) for left, right in ("()", "[]", "{}"))


def _null_as_a_choice(word: str) -> str:
    """``KEY=choice(0.02,null)`` as ``KEY=0.02,null``: the same, but Hydra takes null in the second form only."""
    found = re.fullmatch(r"([^=]+)=choice\((.*\bnull\b.*)\)", word)
    return word if found is None else f"{found[1]}={found[2]}"


def key_fault(setting: Setting, groups: Sequence[str], study: bool = False) -> Fault | None:
    """Whether the key of a value (not a choice) is a knob; a mapping must hold knobs all through."""
    if setting.key.startswith("sweep."):
        return None if study else Fault(setting.key, "is an option of a study; add one: -m sweep=tpe")
    for value in setting.values:
        for key in naming.flatten(setting.key, value):
            if key not in _knob_names() and not key.startswith("env.kwargs."):
                if any(name.startswith(f"{key}.") for name in _knob_names()):
                    return Fault(key, f"is a group of knobs, not a value; for example {_example(key)}")
                return config.unknown_key(key, also=[*groups, *_LAUNCHER_KEYS])
    return None


@cache
def _knob_names() -> frozenset[str]:
    return frozenset(name for name, _, _ in config.knobs())


@cache
def _list_names() -> frozenset[str]:
    return frozenset(name for name, _, spec in config.knobs() if str(spec.type).startswith("tuple"))


def _example(section: str) -> str:
    return next((f"{name}=…" for name, _, _ in config.knobs() if name.startswith(f"{section}.")), f"{section}.KNOB=…")


def _values(parsed: Override) -> tuple[Any, ...]:
    """The value, or each element of the sweep parsed as if it had been typed alone."""
    if not parsed.is_sweep_override():
        return (parsed.value(),)
    if not parsed.is_discrete_sweep():
        return ()
    if isinstance(parsed.value(), RangeSweep):
        return _range(cast(RangeSweep, parsed.value()))
    texts = parsed.sweep_string_iterator()
    return tuple(parser().parse_override(f"{parsed.key_or_group}={text}").value() for text in texts)


def _range(sweep: RangeSweep) -> tuple[int | float, ...]:
    """The numbers of ``range(start, stop, step)``, decimal as typed (Hydra's own give 0.30000000000000004)."""
    start, stop, step = (Decimal(repr(number)) for number in (sweep.start or 0, sweep.stop or 0, sweep.step))
    count = max(0, math.ceil((stop - start) / step))
    if count > MAX_VALUES:
        raise ValueError(f"it has {count} values, more than {MAX_VALUES}")
    whole = all(isinstance(number, int) for number in (sweep.start, sweep.stop, sweep.step))
    return tuple(int(value) if whole else float(value) for value in (start + index * step for index in range(count)))


def _refusal(parsed: Override) -> Fault | None:
    """Forms of Hydra's grammar that make no sense here."""
    key = parsed.key_or_group
    if not key:
        return Fault(str(parsed.input_line), "is not of the form KEY=VALUE: the key is missing")
    if parsed.is_delete():
        off = "tuned=none switches tuned values off" if key == "tuned" else "a knob that may be off is switched off with null"
        return Fault(f"~{key}", f"nothing can be removed: every knob has a value; {off}")
    if parsed.package is not None:
        return Fault(f"{key}@{parsed.package}", f"configs stay in their own package; write {key}=…")
    if key in _FIXED:
        return Fault(key, f"is not for the command line: {_FIXED[key]}")
    if key == "hydra.job.chdir" and parsed.value() is True:
        return Fault(key, "a run does not change the working directory: paths you give are relative to where you are; leave it out")
    return None


def _sweep_faults(setting: Setting, parsed: Override, multirun: bool) -> list[Fault]:
    """What is wrong with sweeping this key, if it is swept."""
    key = setting.key
    if not setting.swept:
        return [Fault(key, "is a study of many runs: add -m")] if key == "sweep" and not multirun else []
    if not multirun:
        if key in _list_names():
            return [Fault(key, f"is a list, which has brackets: {key}=[{setting.text}]; several values make several runs and need -m")]
        quoted = f"several values make several runs: add -m, as in python train.py -m {key}={setting.text}"
        return [Fault(key, quoted)]
    if parsed.is_interval_sweep():
        return [Fault(key, f"{setting.text} is a range to search, which needs a study (sweep=); a grid needs values: {key}=0.1,0.2")]
    if not setting.values:
        return [Fault(key, f"{setting.text} holds no value")]
    if key in ("sweep", "experiment"):
        return [Fault(key, f"one {key} per command: it brings its own grid and study; run them one after another")]
    if setting.hydra:
        return [Fault(key, "Hydra's own settings hold for the whole command and cannot be swept")]
    if naming.is_operational(key):
        return [Fault(key, f"cannot be swept: it says how to run, not what to compute, so runs would share a directory; give one {key}")]
    return []


def _malformed(word: str, message: str, groups: Sequence[str]) -> Fault:
    """A word that Hydra's grammar does not accept."""
    key, equals, text = word.partition("=")
    if not equals:
        names = [*_knob_names(), *groups]
        if word in names:
            return Fault(word, f"has no value; write {word}=…")
        near = difflib.get_close_matches(word, names, n=2, cutoff=0.6)
        hint = f"; did you mean {' or '.join(f'{name}=…' for name in near)}?" if near else "; see `python train.py --help`"
        return Fault(word, f"is not of the form KEY=VALUE{hint}")
    if not re.match(r"^[~+]{0,2}[A-Za-z_]", key):
        return Fault(word, "is not of the form KEY=VALUE: a key starts with a letter")
    if text.startswith("="):
        return Fault(key, f"has one '=' too many; write {key}={text.lstrip('=')}")
    if text.endswith(",") or text.startswith(",") or ",," in text:
        values = ",".join(part for part in text.split(",") if part)
        blanks = "; values of a sweep are written without blanks between them" if text.endswith(",") else ""
        return Fault(key, f"{text!r} has a comma too many; write {key}={values}{blanks}")
    if any(text.count(left) != text.count(right) for left, right in ("()", "[]", "{}")):
        return Fault(key, f"brackets do not match in {text!r}")
    if re.search(r"\s\S+=", text):
        return Fault(key, f"{text!r} are several words; leave out the quotes around them")
    if re.search(r"[^\w./:,+*?@${}\[\]()%-]", text) and not re.search(r"['\"]", text):
        return Fault(key, f"{text!r} cannot be read; put quotes inside quotes: '{key}=\"{text}\"'")
    return Fault(key, f"{text!r} cannot be read: {_first_line(message)}")


def _first_line(error: object) -> str:
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith(("^", "See http", "Error parsing"))]
    return lines[0] if lines else text
