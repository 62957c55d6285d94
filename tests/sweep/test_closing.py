"""What a sweep says at its end: a row per configuration, what is shared once, and every trouble with its log."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from ppo_sweep.sweep.closing import Outcome, closing_table
from tests.runs.terminals import terminal, without_escapes

STUDY = Path("results/hopper")


def run(settings: str, seed: int, score: float | None, state: str = "done", reason: str | None = None) -> Outcome:
    """A run by its name, as in the file tree."""
    chosen = dict(setting.split("=") for setting in settings.split(";"))
    return Outcome(STUDY / settings.replace(";", ",") / f"seed={seed}", chosen, str(seed), state, score, reason)


def printed(outcomes: list[Outcome]) -> list[str]:
    stream = io.StringIO()
    closing_table(STUDY, outcomes, stream)
    return stream.getvalue().splitlines()


GRID = [
    run("algo.max_kl=0.02;env=hopper;total_steps=300000", 0, 2000.0),
    run("algo.max_kl=0.02;env=hopper;total_steps=300000", 1, 2400.0),
    run("algo.max_kl=0.02;env=hopper;total_steps=300000", 2, 2200.0),
    run("algo.max_kl=null;env=hopper;total_steps=300000", 0, -0.01234),
]


def test_each_configuration_is_a_row_over_its_seeds_and_what_all_share_is_said_once() -> None:
    *table, report = printed(GRID)
    assert table == [
        "results/hopper/ env=hopper,total_steps=300000",
        "configuration  runs      mean     sd       min       max",
        "max_kl=0.02       3    2200.0  200.0    2000.0    2400.0",  # (2000 + 2400 + 2200) / 3, √((200² + 200² + 0) / 2)
        "max_kl=null       1  -0.01234      –  -0.01234  -0.01234",
        "4 runs: 4 done",
    ]
    assert report.startswith("report: ") and report.endswith("scripts/report.py results/hopper")


def test_configurations_of_one_run_have_a_score_and_a_state() -> None:
    outcomes = [run("algo.lr=0.1", 0, 12.0), run("algo.lr=0.2", 0, None, "stopped")]
    assert printed(outcomes)[:-1] == [
        "results/hopper/",
        "configuration  score  state",
        "lr=0.1         12.00  done",
        "lr=0.2             –  stopped",
        "2 runs: 1 done, 1 stopped",
    ]


def test_seeds_of_one_configuration_are_one_row() -> None:
    assert printed([run("env=hopper", seed, float(seed)) for seed in range(3)])[:3] == [
        "results/hopper/ env=hopper",
        "runs   mean     sd    min    max",
        "   3  1.000  1.000  0.000  2.000",
    ]


def test_runs_in_trouble_are_told_one_by_one_with_their_log() -> None:
    outcomes = [
        *GRID[:2],
        run("algo.max_kl=0.02;env=hopper;total_steps=300000", 3, None, "failed", "the environment raised\n[red]ValueError[/red]: it fell"),
        run("algo.max_kl=null;env=hopper;total_steps=300000", 0, -5.0, "diverged", "non-finite loss in iteration 12"),
        run("algo.max_kl=null;env=hopper;total_steps=300000", 1, 90.0, "stopped"),
    ]
    lines = printed(outcomes)
    assert lines[1:4] == [
        "configuration  runs    mean     sd     min     max  not done",
        "max_kl=0.02       3  2200.0  282.8  2000.0  2400.0  1 failed",
        "max_kl=null       2  -5.000      –  -5.000  -5.000  1 diverged, 1 stopped",
    ]
    assert lines[4:-1] == [
        "failed: max_kl=0.02,seed=3: the environment raised [red]ValueError[/red]: it fell",
        "  see results/hopper/algo.max_kl=0.02,env=hopper,total_steps=300000/seed=3/train.log",
        "diverged: max_kl=null,seed=0: non-finite loss in iteration 12",
        "  see results/hopper/algo.max_kl=null,env=hopper,total_steps=300000/seed=0/train.log",
        "a diverged run counts as the lower of its last score and the random policy's",
        "5 runs: 2 done, 1 failed, 1 diverged, 1 stopped",
    ]


def test_of_many_troubles_ten_are_told_and_where_the_others_are() -> None:
    lines = printed([run("algo.lr=0.1", seed, None, "failed", "no simulator") for seed in range(12)])
    assert sum("train.log" in line for line in lines) == 10
    assert lines[-2].startswith("… and 2 more; all of them: ") and lines[-2].endswith("scripts/status.py results/hopper")


def test_a_key_keeps_its_group_where_another_ends_like_it() -> None:
    lines = printed([run(f"a.init={one};b.init={other};b.lr={one}", 0, 1.0) for one in (1, 2) for other in (1, 2)])
    assert lines[2].startswith("a.init=1,b.init=1,lr=1 ")


def test_a_thousand_configurations_are_a_thousand_lines() -> None:
    assert len(printed([run(f"algo.lr=0.{k:03d}", 0, float(k)) for k in range(1000)])) == 1004


LONG = [
    run(f"algo.clip_eps={k};algo.ent_coef=0.0{k};algo.gamma=0.99{k};algo.lr=0.0003{k};network.hidden=[64,6{k}];env=hopper", 0, k)
    for k in range(5)
]
FAILING = run("algo.lr=1", 1, None, "failed", "no simulator " * 20)


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_no_line_but_a_path_is_wider_than_the_terminal_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    with terminal(monkeypatch, columns) as tty:
        closing_table(STUDY, [*LONG, FAILING], tty.stream)
        written = without_escapes(tty.read()).replace("\r", "")
    lines = [line for line in written.split("\n") if "train.log" not in line and "scripts/" not in line]
    assert max(map(len, lines)) <= columns
    assert " ".join(written.split()).count("no simulator") == 20
    for setting in ("clip_eps=3", "ent_coef=0.03", "gamma=0.993", "lr=0.00033", "hidden=[64,63]"):
        assert setting in written
    assert "  see results/hopper/algo.lr=1/seed=1/train.log" in written.split("\n")


def test_without_a_terminal_eighty_columns_hold_all_but_reasons_and_paths() -> None:
    lines = [line for line in printed([*LONG, FAILING]) if "failed: " not in line and "train.log" not in line and "scripts/" not in line]
    assert max(map(len, lines)) <= 80


def test_a_stream_that_is_gone_is_no_reason_to_fail() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", encoding="utf-8", buffering=1)
    closing_table(STUDY, GRID, stream)
    with pytest.raises(BrokenPipeError):  # what the sweep would have met: the text is still in the stream's buffer
        stream.close()
