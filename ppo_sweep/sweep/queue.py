"""Which waiting run goes to which worker, so that all of them end as early as possible.

The cost model is that of a population (docs/benchmarks.md): one step of all P members of a worker
costs ``OVERHEAD + P`` units, whatever is shared once and each member's own share. A worker whose
members have the steps ``r`` left is therefore busy for ``Σ r + OVERHEAD · max(max r, Σ r / slots)``
units. Waiting runs are dealt out, longest first, each to the worker that would be done with it
first (Graham 1969, "Bounds on multiprocessing timing anomalies": LPT), anew whenever a slot is free.
So equal runs spread evenly, and a run much longer than the others gets a worker with few neighbours.

Nothing here knows of processes: jobs and workers are numbers.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

#: What a population's step costs beside its members, in units of one member's share: 1.05 on HalfCheetah-v5, 0.46 on Hopper-v5.
OVERHEAD = 1.0


@dataclass(frozen=True)
class Waiting:
    """A run that waits for a slot."""

    job: int
    #: Runs of one signature can share a population.
    signature: Hashable
    #: Environment steps left.
    steps: int
    #: Takes no neighbours: it was in a worker that was lost, and may have been the reason.
    alone: bool = False


@dataclass(frozen=True)
class Load:
    """What a worker has in training."""

    signature: Hashable | None = None
    #: Environment steps left of each member.
    steps: tuple[int, ...] = ()
    alone: bool = False


@dataclass
class _Work:
    """Steps of several runs, as far as the cost model needs them."""

    total: int = 0
    longest: int = 0

    def with_run(self, steps: int) -> _Work:
        return _Work(self.total + steps, max(self.longest, steps))

    def busy(self, slots: int) -> float:
        """Cost units until one worker is done with it."""
        return self.total + OVERHEAD * max(self.longest, self.total / slots)


class Queue:
    """The runs that wait.

    Args:
        slots: members side by side in one worker, at most.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        #: By signature, longest first; no empty lists.
        self._sociable: dict[Hashable, list[Waiting]] = {}
        #: Those that take no neighbours, longest first.
        self._loners: list[Waiting] = []

    def __len__(self) -> int:
        return len(self._loners) + sum(map(len, self._sociable.values()))

    def __iter__(self) -> Iterator[Waiting]:
        return chain(*self._sociable.values(), self._loners)

    def put(self, run: Waiting) -> None:
        """Let a run wait."""
        insort(self._loners if run.alone else self._sociable.setdefault(run.signature, []), run, key=_shortness)

    def take(self, worker: int, loads: Mapping[int, Load]) -> Waiting | None:
        """The run that ``worker`` should begin now, taken out of the queue; None if it should not begin any.

        A worker without members gets a run as long as any waits.

        Args:
            worker: one of ``loads``.
            loads: of every worker, those that have not started yet included.
        """
        own = loads[worker]
        if own.alone or len(own.steps) >= self._slots:
            return None
        if not self._sociable:  # runs under suspicion come last, so that they hold nobody up
            return self._loners.pop(0) if self._loners and not own.steps else None
        places = self._places(loads)
        return self._next(worker, places[worker], [other for other in loads if places[other] == places[worker]], loads)

    def _next(self, worker: int, signature: Hashable, workers: Sequence[int], loads: Mapping[int, Load]) -> Waiting | None:
        """Deal out the runs of a signature among its workers; the first that falls to ``worker``."""
        runs = self._sociable.get(signature, [])
        plan = {other: _work(loads[other].steps) for other in workers if not loads[other].alone}
        for index, run in enumerate(runs):
            best = min(plan, key=lambda other: (plan[other].with_run(run.steps).busy(self._slots), other != worker))
            if best == worker:
                del runs[index]
                if not runs:
                    del self._sociable[signature]
                return run
            plan[best] = plan[best].with_run(run.steps)
        return None

    def _places(self, loads: Mapping[int, Load]) -> dict[int, Hashable]:
        """Worker → the signature it trains or, if it is idle, should turn to: where the end is farthest off."""
        places: dict[int, Hashable] = {worker: load.signature for worker, load in loads.items() if load.steps}
        trained = [load for load in loads.values() if load.steps and not load.alone]
        ahead: dict[Hashable, _Work] = {}
        workers: dict[Hashable, int] = {}
        for signature, runs in self._sociable.items():
            beside = [load.steps for load in trained if load.signature == signature]
            ahead[signature] = _work([run.steps for run in runs] + [steps for held in beside for steps in held])
            workers[signature] = len(beside)
        for worker, load in loads.items():
            if not load.steps:
                places[worker] = max(ahead, key=lambda signature: self._end(ahead[signature], workers[signature]))
                workers[places[worker]] += 1
        return places

    def _end(self, ahead: _Work, workers: int) -> float:
        """How far off the end of this work is with one more worker beside those that are at it already."""
        shared = ahead.busy(self._slots) / (workers + 1)
        return shared if workers else max(shared, _Work().with_run(ahead.longest).busy(self._slots))


def _work(steps: Sequence[int]) -> _Work:
    return _Work(sum(steps), max(steps, default=0))


def _shortness(run: Waiting) -> int:
    return -run.steps
