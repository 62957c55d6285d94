"""From nested plain values to a configuration: names, types and ranges checked, every fault collected."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from ppo_sweep.config.declaring import Knob
from ppo_sweep.config.faults import Fault

Section = TypeVar("Section")

#: The types of a section's fields by name: annotations are strings under ``from __future__ import annotations``.
_kinds: Callable[[Any], dict[str, Any]] = cache(typing.get_type_hints)


def knobs_of(cls: type[Any], prefix: str = "") -> Iterator[tuple[str, Knob, dataclasses.Field[Any], Any]]:
    """Yield ``(full key, knob, dataclass field, type)`` of every knob of a section and those below it, in declaration order."""
    kinds = _kinds(cls)
    for spec in dataclasses.fields(cls):
        if "knob" in spec.metadata:
            yield prefix + spec.name, spec.metadata["knob"], spec, kinds[spec.name]
        else:
            yield from knobs_of(kinds[spec.name], f"{prefix}{spec.name}.")


def build(cls: type[Section], values: Any, faults: list[Fault]) -> Section:
    """``cls`` from nested plain values, full keys (``algo.lr``) accepted; with a fault, some other one of its kind."""

    def unknown(key: str) -> Fault:
        return no_such_knob(key, cls)

    return typing.cast(Section, _section(cls, _nested(values, unknown, faults), "", unknown, faults))


def no_such_knob(key: str, cls: type[Any], also: Sequence[str] = ()) -> Fault:
    """The fault for a key that is no knob of ``cls``, naming the nearest that are (``also``: further valid keys)."""
    import difflib

    valid = [name for name, *_ in knobs_of(cls)] + list(also)
    near = difflib.get_close_matches(key, valid, n=3, cutoff=0.6)
    leaf = key.rsplit(".", 1)[-1]
    near += [name for name in valid if name.rsplit(".", 1)[-1] == leaf and name not in near]
    hint = f"did you mean {' or '.join(near[:3])}?" if near else "see `python train.py --help` for all of them"
    return Fault(key, f"no such knob; {hint}")


def _nested(values: Any, unknown: Callable[[str], Fault], faults: list[Fault]) -> Any:
    """``values`` with its full keys (``algo.lr``) moved into their groups; what was handed in is not changed."""
    if not isinstance(values, Mapping):
        return values
    out = {key: value for key, value in values.items() if not (isinstance(key, str) and "." in key)}
    for key in (key for key in values if key not in out):
        *parents, leaf = key.split(".")
        node = out
        for parent in parents:
            below = node.get(parent, {})
            if not isinstance(below, Mapping):
                faults.append(unknown(key))
                break
            node[parent] = node = dict(below)
        else:
            if leaf in node:
                faults.append(Fault(key, "given twice, as a full key and in its group; keep one"))
            node[leaf] = values[key]
    return out


def _section(cls: type[Any], values: Any, prefix: str, unknown: Callable[[str], Fault], faults: list[Fault]) -> Any:
    """Construct dataclass ``cls`` from a mapping, collecting faults."""
    if not isinstance(values, Mapping):
        faults.append(Fault(prefix.rstrip("."), _no_group(prefix.rstrip("."), values)))
        return cls()
    kinds = _kinds(cls)
    specs = {spec.name: spec for spec in dataclasses.fields(cls)}
    for name in values:
        if name not in specs:
            faults.append(unknown(f"{prefix}{name}"))
    arguments: dict[str, Any] = {}
    for name, spec in specs.items():
        if name not in values:
            continue
        if "knob" in spec.metadata:
            arguments[name] = coerce(kinds[name], spec.metadata["knob"], prefix + name, values[name], faults)
        else:
            arguments[name] = _section(kinds[name], values[name], f"{prefix}{name}.", unknown, faults)
    return cls() if faults else cls(**arguments)


_GROUP_EXAMPLES = {"env": {"id": "Hopper-v5"}, "network": {"hidden": [64, 64]}, "eval": {"every": 10}}


def _no_group(section: str, value: Any) -> str:
    example: dict[str, Any] = {section or "algo": _GROUP_EXAMPLES.get(section, {"lr": 3e-4})}
    choice = " (a choice of conf/ is for the command line)" if isinstance(value, str) else ""
    return f"{value!r} is not a group of knobs{choice}; for example {example}"


def coerce(kind: Any, knob: Knob, key: str, value: Any, faults: list[Fault]) -> Any:
    """``value`` as ``kind``, or a fault that says value, what is allowed and an example."""
    example = knob.example if knob.example is not None else next(iter(knob.choices), None)
    hint = f"; for example {key}={example}" if example is not None else ""

    def fault(expected: str) -> None:
        shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
        faults.append(Fault(key, f"{shown} is not {expected}{hint}"))

    or_null = ""
    if isinstance(kind, types.UnionType):
        or_null = " or null"
        if value is None:
            return None
        kind = next(option for option in kind.__args__ if option is not type(None))
    allowed = f" {_in_range(knob)}" if knob.range and not knob.choices else ""
    if typing.get_origin(kind) is tuple:
        items = value if isinstance(value, Sequence) and not isinstance(value, str) else None
        if items is None or not all(isinstance(v, int) and not isinstance(v, bool) and _inside(knob, v) for v in items):
            fault(f"a list of whole numbers{allowed}")
            return ()
        return tuple(items)
    if typing.get_origin(kind) is dict:
        if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
            fault("a mapping of names to values")
            return {}
        faults += [Fault(f"{key}{place}", why) for place, why in _unfit_leaves(value)]
        return dict(value)
    if kind is bool:
        if not isinstance(value, bool):
            fault(f"true or false{or_null}")
        return value
    if kind is str:
        if not isinstance(value, str) or not value:
            fault("a name" if not knob.choices else f"one of {knob.range}")
        elif knob.choices and value not in knob.choices:
            fault(f"one of {knob.range}")
        return value
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if kind is int and isinstance(number, float) and math.isfinite(number) and number == int(number):
        number = int(number)  # total_steps=1e6 is a whole number, written as a float
    if number is None or not math.isfinite(number) or (kind is int and isinstance(number, float)):
        fault(f"a {'whole' if kind is int else 'finite'} number{allowed}{or_null}")
        return value
    if not _inside(knob, number):
        fault(_in_range(knob))
        return value
    return kind(number)


def _in_range(knob: Knob) -> str:
    """``> 0``, ``in [0, 1]``: the range as it follows a number in a sentence."""
    return knob.range if knob.range[0] in "<>≤≥" else f"in {knob.range}"


def _unfit_leaves(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """``(.key.key, why)`` of what cannot be an argument of an environment; infinity can (``healthy_z_range``)."""
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _unfit_leaves(below, f"{place}.{name}")
    elif isinstance(value, (list, tuple)):
        for index, below in enumerate(value):
            yield from _unfit_leaves(below, f"{place}.{index}")
    elif isinstance(value, float) and math.isnan(value):
        yield place, "nan is not a number"
    elif not isinstance(value, (str, int, float, bool, types.NoneType)):
        yield place, f"{value!r} is not a plain value (number, text, true, false, null, list or mapping)"


def _inside(knob: Knob, number: float) -> bool:
    if knob.low is not None and (number < knob.low or (knob.open_low and number == knob.low)):
        return False
    return not (knob.high is not None and (number > knob.high or (knob.open_high and number == knob.high)))
