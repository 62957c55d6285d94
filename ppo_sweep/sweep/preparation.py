"""From a command line to what is left to do: check it, look at the directories, say what needs saying."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ppo_sweep.config import ConfigError
from ppo_sweep.sweep.command_line import Checked, check
from ppo_sweep.sweep.composition import CONF, register
from ppo_sweep.sweep.help import help_text

#: A sweep that finds its study in use waits so long: a killed one's workers take a moment to go.
ORPHANS_SECONDS = 30.0


def prepare(argv: Sequence[str], conf: Path = CONF) -> Checked | int:
    """Check a command line and the run directories it names; nothing is created.

    Returns:
        The checked command, for Hydra to carry out; or an exit code when there is nothing left to
        do: help printed (0), all runs finished (0, or 3 if some diverged or failed), bad input (2),
        a directory in use or of another configuration (4). What was wrong has then been printed.
    """
    try:
        checked = check(argv, conf)
        if checked.arguments.task == "help":
            print(help_text(conf))
            return 0
    except ConfigError as error:
        print(f"Nothing was started: {_count(len(error.faults))}.", file=sys.stderr)
        for fault in error.faults:
            print(f"  {fault}", file=sys.stderr)
        return 2
    register()
    if checked.arguments.task == "run":
        from ppo_sweep.sweep.directories import survey, wait_until_free  # after bad input has been answered

        study = _study(checked) if checked.arguments.multirun else None
        if study is not None:
            wait_until_free([study, *(job.path for job in checked.jobs)], ORPHANS_SECONDS)
        found = survey(checked.jobs, study)
        if found.refusals:
            print("Nothing was started:", *(f"  {line}" for line in found.refusals), sep="\n", file=sys.stderr)
            return 4
        if not found.pending:
            print("\n".join(found.lines))
            return found.exit_code
    for warning in checked.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return checked


def _study(checked: Checked) -> Path:
    job = checked.jobs[0]
    return Path(job.config.results, job.study)


def _count(faults: int) -> str:
    return "one thing is wrong with the command line" if faults == 1 else f"{faults} things are wrong with the command line"
