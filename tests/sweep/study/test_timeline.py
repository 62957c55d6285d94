"""Events of a study come in one order, whatever the speed of its workers and wherever they are interrupted."""

from __future__ import annotations

import hashlib
import random

import pytest

from ppo_sweep.sweep.study.timeline import Event, Timeline

#: Environment steps of an iteration, by signature.
ITERATION = {"a": 2048, "b": 4096, "c": 1000}


class Simulated:
    """A study whose runs are numbers: what comes next depends on everything that was handled before."""

    def __init__(self, workers: list[int], jobs: int) -> None:
        self.timeline = Timeline(workers)
        self.jobs = jobs
        self.history: list[tuple[int, tuple[float, int], int]] = []
        self.asked = 0
        self.left: dict[int, list[int]] = {}
        self.taken: dict[int, int] = {}

    def draw(self, *what: object) -> int:
        return int(hashlib.sha256(repr((what, self.history)).encode()).hexdigest(), 16)

    def handle(self) -> bool:
        event = self.timeline.next()
        if event is None:
            return False
        self.history.append((event.time, event.order, event.slot))
        if event.free:
            self._fill(event)
        else:
            self._follow(event)
        return True

    def _fill(self, event: Event) -> None:
        if self.asked == self.jobs:
            self.timeline.rest(event.slot)
            return
        job = self.asked
        self.asked += 1
        signature = "abc"[self.draw("signature") % 3]
        length = 1 + self.draw("length") % 12
        self.left[job] = [ITERATION[signature] * length // 2, ITERATION[signature] * length]
        self.taken[job] = 0
        self.timeline.place(event.slot, job, signature)

    def _follow(self, event: Event) -> None:
        job = self.timeline.slots[event.slot].job
        assert job is not None
        pruned = self.draw("prune") % 4 == 0
        self.left[job] = [] if pruned else [rung for rung in self.left[job] if rung > self.taken[job]]
        if not self.left[job]:
            self.timeline.vacate(event.slot)

    def train(self, worker: int) -> bool:
        slots = self.timeline.training(worker)
        for number in slots:
            slot = self.timeline.slots[number]
            assert slot.job is not None
            steps = ITERATION[str(slot.signature)]
            self.timeline.step(number, steps)
            self.taken[slot.job] += steps
            if self.taken[slot.job] >= self.left[slot.job][0]:
                self.timeline.report(number, slot.job, 0)
        return bool(slots)


def history(workers: list[int], jobs: int, seed: int, speeds: dict[int, float]) -> list[tuple[int, tuple[float, int], int]]:
    """The events in the order handled, with workers taking turns at random, the faster ones more often."""
    rng = random.Random(seed)
    study = Simulated(workers, jobs)
    while not all(slot.resting for slot in study.timeline.slots):
        progressed = study.handle()
        if rng.random() < 0.7:
            [worker] = rng.choices(list(speeds), list(speeds.values()))
            progressed |= study.train(worker)
        else:
            continue
        if not progressed:
            assert any([study.handle(), *(study.train(worker) for worker in speeds)]), "everybody waits for somebody"
    return study.history


@pytest.mark.parametrize("workers", [[0], [0, 0, 0], [0, 1], [0, 0, 0, 1, 1, 1], [0, 1, 1, 2, 2, 2]])
def test_the_order_of_events_does_not_depend_on_the_speed_of_workers(workers: list[int]) -> None:
    names = sorted(set(workers))
    reference = history(workers, 40, 0, dict.fromkeys(names, 1.0))
    assert len(reference) > 40
    for seed in range(1, 8):
        rng = random.Random(seed)
        assert history(workers, 40, seed, {worker: rng.choice([0.05, 1.0, 3.0]) for worker in names}) == reference


def test_events_are_handled_in_order_of_time_trial_and_piece_and_free_slots_last() -> None:
    handled = history([0, 0, 1, 1], 40, 3, {0: 1.0, 1: 0.3})
    assert [(time, order) for time, order, _ in handled] == sorted((time, order) for time, order, _ in handled)


def test_a_worker_goes_on_while_its_sibling_is_behind_and_waits_at_its_own_event() -> None:
    timeline = Timeline([0, 1])
    for slot in (0, 1):
        event = timeline.next()
        assert event is not None and event.free
        timeline.place(slot, slot, "a")
    for _ in range(5):
        assert timeline.training(0) == [0]
        timeline.step(0, 100)
    timeline.report(0, 0, 0)
    assert timeline.training(0) == []
    assert timeline.next() is None, "the other slot may still have an earlier event"
    timeline.step(1, 499)
    assert timeline.next() is None
    timeline.step(1, 1)
    assert timeline.next() == Event(500, (0, 0), 0)


def test_runs_of_a_lost_worker_train_together_again_once_they_have_met() -> None:
    timeline = Timeline([0, 0])
    for slot in (0, 1):
        timeline.next()
        timeline.place(slot, slot, "a")
    for _ in range(3):
        for slot in timeline.training(0):
            timeline.step(slot, 100)
    timeline.back(0, 100)
    timeline.back(1, 200)
    assert timeline.training(0) == [0]
    timeline.step(0, 100)
    assert timeline.training(0) == [0, 1]
