"""What a study's storage holds, as its conductor reads and writes it: each fact once.

A study that is taken up again goes through its events from the first one on; what the storage holds
already is not written again, a trial that it holds is not asked for again, and of a trial that has ended
nothing is written. Where several processes have been at work on it, there is no first event to begin at: then only
trials that have not ended and are nobody's are taken up, in the order of their numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from ppo_sweep.sweep.study import asking, stored_trials
from ppo_sweep.sweep.study.asking import Asked
from ppo_sweep.sweep.study.claims import Claims
from ppo_sweep.sweep.study.space import Space

_ABSENT = object()


class Record:
    """See the module.

    Args:
        study: open.
        sampler, seed: of the study.
        claims: shared with other processes; None if there can be none.
        before: trials of a study that is gone through from its first event on; None if it is not.

    Attributes:
        again: the study is gone through from its first event on.
    """

    def __init__(
        self, study: Study, space: Space, sampler: str, seed: int, claims: Claims | None = None, *, before: Sequence[FrozenTrial] | None
    ) -> None:
        self._study, self._space, self._sampler, self._seed, self._claims = study, space, sampler, seed, claims
        self.again = before is not None
        self._to_come = deque(before or ())
        self._trials: dict[int, FrozenTrial] = {}
        self._attrs: dict[int, dict[str, Any]] = {}
        self._ids: dict[int, int] = {}

    def _stored(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While it lasts no other process takes trials, or writes the study's files."""
        if self._claims is None:
            yield
        else:
            with self._claims.alone():
                yield

    # ------------------------------------------------------------------ which trials

    def next(self, may_begin: Callable[[int], bool]) -> Asked | None:
        """The next trial: one of before, or a new one; None if there is none.

        Args:
            may_begin: whether there may be a new one, beside so many.
        """
        with self.alone():
            found = self._continued()
            if found is not None:
                return self._enter(found)
            if not may_begin(len(self._ids) if self._claims is None else len(self._stored())):
                return None
            asked = asking.ask(self._study, self._space, self._sampler, self._seed)
            taken = self._claims is None or self._claims.take(asked.number)
            assert taken, "nobody takes trials while another process asks"
            self._ids[asked.number], self._attrs[asked.number] = asked.trial_id, {}
            return asked

    def _continued(self) -> FrozenTrial | None:
        """A trial of before."""
        if self._to_come:
            return self._to_come.popleft()
        for trial in self._unfinished():
            if self._claims is not None and self._claims.take(trial.number):
                now = self._study._storage.get_trial(trial._trial_id)
                if not now.state.is_finished():  # it may have been told since it was read
                    return now
                self._claims.release(trial.number)
        return None

    def _unfinished(self) -> list[FrozenTrial]:
        """Trials that have not ended and are not this process's, in a storage that is shared."""
        return [trial for trial in self.others() if not trial.state.is_finished()]

    def _enter(self, found: FrozenTrial) -> Asked:
        number = found.number
        self._trials[number], self._ids[number] = found, found._trial_id
        self._attrs[number] = dict(found.user_attrs)
        if found.state == TrialState.WAITING:  # a process was killed while it asked
            return asking.complete(self._study, found._trial_id, self._space, self._sampler, self._seed)
        return Asked(number, found._trial_id, self._space.overrides(found.params) if number else {}, found.params)

    def others(self) -> list[FrozenTrial]:
        """Trials of other processes as they stand now; none in a storage that is not shared."""
        if self._claims is None:
            return []
        own = {*self._ids, *(trial.number for trial in self._to_come)}
        return [trial for trial in self._stored() if trial.number not in own]

    def pruned_by_others(self) -> list[FrozenTrial]:
        """Trials that another process has pruned."""
        return [trial for trial in self.others() if trial.state == TrialState.PRUNED]

    def take(self, number: int) -> bool:
        """Make a trial this process's, if it is nobody's; whether that succeeded."""
        with self.alone():
            return self._claims is not None and self._claims.take(number)

    def nobodys(self) -> list[int]:
        """Trials that have not ended and that no living process has."""
        return [trial.number for trial in self._unfinished() if self._claims is not None and not self._claims.taken(trial.number)]

    # ------------------------------------------------------------------ what is known of them

    def has(self, number: int, key: str) -> bool:
        """Whether a trial has an attribute."""
        return key in self._attrs[number]

    def noted(self, number: int, key: str) -> Any:
        """An attribute of a trial."""
        return self._attrs[number][key]

    def note(self, number: int, key: str, value: Any) -> None:
        """Write an attribute of a trial, unless it is there, or the trial had ended before."""
        if self._attrs[number].get(key, _ABSENT) != value:
            if not self.is_told(number):
                self._study._storage.set_trial_user_attr(self._ids[number], key, value)
            self._attrs[number][key] = value

    def is_reported(self, number: int, step: int) -> bool:
        """Whether it had been written before what a trial is worth at a rung."""
        found = self._trials.get(number)
        return found is not None and step in found.intermediate_values

    def reports(self, number: int) -> dict[int, float]:
        """Step → what a trial of this process, or of another one, was worth there."""
        return dict(self._stored()[number].intermediate_values)

    def report(self, number: int, step: int, value: float) -> None:
        """Write what a trial is worth at a rung."""
        if not self.is_reported(number, step) and not self.is_told(number):
            self._study._storage.set_trial_intermediate_value(self._ids[number], step, value)

    def judged(self, number: int, rung: int) -> None:
        """Keep that a trial was judged at a rung and goes on, for the process that takes it up; a journal's judgements are repeated."""
        if self._claims is not None and not self.is_told(number):
            self.note(number, _judged(rung), True)

    def is_judged(self, number: int, rung: int) -> bool:
        """Whether a trial was judged at a rung, and went on."""
        return self.has(number, _judged(rung))

    def is_told(self, number: int) -> bool:
        """Whether a trial had ended when this process took it up."""
        found = self._trials.get(number)
        return found is not None and found.state.is_finished()

    def went_on(self, number: int, step: int) -> bool:
        """Whether a trial had reported at a later rung than this one before this process took it up."""
        found = self._trials.get(number)
        return found is not None and any(later > step for later in found.intermediate_values)

    def pruned_at(self, number: int, step: int) -> str | None:
        """Why a trial that had ended was pruned, if it was, and at this rung: the last that it reported."""
        found = self._trials[number]
        if found.state != TrialState.PRUNED or step != max(found.intermediate_values, default=None):
            return None
        return str(found.user_attrs.get(stored_trials.REASON))

    def tell(self, number: int, state: str, values: Sequence[float] | None) -> None:
        """Write how a trial ended."""
        if not self.is_told(number):
            self._study._storage.set_trial_state_values(self._ids[number], TrialState[state], values)
        if self._claims is not None:
            self._claims.release(number)


def _judged(rung: int) -> str:
    """The trial attribute of a judgement."""
    return f"judged {rung}"
