"""Which run goes where: nothing lost, nothing twice, and an early end."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppo_sweep.sweep.queue import Load, Queue, Waiting

runs = st.lists(
    st.builds(Waiting, st.just(0), st.sampled_from("abc"), st.integers(1, 10_000), st.booleans() | st.just(False)), max_size=40
).map(lambda given: [Waiting(job, run.signature, run.steps, run.alone) for job, run in enumerate(given)])


class Workers:
    """Workers that train what a queue gives them, in the time that their members' steps take."""

    def __init__(self, queue: Queue, workers: int) -> None:
        self.queue = queue
        self.held: dict[int, dict[int, list[int]]] = {worker: {} for worker in range(workers)}
        self.runs: dict[int, Waiting] = {}
        self.begun: list[int] = []

    def loads(self) -> Mapping[int, Load]:
        return {worker: self.load(worker) for worker in self.held}

    def load(self, worker: int) -> Load:
        held = self.held[worker]
        if not held:
            return Load()
        of = [self.runs[job] for job in held]
        return Load(of[0].signature, tuple(steps for [steps] in held.values()), any(run.alone for run in of))

    def give(self, worker: int) -> bool:
        taken = self.queue.take(worker, self.loads())
        if taken is None:
            return False
        self.runs[taken.job] = taken
        self.held[worker][taken.job] = [taken.steps]
        self.begun.append(taken.job)
        return True

    def train(self, worker: int, steps: int) -> None:
        for job, left in list(self.held[worker].items()):
            left[0] -= steps
            if left[0] <= 0:
                del self.held[worker][job]


@given(runs, st.integers(1, 4), st.integers(1, 5), st.randoms(use_true_random=False))
def test_every_run_is_begun_once_in_a_worker_that_may_have_it(
    waiting: list[Waiting], workers: int, slots: int, order: random.Random
) -> None:
    queue = Queue(slots)
    for run in waiting:
        queue.put(run)
    pool = Workers(queue, workers)
    while len(queue) or any(pool.held.values()):
        before = len(queue)
        worker = order.randrange(workers)
        idle = not pool.held[worker]
        given = pool.give(worker)
        assert len(queue) == before - given
        if idle:
            assert given == bool(before), "a worker without members gets a run whenever one waits"
        of = [pool.runs[job] for job in pool.held[worker]]
        assert len(of) <= slots
        assert len({run.signature for run in of}) <= 1
        assert len(of) == 1 or not any(run.alone for run in of)
        pool.train(worker, order.randrange(0, 3000))
    assert sorted(pool.begun) == [run.job for run in waiting]


@given(runs)
def test_a_worker_by_itself_fills_its_slots_with_the_longest_runs_of_one_signature(waiting: list[Waiting]) -> None:
    sociable = [Waiting(run.job, run.signature, run.steps) for run in waiting]
    queue = Queue(slots=3)
    for run in sociable:
        queue.put(run)
    pool = Workers(queue, 1)
    while pool.give(0):
        pass
    if sociable:
        same = sorted((run.steps for run in sociable if run.signature == pool.load(0).signature), reverse=True)
        assert sorted((pool.runs[job].steps for job in pool.begun), reverse=True) == same[:3]


def test_runs_under_suspicion_come_last_and_alone() -> None:
    queue = Queue(slots=9)
    for job, alone in enumerate([True, False, False, True]):
        queue.put(Waiting(job, "a", 100 * (4 - job), alone))
    pool = Workers(queue, 1)
    while pool.give(0):
        pass
    assert pool.begun == [1, 2]
    assert not pool.give(0), "not beside the others"
    pool.train(0, 10_000)
    assert pool.give(0) and pool.begun[-1] == 0
    assert not pool.give(0)


def test_equal_runs_spread_evenly() -> None:
    queue = Queue(slots=9)
    for job in range(6):
        queue.put(Waiting(job, "a", 1000))
    pool = Workers(queue, 2)
    while pool.give(0):
        pass
    while pool.give(1):
        pass
    assert [len(held) for held in pool.held.values()] == [3, 3]


def test_a_run_much_longer_than_the_others_gets_few_neighbours() -> None:
    queue = Queue(slots=9)
    queue.put(Waiting(0, "a", 10_000))
    for job in range(1, 9):
        queue.put(Waiting(job, "a", 1000))
    pool = Workers(queue, 2)
    while pool.give(0) or pool.give(1):
        pass
    [beside] = [held for held in pool.held.values() if 0 in held]
    assert len(beside) == 1


def test_workers_turn_to_the_signature_whose_end_is_farthest_off() -> None:
    queue = Queue(slots=9)
    for job in range(10):
        queue.put(Waiting(job, "much", 1000))
    queue.put(Waiting(10, "little", 3000))
    pool = Workers(queue, 3)
    for worker in range(3):
        pool.give(worker)
    assert sorted(str(pool.load(worker).signature) for worker in range(3)) == ["little", "much", "much"]


def drain(runs: Iterable[Waiting], workers: int, slots: int, cost: Callable[[int], float]) -> float:
    """When the last run would end if workers trained what the queue tells them: what the tests below bound.

    Args:
        cost: seconds that one step of a population of so many members takes.

    Returns:
        The makespan in seconds.
    """
    queue = Queue(slots)
    left: dict[int, float] = {}
    for run in runs:
        queue.put(run)
        left[run.job] = run.steps
    members: dict[int, list[Waiting]] = {worker: [] for worker in range(workers)}
    clock = 0.0
    while queue or any(members.values()):
        for worker, held in members.items():
            while (taken := queue.take(worker, {w: load_of(runs, left) for w, runs in members.items()})) is not None:
                held.append(taken)
        # Until the next run ends anywhere.
        elapsed = min(left[run.job] * cost(len(held)) for held in members.values() for run in held)
        clock += elapsed
        for worker, held in members.items():
            for run in held:
                left[run.job] -= elapsed / cost(len(held))
            members[worker] = [run for run in held if left[run.job] > 1e-6]
    return clock


def load_of(held: Sequence[Waiting], left: Mapping[int, float]) -> Load:
    signature = held[0].signature if held else None
    return Load(signature, tuple(max(1, round(left[run.job])) for run in held), any(run.alone for run in held))


def cost(members: int) -> float:
    """Seconds of one step of a population, of the form of the measured ones (docs/benchmarks.md): shared work and each member's own."""
    return (2.0 + members) / 10_000


MIXES = {
    "equal": [100_000] * 24,
    "very different": [20_000 * (1 + k) for k in range(24)],
    "one giant": [1_000_000] + [50_000] * 23,
    "doubling": [2**k for k in range(24)],
    "random": [random.Random(3).randrange(10_000, 1_000_000) for _ in range(24)],
}


@pytest.mark.parametrize("name", MIXES)
@pytest.mark.parametrize(("workers", "slots"), [(1, 9), (2, 9), (4, 3)])
def test_the_makespan_is_near_its_lower_bound(name: str, workers: int, slots: int) -> None:
    """At most 1.15 × max(total work ÷ full rate, longest job alone); where the others cannot fill the slots beside a giant,
    total work counts what is shared for as many steps as the giant has.
    """
    steps = MIXES[name]
    shared = cost(0) * max(max(steps), sum(steps) / slots)
    own = (cost(1) - cost(0)) * sum(steps)
    bound = max((own + shared) / workers, max(steps) * cost(1))
    if shared == cost(0) * sum(steps) / slots:
        assert bound == pytest.approx(max(sum(steps) * cost(slots) / slots / workers, max(steps) * cost(1)))
    assert drain([Waiting(job, "a", left) for job, left in enumerate(steps)], workers, slots, cost) <= 1.15 * bound


def test_the_makespan_of_several_signatures_is_near_that_of_one() -> None:
    steps = MIXES["random"]
    one = drain([Waiting(job, "a", left) for job, left in enumerate(steps)], 2, 9, cost)
    three = drain([Waiting(job, "abc"[job % 3], left) for job, left in enumerate(steps)], 2, 9, cost)
    assert three <= 1.5 * one


def test_a_hundred_thousand_waiting_runs_are_no_burden() -> None:
    """Each order looks at each waiting run at most once, and mostly at a few."""
    looks = 0

    class Counted(int):
        def __add__(self, other: int) -> int:
            nonlocal looks
            looks += 1
            return int(self) + other

    queue = Queue(slots=2)
    for job in range(100_000):
        queue.put(Waiting(job, "a", Counted(1000 + job % 7)))
    pool = Workers(queue, 2)
    looks = 0
    while pool.give(0) or pool.give(1):
        pass
    assert [len(held) for held in pool.held.values()] == [2, 2]
    assert looks < 1_500_000
