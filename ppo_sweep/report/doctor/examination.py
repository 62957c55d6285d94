"""Every rule on every run and every group of a results tree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ppo_sweep.report.doctor.evidence import Evidence
from ppo_sweep.report.doctor.facts import KnownEnvironments
from ppo_sweep.report.doctor.record import RunRecord, SeedGroup
from ppo_sweep.report.doctor.rules import GROUP_RULES, RUN_RULES, SEVERITIES, SYMPTOMS, Rule
from ppo_sweep.report.doctor.thresholds import STANDARD, Thresholds
from ppo_sweep.report.frame import Results, episodes
from ppo_sweep.report.groups import names


@dataclass(frozen=True)
class Finding:
    """One symptom of one run or group, with what to do about it.

    Attributes:
        symptom, severity, meaning, source: of its rule.
        run: the run's id, or the group's name.
        group: whether it is about a group of seeds.
        evidence: why.
        knob, advice: what to turn, and which way.
    """

    symptom: str
    severity: str
    meaning: str
    run: str
    group: bool
    evidence: Evidence
    knob: str
    advice: str
    source: str

    def document(self) -> dict[str, Any]:
        """What ``doctor.py --json`` prints of it."""
        return {
            "symptom": self.symptom,
            "severity": self.severity,
            "run": self.run,
            "iterations": None if self.evidence.iterations is None else list(self.evidence.iterations),
            "value": self.evidence.value,
            "threshold": self.evidence.threshold,
            "knob": self.knob,
            "advice": self.advice,
            "source": self.source,
        }


@dataclass(frozen=True)
class Diagnosis:
    """What was found, and where there was nothing to look at.

    Attributes:
        findings: severe first; within a severity in the order of the table, then of the runs.
        examined: runs with at least one iteration.
        empty: runs without.
        notes: what is wrong with files, in words.
    """

    findings: tuple[Finding, ...]
    examined: tuple[str, ...]
    empty: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def healthy(self) -> bool:
        """Nothing above a note."""
        return all(finding.severity == "note" for finding in self.findings)

    def count(self, severity: str) -> int:
        """Findings of one severity."""
        return sum(finding.severity == severity for finding in self.findings)


def examine(results: Results, limits: Thresholds = STANDARD) -> Diagnosis:
    """Apply every rule; runs still in progress are judged by what there is."""
    runs = list(records(results))
    found = [finding for record in runs for finding in of_run(record, limits)]
    found += [finding for group in seed_groups(results) for finding in of_group(group, limits)]
    order = {symptom: place for place, symptom in enumerate(SYMPTOMS)}
    found.sort(key=lambda finding: (-SEVERITIES.index(finding.severity), order[finding.symptom]))
    return Diagnosis(
        tuple(found),
        examined=tuple(record.name for record in runs if len(record)),
        empty=tuple(record.name for record in runs if not len(record)),
        notes=results.notes,
    )


def of_run(record: RunRecord, limits: Thresholds = STANDARD) -> Iterator[Finding]:
    """The symptoms of one run, in the order of the table."""
    for rule in RUN_RULES:
        evidence = rule.check(record, limits)
        if evidence is not None:
            yield _finding(rule, record.name, evidence, group=False)


def of_group(group: SeedGroup, limits: Thresholds = STANDARD) -> Iterator[Finding]:
    """The symptoms of one group of seeds."""
    for rule in GROUP_RULES:
        evidence = rule.check(group, limits)
        if evidence is not None:
            yield _finding(rule, group.name, evidence, group=True)


def records(results: Results) -> Iterator[RunRecord]:
    """Every run as the rules see it."""
    known = KnownEnvironments()
    rows = dict(iter(results.metrics.groupby("run", observed=True, sort=False)))
    none = results.metrics.iloc[:0]
    for run, facts in results.runs.iterrows():
        config: Mapping[str, Any] = results.configs[str(run)]
        read = partial(episodes, results, str(run))
        yield RunRecord(
            name=str(run),
            config=config,
            metrics=rows.get(run, none),
            state=facts["state"],
            reason=facts["reason"] or None,
            random=_known(facts["random"]),
            reference=_known(facts["reference"]),
            total_steps=int(facts["total_steps"]),
            environment=known.facts(Path(facts["path"]), config, read),
            read_episodes=read,
        )


def seed_groups(results: Results) -> Iterator[SeedGroup]:
    """Runs of one study and environment whose swept knobs are equal."""
    named = names(results)
    for (study, env, group), members in results.runs.groupby(["study", "env", "group"], sort=False, dropna=False):
        scores = {str(run): float(score) for run, score in members["counted"].items() if math.isfinite(score)}
        yield SeedGroup(f"{study}: {env}, {named[group]}", scores)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _finding(rule: Rule[Any], run: str, evidence: Evidence, *, group: bool) -> Finding:
    return Finding(
        symptom=rule.symptom,
        severity=rule.severity,
        meaning=rule.meaning,
        run=run,
        group=group,
        evidence=evidence,
        knob=evidence.knob or rule.knob,
        advice=evidence.advice or rule.advice,
        source=rule.source,
    )


def by_symptom(findings: Sequence[Finding]) -> dict[tuple[str, str, str], list[Finding]]:
    """Findings that share symptom, knob and advice, so that the same words stand once."""
    out: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        out.setdefault((finding.symptom, finding.knob, finding.advice), []).append(finding)
    return out
