"""Which study is meant, where its report goes and what it is called."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from ppo_sweep.report.errors import ReportError
from ppo_sweep.report.frame import Results
from ppo_sweep.report.places import study_of
from ppo_sweep.runs import status, stored_config, study_file
from ppo_sweep.runs.errors import StorageError

#: Inside a study.
REPORT = "report"


def newest(root: Path) -> Path:
    """The study below ``root`` whose runs were changed last.

    Raises:
        ReportError: there is none.
    """
    if not root.is_dir():
        raise ReportError(f"there is no {root} here; give the directory of a study, or train something first: python train.py env=pendulum")
    studies = [(changed, study) for study in root.iterdir() if study.is_dir() and (changed := _changed(study)) is not None]
    if not studies:
        raise ReportError(f"no study in {root} yet; train something first: python train.py env=pendulum")
    return max(studies)[1]


def place_of(paths: Sequence[str], results: Results, out: Path | None) -> Path:
    """Where the report goes: as asked for, else ``report`` inside the one study that was given as a whole.

    Raises:
        ReportError: runs of several studies, or a part of one, without a place of their own; a place that is a run's directory or inside
            one; a file.
    """
    if out is not None:
        if out.exists() and not out.is_dir():
            raise ReportError(f"{out} is a file; --out wants a directory")
        _outside_of_runs(out)
        return out
    studies = {study_of(Path(path), {}, []) for path in results.runs["path"]}
    if len(studies) > 1:
        raise ReportError(f"these runs are of {len(studies)} studies; say where their report goes, for example --out reports/together")
    study = studies.pop()
    if not any(os.path.realpath(path) == str(study) for path in paths):
        raise ReportError(f"that is a part of the study {study.name}; say where its report goes, for example --out reports/part")
    return study / REPORT


def _outside_of_runs(out: Path) -> None:
    """Raises ReportError for a run's directory and for whatever is inside one: training owns it, and nothing looks for runs in there."""
    whole = Path(os.path.realpath(out))
    for directory in (whole, *whole.parents):
        with contextlib.suppress(StorageError):  # what may not be read above the place is not this project's
            if not stored_config.is_stored_config(directory / stored_config.NAME):
                continue
            what = "is the directory of a run" if directory == whole else f"is inside the directory of the run {directory.name}"
            raise ReportError(f"{out} {what}; put the report somewhere else, for example --out reports/mine")


def title_of(results: Results) -> str:
    """Names of the studies."""
    names = list(dict.fromkeys(results.runs["study"]))
    return " + ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _changed(study: Path) -> float | None:
    """When a study was last written to: its list of runs, or the status of a run; None if it holds neither."""
    files = [study / study_file.NAME, *study.glob(f"*/*/{status.NAME}"), *study.glob(f"*/*/*/{status.NAME}")]
    return max((path.stat().st_mtime for path in files if path.is_file()), default=None)
