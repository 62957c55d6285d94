"""Progress of a sweep: a screen in a real terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping
from typing import TextIO

import pytest

from ppo_sweep.runs.screen import LINE_EVERY_S
from ppo_sweep.sweep.board import Board, MemberLine
from ppo_sweep.sweep.short_names import ShortNames
from tests.runs.terminals import Clock, terminal, without_escapes

ROW = {"return_100": -812.34, "kl": 0.01234, "entropy": 1.4189}
COUNTS = {"done": 1, "running": 2, "queued": 9, "failed": 0}


def member(number: int, steps: int = 2048, row: Mapping[str, float | int | None] = ROW) -> MemberLine:
    return MemberLine(f"algo.max_kl=0.{number:02d},env=hopper/seed=0", steps, 100_000, row)


def board(stream: TextIO, total_steps: int = 1_200_000, **about: object) -> Board:
    return Board(title="results/hopper: 12 runs, 2 workers", total_steps=total_steps, counts=COUNTS, stream=stream, **about)  # type: ignore[arg-type]


def lines_of(screen: str) -> list[str]:
    return [line.rstrip() for line in without_escapes(screen).split("\n") if line.strip()]


def test_a_terminal_shows_the_sum_of_all_and_a_line_per_running_member(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as tty:
        with board(tty.stream, clock=Clock()) as shown:
            tty.read()
            shown.update({4: member(2, 33_999), 7: member(7, 0, {})}, COUNTS, 135_000)
            title, bar, facts, counts, heading, first, second = lines_of(tty.read())
        assert title == "results/hopper: 12 runs, 2 workers"
        assert set(bar) <= set("━╸╺")
        assert facts == "135,000 of 1,200,000 steps  11 %  – steps/s  – left"
        assert counts == "1 done  2 running  9 queued", "in this order, and no state that no run is in"
        assert heading.split() == ["run", "return", "KL", "entropy"]
        assert first.split() == ["algo.max_kl=0.02", "33", "%", "-812.3", "0.0123", "1.419"]
        assert second.split() == ["algo.max_kl=0.07", "0", "%", "–", "–", "–"]


def test_a_study_shows_its_best_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as tty, board(tty.stream, clock=Clock()) as shown:
        tty.read()
        shown.update({4: member(2, 33_999)}, COUNTS, 135_000, "best: trial 7, -151.2")
        assert "– left  best: trial 7, -151.2" in without_escapes(tty.read())


def test_done_is_counted_also_when_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as tty, board(tty.stream) as shown:
        shown.update({}, {"queued": 12, "failed": 1, "diverged": 2}, 0)
        assert "0 done  12 queued  1 failed  2 diverged" in without_escapes(tty.read())


@pytest.mark.parametrize(("lines", "expected"), [(8, 1), (12, 5), (24, 17), (60, 40)])
def test_as_many_members_as_the_terminal_is_high_and_the_number_of_the_others(
    monkeypatch: pytest.MonkeyPatch, lines: int, expected: int
) -> None:
    with terminal(monkeypatch, lines=lines) as tty:
        with board(tty.stream, clock=Clock()) as shown:
            tty.read()
            shown.update({k: member(k) for k in range(40)}, COUNTS, 40 * 2048)
            screen = lines_of(tty.read())
        assert sum("algo.max_kl=" in line for line in screen) == expected
        assert ("… and" in screen[-1]) == (expected < 40)
        if expected < 40:
            assert screen[-1] == f"… and {40 - expected} more"
            assert len(screen) == lines - 1, "a line is free for the cursor"


@pytest.mark.parametrize(("columns", "lines"), [(20, 10), (34, 5), (45, 3), (60, 24), (100, 2)])
def test_no_line_is_wider_and_no_screen_higher_than_a_small_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, lines: int) -> None:
    with terminal(monkeypatch, columns, lines) as tty, board(tty.stream, clock=Clock()) as shown:
        tty.read()
        shown.update({k: member(k) for k in range(12)}, COUNTS, 40 * 2048)
        screen = lines_of(tty.read())
        assert max(map(len, screen)) <= columns
        assert len(screen) <= lines


def test_a_narrow_terminal_keeps_the_names_and_leaves_out_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch, 38) as tty, board(tty.stream, clock=Clock()) as shown:
        tty.read()
        shown.update({k: member(k) for k in range(2)}, COUNTS, 2048)
        *_, heading, first, _ = lines_of(tty.read())
        assert heading.split() == ["run", "return", "KL"]
        assert first.split() == ["algo.max_kl=0.00", "2", "%", "-812.3", "0.0123"]


def test_a_note_stays_above_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as tty, board(tty.stream) as shown:
        shown.note("worker 2 was lost: [red]killed[/red]")
        written = without_escapes(tty.read())
        assert written.index("worker 2 was lost: [red]killed[/red]") < written.rindex("results/hopper: 12 runs")


def test_a_pipe_gets_a_line_every_ten_seconds_and_the_last_state_at_the_end() -> None:
    stream, clock = io.StringIO(), Clock()
    with board(stream, total_steps=60_000, clock=clock) as shown:
        for iteration in range(26):
            shown.update({0: member(0, 2048 * iteration)}, COUNTS, 2048 * iteration)
            clock.now += 1.0
    title, first, *between, last = stream.getvalue().splitlines()
    assert title == "results/hopper: 12 runs, 2 workers"
    assert first == "1 done, 2 running, 9 queued  0 of 60,000 steps  0 %  – steps/s  – left"
    assert len(between) == 2, f"after {LINE_EVERY_S} and twice {LINE_EVERY_S} seconds"
    assert last == "1 done, 2 running, 9 queued  51,200 of 60,000 steps  85 %  2,048 steps/s  0:04 left"


def test_the_speed_is_that_of_the_last_minute() -> None:
    stream, clock = io.StringIO(), Clock()
    with board(stream, total_steps=10**9, clock=clock) as shown:
        steps = 0
        for second in range(200):
            steps += 1000 if second < 120 else 3000
            clock.now += 1.0
            shown.update({0: member(0, steps)}, COUNTS, steps)
    lines = stream.getvalue().splitlines()
    assert "  1,000 steps/s" in lines[10]
    assert "  3,000 steps/s" in lines[-1]


def test_steps_nobody_made_are_no_speed() -> None:
    """A failed run's budget counts as done, and one whose worker was lost goes back to its checkpoint: neither is training."""
    stream, clock = io.StringIO(), Clock()
    with board(stream, total_steps=300_000, clock=clock) as shown:
        for k in range(1, 31):
            clock.now += 1.0
            running = {0: member(0, 1000 * k)}
            if k < 10:
                running[1] = member(1, 1000 * k)  # fails in its tenth iteration
            if k != 20:
                running[2] = member(2, 1000 * k if k < 20 else 1000 * (k - 15))  # its worker is lost
            shown.update(running, COUNTS, sum(line.env_steps for line in running.values()) + (100_000 if k >= 10 else 0))
    assert "  2,276 steps/s" in stream.getvalue().splitlines()[-1], "(29 + 8 + 18 + 9 and the last ones of two) · 1000 steps in 29 seconds"


def test_a_closed_pipe_ends_the_showing_not_the_sweep() -> None:
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w", encoding="utf-8", buffering=1)
    with board(stream) as shown:
        os.close(reader)
        shown.update({0: member(0)}, COUNTS, 2048)
        shown.note("nobody reads this")
    with pytest.raises(BrokenPipeError):  # what the sweep would have met: the text is still in the stream's buffer
        stream.close()


def test_an_update_costs_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as tty, board(tty.stream) as shown:
        n = 2000
        started = time.process_time()
        for step in range(n):
            shown.update({k: member(k, step) for k in range(18)}, COUNTS, 18 * step)
        assert (time.process_time() - started) / n < 3e-4, "seconds of processor time per update"


def test_a_short_name_is_what_tells_runs_apart() -> None:
    names = ShortNames()
    names.see(["algo.lr=0.001,algo.max_kl=0.02,env=hopper/seed=0"])
    assert names.fit(["algo.lr=0.001,algo.max_kl=0.02,env=hopper/seed=0"], 99) == ["algo.lr=0.001,algo.max_kl=0.02,env=hopper/seed=0"]
    names.see(["algo.lr=0.001,algo.max_kl=0.07,env=hopper/seed=1"])
    assert names.fit(["algo.lr=0.001,algo.max_kl=0.02,env=hopper/seed=0"], 99) == ["algo.max_kl=0.02/seed=0"]
    names.see(["algo.lr=0.001,algo.max_kl=0.02,env=walker2d/seed=1"])
    assert names.fit(["algo.lr=0.001,algo.max_kl=0.02,env=hopper/seed=0"], 99) == ["algo.max_kl=0.02,env=hopper/seed=0"]


@pytest.mark.parametrize(
    ("width", "short"),
    [(23, "algo.max_kl=0.02/seed=0"), (18, "max_kl=0.02/seed=0"), (12, "max_k…seed=0"), (5, "ma…=0"), (1, "…")],
)
def test_a_long_name_first_loses_its_groups_and_then_its_middle(width: int, short: str) -> None:
    names = ShortNames()
    names.see(["algo.max_kl=0.02/seed=0", "algo.max_kl=0.07/seed=1"])
    assert names.fit(["algo.max_kl=0.02/seed=0"], width) == [short]


def test_a_run_whose_every_setting_is_shared_keeps_its_name() -> None:
    names = ShortNames()
    names.see(["algo.lr=0.001/seed=0", "algo.lr=0.001,env=hopper/seed=0"])
    assert names.fit(["algo.lr=0.001/seed=0", "algo.lr=0.001,env=hopper/seed=0"], 99) == ["algo.lr=0.001/seed=0", "env=hopper"]
