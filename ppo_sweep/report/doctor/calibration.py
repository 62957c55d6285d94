"""How often the doctor is right: precision and recall of its symptoms on runs whose illness is known because it was planted."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ppo_sweep.report.doctor.examination import of_run, records
from ppo_sweep.report.doctor.rules import RUN_RULES
from ppo_sweep.report.doctor.thresholds import STANDARD, Thresholds, limits
from ppo_sweep.report.errors import ReportError
from ppo_sweep.report.frame import Results, load

_HEADER = ("run", "expected", "half")
_SYMPTOMS = tuple(rule.symptom for rule in RUN_RULES)
#: No alarms: a healthy run may have them, and they are not judged.
_NOTES = frozenset(rule.symptom for rule in RUN_RULES if rule.severity == "note")


@dataclass(frozen=True)
class Label:
    """What is known of one run.

    Attributes:
        expected: symptoms that must be found; of several in one tuple at least one.
        allowed: symptoms that may be found: consequences of the others.
    """

    expected: tuple[tuple[str, ...], ...] = ()
    allowed: frozenset[str] = frozenset()

    @property
    def named(self) -> frozenset[str]:
        """Symptoms that are no false alarm."""
        return self.allowed | {symptom for group in self.expected for symptom in group}


@dataclass(frozen=True)
class LabelledPath:
    """One line of the list: a run or a study, what is expected of each of its runs, and the half it belongs to."""

    path: Path
    label: Label
    half: str


def read_labels(path: Path, results: Path) -> list[LabelledPath]:
    """The labelled list, a CSV file ``run,expected,half``.

    ``run`` is a run or a study below ``results``. ``expected`` holds symptoms separated by spaces; ``a|b`` is
    found with either; ``?a`` may be there or not; blank is a healthy run.

    Raises:
        ReportError: it cannot be read, or a line names a symptom that no run can have.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReportError(f"{path} cannot be read: {error}") from error
    if not lines or not set(_HEADER) <= lines[0].keys():
        raise ReportError(f"{path} is no labelled list: it needs a first line {','.join(_HEADER)} and at least one more")
    return [LabelledPath(results / line["run"], _label(line["expected"] or "", path), line["half"]) for line in lines]


def _label(text: str, path: Path) -> Label:
    words = text.split()
    expected = tuple(tuple(word.split("|")) for word in words if not word.startswith("?"))
    label = Label(expected, frozenset(word[1:] for word in words if word.startswith("?")))
    unknown = sorted(label.named - set(_SYMPTOMS))
    if unknown:
        raise ReportError(f"{path}: there is no symptom {', '.join(unknown)} of a run; there are {', '.join(_SYMPTOMS)}")
    return label


@dataclass(frozen=True)
class Half:
    """The runs of one half, read once so that many thresholds can be tried on them."""

    name: str
    results: Results
    labels: Mapping[str, Label]


def halves(labelled: Sequence[LabelledPath]) -> list[Half]:
    """Load every half.

    Raises:
        ReportError: a path is unusable.
    """
    found = []
    for name in dict.fromkeys(item.half for item in labelled):
        items = [item for item in labelled if item.half == name]
        results = load(*(item.path for item in items))
        places = [(item.path.resolve(), item.label) for item in items]
        labels = {
            str(run): next(label for place, label in places if Path(directory).is_relative_to(place))
            for run, directory in results.runs["path"].items()
        }
        found.append(Half(name, results, labels))
    return found


@dataclass(frozen=True)
class Judged:
    """One run, what is known of it, and what was found in it, in the order of the rules."""

    run: str
    label: Label
    found: tuple[str, ...]

    @cached_property
    def missed(self) -> tuple[tuple[str, ...], ...]:
        """What was planted and not found."""
        return tuple(symptoms for symptoms in self.label.expected if not set(symptoms) & set(self.found))

    @cached_property
    def false(self) -> tuple[str, ...]:
        """What was found and is neither planted nor a consequence; notes are no alarms."""
        return tuple(symptom for symptom in self.found if symptom not in self.label.named | _NOTES)


def judge(half: Half, thresholds: Thresholds = STANDARD) -> list[Judged]:
    """Compare what the rules find with what is known, in every run that has an iteration."""
    return [
        Judged(record.name, half.labels[record.name], tuple(finding.symptom for finding in of_run(record, thresholds)))
        for record in records(half.results)
        if len(record)
    ]


@dataclass(frozen=True)
class Tally:
    """Of one planted symptom, of several of which one is enough, or of one that was only found where it is not; all in runs."""

    symptoms: tuple[str, ...]
    planted: int
    found: int
    false: int

    @property
    def precision(self) -> str:
        """Right ones of those found, as a fraction, because both numbers are small."""
        return _fraction(self.found, self.found + self.false)

    @property
    def recall(self) -> str:
        """Those found of the planted ones."""
        return _fraction(self.found, self.planted)


def tallies(judged: Sequence[Judged]) -> list[Tally]:
    """What was planted, and what was a false alarm only, in the order of the rules."""
    kinds = {symptoms for run in judged for symptoms in run.label.expected}
    planted = {symptom for symptoms in kinds for symptom in symptoms}
    kinds |= {(symptom,) for run in judged for symptom in run.false if symptom not in planted}
    return [
        Tally(
            symptoms,
            planted=sum(symptoms in run.label.expected for run in judged),
            found=sum(symptoms in run.label.expected and symptoms not in run.missed for run in judged),
            false=sum(not set(symptoms).isdisjoint(run.false) for run in judged),
        )
        for symptoms in sorted(kinds, key=lambda symptoms: _SYMPTOMS.index(symptoms[0]))
    ]


def described(half: str, judged: Sequence[Judged]) -> str:
    """Markdown: a table of planted and found symptoms, how many healthy runs are called so, and every miss and false alarm."""
    lines = ["| symptom | planted | found | false alarms | precision | recall |", "|---|---:|---:|---:|---:|---:|"]
    for tally in tallies(judged):
        name = " or ".join(f"`{symptom}`" for symptom in tally.symptoms)
        lines.append(f"| {name} | {tally.planted} | {tally.found} | {tally.false} | {tally.precision} | {tally.recall} |")
    healthy = [run for run in judged if not run.label.expected]
    quiet = sum(set(run.found) <= _NOTES for run in healthy)
    lines += ["", f"{half}: {len(judged)} runs; {quiet} of {len(healthy)} healthy ones have nothing above a note."]
    lines += [f"- {what}" for run in judged for what in _wrong(run)]
    notes = Counter(symptom for run in judged for symptom in run.found if symptom in _NOTES)
    if notes:
        lines.append("- notes, which are no alarms: " + ", ".join(f"`{symptom}` on {number} runs" for symptom, number in notes.items()))
    return "\n".join(lines) + "\n"


def _wrong(run: Judged) -> Iterator[str]:
    for symptoms in run.missed:
        yield f"missed {' or '.join(f'`{symptom}`' for symptom in symptoms)}: {run.run}"
    for symptom in run.false:
        yield f"false `{symptom}`: {run.run}"


def table(outcomes: Iterable[tuple[str, Sequence[Judged]]]) -> str:
    """CSV, a line per run: ``half,run,planted,found``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("half", "run", "planted", "found"))
    for half, judged in outcomes:
        for run in judged:
            writer.writerow((half, run.run, " ".join("|".join(symptoms) for symptoms in run.label.expected), " ".join(run.found)))
    return text.getvalue()


def changed(settings: Iterable[str]) -> Thresholds:
    """The standard thresholds with ``NAME=VALUE`` replaced.

    Raises:
        ReportError: there is no such threshold, or the value is no number.
    """
    known = {name for name, _, _ in limits()}
    values = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known:
            raise ReportError(f"there is no threshold {name}; there are {', '.join(sorted(known))}")
        try:
            values[name] = float(value)
        except ValueError:
            raise ReportError(f"{setting}: the value must be a number, for example {name}=0.3") from None
    return STANDARD.changed(**values)


def _fraction(part: int, whole: int) -> str:
    return f"{part}/{whole}" if whole else "–"
