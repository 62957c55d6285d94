"""Definitions of searched knobs: entries of ``sweep.space`` in YAML, and sweeps of the command line.

An entry is a mapping ::

    algo.lr: {low: 3e-5, high: 3e-3, log: true}
    algo.epochs: {low: 5, high: 20, step: 5}          # whole numbers, because the knob is one
    algo.max_kl: {choices: [null, 0.01, 0.02]}
    algo.gamma: {low: 1e-4, high: 0.1, log: true, one_minus: true}   # bounds of 1 − γ
    algo.ent_coef: {low: 1e-5, high: 0.02, log: true, zero: true}    # or exactly 0
    algo.kl_target: {low: 0.003, high: 0.03, log: true, when: {algo: adaptive_kl}}
    algo: {choices: [clip, adaptive_kl]}              # a choice among the files of conf/algo/

or a sweep in the grammar of Hydra's command line, with the tag ``log`` of its Optuna plugin:
``interval(0.9, 0.999)``, ``tag(log, interval(1e-5, 1e-2))``, ``int(interval(5, 20))``,
``choice(0.02, 0.05, null)``, ``0.02,0.05`` and ``range(0, 1, 0.25)``, whose end is excluded as in a grid.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from ppo_sweep import config
from ppo_sweep.config import ConfigError, Fault
from ppo_sweep.sweep import overrides
from ppo_sweep.sweep.study.domains import Choices, Domain, Interval, duplicates

#: The words of an entry.
WORDS = ("choices", "low", "high", "log", "step", "one_minus", "zero", "when", "type")
_TYPES = ("float", "int", "categorical")

#: Longest list of choices.
MAX_CHOICES = 1000


@dataclass(frozen=True)
class Definition:
    """One searched knob as defined, before it is checked against what the knob may be.

    Attributes:
        domain: what it may be.
        when: key → values of another knob or choice under which it is searched at all.
    """

    domain: Domain
    when: Mapping[str, tuple[Any, ...]]


class _Wrong(ValueError):
    """What is wrong with an entry."""


def of_entry(key: str, entry: Any) -> Definition:
    """An entry of ``sweep.space``.

    Raises:
        ConfigError: with what is wrong.
    """
    if isinstance(entry, str):
        return of_text(key, entry)
    try:
        return _of_mapping(key, entry)
    except _Wrong as error:
        raise ConfigError([Fault(key, str(error))]) from None


def of_text(key: str, text: str, loader: ConfigLoader | None = None) -> Definition:
    """A sweep as typed behind ``key=``.

    Args:
        loader: expands ``glob(…)``; without it that is refused.

    Raises:
        ConfigError: with what is wrong.
    """
    try:
        parsed = overrides.parser().parse_override(f"{key}={simple_form(text)}")
        parsed.config_loader = loader
        return Definition(_of_sweep(key, parsed, text), {})
    except _Wrong as error:
        raise ConfigError([Fault(key, str(error))]) from None
    except (HydraException, ValueError, ArithmeticError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ConfigError([Fault(key, f"{text!r} cannot be read: {lines[0] if lines else error}")]) from None


def simple_form(text: str) -> str:
    """``choice(0.02,0.05,null)`` as ``0.02,0.05,null``: the same, but Hydra 1.3 and 1.4 take null in the second form only."""
    found = re.fullmatch(r"choice\((.*\bnull\b.*)\)", text.strip())
    return found[1] if found is not None else text


def check(key: str, definition: Definition) -> Definition:
    """``definition`` with its values parsed as the knob's.

    Raises:
        ConfigError: with what the knob cannot be.
    """
    knob, kind = _knob(key)
    domain = definition.domain
    if isinstance(domain, Choices):
        return replace(definition, domain=Choices(_parsed_choices(key, domain.values)))
    if knob.choices or not kind.startswith(("int", "float")):
        allowed = knob.choices or (("true", "false") if kind.startswith("bool") else ())
        example = f"{{choices: [{', '.join(allowed)}]}}" if allowed else "{choices: [[64, 64], [256, 256]]}"
        raise ConfigError([Fault(key, f"is no number, so it has no interval; name what to choose from: {key}: {example}")])
    if kind.startswith("int"):
        return replace(definition, domain=_whole(key, domain))
    _check_ends(key, domain)
    return definition


def check_group(key: str, definition: Definition) -> Definition:
    """As :func:`check`, for a choice among files; whether these exist is for whoever knows them."""
    if isinstance(definition.domain, Interval):
        raise ConfigError([Fault(key, f"is a choice among files, so it has no interval; name them: {key}: {{choices: [NAME, NAME]}}")])
    wrong = [value for value in definition.domain.values if not isinstance(value, str)]
    if wrong:
        raise ConfigError([Fault(key, f"{wrong[0]!r} is not the name of a file of conf/{key}/")])
    return definition


def _knob(key: str) -> tuple[config.Knob, str]:
    return next((knob, str(spec.type)) for name, knob, spec in config.knobs() if name == key)


def _parsed_choices(key: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    parsed: list[Any] = []
    faults: list[Fault] = []
    for value in values:
        try:
            parsed.append(config.parse(key, value))
        except ConfigError as error:
            faults += error.faults
    again = list(duplicates(tuple(parsed)))
    if again and not faults:
        faults.append(Fault(key, f"{again[0]!r} is named twice among its choices"))
    if faults:
        raise ConfigError(faults)
    return tuple(parsed)


def _whole(key: str, domain: Interval) -> Interval:
    if domain.one_minus or domain.zero:
        raise ConfigError([Fault(key, f"is a whole number: {'one_minus' if domain.one_minus else 'zero'} is for others")])
    for number in (domain.low, domain.high, domain.step or 1):
        if number != int(number):
            raise ConfigError([Fault(key, f"{number!r} is not a whole number, and the knob is one")])
    step = int(domain.step) if domain.step is not None else None
    made = replace(domain, low=int(domain.low), high=int(domain.high), step=step, whole=True)
    _check_ends(key, made)
    return made


def _check_ends(key: str, domain: Interval) -> None:
    faults = []
    for end in domain.ends():
        try:
            config.parse(key, end)
        except ConfigError as error:
            faults += [Fault(key, f"{fault.message} (an end of {domain})") for fault in error.faults]
    if faults:
        raise ConfigError(faults)


def _of_mapping(key: str, entry: Any) -> Definition:
    if not isinstance(entry, Mapping):
        raise _Wrong(f"{entry!r} is one value and nothing to search; fix it on the command line ({key}=…), or give {{low: …, high: …}}")
    unknown = [str(word) for word in entry if word not in WORDS]
    if unknown:
        near = difflib.get_close_matches(unknown[0], WORDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"an entry has {', '.join(WORDS)}"
        if any(name == f"{key}.{unknown[0]}" for name, _, _ in config.knobs()):
            hint = f"write it as one key: {key}.{unknown[0]}: {{…}}"
        raise _Wrong(f"has no word {unknown[0]!r}; {hint}")
    when = _when(key, entry.get("when"))
    kind = entry.get("type")
    if kind is not None and kind not in _TYPES:
        raise _Wrong(f"type {kind!r} is not one of {', '.join(_TYPES)}; it may be left out")
    if "choices" in entry:
        beside = [word for word in WORDS if word in entry and word not in ("choices", "when", "type")]
        if beside or kind not in (None, "categorical"):
            raise _Wrong(f"has choices, which go without {beside[0] if beside else f'type: {kind}'}: choices have no order")
        return Definition(_choices(entry["choices"]), when)
    if kind == "categorical":
        raise _Wrong("is categorical, so it needs choices: [value, value]")
    return Definition(_interval(entry, whole=kind == "int"), when)


def _when(key: str, when: Any) -> dict[str, tuple[Any, ...]]:
    if when is None:
        return {}
    if not isinstance(when, Mapping) or not when:
        raise _Wrong(f"when: {when!r} is no condition; for example when: {{algo: adaptive_kl}}")
    conditions = {str(parent): tuple(values) if isinstance(values, (list, tuple)) else (values,) for parent, values in when.items()}
    empty = [parent for parent, values in conditions.items() if not values]
    if empty:
        raise _Wrong(f"when: {empty[0]} names no value; for example when: {{algo: adaptive_kl}}")
    return conditions


def _choices(values: Any) -> Choices:
    if not isinstance(values, (list, tuple)):
        raise _Wrong(f"choices: {values!r} is not a list; for example choices: [0.1, 0.2]")
    if not values:
        raise _Wrong("choices is empty; name at least two values")
    if len(values) > MAX_CHOICES:
        raise _Wrong(f"has {len(values)} choices, more than {MAX_CHOICES}; give an interval (low, high)")
    again = list(duplicates(tuple(values)))
    if again:
        raise _Wrong(f"{again[0]!r} is named twice among its choices")
    if len(values) == 1:
        raise _Wrong(f"has one choice, which is nothing to search; name a second one, or fix it on the command line with ={values[0]}")
    return Choices(tuple(values))


def _interval(entry: Mapping[str, Any], *, whole: bool = False) -> Interval:
    flags = {word: entry.get(word, False) for word in ("log", "one_minus", "zero")}
    for word, flag in flags.items():
        if not isinstance(flag, bool):
            raise _Wrong(f"{word}: {flag!r} is not true or false")
    for word in ("low", "high"):
        if word not in entry:
            raise _Wrong(f"has no {word}; give low and high, or choices")
    low, high = (_finite(word, entry[word]) for word in ("low", "high"))
    step = None if entry.get("step") is None else _finite("step", entry["step"])
    made = Interval(low, high, step=step, whole=whole, **flags)
    _check_interval(made)
    return made


def _finite(word: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _Wrong(f"{word}: {value!r} is not a finite number")
    return value


def _check_interval(made: Interval) -> None:
    if made.low > made.high:
        raise _Wrong(f"low {made.low!r} is greater than high {made.high!r}; exchange them")
    if made.low == made.high:
        raise _Wrong(f"low and high are both {made.low!r}, which is nothing to search; fix it on the command line with ={made.low}")
    if made.log and made.low <= 0:
        beside = "; a 0 beside a logarithmic interval is zero: true" if made.low == 0 else ""
        raise _Wrong(f"a logarithmic scale begins above 0, not at {made.low!r}{beside}")
    if made.zero and not made.log:
        raise _Wrong("zero: true stands beside a logarithmic interval; without log: true start the interval at low: 0")
    if made.step is None:
        return
    if made.log:
        raise _Wrong("log and step exclude each other: steps are equal on a linear scale; leave one out")
    if made.step <= 0:
        raise _Wrong(f"step {made.step!r} is not above 0")
    steps = (Decimal(repr(made.high)) - Decimal(repr(made.low))) / Decimal(repr(made.step))
    if steps < 1:
        raise _Wrong(f"step {made.step!r} is longer than the interval from {made.low!r} to {made.high!r}")
    if steps != int(steps):
        last = Decimal(repr(made.low)) + int(steps) * Decimal(repr(made.step))
        raise _Wrong(f"high {made.high!r} is not reached in steps of {made.step!r} from {made.low!r}; the last step is at high: {last}")


def _of_sweep(key: str, parsed: Override, text: str) -> Domain:
    sweep: Any = parsed.value()
    tags = set(getattr(sweep, "tags", ()))
    if tags - {"log"}:
        raise _Wrong(f"no such tag: {', '.join(sorted(tags - {'log'}))}; the only one is log, as in tag(log, interval(1e-5, 1e-2))")
    if isinstance(sweep, IntervalSweep):
        # A cast reaches both ends: int(interval(5, 20)).
        whole = {type(sweep.start), type(sweep.end)} == {int}
        return _interval({"low": sweep.start, "high": sweep.end, "log": "log" in tags}, whole=whole)
    if tags:
        raise _Wrong("a logarithmic scale is for an interval: tag(log, interval(1e-5, 1e-2))")
    if isinstance(sweep, RangeSweep) and not sweep.shuffle:
        return _range(sweep)
    if parsed.is_sweep_override():
        return _choices([overrides.parser().parse_override(f"{key}={one}").value() for one in parsed.sweep_string_iterator()])
    raise _Wrong(f"{text!r} is one value and nothing to search; for example {key}='interval(0.1, 0.2)'")


def _range(sweep: RangeSweep) -> Domain:
    start, stop, step = (Decimal(repr(number)) for number in (sweep.start or 0, sweep.stop or 0, sweep.step))
    if step <= 0:
        raise _Wrong(f"step {step} is not above 0")
    count = math.ceil((stop - start) / step)
    if count < 1:
        raise _Wrong(f"range({start}, {stop}, {step}) holds no value")
    whole = all(isinstance(number, int) for number in (sweep.start or 0, sweep.stop, sweep.step))
    kind = int if whole else float
    if count == 1:
        raise _Wrong(f"range({start}, {stop}, {step}) holds one value, which is nothing to search")
    return _interval({"low": kind(start), "high": kind(start + (count - 1) * step), "step": kind(step)}, whole=whole)
