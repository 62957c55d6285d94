"""From a command line to what is left to do: check it, look at the directories, say what needs saying."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ppo_sweep.config import ConfigError
from ppo_sweep.sweep.command_line import Checked, check
from ppo_sweep.sweep.composition import CONF, register
from ppo_sweep.sweep.help import help_text

if TYPE_CHECKING:
    from ppo_sweep.sweep.study.request import StudyRequest

#: A sweep that finds its study in use waits so long: a killed one's workers take a moment to go.
ORPHANS_SECONDS = 30.0


def prepare(argv: Sequence[str], conf: Path = CONF) -> Checked | int:
    """Check a command line and the run directories it names; bad input creates nothing.

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
    if checked.study is not None:
        return _prepare_study(checked, checked.study)
    if checked.arguments.task == "run":
        from ppo_sweep.sweep.closing import Outcome, closing_table
        from ppo_sweep.sweep.directories import complete_logs, survey, wait_until_free  # after bad input has been answered

        study = checked.jobs[0].path.parents[1] if checked.arguments.multirun else None
        if study is not None:
            wait_until_free([study, *(job.path for job in checked.jobs)], ORPHANS_SECONDS)
        found = survey(checked.jobs, study)
        if found.refusals:
            print("Nothing was started:", *(f"  {line}" for line in found.refusals), sep="\n", file=sys.stderr)
            return 4
        for line in complete_logs(found.finished):
            print(line, file=sys.stderr)
        if not found.pending:
            if study is not None:
                closing_table(
                    study, [Outcome.of(job, status.state, status.score, status.reason) for job, status in found.finished], sys.stdout
                )
            print("\n".join(found.lines(each=study is None)))
            return found.exit_code
    for warning in checked.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return checked


def _prepare_study(checked: Checked, request: StudyRequest) -> Checked | int:
    """Whether the study's directory is free and holds this study, if any; what should be said before it begins."""
    if checked.arguments.task == "run":
        refusal = _study_refusal(request)
        if refusal is not None:
            print("Nothing was started:", f"  {refusal}", sep="\n", file=sys.stderr)
            return 4
        for note in request.notes:
            print(note, file=sys.stderr)
    for warning in checked.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return checked


def _study_refusal(request: StudyRequest) -> str | None:
    """Why a study's directory cannot be used, if it cannot."""
    from ppo_sweep.runs.errors import CorruptFile, DirectoryMismatch, StorageError  # after bad input has been answered
    from ppo_sweep.runs.lock import holder, is_locked
    from ppo_sweep.sweep.directories import wait_until_free
    from ppo_sweep.sweep.study.carrying_out import directory, identity_of
    from ppo_sweep.sweep.study.identity import check_storage, compare

    study = directory(request)
    shared = request.options.storage is not None  # then several processes may be at work on it
    if not shared:
        wait_until_free([study], ORPHANS_SECONDS)
    if is_locked(study) and not shared:
        return f"{study} is in use by {holder(study)}; wait for it or stop it, then the same command continues"
    try:
        compare(study, identity_of(request))
        check_storage(study, shared=shared)
    except CorruptFile:
        return None  # the study begins a new study.json, and says so
    except (DirectoryMismatch, StorageError) as error:
        return str(error)
    return None


def _count(faults: int) -> str:
    return "one thing is wrong with the command line" if faults == 1 else f"{faults} things are wrong with the command line"
