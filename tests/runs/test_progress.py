"""Progress of a run: a screen in a real terminal (a pty), plain lines elsewhere, and never a cost or a danger to the run."""

from __future__ import annotations

import io
import os
import re
import time
from typing import TextIO

import pytest

from ppo_sweep.runs.progress import ProgressScreen, plain_line
from ppo_sweep.runs.screen import LINE_EVERY_S, SHARE_OF_TIME, time_left
from tests.runs.terminals import Clock, terminal, without_escapes

ROW = {"return_100": -812.34, "kl": 0.01234, "entropy": 1.4189}
LINES = ["Pendulum-v1: observations (3,), actions (1,), horizon 200", "results in results/pendulum/default/seed=0"]


def progress(stream: TextIO, **about: object) -> ProgressScreen:
    return ProgressScreen(total_steps=60_000, title="Pendulum-v1 seed 0", lines=LINES, stream=stream, **about)  # type: ignore[arg-type]


def test_a_terminal_gets_one_screen_that_is_redrawn_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as tty:
        clock = Clock()
        with progress(tty.stream, clock=clock) as shown:
            tty.read()
            shown.update(2048, ROW, 2300.0)
            screen = tty.read()
        for expected in (*LINES, "2,048 of 60,000", "2,300", "-812.3", "0.0123", "1.419", "0:25"):
            assert expected in without_escapes(screen)
        assert screen.count("\x1b[1A") == len(LINES) + 4, "goes back up over all lines but the last: title, lines, bar, three of figures"


def test_the_last_state_is_on_the_screen_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as tty:
        with progress(tty.stream, clock=Clock()) as shown:
            shown.update(2048, ROW, 2300.0)
            shown.update(59_392, ROW, 2300.0)
            assert "59,392 of" not in tty.read(), "too soon after the first drawing"
        assert "59,392 of 60,000" in without_escapes(tty.read())


def test_the_cursor_stays_visible_while_a_run_may_be_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as tty, progress(tty.stream) as shown:
        shown.update(2048, ROW, 2300.0)
        written = tty.read()
        assert written.rfind("\x1b[?25h") > written.rfind("\x1b[?25l")


@pytest.mark.parametrize("columns", [20, 34, 56, 80])
def test_no_line_is_wider_than_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    with terminal(monkeypatch, columns) as tty:
        with progress(tty.stream) as shown:
            shown.update(2048, ROW, 2300.0)
            text = without_escapes(tty.read())
        assert max(len(line) for line in text.split("\n")) <= columns
        assert "1.419" in text


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    colour = re.compile(r"\x1b\[[0-9;]*[34][0-9](;[0-9]+)*m")
    with terminal(monkeypatch) as tty, progress(tty.stream):
        assert colour.search(tty.read())
    with terminal(monkeypatch) as tty:
        monkeypatch.setenv("NO_COLOR", "1")
        with progress(tty.stream):
            assert not colour.search(tty.read())


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_redraw_gets_plain_lines(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    with terminal(monkeypatch) as tty:
        monkeypatch.setenv("TERM", term)
        with progress(tty.stream) as shown:
            shown.update(2048, ROW, 2300.0)
        assert "\x1b" not in tty.read()


def test_a_note_stays_above_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as tty, progress(tty.stream) as shown:
        shown.note("[red]a warning[/red]")
        written = without_escapes(tty.read())
        assert written.index("[red]a warning[/red]") < written.rindex("Pendulum-v1 seed 0")


def test_plain_lines_come_at_once_then_every_ten_seconds_and_last_at_the_end() -> None:
    stream, clock = io.StringIO(), Clock()
    with progress(stream, clock=clock) as shown:
        for iteration in range(1, 26):
            shown.update(2048 * iteration, ROW, 2048.0)
            clock.now += 1.0
    steps = [line.split(" of ")[0] for line in stream.getvalue().splitlines()[1 + len(LINES) :]]
    assert steps == ["2,048", "22,528", "43,008", "51,200"]
    assert LINE_EVERY_S == 10.0


def test_a_plain_line_says_all_there_is_to_say() -> None:
    assert plain_line(30_000, ROW, 2000.0, total_steps=60_000) == (
        "30,000 of 60,000 steps (50 %)  2,000 steps/s  return -812.3  KL 0.0123  entropy 1.419  0:15 left"
    )


def test_what_is_not_defined_yet_is_a_dash() -> None:
    assert "return –  KL –" in plain_line(2048, {"return_100": None}, 100.0, total_steps=60_000)


@pytest.mark.parametrize(
    ("steps", "speed", "text"), [(100, 10.0, "0:10"), (0, 10.0, "0:00"), (36_610, 10.0, "1:01:01"), (5, 0.0, "–"), (5, float("nan"), "–")]
)
def test_time_left_is_steps_over_speed(steps: int, speed: float, text: str) -> None:
    assert time_left(steps, speed) == text


def test_an_ascii_stream_is_no_reason_to_fail() -> None:
    raw = io.BytesIO()
    with progress(io.TextIOWrapper(raw, encoding="ascii")) as shown:
        shown.update(2048, {}, 2300.0)
        shown.note("ε = 0.2")
        assert b"return ?" in raw.getvalue() and b"? = 0.2" in raw.getvalue()


def test_a_closed_pipe_ends_the_showing_not_the_run() -> None:
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w", encoding="utf-8", buffering=1)
    with progress(stream) as shown:
        os.close(reader)
        shown.update(2048, ROW, 2300.0)
        shown.note("nobody reads this")
    with pytest.raises(BrokenPipeError):  # what the run would have met: the text is still in the stream's buffer
        stream.close()


def test_a_terminal_that_is_gone_ends_the_showing_not_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as tty, progress(tty.stream) as shown:
        tty.stream.close()
        shown.update(2048, ROW, 2300.0)
        shown.note("said to nobody")
        assert tty.stream.closed, "it was written to a stream that is gone, and nothing was raised"


def test_drawing_takes_at_most_its_share_of_the_time() -> None:
    clock = Clock()

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            clock.now += 0.1
            return super().write(text)

    stream = Slow()
    with progress(stream, clock=clock) as shown:
        before = len(stream.getvalue())
        shown.update(1, ROW, 1.0)
        first = len(stream.getvalue())
        clock.now += 0.1 / SHARE_OF_TIME - 1.0
        shown.update(2, ROW, 1.0)
        assert len(stream.getvalue()) == first > before
        clock.now += 2.0
        shown.update(3, ROW, 1.0)
        assert len(stream.getvalue()) > first


def test_an_update_costs_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as tty, progress(tty.stream) as shown:
        n = 5000
        started = time.process_time()
        for step in range(n):
            shown.update(step, ROW, 2300.0)
        assert (time.process_time() - started) / n < 1e-4, "seconds of processor time per update"
