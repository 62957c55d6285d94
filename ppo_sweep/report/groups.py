"""Runs that differ in their seed only, and the group that the others are compared with (docs/numbers.md §2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ppo_sweep.config import ConfigError
from ppo_sweep.report import knobs
from ppo_sweep.report.configurations import default_choices
from ppo_sweep.report.frame import Results
from ppo_sweep.runs.naming import flatten, shortest

#: States whose runs are in means of curves and scores; a diverged run counts on with a substitute.
ENDED = ("done", "diverged")
#: Drawn thin and in no mean: what they would have become is not known.
CUT_SHORT = ("pruned", "stopped")
#: Not at their end: curves show them, scores wait for them.
UNFINISHED = ("running", "interrupted", "queued", "absent", "unreadable")

#: From how many swept knobs on a name leaves out those that are as in the reference group.
_LONG = 3


@dataclass(frozen=True)
class Group:
    """The runs of one environment that differ in their seed only.

    Attributes:
        env: short name of the environment.
        label: of the setting, the same in every environment.
        setting: swept knob → value.
        runs: their rows of ``Results.runs``, by seed.
    """

    env: str
    label: str
    setting: Mapping[str, Any]
    runs: pd.DataFrame

    @property
    def scores(self) -> pd.Series:
        """What the runs count as, by seed, diverged ones included; only those that count."""
        counted = self.runs["counted"].dropna()
        return pd.Series(counted.to_numpy(float), index=self.runs.loc[counted.index, "seed"].to_numpy())

    @property
    def diverged(self) -> int:
        """Runs that diverged."""
        return int((self.runs["state"] == "diverged").sum())

    def states(self, *names: str) -> pd.DataFrame:
        """The runs in some states."""
        return self.runs[self.runs["state"].isin(names)]


def groups(results: Results) -> list[Group]:
    """All groups: environments in command order, in each the settings in command order."""
    found = []
    order = {label: place for place, label in enumerate(results.group_labels)}
    for env in results.environments:
        inside = results.runs[results.runs["env"] == env]
        for label in sorted(set(inside["group"]), key=order.__getitem__):
            runs = inside[inside["group"] == label].sort_values("seed")
            found.append(Group(env, label, {key: runs[key].iloc[0] for key in results.swept}, runs))
    return found


@dataclass(frozen=True)
class Reference:
    """The group that the others of its environment are compared with.

    Attributes:
        label: of the group.
        why: in words, for captions.
    """

    label: str
    why: str


def references(results: Results) -> dict[str, Reference]:
    """Environment → the group equal to its default configuration if present, else the first in command order.

    Only environments with a second group. A task's own tuned values are part of its default configuration, so the
    label may differ between environments.
    """
    found = {}
    for env in results.environments:
        runs = results.runs[results.runs["env"] == env]
        if runs["group"].nunique() < 2:
            continue
        if knobs.SEEDS in results.swept and (runs[knobs.SEEDS] == "report").any():
            runs = runs[runs[knobs.SEEDS] == "report"]
        labels = list(dict.fromkeys(runs["group"]))
        default = next((label for label in labels if all(_is_default(results, run) for run in runs.index[runs["group"] == label])), None)
        why = "the default configuration" if default else "the first group in command order"
        found[env] = Reference(str(default or labels[0]), why)
    return found


def compared_with(against: Mapping[str, Reference], named: Mapping[str, str] | None = None) -> str:
    """The references in words, with their environments where they differ: ``max_kl=0.03 (the default configuration)``."""
    said = {env: f"{(named or {}).get(item.label, item.label)} ({item.why})" for env, item in against.items()}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{env}: {words}" for env, words in said.items())


def names(results: Results) -> dict[str, str]:
    """Label → name for figures: of many swept knobs only those in which a group differs from the reference.

    Where environments have different references, from the commonest value of each knob (:func:`left_out` says from which).
    """
    plain = {label: results.named.get(label, label) for label in results.group_labels}
    base = _base(results)
    if base is None:
        return plain
    short = knobs.short_names(results.swept)
    named = {}
    for label, row in _settings(results).iterrows():
        parts = [f"{short[key]}={knobs.shown(row[key])}" for key in results.swept if shortest(row[key]) != shortest(base[key])]
        named[str(label)] = ", ".join(parts) or "reference"
    return named if len(set(named.values())) == len(named) else plain


def left_out(results: Results) -> str:
    """The values that :func:`names` leaves out, as a label; empty where names are labels."""
    base = _base(results)
    if base is None or all(name == label for label, name in names(results).items()):
        return ""
    return knobs.label({key: base[key] for key in results.swept if key != knobs.SEEDS})


def _base(results: Results) -> pd.Series | None:
    """Value of each swept knob that names leave out; None where they leave out nothing."""
    swept = [key for key in results.swept if key != knobs.SEEDS]
    first = _settings(results)
    if results.named or len(swept) < _LONG or len(first) < 2:
        return None
    common = {reference.label for reference in references(results).values()}
    if len(common) == 1:
        return first.loc[common.pop()]
    return pd.Series({key: _commonest(first[key]) for key in results.swept})


def _commonest(values: pd.Series) -> Any:
    texts = values.map(shortest)
    return values[texts == texts.mode().iloc[0]].iloc[0]


def _settings(results: Results) -> pd.DataFrame:
    """Label → swept knobs, in command order."""
    return results.runs.drop_duplicates("group").set_index("group")[list(results.swept)]


def _is_default(results: Results, run: str) -> bool:
    """Whether the swept knobs of a run are what they would be had none of them been typed."""
    row, typed = results.runs.loc[run], results.overrides.get(run, {})
    choices = {key: str(item) for key, item in typed.items() if key in ("env", *knobs.CHOICES) and key not in results.swept}
    values = {key: item for key, item in typed.items() if key not in choices and key not in results.swept}
    expected = _composed(tuple(sorted(choices.items()))) | values
    for key in results.swept:
        if key == knobs.SEEDS:
            continue
        if key in knobs.CHOICES:
            same = key not in typed or row[key] == default_choices().get(key)
        else:
            same = key in expected and _equal(row[key], expected[key])
        if not same:
            return False
    return True


_compositions: dict[tuple[tuple[str, str], ...], Mapping[str, Any]] = {}


def _composed(choices: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Full key → value of what some choices amount to; the typed defaults where they cannot be composed here."""
    if choices not in _compositions:
        # Hydra is behind this import.
        from ppo_sweep.config import defaults
        from ppo_sweep.sweep.composition import Composer, overlay

        nested: Mapping[str, Any] = defaults()
        try:
            with Composer() as composer:
                nested = overlay(composer.compose(dict(choices)).values, {})
        except ConfigError:  # a choice of another version, or of a directory that is not here
            pass
        _compositions[choices] = {name: leaf for key, item in nested.items() for name, leaf in flatten(key, item).items()}
    return dict(_compositions[choices])


def _equal(found: Any, expected: Any) -> bool:
    if isinstance(found, float) and isinstance(expected, (int, float)) and not isinstance(expected, bool):
        return math.isclose(found, expected, rel_tol=1e-12)
    return shortest(found) == shortest(expected)
