"""What a report says of a study (docs/studies.md): its search, what pruning cost and saved, and what was confirmed.

account        all of the below, of the study that some runs belong to
searched       the study's definition and trials, read from its files without any lock, also while it runs
noise          whether the search still improves, by more than noise
importance     which knobs matter (PED-ANOVA)
audit          what each rung knows of the end, by the trials that are never pruned
budget         environment steps spent, saved and waited
verdict        who won by how much, and how much of it was selection
focus          the few runs that a page's curves, scores and diagnosis are about
sections       what the page says of all that, as plain data
figures        one module per figure
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ppo_sweep.report.frame import Results
from ppo_sweep.report.places import study_of
from ppo_sweep.runs.errors import StorageError
from ppo_sweep.runs.study_file import Study, read_study
from ppo_sweep.sweep.study.kept import IDENTITY

if TYPE_CHECKING:
    from ppo_sweep.report.study.account import Account

#: Names of the figures, in the order of the page.
FIGURE_NAMES = ("confirmation", "pareto", "history", "importance", "slices", "contours", "parallel", "rungs", "budget")

#: Those that the page has a second time as narrow as a phone.
FIGURES_FOR_PHONES = ("confirmation", "history", "importance", "slices", "contours", "rungs", "budget")

#: Figures of sweeps that a study has no use for: its trials vary all knobs at once, and only fresh seeds may be compared.
REPLACED = ("sensitivity", "final_scores")


def account_of(results: Results) -> Account | None:
    """Of the study that all these runs belong to; None if they are of a sweep, or of several studies."""
    known: dict[Path, Study | None] = {}
    studies = {study_of(Path(path), known, []) for path in results.runs["path"]}
    if len(studies) != 1:
        return None
    [study] = studies
    try:
        found = read_study(study)
    except StorageError:  # whoever listed the runs has said so
        return None
    if found is None or IDENTITY not in found.other:
        return None
    # Optuna is behind this import: two seconds that other reports need not wait.
    from ppo_sweep.report.study.account import account

    return account(results, study)
