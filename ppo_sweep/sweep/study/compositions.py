"""What ``conf/`` and the fixed part of the command line amount to, for each set of searched group choices."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ppo_sweep.config import ConfigError, Fault
from ppo_sweep.sweep.composition import Composer, Composition, overlay

#: More sets of group choices than this are not composed (about 40 ms each).
MAX_COMPOSITIONS = 200

#: A set of choices: sorted pairs of group and choice, the environment last.
Key = tuple[tuple[str, str], ...]


class Compositions(Protocol):
    """What a space must know of ``conf/``."""

    def is_group(self, key: str) -> bool:
        """Whether ``key`` is chosen among files."""
        ...

    def choice_fault(self, group: str, choice: Any) -> Fault | None:
        """What is wrong with ``group=choice``."""
        ...

    def compose(self, choices: Mapping[str, str]) -> Composition:
        """What these choices amount to, the command line's fixed values included.

        Raises:
            ConfigError: they cannot be composed.
        """
        ...


@dataclass(frozen=True)
class FixedCompositions:
    """Compositions of one command line, by way of Hydra.

    Attributes:
        composer: open.
        fixed: full key → value of every override that is not searched, group choices included.
    """

    composer: Composer
    fixed: Mapping[str, Any]

    def is_group(self, key: str) -> bool:
        """See :class:`Compositions`."""
        return self.composer.is_group(key)

    def choice_fault(self, group: str, choice: Any) -> Fault | None:
        """See :class:`Compositions`."""
        return self.composer.choice_fault(group, choice)

    def compose(self, choices: Mapping[str, str]) -> Composition:
        """See :class:`Compositions`."""
        groups = {key: str(value) for key, value in self.fixed.items() if self.composer.is_group(key)}
        values = {key: value for key, value in self.fixed.items() if key not in groups and not key.startswith("sweep.")}
        composed = self.composer.compose({**groups, **choices})
        laid = overlay({key: value for key, value in composed.values.items() if key != "sweep"}, values)
        return dataclasses.replace(composed, values=laid)


def compose_all(groups: Mapping[str, Sequence[Any]], environments: Sequence[str], compositions: Compositions) -> dict[Key, Composition]:
    """Every set of choices composed, and the default ones, each in every environment.

    Raises:
        ConfigError: some cannot be composed, or there are too many.
    """
    # A group whose condition does not hold stays as it is by default.
    offered = [[None, *choices] for choices in groups.values()]
    sets = [
        {group: str(choice) for group, choice in zip(groups, chosen, strict=True) if choice is not None}
        for chosen in itertools.product(*offered)
    ]
    if len(sets) * max(1, len(environments)) > MAX_COMPOSITIONS:
        where = f" in {len(environments)} environments" if environments else ""
        fault = f"has {len(sets)} sets of group choices ({', '.join(groups)}){where}, more than {MAX_COMPOSITIONS} in all; search fewer"
        raise ConfigError([Fault("sweep.space", fault)])
    made: dict[Key, Composition] = {}
    faults: list[Fault] = []
    for chosen in sets:
        for environment in environments or (None,):
            env = {} if environment is None else {"env": environment}
            try:
                made[key_of(chosen, environment)] = compositions.compose({**chosen, **env})
            except ConfigError as error:
                faults += error.faults
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return made


def key_of(choices: Mapping[str, str], environment: str | None) -> Key:
    """The key of a set of choices in an environment (None: the one that is composed)."""
    return (*sorted(choices.items()), *((("env", environment),) if environment is not None else ()))
