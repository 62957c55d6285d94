"""Which knobs were swept, and how a setting of them is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ppo_sweep.config import OPERATIONAL_KEYS
from ppo_sweep.runs.naming import is_operational, shortest

#: Knobs that are chosen among files, and stand for many values at once.
CHOICES = ("algo", "recipe", "network", "tuned", "experiment")

#: Of which kind the seeds of a study with confirmation are: tuning, confirmation, report (docs/studies.md).
SEEDS = "seeds"

#: The value of a knob where neither the configuration nor what was typed tells it.
UNKNOWN = "?"

#: What belongs to the environment or the seed, and never tells two settings apart.
_NEVER = frozenset({"seed", "env", "env.id", "env.score_random", "env.score_reference", *OPERATIONAL_KEYS})


@dataclass(frozen=True)
class Asked:
    """What one run was asked to be.

    Attributes:
        env: its environment.
        config: full key → value, resolved; empty if not known.
        overrides: full key → value or text of what was typed.
        seeds: tuning, confirmation or report; empty outside such a study.
    """

    env: str
    config: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    seeds: str = ""


def swept(runs: Sequence[Asked], defaults: Mapping[str, str]) -> tuple[str, ...]:
    """Full keys that differ between runs of one environment; runs of unknown configuration have no say in it.

    Between environments budgets and tuned values differ without being swept. Where a choice was swept
    (``recipe=standard,strong``) the choice is the knob, not the twenty values that it stands for.

    Args:
        defaults: choice of each group that was not typed (``{"recipe": "standard"}``).

    Returns:
        Choices first, then values, each in the order of the configuration.
    """
    runs = [run for run in runs if run.config]
    envs = [run.env for run in runs]
    choices = [key for key in (SEEDS, *CHOICES) if _differs(envs, [value(run, key, defaults) for run in runs])]
    chosen = [f"{run.env}|{'|'.join(shortest(value(run, key, defaults)) for key in choices)}" for run in runs]
    typed = {key for run in runs for key in run.overrides}
    keys = dict.fromkeys(key for run in runs for key in run.config if key not in _NEVER and not is_operational(key))
    values = []
    for key in keys:
        found = [run.config.get(key) for run in runs]
        if _differs(envs, found) and (key in typed or _differs(chosen, found)):
            values.append(key)
    return (*choices, *values)


def value(run: Asked, key: str, defaults: Mapping[str, str]) -> Any:
    """What a run has for a swept key; of a run whose configuration is not known what was typed, or :data:`UNKNOWN`."""
    if key == SEEDS:
        return run.seeds or None
    if key in CHOICES:
        return run.overrides.get(key, defaults.get(key))
    found = run.config.get(key) if run.config else run.overrides.get(key, UNKNOWN)
    return shortest(found) if isinstance(found, (list, tuple, Mapping)) else found


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """``algo.max_kl`` → ``max_kl``, in full where two end alike."""
    keys = list(keys)
    last = [key.rpartition(".")[2] for key in keys]
    return {key: name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)}


def labels(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each setting, by which it is known: :func:`label`, with all digits where two settings would be called alike."""
    return _apart([label(setting) for setting in settings], [label(setting, shortest) for setting in settings])


def label(setting: Mapping[str, Any], written: Callable[[Any], str] | None = None) -> str:
    """A setting of the swept knobs in words: ``max_kl=0.02, lr=0.001``; ``all runs`` if none was swept.

    Args:
        written: a value as text; :func:`shown` by default.
    """
    names = short_names(setting)
    return ", ".join(f"{names[key]}={(written or shown)(item)}" for key, item in setting.items()) or "all runs"


def shown(item: Any) -> str:
    """A value as it is read best: at most four significant digits of a float."""
    return shortest(float(f"{item:.4g}")) if isinstance(item, float) else shortest(item)


def told_apart(values: Sequence[Any]) -> list[str]:
    """Values of one knob side by side: :func:`shown`, with all digits where two would look alike."""
    return _apart([shown(item) for item in values], [shortest(item) for item in values])


def _apart(short: Sequence[str], exact: Sequence[str]) -> list[str]:
    """The short text of each, or the exact one where texts that are not the same have the same short one."""
    alike: dict[str, set[str]] = {}
    for text, full in zip(short, exact, strict=True):
        alike.setdefault(text, set()).add(full)
    return [text if len(alike[text]) == 1 else full for text, full in zip(short, exact, strict=True)]


def _differs(cells: Sequence[str], values: Sequence[Any]) -> bool:
    """Whether values differ within any cell."""
    first: dict[str, str] = {}
    return any(first.setdefault(cell, text) != text for cell, text in zip(cells, map(shortest, values), strict=True))
