"""The order of events in a study, whatever the speed of its workers.

Every slot has a clock: the environment steps it has taken since the study began. An event (a run
passes a rung or ends, a slot is free) happens at its slot's clock, and events are handled in order
of (time, trial, piece), each only when no slot can still produce an earlier one. So the sampler
and the pruner see the same history in every repetition, on a busy machine or an idle one, and a study
that was killed continues as if it had not been: this is conservative discrete-event simulation
(Chandy and Misra 1979), with training in the place of the simulated work.

A worker goes on while its siblings are behind; it waits only at events of its own. All its runs of one
signature share a population, and so their clocks. Nothing here knows of processes or of Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

#: What a free slot's event is ordered by: behind every report of the same time.
_FREE = math.inf


@dataclass(frozen=True)
class Event:
    """Something that has happened and waits to be handled.

    Attributes:
        time: environment steps of its slot.
        order: (trial, piece) of a run; (∞, slot) of a free slot.
        slot: where.
    """

    time: int
    order: tuple[float, int]
    slot: int

    @property
    def free(self) -> bool:
        """Whether the slot asks for a run, instead of reporting on one."""
        return self.order[0] == _FREE


@dataclass
class Slot:
    """One member's place in a worker.

    Attributes:
        worker: whose it is.
        clock: environment steps taken, counted on while it waits for its population.
        job: the run in it.
        signature: of that run.
        event: has happened here and is not handled.
        resting: there is nothing left to do here.
    """

    worker: int
    clock: int = 0
    job: int | None = None
    signature: Hashable = None
    event: Event | None = None
    resting: bool = False


class Timeline:
    """Slots, their clocks and what has happened.

    Args:
        workers: the worker of each slot.
    """

    def __init__(self, workers: Sequence[int]) -> None:
        self.slots = [Slot(worker) for worker in workers]
        for number in range(len(self.slots)):
            self._ask(number)

    def next(self) -> Event | None:
        """The event to handle now, taken off its slot; None while a slot can still produce an earlier one."""
        earliest = min((slot.event for slot in self.slots if slot.event is not None), key=_key, default=None)
        if earliest is None or any(slot.clock < earliest.time for slot in self.slots if not slot.resting):
            return None
        self.slots[earliest.slot].event = None
        return earliest

    def place(self, number: int, job: int, signature: Hashable, at: int | None = None) -> int:
        """Put a run into a free slot; it begins at the clock of the population it joins, which is returned.

        Args:
            at: the clock of a run that is continued.
        """
        slot = self.slots[number]
        together = [
            other.clock for other in self.slots if other.worker == slot.worker and other.job is not None and other.signature == signature
        ]
        slot.clock = max([slot.clock, *together]) if at is None else at
        slot.job, slot.signature, slot.event = job, signature, None
        return slot.clock

    def step(self, number: int, steps: int) -> None:
        """The run in this slot has taken so many environment steps."""
        self.slots[number].clock += steps

    def back(self, number: int, clock: int) -> None:
        """The run in this slot continues from an earlier checkpoint, because its worker was lost."""
        slot = self.slots[number]
        slot.clock, slot.event = clock, None

    def report(self, number: int, trial: int, piece: int) -> None:
        """The run in this slot, ``piece`` of ``trial``, has passed a rung or ended."""
        self.slots[number].event = Event(self.slots[number].clock, (trial, piece), number)

    def vacate(self, number: int) -> None:
        """The run has left, if there was one; the slot asks for another."""
        slot = self.slots[number]
        slot.job, slot.signature = None, None
        self._ask(number)

    def rest(self, number: int) -> None:
        """There is no run for this slot any more."""
        self.slots[number].resting = True

    def training(self, worker: int) -> list[int]:
        """Slots of one population that the worker should take through an iteration now; empty if it must wait.

        The population that is furthest behind goes first, and none goes beyond an event of this worker.
        """
        own = [(number, slot) for number, slot in enumerate(self.slots) if slot.worker == worker]
        limit = min((slot.event.time for _, slot in own if slot.event is not None), default=math.inf)
        active = [(number, slot) for number, slot in own if slot.job is not None and slot.event is None and slot.clock < limit]
        if not active:
            return []
        _, first = min(active, key=lambda entry: (entry[1].clock, entry[0]))
        return [number for number, slot in active if slot.clock == first.clock and slot.signature == first.signature]

    def _ask(self, number: int) -> None:
        self.slots[number].event = Event(self.slots[number].clock, (_FREE, number), number)


def _key(event: Event) -> tuple[int, float, int]:
    return event.time, *event.order
