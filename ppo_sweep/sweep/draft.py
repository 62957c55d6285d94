"""One job between composition and validation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ppo_sweep.config import Config, ConfigError, EnvConfig, Fault
from ppo_sweep.runs import naming


class Draft:
    """A job's values as composed, its configuration if they are valid, its faults if not.

    Attributes:
        overrides: full key → parsed value of what was typed.
        choices: group → choice, defaults included.
        values: nested plain values.
        chosen_id: the environment's id by the choices alone.
        config: the typed configuration, or None.
        faults: what is wrong with it.
    """

    def __init__(self, overrides: Mapping[str, Any], choices: Mapping[str, str], values: Mapping[str, Any], chosen_id: object) -> None:
        self.overrides = dict(overrides)
        self.choices = choices
        self.values = values
        self.chosen_id = chosen_id
        self.config: Config | None = None
        self.faults: list[Fault] = []
        try:
            self.config = Config.from_dict(values)
        except ConfigError as error:
            self.faults = [self._worded(fault) for fault in error.faults]

    @property
    def environment(self) -> str:
        """What the study is named by: the environment's choice, or its id where none was chosen."""
        choice = self.choices.get("env", "any")
        return str(self.values["env"].get("id")) if choice == "any" else choice

    def env_config(self) -> EnvConfig | None:
        """The environment's own part, if that is valid, whatever else is wrong."""
        if self.config is not None:
            return self.config.env
        try:
            return Config.from_dict({"env": self.values["env"], "total_steps": 10**12}).env
        except ConfigError:
            return None

    def second_environment(self) -> Fault | None:
        """``env.id`` beside ``env=`` that names another one: budget and reference scores would be the first one's."""
        choice, typed = self.overrides.get("env", "any"), self.overrides.get("env.id")
        if choice == "any" or typed is None or typed == self.chosen_id:
            return None
        return Fault(
            "env.id",
            f"{typed} is another environment than env={choice} ({self.chosen_id}), whose budget and reference scores would be "
            f"applied to it; leave out env={choice} or env.id={typed}",
        )

    def warnings(self, horizon: int) -> Iterator[str]:
        """What is allowed but probably not meant, given the time limit in agent steps."""
        if self.config is None:
            return
        needed = self.config.algo.n_envs * horizon * self.config.env.action_repeat
        given, budget = self.config.total_steps, self.config.budget
        if budget < needed:
            rounded = f" ({budget} in whole rollouts)" if given >= needed else ""
            yield (
                f"total_steps={given}{rounded} is shorter than one episode in each of {self.config.algo.n_envs} "
                f"environments ({needed} steps): there may be no score; raise total_steps, or lower algo.n_envs"
            )

    def _worded(self, fault: Fault) -> Fault:
        """A fault of the configuration, with what helps whoever typed the command."""
        if fault.key == "env.id" and self.choices.get("env") == "any" and "env.id" not in self.overrides:
            return Fault("env", "env=any stands for an environment of your own: add env.id=Name-v0 (and leave any out of a glob)")
        typed = {name: leaf for key, value in self.overrides.items() for name, leaf in naming.flatten(key, value).items()}
        if fault.key in typed:
            return Fault(fault.key, fault.message + _several(fault.key, typed[fault.key]))
        chosen = " ".join(f"{group}={self.choices[group]}" for group in ("env", "recipe", "tuned", "experiment") if group in self.choices)
        return Fault(fault.key, f"{fault.message} (not typed; it comes from conf/ with {chosen})")


def _several(key: str, value: Any) -> str:
    """How several values are written, if ``value``, which is none, looks like that: ``0-2``, ``0..2``, ``[0.02, 0.07]``."""
    span = re.fullmatch(r"(\d+)(?:-|:|\.{2,3})(\d+)", value) if isinstance(value, str) else None
    if span is not None:
        return f"; a range of values is written {key}='range({span[1]},{int(span[2]) + 1})' and needs -m"
    if isinstance(value, list) and len(value) > 1 and not any(isinstance(item, (list, dict)) for item in value):
        return f"; several values are written without brackets and need -m: {key}={','.join(map(naming.shortest, value))}"
    return ""
