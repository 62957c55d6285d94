"""What a study's storage holds, as its conductor reads and writes it: each fact once.

A study that is taken up again goes through its events from the first one on; what the storage holds
already is not written again, and a trial that it holds is not asked for again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from ppo_sweep.sweep.study import asking
from ppo_sweep.sweep.study.asking import Asked
from ppo_sweep.sweep.study.space import Space

_ABSENT = object()


class Record:
    """See the module.

    Args:
        study: open.
        sampler, seed: of the study.
    """

    def __init__(self, study: Study, space: Space, sampler: str, seed: int) -> None:
        self._study, self._space, self._sampler, self._seed = study, space, sampler, seed
        stored = study.get_trials(deepcopy=False)
        self._trials: dict[int, FrozenTrial] = {trial.number: trial for trial in stored}
        self._attrs: dict[int, dict[str, Any]] = {trial.number: dict(trial.user_attrs) for trial in stored}
        self._ids = {trial.number: trial._trial_id for trial in stored}

    def __len__(self) -> int:
        """Trials that were there at the beginning."""
        return len(self._trials)

    def ask(self, number: int) -> Asked:
        """The trial of this number; proposed if it is new."""
        found = self._trials.get(number)
        if found is None:
            asked = asking.ask(self._study, self._space, self._sampler, self._seed)
        elif found.state == TrialState.WAITING:  # a process was killed while it asked
            asked = asking.complete(self._study, found._trial_id, self._space, self._sampler, self._seed)
        else:
            asked = Asked(number, found._trial_id, self._space.overrides(found.params) if number else {}, found.params)
        self._ids[number] = asked.trial_id
        self._attrs.setdefault(number, {})
        return asked

    def has(self, number: int, key: str) -> bool:
        """Whether a trial has an attribute."""
        return key in self._attrs[number]

    def noted(self, number: int, key: str) -> Any:
        """An attribute of a trial."""
        return self._attrs[number][key]

    def note(self, number: int, key: str, value: Any) -> None:
        """Write an attribute of a trial, unless it is there."""
        if self._attrs[number].get(key, _ABSENT) != value:
            self._study._storage.set_trial_user_attr(self._ids[number], key, value)
            self._attrs[number][key] = value

    def report(self, number: int, step: int, value: float) -> None:
        """Write what a trial is worth at a rung."""
        found = self._trials.get(number)
        if found is None or step not in found.intermediate_values:
            self._study._storage.set_trial_intermediate_value(self._ids[number], step, value)

    def is_told(self, number: int) -> bool:
        """Whether a trial had ended when the study was opened."""
        found = self._trials.get(number)
        return found is not None and found.state.is_finished()

    def tell(self, number: int, state: str, values: Sequence[float] | None) -> None:
        """Write how a trial ended."""
        if not self.is_told(number):
            self._study._storage.set_trial_state_values(self._ids[number], TrialState[state], values)
