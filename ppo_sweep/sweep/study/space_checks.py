"""What is wrong with a search space: keys, definitions, conditions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ppo_sweep import config
from ppo_sweep.config import ConfigError, Fault
from ppo_sweep.runs import naming
from ppo_sweep.sweep.composition import Composition
from ppo_sweep.sweep.study import definition, domains
from ppo_sweep.sweep.study.compositions import Compositions
from ppo_sweep.sweep.study.domains import Choices, Domain, Outside

#: Keys that a study fixes, with why.
_FIXED = {
    "seed": "every trial runs several seeds: their number is sweep.seeds",
    "score": "it says what a trial is worth, so it is the same for all; choose it with score=",
    "env": "every configuration is tried on the same environments: name them with sweep.env=[hopper,walker2d]",
    "env.id": "every configuration is tried on the same environments: name them with sweep.env=[hopper,walker2d]",
    "env.score_random": "it says what a score means, so it is the same for all trials",
    "env.score_reference": "it says what a score means, so it is the same for all trials",
    "env.kwargs": "it makes another task, whose scores do not compare; fix it on the command line",
    "env.max_episode_steps": "it makes another task, whose scores do not compare; fix it on the command line",
    "experiment": "an experiment brings its own grid, which is trained without sweep=",
    "sweep": "it names this study",
}


@dataclass(frozen=True)
class Searched:
    """One knob, or one group of files, that a study searches.

    Attributes:
        key: full key, or the group's name.
        domain: what it may be.
        when: key → values under which it is searched, else it stays as composed.
        group: a choice among files.
    """

    key: str
    domain: Domain
    when: Mapping[str, tuple[Any, ...]]
    group: bool

    @property
    def label(self) -> str:
        """The name that Optuna knows it by."""
        return self.domain.label(self.key)

    def __str__(self) -> str:
        conditions = " and ".join(f"{parent} is {' or '.join(map(naming.shortest, values))}" for parent, values in self.when.items())
        return f"{self.domain}{f'  if {conditions}' if conditions else ''}"


def definitions(
    given: Mapping[str, Any], typed: Mapping[str, str], fixed: Collection[str], compositions: Compositions, faults: list[Fault]
) -> dict[str, Searched]:
    """Every definition, read and checked against what its knob may be; what is wrong goes to ``faults``."""
    found: dict[str, Searched] = {}
    keys = [*given, *(key for key in typed if key not in given)]
    for key in map(str, keys):
        if key not in typed and given[key] is None:
            continue
        if (why := _refused(key)) is not None:
            faults.append(Fault(key, why))
            continue
        if key in fixed:
            continue
        group = compositions.is_group(key)
        if not group and key not in _knobs():
            faults.append(_unknown(key))
            continue
        try:
            made = _read(key, given.get(key), typed.get(key))
            made = definition.check_group(key, made) if group else definition.check(key, made)
        except ConfigError as error:
            faults += error.faults
            continue
        if group and isinstance(made.domain, Choices):
            faults += [fault for choice in made.domain.values if (fault := compositions.choice_fault(key, choice))]
        found[key] = Searched(key, made.domain, made.when, group)
    return found


def _read(key: str, entry: Any, text: str | None) -> definition.Definition:
    if text is None:
        return definition.of_entry(key, entry)
    made = definition.of_text(key, text)
    if isinstance(entry, Mapping) and entry.get("when") is not None:
        return definition.Definition(made.domain, definition.of_entry(key, entry).when)
    return made


def _refused(key: str) -> str | None:
    if key in _FIXED:
        return f"cannot be searched: {_FIXED[key]}"
    if naming.is_operational(key):
        return "cannot be searched: it says how to run, not what to compute"
    return None


def forbidden(read: Mapping[str, Searched], environments: Sequence[str], compositions: Compositions, prunes: bool) -> Iterator[Fault]:
    """What a study does not go with."""
    if "total_steps" in read and prunes:
        yield Fault(
            "total_steps", "is searched, so trials have no rungs in common to be compared at; use sweep.pruner=none, or fix total_steps="
        )
    for environment in environments:
        fault = compositions.choice_fault("env", environment)
        if fault is not None:
            yield Fault("sweep.env", fault.message)


def conditions(
    read: Mapping[str, Searched], typed: Collection[str], composed: Sequence[Composition], compositions: Compositions
) -> tuple[list[Searched], list[str]]:
    """The knobs in an order in which every condition can be decided, without those that never can be met.

    Returns:
        The knobs, and what was left out, in words.

    Raises:
        ConfigError: a condition on no knob, on a value that cannot occur, or in a circle.
    """
    faults = [fault for searched in read.values() for fault in _condition_faults(searched, read, compositions)]
    faults += _cycles(read)
    if faults:
        raise ConfigError(faults)
    left, notes = dict(read), []
    while True:
        idle = [(searched, parent) for searched in left.values() if (parent := _never(searched, left, composed)) is not None]
        if not idle:
            break
        for searched, parent in idle:
            wanted = " or ".join(map(naming.shortest, searched.when[parent]))
            now = naming.shortest(present(parent, {}, composed[0]))
            if searched.key in typed:
                fault = f"is used only with {parent}={wanted}, but {parent} is {now}; add {parent}={wanted}, or leave it out"
                faults.append(Fault(searched.key, fault))
            notes.append(f"{searched.key} is not searched: it is used only with {parent}={wanted}, and {parent} is {now}")
            left.pop(searched.key, None)
    if faults:
        raise ConfigError(faults)
    return _ordered(left), list(dict.fromkeys(notes))


def holds(parent: str, allowed: Sequence[Any], chosen: Mapping[str, Any], composed: Composition) -> bool:
    """Whether a condition is met."""
    now = present(parent, chosen, composed)
    return any(domains.same(now, one) for one in allowed)


def present(key: str, chosen: Mapping[str, Any], composed: Composition) -> Any:
    """What a knob or a group is: as chosen, else as composed."""
    if key in chosen:
        return chosen[key]
    if key in composed.choices:
        return composed.choices[key]
    value: Any = composed.values
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _never(searched: Searched, read: Mapping[str, Searched], composed: Sequence[Composition]) -> str | None:
    """The condition of a knob that no trial meets, if there is one: its parent is not searched, and composed otherwise."""
    for parent, allowed in searched.when.items():
        if parent not in read and not any(holds(parent, allowed, {}, made) for made in composed):
            return parent
    return None


def _condition_faults(searched: Searched, read: Mapping[str, Searched], compositions: Compositions) -> Iterator[Fault]:
    for parent, allowed in searched.when.items():
        if parent == searched.key:
            yield Fault(searched.key, "is searched under a condition on itself; remove its when")
        elif compositions.is_group(parent):
            for choice in allowed:
                fault = compositions.choice_fault(parent, choice)
                if fault is not None:
                    yield Fault(searched.key, f"when {parent}={naming.shortest(choice)} cannot be: {fault.message}")
        elif parent not in _knobs():
            yield Fault(searched.key, f"when: {_unknown(parent)}")
        else:
            for value in allowed:
                try:
                    config.parse(parent, value)
                except ConfigError as error:
                    yield Fault(searched.key, f"when {parent}={naming.shortest(value)} cannot be: {error.faults[0].message}")
        if parent in read and parent != searched.key:
            impossible = [value for value in allowed if not _holds_value(read[parent].domain, value)]
            if impossible:
                yield Fault(
                    searched.key,
                    f"when {parent}={naming.shortest(impossible[0])} cannot occur: {parent} is searched in {read[parent].domain}",
                )


def _holds_value(domain: Domain, value: Any) -> bool:
    try:
        domain.coordinate(value)
    except Outside:
        return False
    return True


def _cycles(read: Mapping[str, Searched]) -> list[Fault]:
    """A fault for each circle of conditions, at its first knob."""
    faults, known = [], set()
    for start in read:
        path = [start]
        stack = [iter(read[start].when)]
        while stack and start not in known:
            parent = next(stack[-1], None)
            if parent is None:
                stack.pop()
                path.pop()
            elif parent == start and len(path) > 1:
                faults.append(
                    Fault(start, f"is searched under conditions that go round in a circle: {' → '.join([*path, start])}; break it")
                )
                known.update(path)
            elif parent in read and parent not in path:
                path.append(parent)
                stack.append(iter(read[parent].when))
    return faults


def _ordered(read: Mapping[str, Searched]) -> list[Searched]:
    """Groups first, and every knob behind those that its condition names."""
    waiting = sorted(read.values(), key=lambda searched: not searched.group)
    ordered: list[Searched] = []
    while waiting:
        placed = {searched.key for searched in ordered}
        # A group decides what is composed, so knobs of other conditions wait for all of them.
        ready = next(searched for searched in waiting if all(parent in placed or parent not in read for parent in searched.when))
        waiting.remove(ready)
        ordered.append(ready)
    return ordered


def _knobs() -> frozenset[str]:
    return frozenset(name for name, _, _ in config.knobs())


def _unknown(key: str) -> Fault:
    return config.unknown_key(key, also=("algo", "network", "recipe"))
