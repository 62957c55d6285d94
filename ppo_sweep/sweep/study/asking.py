"""Asking for a trial: proposed on a copy of the history, then written down.

The proposal is a pure function of the trials before it, the study's seed and the trial's number. It is made
on a copy in memory, so a process may be killed at any instant of it: in the storage a trial is
``WAITING`` until all its parameters are there, and whoever takes the study up completes it, with the same ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from ppo_sweep.sweep.study import samplers
from ppo_sweep.sweep.study.space import Space

#: Trial attributes: what is trained, as overrides of the default; knobs of which trial 0's default is not in the space.
OVERRIDES, OUTSIDE = "overrides", "outside"


@dataclass(frozen=True)
class Asked:
    """A trial to be trained.

    Attributes:
        number: of the trial.
        trial_id: in the storage.
        overrides: full key → value of the searched knobs; empty for trial 0, the default configuration.
        params: as Optuna knows them.
    """

    number: int
    trial_id: int
    overrides: Mapping[str, Any]
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Proposal:
    """What a sampler says of one trial.

    Attributes:
        params, distributions: by label.
        system_attrs: the sampler's notes on the trial.
        study_attrs: its new notes on the study.
    """

    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    system_attrs: Mapping[str, Any]
    study_attrs: Mapping[str, Any]


def ask(study: Study, space: Space, sampler: str, seed: int) -> Asked:
    """A new trial, in the storage as ``RUNNING`` on return.

    Args:
        study: its own sampler is not used.
        sampler: a name.
        seed: of the study.
    """
    return complete(study, study._storage.create_new_trial(study._study_id, create_trial(state=TrialState.WAITING)), space, sampler, seed)


def complete(study: Study, trial_id: int, space: Space, sampler: str, seed: int) -> Asked:
    """Finish asking for a trial that exists already, with the parameters that it has."""
    storage = study._storage
    number = storage.get_trial_number_from_id(trial_id)
    earlier = study.get_trials(deepcopy=False)[:number]
    noted = storage.get_study_system_attrs(study._study_id)
    if number == 0:
        default = space.default()
        distributions = space.distributions()
        made = Proposal(default.params, {label: distributions[label] for label in default.params}, {}, {})
        outside = default.outside
    else:
        made = propose(earlier, space, sampler, seed, study.directions, noted)
        outside = ()
    for key, value in made.study_attrs.items():
        storage.set_study_system_attr(study._study_id, key, value)
    for key, value in made.system_attrs.items():
        storage.set_trial_system_attr(trial_id, key, value)
    written = storage.get_trial(trial_id).params
    # Where several processes ask, one that was killed may have written of a proposal from an older history: what is there holds.
    params = {**made.params, **written}
    overrides: Mapping[str, Any] = space.overrides(params) if number else {}
    for label, value in made.params.items():
        if label not in written:
            distribution = made.distributions[label]
            storage.set_trial_param(trial_id, label, distribution.to_internal_repr(value), distribution)
    storage.set_trial_user_attr(trial_id, OVERRIDES, dict(overrides))
    if outside:
        storage.set_trial_user_attr(trial_id, OUTSIDE, list(outside))
    storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    return Asked(number, trial_id, overrides, params)


def propose(
    earlier: Sequence[FrozenTrial],
    space: Space,
    sampler: str,
    seed: int,
    directions: Sequence[StudyDirection],
    study_attrs: Mapping[str, Any] | None = None,
) -> Proposal:
    """What the sampler says of the trial after ``earlier`` (their numbers are 0, 1, …); changes nothing."""
    number = len(earlier)
    noted = dict(study_attrs or {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's, of what is experimental and of what is drawn independently
        storage = InMemoryStorage()
        storage.create_new_study(list(directions), "copy")
        sampling = samplers.build(sampler, space, seed, number, len(directions))
        copy = Study("copy", storage, sampler=sampling, pruner=optuna.pruners.NopPruner())
        for key, value in noted.items():
            storage.set_study_system_attr(copy._study_id, key, value)
        for trial in earlier:
            storage.create_new_trial(copy._study_id, _seen(trial))
        asked = copy.ask()
        space.suggest(asked)
    frozen = copy.get_trials(deepcopy=False)[number]
    new = {key: value for key, value in storage.get_study_system_attrs(copy._study_id).items() if noted.get(key) != value}
    return Proposal(frozen.params, frozen.distributions, frozen.system_attrs, new)


def _seen(trial: FrozenTrial) -> FrozenTrial:
    """A trial as samplers are to see it."""
    if OUTSIDE in trial.user_attrs:
        # Its parameters are not all there: it must neither teach anything nor narrow the space that trials have in common.
        return create_trial(state=TrialState.FAIL)
    if trial.state == TrialState.WAITING:
        # Another process is asking for it; its number is taken.
        return create_trial(state=TrialState.RUNNING)
    return trial
