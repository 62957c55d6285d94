"""What is kept of a study, and under which names: keys of ``study.json``, files of its directory, seeds. Light: loads nothing."""

from __future__ import annotations

# ---------------------------------------------------------------------- in ``study.json``

#: The study's definition (see ``identity``).
IDENTITY = "optuna"

#: Workers and slots, which the order of events depends on.
LAYOUT = "layout"

#: Where a database's study belongs.
OWNER = "storage_of"

#: How far the search is to go: ``n_trials`` (fewer, where a grid has fewer points), ``max_env_steps`` (or null), and ``rungs`` as
#: shares of the budget.
AIM = "aim"

#: Scores on confirmation and report seeds, and what was made of them.
CONFIRMED = "confirmed"

# ---------------------------------------------------------------------- in the storage

#: Study attribute: of each search, seconds that its workers waited for each other, and seconds that they were there.
IDLE = "idle"

# ---------------------------------------------------------------------- in the directory

#: Optuna's journal, unless the trials are in a database.
JOURNAL = "optuna.log"

#: One row per trial that has ended.
TABLE = "trials.csv"

#: The winner as a configuration.
BEST = "best.yaml"

# ---------------------------------------------------------------------- seeds

#: Tuning seeds are 0 … S − 1 and stay below the confirmation seeds, and those below the report seeds (docs/studies.md).
CONFIRM_FROM, REPORT_FROM = 1000, 2000
