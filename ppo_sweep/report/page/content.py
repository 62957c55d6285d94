"""What the page says, as plain data: built from the results, the figures and the diagnosis; the template only arranges it."""

from __future__ import annotations

import base64
import os
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ppo_sweep.report import scores as scoring
from ppo_sweep.report.doctor import SYMPTOMS, Diagnosis, Finding
from ppo_sweep.report.doctor.examination import by_symptom, seed_groups
from ppo_sweep.report.doctor.text import summary
from ppo_sweep.report.figures import Drawn
from ppo_sweep.report.frame import Results
from ppo_sweep.report.groups import UNFINISHED, names
from ppo_sweep.report.leaders import leaders
from ppo_sweep.report.normalised import across
from ppo_sweep.report.page import small_figures
from ppo_sweep.report.page.facts import facts, values
from ppo_sweep.report.page.provenance import Provenance, provenance
from ppo_sweep.report.page.tables import Settings, Table, differences, runs, scores
from ppo_sweep.report.tables import captions

if TYPE_CHECKING:
    from ppo_sweep.report.study.account import Account
    from ppo_sweep.report.study.sections import Sections

#: Runs of one symptom that are shown with a figure; the others are listed.
_PICTURED = 4
#: Caption of the table of runs.
_RUNS = "Every run: its score as the run itself recorded it, what the doctor found, and a link to its directory."
#: A figure whose SVG is larger goes into the page as PNG.
_SVG_LIMIT = 300_000


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        uri: data: address; empty where there was nothing to show, which the caption then says.
        narrow: the same for phones; empty where there is none.
        alt: for those who do not see it.
    """

    name: str
    title: str
    caption: str
    uri: str
    alt: str
    narrow: str = ""


@dataclass(frozen=True)
class Sighting:
    """One run or group with a symptom."""

    name: str
    link: str
    sentence: str
    figure: str


@dataclass(frozen=True)
class Symptom:
    """One symptom of the diagnosis.

    Attributes:
        pictured, listed: its sightings, with a figure and without.
    """

    name: str
    severity: str
    meaning: str
    knob: str
    advice: str
    source: str
    pictured: Sequence[Sighting]
    listed: Sequence[Sighting]

    @property
    def count(self) -> int:
        """How many runs or groups have it."""
        return len(self.pictured) + len(self.listed)


@dataclass(frozen=True)
class Failure:
    """A run that diverged or failed."""

    name: str
    link: str
    state: str
    iteration: int
    reason: str


@dataclass(frozen=True)
class Content:
    """The page.

    Attributes:
        facts: heading → words, under the title.
        swept: knob → its values.
        standings: per environment what leads and how sure that is, with a verdict or "".
        study: what is said of an Optuna study; None of a sweep.
    """

    title: str
    made: str
    unfinished: int
    facts: Mapping[str, str]
    swept: Mapping[str, str]
    standings: Sequence[tuple[str, str]]
    cautions: Sequence[str]
    pictures: Mapping[str, Picture]
    scores: Table
    differences: Table | None
    runs: Table
    diagnosis: str
    symptoms: Sequence[Symptom]
    checked: str
    failures: Sequence[Failure]
    notes: Sequence[str]
    provenance: Provenance
    files: Sequence[tuple[str, str]]
    study: Sections | None = None


def content(
    results: Results,
    drawn: Sequence[Drawn],
    diagnosis: Diagnosis,
    place: Path,
    *,
    title: str,
    files: Sequence[str] = (),
    narrow: Mapping[str, bytes] | None = None,
    account: Account | None = None,
) -> Content:
    """Everything that the page of these runs says.

    Args:
        drawn: figures as written, with captions.
        place: directory of the page, which links are relative to.
        files: of the report beside the page, relative to it.
        narrow: figure → SVG for phones.
        account: of the study that the runs belong to, if they do.
    """
    study = account.sections(place) if account is not None else None
    results, shown = (account.results, account.focus.results) if account is not None else (results, results)
    links = {str(run): _link(Path(path), place) for run, path in results.runs["path"].items()}
    label = run_labels(results)
    scored, compared = scoring.scores(shown), scoring.differences(shown)
    said = captions(shown, scored)
    several = len(results.environments) > 1
    settings = Settings(shown.swept, names(shown), several)
    found: dict[str, list[str]] = {}
    for finding in diagnosis.findings:
        found.setdefault(finding.run, []).append(finding.symptom)
    return Content(
        title=title,
        made=time.strftime("%Y-%m-%d %H:%M"),
        unfinished=int(results.runs["state"].isin(UNFINISHED).sum()),
        facts=facts(results) if study is None else {**study.facts, **facts(results, study=True)},
        swept=study.searched if study is not None else {key: values(results.runs[key]) for key in results.swept},
        standings=study.standings
        if study is not None
        else [(leader.sentence, leader.verdict) for leader in leaders(results, names(results))] + _across(results),
        cautions=scoring.cautions(results) if study is None else [],
        pictures={figure.name: _picture(figure, (narrow or {}).get(figure.name, b"")) for figure in drawn},
        scores=scores(scored, settings, said["scores"]),
        differences=differences(compared, settings, said["differences"]) if len(compared) else None,
        runs=runs(results.runs, Settings(results.swept, names(results), several), links, found, _RUNS),
        diagnosis=summary(diagnosis),
        symptoms=_symptoms(results, diagnosis, links, label),
        checked=", ".join(SYMPTOMS),
        failures=[
            Failure(label[str(run)], links[str(run)], row["state"], int(row["iteration"]), row["reason"])
            for run, row in results.runs[results.runs["state"].isin(["failed", "diverged"])].iterrows()
        ],
        notes=results.notes,
        provenance=provenance(results),
        files=[(name, urllib.parse.quote(name)) for name in files],
        study=study,
    )


def _across(results: Results) -> list[tuple[str, str]]:
    """What leads across environments, as a standing; none where that is not defined."""
    said = across(results, names(results))
    return [(said, "")] if said else []


def run_labels(results: Results) -> dict[str, str]:
    """Run → a name that is shorter than its path: environment if there are several, setting, seed; study if there are several."""
    named = names(results)
    many_env, many_studies, swept = len(results.environments) > 1, results.runs["study"].nunique() > 1, bool(results.swept)
    return {
        str(run): " · ".join(
            [
                *([row["study"]] if many_studies else []),
                *([row["env"]] if many_env else []),
                *([named[row["group"]]] if swept else []),
                f"seed {row['seed']}",
            ]
        )
        for run, row in results.runs.iterrows()
    }


def _picture(drawn: Drawn, narrow: bytes) -> Picture:
    uri = ""
    if drawn.svg is not None and drawn.svg.stat().st_size <= _SVG_LIMIT:
        uri = _data("svg+xml", drawn.svg.read_bytes())
    elif drawn.png is not None:
        uri = _data("png", drawn.png.read_bytes())
    phone = _data("svg+xml", narrow) if 0 < len(narrow) <= _SVG_LIMIT else ""
    return Picture(drawn.name, drawn.title, drawn.caption, uri, f"{drawn.title}. {drawn.caption}", phone)


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _link(directory: Path, place: Path) -> str:
    return urllib.parse.quote(os.path.relpath(directory, place.resolve())) + "/"


def _symptoms(results: Results, diagnosis: Diagnosis, links: Mapping[str, str], label: Mapping[str, str]) -> list[Symptom]:
    rows = dict(iter(results.metrics.groupby("run", observed=True, sort=False)))
    groups = {group.name: group.scores for group in seed_groups(results)}
    found = []
    for findings in by_symptom(diagnosis.findings).values():
        first = findings[0]
        pictured = [_sighting(finding, rows, groups, links, label, picture=True) for finding in findings[:_PICTURED]]
        listed = [_sighting(finding, rows, groups, links, label, picture=False) for finding in findings[_PICTURED:]]
        found.append(Symptom(first.symptom, first.severity, first.meaning, first.knob, first.advice, first.source, pictured, listed))
    return found


def _sighting(
    finding: Finding,
    rows: Mapping[str, pd.DataFrame],
    groups: Mapping[str, Mapping[str, float]],
    links: Mapping[str, str],
    label: Mapping[str, str],
    *,
    picture: bool,
) -> Sighting:
    figure, evidence = "", finding.evidence
    if picture and finding.group:
        figure = small_figures.of_seeds(groups[finding.run])
    elif picture and finding.run in rows:
        figure = small_figures.of_run(rows[finding.run], evidence)
    where = ""
    if evidence.iterations is not None:
        first, last = evidence.iterations
        where = f"Iteration {first}: " if first == last else f"Iterations {first} to {last}: "
    sentence = evidence.sentence if where else evidence.sentence[:1].upper() + evidence.sentence[1:]
    return Sighting(label.get(finding.run, finding.run), links.get(finding.run, ""), f"{where}{sentence}.", figure)
