"""How often the doctor is right: precision and recall of every symptom on runs whose illness is known because it was planted."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ppo_sweep.report.doctor.examination import of_group, of_run, records, seed_groups
from ppo_sweep.report.doctor.rules import GROUP_RULES, RUN_RULES, SYMPTOMS
from ppo_sweep.report.doctor.thresholds import STANDARD, Thresholds, limits
from ppo_sweep.report.errors import ReportError
from ppo_sweep.report.frame import Results, load

_HEADER = ("run", "expected", "half")
_OF_GROUPS = frozenset(rule.symptom for rule in GROUP_RULES)
#: A healthy run may have these.
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
    def healthy(self) -> bool:
        """Nothing is expected."""
        return not self.expected

    @property
    def named(self) -> frozenset[str]:
        """Symptoms that are no false alarm."""
        return self.allowed | {symptom for group in self.expected for symptom in group}


@dataclass(frozen=True)
class LabelledPath:
    """One line of the list: a run or a study, what is expected of each of its runs, and the half it belongs to."""

    path: str
    label: Label
    half: str


@dataclass
class Tally:
    """Of one symptom on one half."""

    true: int = 0
    missed: int = 0
    false: int = 0

    @property
    def precision(self) -> str:
        """True ones of those found, as a fraction, because both numbers are small."""
        return _fraction(self.true, self.true + self.false)

    @property
    def recall(self) -> str:
        """Those found of the true ones."""
        return _fraction(self.true, self.true + self.missed)


@dataclass(frozen=True)
class Outcome:
    """Of one half.

    Attributes:
        half: its name.
        runs, healthy: how many, and how many of them have nothing planted.
        quiet: healthy ones with nothing above a note.
        tallies: symptom → counts.
        wrong: every miss and every false alarm, in words.
    """

    half: str
    runs: int
    healthy: int
    quiet: int
    tallies: Mapping[str, Tally]
    wrong: tuple[str, ...] = field(default=())


def read_labels(path: Path) -> list[LabelledPath]:
    """The labelled list, a CSV file ``run,expected,half``.

    ``run`` is relative to the file, and may be a study. ``expected`` holds symptoms separated by spaces; ``a|b`` is
    found with either; ``?a`` may be there or not; blank is a healthy run.

    Raises:
        ReportError: it cannot be read, or a line names a symptom that there is none of.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReportError(f"{path} cannot be read: {error}") from error
    if not lines or not set(_HEADER) <= lines[0].keys():
        raise ReportError(f"{path} is no labelled list: it needs a first line {','.join(_HEADER)} and at least one more")
    return [LabelledPath(str(path.parent / line["run"]), _label(line["expected"] or "", path), line["half"]) for line in lines]


def _label(text: str, path: Path) -> Label:
    words = text.split()
    expected = tuple(tuple(word.split("|")) for word in words if not word.startswith("?"))
    label = Label(expected, frozenset(word[1:] for word in words if word.startswith("?")))
    unknown = sorted(label.named - set(SYMPTOMS))
    if unknown:
        raise ReportError(f"{path}: there is no symptom {', '.join(unknown)}; there are {', '.join(SYMPTOMS)}")
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
        places = [(Path(item.path).resolve(), item.label) for item in items]
        labels = {
            str(run): next(label for place, label in places if Path(directory).is_relative_to(place))
            for run, directory in results.runs["path"].items()
        }
        found.append(Half(name, results, labels))
    return found


def judge(half: Half, thresholds: Thresholds = STANDARD) -> Outcome:
    """Compare what the rules find with what is known."""
    tallies = {symptom: Tally() for symptom in SYMPTOMS}
    wrong: list[str] = []
    quiet = 0
    for record in records(half.results):
        label = half.labels[record.name]
        found = {finding.symptom for finding in of_run(record, thresholds)}
        quiet += label.healthy and found <= _NOTES
        _count(record.name, found, label, tallies, wrong, of_groups=False)
    for group in seed_groups(half.results):
        labels = [half.labels[run] for run in group.scores]
        if labels:
            found = {finding.symptom for finding in of_group(group, thresholds)}
            _count(group.name, found, labels[0], tallies, wrong, of_groups=True)
    healthy = sum(label.healthy for label in half.labels.values())
    return Outcome(half.name, len(half.labels), healthy, quiet, tallies, tuple(wrong))


def _count(name: str, found: set[str], label: Label, tallies: Mapping[str, Tally], wrong: list[str], *, of_groups: bool) -> None:
    for expected in label.expected:
        judged = [symptom for symptom in expected if (symptom in _OF_GROUPS) == of_groups]
        for symptom in judged:
            if symptom in found:
                tallies[symptom].true += 1
            elif found.isdisjoint(judged):
                tallies[symptom].missed += 1
                wrong.append(f"missed {symptom}: {name}")
    for symptom in sorted(found - label.named):
        tallies[symptom].false += 1
        wrong.append(f"false {symptom}: {name}")


def described(outcomes: Iterable[Outcome]) -> str:
    """A Markdown table of symptoms that were planted or found, a pair of columns per half, and what went wrong."""
    outcomes = list(outcomes)
    shown = [name for name in SYMPTOMS if any(_any(outcome.tallies[name]) for outcome in outcomes)]
    header = " | ".join(f"{outcome.half}: precision | recall" for outcome in outcomes)
    lines = [f"| symptom | {header} |", "|---|" + "---:|---:|" * len(outcomes)]
    for name in shown:
        tallies = [outcome.tallies[name] for outcome in outcomes]
        lines.append(f"| `{name}` | " + " | ".join(f"{tally.precision} | {tally.recall}" for tally in tallies) + " |")
    lines.append("")
    for outcome in outcomes:
        lines.append(f"{outcome.half}: {outcome.runs} runs; {outcome.quiet} of {outcome.healthy} healthy ones have nothing above a note.")
        counts = Counter(outcome.wrong)
        lines += [f"- {what}" + (f" ({times} times)" if times > 1 else "") for what, times in counts.items()]
    return "\n".join(lines) + "\n"


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


def _any(tally: Tally) -> bool:
    return bool(tally.true or tally.missed or tally.false)


def _fraction(part: int, whole: int) -> str:
    return f"{part}/{whole}" if whole else "–"
