"""Studies as their directories hold them: a journal that Optuna writes, ``study.json``, and made runs of every trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from ppo_sweep.report.study.searched import Search, read
from ppo_sweep.runs.study_file import StudyFile
from ppo_sweep.sweep.study.domains import Choices, Interval
from tests.report.made_runs import made_study

#: What is searched: a logarithmic interval with 0, an interval of 1 − value, one without a logarithm up to 0, and choices.
SPACE: Mapping[str, Interval | Choices] = {
    "algo.lr": Interval(1e-5, 1e-2, log=True),
    "algo.gamma": Interval(1e-4, 0.1, log=True, one_minus=True),
    "network.log_std_init": Interval(-1.5, 0.0),
    "algo.epochs": Choices((5, 10, 20)),
}

OPTIONS: Mapping[str, Any] = {
    "sampler": "tpe", "pruner": "median", "seeds": 2, "metric": ["mean"], "std_weight": 1.0, "direction": ["maximize"], "rungs": None,
    "prune_audit": 1.0, "env": [],
}  # fmt: skip


@dataclass(frozen=True)
class Made:
    """One trial: ``values`` None for one that has none; ``at``: step → value reported there."""

    values: tuple[float, ...] | None
    state: str = "COMPLETE"
    at: Mapping[int, float] = field(default_factory=dict)
    scores: tuple[float, ...] = ()
    steps: int = 2 * 122_880
    diverged: int = 0
    outside: tuple[str, ...] = ()
    same_as: int | None = None


def params(number: int) -> dict[str, Any]:
    """Coordinates that differ from trial to trial, all inside the space."""
    share = (number * 0.618034) % 1
    return {
        "algo.lr": 1e-5 * 1e3**share,
        "1-algo.gamma": 1e-4 * 1e3 ** ((share * 3) % 1),
        "network.log_std_init": -1.5 * ((share * 7) % 1),
        "algo.epochs": (5, 10, 20)[number % 3],
    }


def write_search(
    directory: Path,
    trials: Sequence[Made],
    *,
    confirmed: Mapping[str, Any] | None = None,
    url: str | None = None,
    rungs: Sequence[float] = (),
    **options: Any,
) -> Path:
    """Write a study's files; its runs are not among them."""
    directory.mkdir(parents=True, exist_ok=True)
    chosen = {**OPTIONS, **options}
    identity = {"space": {key: domain.describe() for key, domain in SPACE.items()}, "options": chosen, "seed": 0, "default": [{}]}
    command = ["-m", "sweep=tpe", "env=pendulum", *([f"sweep.storage='{url}'"] if url else [])]
    other = {
        "optuna": identity,
        "aim": {"n_trials": len(trials), "max_env_steps": None, "rungs": list(rungs)},
        **({"confirmed": dict(confirmed)} if confirmed is not None else {}),
    }
    StudyFile.open(directory, command=command, members=[], other=other)
    storage: BaseStorage
    if url is None:
        storage = JournalStorage(JournalFileBackend(str(directory / "optuna.log")))
    else:
        storage = optuna.storages.RDBStorage(url)
    study = optuna.create_study(storage=storage, study_name=directory.name, directions=chosen["direction"])
    study.set_user_attr("idle", [[5.0, 60.0], [1.0, 40.0]])
    distributions: dict[str, BaseDistribution] = {domain.label(key): domain.distribution() for key, domain in SPACE.items()}
    for number, made in enumerate(trials):
        chosen_params = {label: value for label, value in params(number).items() if label not in made.outside}
        scores = made.scores or tuple((made.values or (0.0,))[0] + shift for shift in (-5.0, 5.0))
        overrides = {} if number == 0 else {key: domain.value(params(number)[domain.label(key)]) for key, domain in SPACE.items()}
        attrs = {
            "scores": list(scores) if made.values is not None else [],
            "env_steps": made.steps,
            "diverged": made.diverged,
            "overrides": overrides,
            "outside": list(made.outside),
            "reason": None if made.state == "COMPLETE" else "behind",
        }
        if made.same_as is not None:
            attrs["same_as"] = made.same_as
        study.add_trial(
            create_trial(
                state=TrialState[made.state],
                values=made.values,
                params=chosen_params,
                distributions={label: distributions[label] for label in chosen_params},
                user_attrs=attrs,
                intermediate_values=dict(made.at),
            )
        )
    return directory


def made_search(directory: Path, trials: Sequence[Made], **more: Any) -> Search:
    """A study's files, read back."""
    found = read(write_search(directory, trials, **more))
    assert found is not None and found.trouble == ""
    return found


def with_runs(directory: Path, trials: Sequence[Made], **more: Any) -> Path:
    """A study with the runs of its trials, and of its confirmation if it has one."""
    settings = {
        f"trial={number:04d}": {} if number == 0 else {"algo.lr": params(number)["algo.lr"], "algo.epochs": params(number)["algo.epochs"]}
        for number in range(len(trials))
    }
    made_study(directory, settings, seeds=(0, 1), iterations=20)
    if more.get("confirmed"):
        names = more["confirmed"]["trials"]
        confirm = {f"confirm/{name}": settings[f"trial={number:04d}"] for name, number in names.items()}
        made_study(directory, confirm, seeds=(1000, 1001, 1002), iterations=20)
        reported = {place: changes for place, changes in confirm.items() if place.rpartition("/")[2] in more["confirmed"]["report"]}
        made_study(directory, reported, seeds=(2000, 2001, 2002), iterations=20)
    return write_search(directory, trials, **more)


def confirmed(names: Mapping[str, int], winner: str, means: Mapping[str, float], spread: float = 10.0) -> dict[str, Any]:
    """What ``study.json`` keeps of a confirmation: winner and default have report seeds with a mean of ``means``."""
    report = {
        name: {str(2000 + seed): means[name] + spread * shift for seed, shift in enumerate((-1.0, 0.0, 1.0))}
        for name in dict.fromkeys([winner, "default"])
    }
    fresh = {name: {str(1000 + seed): means[name] + shift for seed, shift in enumerate((-1.0, 0.0, 1.0))} for name in names}
    return {"trials": dict(names), "winner": winner, "confirmation": fresh, "report": report}
