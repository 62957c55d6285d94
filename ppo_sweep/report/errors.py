"""What can keep a report from being made, in words."""

from __future__ import annotations


class ReportError(RuntimeError):
    """A path that is unusable, or holds no run (exit code 2); the message is one sentence for the person at the terminal."""
