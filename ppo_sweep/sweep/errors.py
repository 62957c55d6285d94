"""What can go wrong with a sweep as a whole, or keep one of its runs from having a score. Light: loads nothing."""

from __future__ import annotations


class RunFailed(Exception):
    """What Hydra's ``JobReturn.return_value`` raises for a run of a sweep that failed."""


class WorkersDoNotStart(RuntimeError):
    """Worker processes die before they can say a word: something is wrong with the installation, not with a run."""
