"""A diagnosis as text for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from ppo_sweep.report.doctor.examination import Diagnosis, Finding, by_symptom

_WIDTH = 120
#: Runs of one symptom that are shown with their evidence; the others are counted.
_SHOWN = 3


def described(diagnosis: Diagnosis) -> str:
    """The whole diagnosis, a paragraph per symptom, the worst first."""
    lines = [summary(diagnosis), *(f"note on files: {note}" for note in diagnosis.notes)]
    for findings in by_symptom(diagnosis.findings).values():
        lines += ["", *_paragraph(findings)]
    return "\n".join(lines)


def summary(diagnosis: Diagnosis) -> str:
    """How many runs were looked at and what was found, in one line."""
    counts = [
        f"{number} {severity if severity != 'severe' else 'severe finding'}{'s' if number != 1 else ''}"
        for severity in ("severe", "warning", "note")
        if (number := diagnosis.count(severity))
    ]
    examined = len(diagnosis.examined)
    runs = f"{examined} run{'s' if examined != 1 else ''} examined"
    waiting = f"; {len(diagnosis.empty)} without an iteration yet" if diagnosis.empty else ""
    if not examined:
        return f"nothing to examine: no run has finished an iteration{waiting}"
    return f"{runs}: {', '.join(counts) or 'nothing found'}{waiting}"


def _paragraph(findings: Sequence[Finding]) -> Iterator[str]:
    first = findings[0]
    kind = "group" if first.group else "run"
    count = f"{len(findings)} {kind}{'s' if len(findings) != 1 else ''}"
    yield f"{first.severity.upper()}  {first.symptom}  ({count})"
    yield from _wrapped(first.meaning)
    for finding in findings[:_SHOWN]:
        yield f"    {finding.run}"
        yield from _wrapped(_iterations(finding) + finding.evidence.sentence, indent=6)
    if len(findings) > _SHOWN:
        yield f"    and {len(findings) - _SHOWN} more (--json lists all)"
    yield from _wrapped(f"turn {first.knob}: {first.advice}")
    yield from _wrapped(f"source: {first.source}")


def _iterations(finding: Finding) -> str:
    if finding.evidence.iterations is None:
        return ""
    first, last = finding.evidence.iterations
    return f"iteration {first}: " if first == last else f"iterations {first} to {last}: "


def _wrapped(text: str, indent: int = 2) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
