"""The search space of a study: which knobs, what they may be, and what a trial's parameters amount to.

Checked as a whole before anything runs: every entry against the knob it is for, conditions against
each other, and every combination of choices as a configuration. After that a space needs neither Hydra
nor files: it holds what each set of group choices composes to.

A *parameter* is what Optuna knows: a coordinate (:mod:`~ppo_sweep.sweep.study.domains`) under its label. An
*override* is what the command line knows: the value under the full key of its knob.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ppo_sweep.config import Config, ConfigError, Fault
from ppo_sweep.sweep.composition import Composition, overlay
from ppo_sweep.sweep.study import space_checks
from ppo_sweep.sweep.study.compositions import Compositions, Key, compose_all, key_of
from ppo_sweep.sweep.study.domains import Choices, Outside
from ppo_sweep.sweep.study.space_checks import Searched

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

#: So many configurations are checked and counted; of more, the first ones in an order that varies all knobs.
MAX_CONFIGURATIONS = 300


@dataclass(frozen=True)
class Signatures:
    """How many static signatures a space leads to; runs of different signatures share no population.

    Attributes:
        count: of them; a lower bound unless ``exact``.
        exact: whether every combination was looked at.
    """

    count: int
    exact: bool

    def __str__(self) -> str:
        return f"{'' if self.exact else 'at least '}{self.count} static signature{'s' * (self.count != 1)}"


@dataclass(frozen=True)
class Default:
    """The default configuration, which trial 0 trains.

    Attributes:
        params: its parameters, as far as the space holds them.
        outside: knobs whose default the space does not hold (or that differ between environments). If there are any,
            samplers must not learn from trial 0: they would take it for a configuration that it is not.
    """

    params: Mapping[str, Any]
    outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Space:
    """See the module; made by :meth:`read`.

    Attributes:
        searched: the knobs, each behind those that its condition names.
        environments: choices of ``env`` that every configuration is tried on; empty = the one that is composed.
        notes: what was left out, in words.
    """

    searched: tuple[Searched, ...]
    environments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    _compositions: Mapping[Key, Composition] = field(default_factory=dict, repr=False)

    @classmethod
    def read(
        cls,
        definitions: Mapping[str, Any],
        compositions: Compositions,
        *,
        typed: Mapping[str, str] | None = None,
        fixed: Collection[str] = (),
        environments: Sequence[str] = (),
        prunes: bool = True,
    ) -> Space:
        """Read and check a space.

        Args:
            definitions: ``sweep.space``: full key → entry; null = not searched.
            compositions: what choices amount to.
            typed: sweeps of the command line, key → text behind ``=``; each replaces the file's entry for its key, but
                keeps its condition.
            fixed: keys that the command line gives one value: not searched.
            environments: ``sweep.env``.
            prunes: whether trials are pruned, which ``total_steps`` does not go with.

        Raises:
            ConfigError: with every fault found.
        """
        typed = typed or {}
        faults: list[Fault] = []
        read = space_checks.definitions(definitions, typed, fixed, compositions, faults)
        faults += space_checks.forbidden(read, environments, compositions, prunes)
        if faults:
            raise ConfigError(faults)
        groups = {key: searched.domain.values for key, searched in read.items() if isinstance(searched.domain, Choices) and searched.group}
        composed = compose_all(groups, environments, compositions)
        ordered, notes = space_checks.conditions(read, typed, list(composed.values()), compositions)
        if not ordered:
            raise ConfigError([Fault("sweep.space", "holds no knob to search; for example algo.lr='tag(log, interval(1e-5, 1e-2))'")])
        space = cls(tuple(ordered), tuple(environments), tuple(notes), composed)
        space._check_configurations()
        return space

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Let ``trial`` choose its parameters, conditions applied; define-by-run, the one way that works for every sampler.

        (A dictionary of distributions, as ``study.ask`` takes, has no place for conditions.)
        """
        params: dict[str, Any] = {}
        for searched in self.searched:
            if self.active(searched, params):
                params[searched.label] = searched.domain.suggest(trial, searched.label)
        return params

    def distributions(self) -> dict[str, BaseDistribution]:
        """The distribution of every parameter, conditional ones included, by label."""
        return {searched.label: searched.domain.distribution() for searched in self.searched}

    def active(self, searched: Searched, params: Mapping[str, Any]) -> bool:
        """Whether a knob is searched, given the parameters before it."""
        if not searched.when:
            return True
        chosen = self.overrides(params)
        composed = self._composition(chosen)
        return all(space_checks.holds(parent, allowed, chosen, composed) for parent, allowed in searched.when.items())

    def overrides(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A trial's parameters as overrides: full key → value, groups first."""
        pairs = [(searched, searched.domain.value(params[searched.label])) for searched in self.searched if searched.label in params]
        return {searched.key: value for searched, value in sorted(pairs, key=lambda pair: not pair[0].group)}

    def params(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Overrides as parameters: the inverse of :meth:`overrides`.

        Raises:
            Outside: a value that the space does not hold, or a knob that is not searched or not active.
        """
        params: dict[str, Any] = {}
        for searched in self.searched:
            if searched.key in overrides:
                if not self.active(searched, params):
                    raise Outside(searched.key)
                params[searched.label] = searched.domain.coordinate(overrides[searched.key])
        if set(overrides) - {searched.key for searched in self.searched}:
            raise Outside(", ".join(sorted(set(overrides) - {searched.key for searched in self.searched})))
        return params

    def config(self, overrides: Mapping[str, Any], environment: str | None = None) -> Config:
        """The configuration that overrides of searched knobs amount to; none of them: the default one.

        Args:
            environment: one of ``environments``, if there are any.

        Raises:
            ConfigError: values that do not go together.
        """
        composed = self._composition(overrides, environment)
        knobs = {searched.key for searched in self.searched if not searched.group}
        return Config.from_dict(overlay(composed.values, {key: value for key, value in overrides.items() if key in knobs}))

    def default(self) -> Default:
        """The default configuration as parameters."""
        per_environment = [self._default(environment) for environment in self.environments or (None,)]
        params = {
            label: value
            for label, value in per_environment[0].params.items()
            if all(other.params.get(label) == value for other in per_environment)
        }
        labels = {searched.label: searched.key for searched in self.searched}
        different = {labels[label] for made in per_environment for label in made.params if label not in params}
        outside = different.union(*(made.outside for made in per_environment))
        return Default(params, tuple(key for key in labels.values() if key in outside))

    def default_values(self) -> dict[str, Any]:
        """Key → value of every searched knob in the default configuration, where it has one there and the same in all environments."""
        composed = [self._compositions[key_of({}, environment)] for environment in self.environments or (None,)]
        values: dict[str, Any] = {}
        for searched in self.searched:
            if all(space_checks.holds(parent, allowed, {}, one) for one in composed for parent, allowed in searched.when.items()):
                first, *others = [space_checks.present(searched.key, {}, one) for one in composed]
                if all(other == first for other in others):
                    values[searched.key] = first
        return values

    def shapes(self) -> list[Config]:
        """One configuration of each static signature, in every environment; the default one first."""
        configs, _ = self._configurations(self._deciding)
        return list({config.signature: config for _, config in reversed(configs) if isinstance(config, Config)}.values())[::-1]

    def signatures(self) -> Signatures:
        """How many static signatures the space leads to, all environments together."""
        _, exact = self._configurations(self._deciding)
        return Signatures(len(self.shapes()), exact)

    @property
    def _deciding(self) -> list[Searched]:
        """The knobs that a static signature depends on."""
        static = {key for key, _ in Config().signature}
        parents = {parent for searched in self.searched for parent in searched.when}
        return [searched for searched in self.searched if searched.group or searched.key in static | parents]

    def describe(self) -> dict[str, Any]:
        """Plain values that say all of it, for ``study.json``: two spaces are one if these are equal."""
        return {
            searched.key: {
                **searched.domain.describe(),
                **({"when": {parent: list(values) for parent, values in searched.when.items()}} if searched.when else {}),
            }
            for searched in self.searched
        }

    def lines(self) -> list[str]:
        """The space as a table for the terminal."""
        width = max(len(searched.key) for searched in self.searched)
        return [f"{searched.key:<{width}}  {searched}" for searched in self.searched]

    def _composition(self, overrides: Mapping[str, Any], environment: str | None = None) -> Composition:
        chosen = {searched.key: overrides[searched.key] for searched in self.searched if searched.group and searched.key in overrides}
        return self._compositions[key_of(chosen, environment or next(iter(self.environments), None))]

    def _default(self, environment: str | None) -> Default:
        composed = self._compositions[key_of({}, environment)]
        params: dict[str, Any] = {}
        outside = []
        for searched in self.searched:
            if all(space_checks.holds(parent, allowed, {}, composed) for parent, allowed in searched.when.items()):
                try:
                    params[searched.label] = searched.domain.coordinate(space_checks.present(searched.key, {}, composed))
                except Outside:
                    outside.append(searched.key)
        return Default(params, tuple(outside))

    def _check_configurations(self) -> None:
        """Every combination of choices must be a configuration.

        Raises:
            ConfigError: each fault once, with the first combination that has it.
        """
        faults: dict[str, Fault] = {}
        for overrides, config in self._configurations(self.searched)[0]:
            if isinstance(config, ConfigError):
                for fault in config.faults:
                    chosen = ", ".join(f"{key}={value}" for key, value in overrides.items()) or "the default configuration"
                    faults.setdefault(fault.key, Fault(fault.key, f"{fault.message} (with {chosen}, which this space holds)"))
        if faults:
            raise ConfigError(list(faults.values()))

    def _configurations(self, among: Sequence[Searched]) -> tuple[list[tuple[dict[str, Any], Config | ConfigError]], bool]:
        """Configurations that matter: every choice, the ends of static intervals, each with the default of the rest.

        Returns:
            Overrides and configuration (or what is wrong with it), the default one first; and whether these are all static ones.
        """
        static = {key for key, _ in Config().signature}
        axes, exact = [], True
        for searched in among:
            if isinstance(searched.domain, Choices):
                axes.append([(searched, value) for value in searched.domain.values])
            elif searched.key in static:
                points = searched.domain.points()
                few = points is not None and len(points) <= 20
                exact = exact and few
                values = [searched.domain.value(point) for point in points or ()] if few else list(searched.domain.ends())
                axes.append([(searched, value) for value in values])
        found: list[tuple[dict[str, Any], Config | ConfigError]] = []
        seen = set()
        combinations = list(itertools.islice(_spread(axes), MAX_CONFIGURATIONS + 1))
        exact = exact and len(combinations) <= MAX_CONFIGURATIONS
        for combination in [(), *combinations[:MAX_CONFIGURATIONS]]:
            overrides = self._consistent(combination)
            if repr(overrides) in seen:
                continue
            seen.add(repr(overrides))
            for environment in self.environments or (None,):
                try:
                    found.append((overrides, self.config(overrides, environment)))
                except ConfigError as error:
                    found.append((overrides, error))
        return found, exact

    def _consistent(self, combination: Sequence[tuple[Searched, Any]]) -> dict[str, Any]:
        """The overrides of a combination whose conditions hold."""
        params: dict[str, Any] = {}
        values = {searched.key: (searched, value) for searched, value in combination}
        for searched in self.searched:
            if searched.key in values and self.active(searched, params):
                params[searched.label] = searched.domain.coordinate(values[searched.key][1])
        return self.overrides(params)


def _spread(axes: Sequence[Sequence[tuple[Searched, Any]]]) -> Iterator[tuple[tuple[Searched, Any], ...]]:
    """The product of the axes, with every value of every axis early on, so that a cut misses few faults."""
    for index in range(max((len(axis) for axis in axes), default=0)):
        yield tuple(axis[index % len(axis)] for axis in axes)
    yield from itertools.product(*axes)
