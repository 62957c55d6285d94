"""What ``study.json`` keeps of a study beside its runs: the names of the keys."""

from __future__ import annotations

#: The study's definition (see ``identity``).
IDENTITY = "optuna"

#: Workers and slots, which the order of events depends on.
LAYOUT = "layout"

#: Where a database's study belongs.
OWNER = "storage_of"

#: How far the search is to go: ``n_trials``, and ``rungs`` as shares of the budget.
AIM = "aim"

#: Scores on confirmation and report seeds, and what was made of them.
CONFIRMED = "confirmed"
