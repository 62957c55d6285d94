"""The check before anything happens: a command line in, every job it asks for or every fault out.

Inside Hydra's task function it is too late: Hydra stops at the first fault, exits 1 for its own
errors, and has by then made directories. So the command line is parsed with Hydra's own parser, the
grid expanded, and every job composed and validated here, before ``hydra.main`` is entered.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppo_sweep.config import ConfigError, EnvConfig, Fault
from ppo_sweep.machine import device_faults
from ppo_sweep.runs import naming
from ppo_sweep.runs.places import resolve_inside
from ppo_sweep.sweep import arguments, overrides
from ppo_sweep.sweep.arguments import Arguments
from ppo_sweep.sweep.composition import CONF, Composer, Composition, overlay
from ppo_sweep.sweep.draft import Draft
from ppo_sweep.sweep.job import Job
from ppo_sweep.sweep.options import LauncherOptions
from ppo_sweep.sweep.overrides import Setting
from ppo_sweep.sweep.results_root import root_fault
from ppo_sweep.sweep.study import request as study_request
from ppo_sweep.sweep.study.options import seed_warnings
from ppo_sweep.sweep.study.request import StudyRequest

if TYPE_CHECKING:
    from ppo_sweep.envs import EnvSpec

#: More runs than this in one command are a slip, not a wish.
MAX_JOBS = 100_000


@dataclass(frozen=True)
class Checked:
    """A command line without a fault."""

    arguments: Arguments
    #: Distinct runs, in the order of the grid; empty unless the task is to run or to show.
    jobs: tuple[Job, ...]
    #: What is allowed but probably not meant.
    warnings: tuple[str, ...]
    #: The same command in the form that Hydra is to see.
    hydra_argv: tuple[str, ...]
    #: The study that it is, if its sweep= is one; it has no jobs then.
    study: StudyRequest | None = None


def check(argv: Sequence[str], conf: Path = CONF) -> Checked:
    """Everything that ``argv`` asks for, validated; reads ``conf``, leaves no file behind.

    Args:
        argv: the command line after ``train.py``.
        conf: the directory of ``config.yaml``.

    Raises:
        ConfigError: with *all* faults found, each once.
    """
    given = arguments.split(argv)
    if given.task in ("help", "hydra"):
        return Checked(given, (), (), (*given.overrides, *given.flags))
    with Composer(conf, given.config_dir, given.config_name) as composer:
        return _Check(given, composer).run()


def _read(words: Iterable[str], multirun: bool, composer: Composer, study: bool = False) -> tuple[list[Setting], list[Fault]]:
    """Parse overrides and check their keys and choices."""
    groups = composer.groups()
    settings, faults = overrides.read(
        words, multirun=multirun, is_group=composer.is_group, groups=groups, loader=composer.loader, study=study
    )
    for setting in settings:
        if study and setting.swept and not setting.hydra:
            continue  # searched, so checked with the space
        if setting.group:
            faults += [fault for value in setting.values if (fault := composer.choice_fault(setting.key, value))]
        elif not setting.hydra and (fault := overrides.key_fault(setting, groups, study)):
            faults.append(fault)
    return settings, faults


class _Check:
    """One run of the check: collects faults on the way, so that all are reported together."""

    def __init__(self, given: Arguments, composer: Composer) -> None:
        self.given = given
        self.composer = composer
        self.is_study = given.multirun and _chooses_a_study(given.overrides, composer)
        self.settings, self.faults = _read(given.overrides, given.multirun, composer, self.is_study)
        self.faults += [*_launcher_faults(self.settings), *_sweeper_faults(self.settings)]
        faulty = {fault.key for fault in self.faults}
        hydra = [setting for setting in self.settings if setting.hydra and not setting.swept and setting.key not in faulty]
        composer.configure_hydra([setting.word for setting in hydra])

    def run(self) -> Checked:
        """The whole check; raises ConfigError."""
        if self.is_study:
            return self._run_study()
        self._add_grid_of_experiment()
        drafts = list(self._drafts(self._grid()))
        # What is wrong with a study's name is said once, by _study.
        self.faults += [fault for draft in drafts for fault in draft.faults if fault.key != "study"]
        self.faults += [fault for draft in drafts if (fault := draft.second_environment())]
        study = self._study(drafts)
        jobs = self._jobs(drafts, study)
        self.faults += [fault for job in jobs for fault in device_faults(job.config)]
        warnings = [*self._inspect(drafts), *self._mistuned(drafts), *self._repeated(), *self._without_effect()]
        warnings += seed_warnings(job.config.seed for job in jobs)
        if self.faults:
            raise ConfigError(list(dict.fromkeys(self.faults)))
        return Checked(self.given, tuple(jobs), tuple(warnings), self._hydra_argv(study))

    def _run_study(self) -> Checked:
        """The check of a study, whose trials are not known yet."""
        faulty = {fault.key for fault in self.faults}
        request = None
        try:
            request = study_request.read([setting for setting in self.settings if setting.key not in faulty], self.composer, _inspected)
        except ConfigError as error:
            self.faults += error.faults
        drafts = list(self._defaults_of_study(request)) if request is not None else []
        self.faults += [fault for draft in drafts if (fault := draft.second_environment())]
        if request is not None:
            for root in {config.results for config in request.defaults.values()}:
                if fault := root_fault(Path(root), request.name, probe=self.given.task == "run"):
                    self.faults.append(fault)
        warnings = [*self._inspect(drafts), *self._mistuned(drafts)]
        if self.faults or request is None:
            raise ConfigError(list(dict.fromkeys(self.faults)))
        return Checked(self.given, (), tuple(warnings), self._hydra_argv(request.name), request)

    def _defaults_of_study(self, request: StudyRequest) -> Iterator[Draft]:
        """The study's default configuration in each of its environments, as a job of a grid would be."""
        settings = [setting for setting in self._usable() if not setting.swept and not setting.key.startswith("sweep.")]
        fixed = {setting.key: setting.values[0] for setting in settings}
        if "env.id" in fixed:
            fixed = {"env": "any"} | fixed
        yield from self._drafts(fixed | {"env": environment} if environment else fixed for environment in request.defaults)

    def _usable(self) -> list[Setting]:
        """Settings that can be composed: the others have had their fault reported."""
        faulty = {fault.key for fault in self.faults}
        known = []
        for setting in self.settings:
            keys = {key for value in setting.values for key in naming.flatten(setting.key, value)} | {setting.key}
            if not setting.hydra and setting.values and not keys & faulty:
                known.append(setting)
        return known

    def _add_grid_of_experiment(self) -> None:
        """Put an experiment's own grid (``hydra.sweeper.params``) before what was typed; typed keys win."""
        if not self.given.multirun:
            return
        chosen = {setting.key: setting.values[0] for setting in self._usable() if setting.group}
        composed = self._composed(chosen)
        typed = {setting.key for setting in self.settings}
        words = [f"{key}={value}" for key, value in (composed.grid if composed else {}).items() if key.lstrip("+") not in typed]
        settings, faults = _read(words, True, self.composer)
        self.settings = settings + self.settings
        self.faults += faults

    def _grid(self) -> list[dict[str, Any]]:
        """Every job's overrides, later keys varying fastest, as in Hydra."""
        settings = self._usable()
        keys = {setting.key for setting in settings}
        if "env.id" in keys and "env" not in keys:
            settings.insert(0, Setting("env", ("any",), "any", True, False))
        size = math.prod(len(setting.values) for setting in settings)
        if size > MAX_JOBS:
            self.faults.append(Fault("", f"this grid has {size} runs; one command may hold {MAX_JOBS}"))
            return []
        named = [[(setting.key, value) for value in setting.values] for setting in settings]
        return [dict(pairs) for pairs in itertools.product(*named)]

    def _composed(self, choices: Mapping[str, Any]) -> Composition | None:
        try:
            return self.composer.compose({group: str(choice) for group, choice in choices.items()})
        except ConfigError as error:
            self.faults += error.faults
            return None

    def _drafts(self, grid: Iterable[dict[str, Any]]) -> Iterator[Draft]:
        """Each job's values, choices composed and values laid over."""
        groups = {setting.key for setting in self.settings if setting.group} | {"env"}
        for job in grid:
            composed = self._composed({key: value for key, value in job.items() if key in groups})
            if composed is None:
                continue
            try:
                typed = {key: value for key, value in job.items() if key not in groups}
                values = {key: value for key, value in composed.values.items() if key != "sweep"}  # a study's options are no knobs
                yield Draft(job, composed.choices, overlay(values, typed), values["env"].get("id"))
            except ConfigError as error:
                self.faults += error.faults

    def _study(self, drafts: Sequence[Draft]) -> str:
        """The one study of this command."""
        named = {repr(study): study for study in (draft.values.get("study") for draft in drafts)}
        if len(named) > 1:
            self.faults.append(
                Fault("study", f"one command, one study, but its choices name {' and '.join(map(str, named.values()))}; give study=")
            )
        name = next(iter(named.values()), None)
        if name is None:
            return naming.study_name(draft.environment for draft in drafts)
        fault = naming.study_fault(name)
        if fault is not None:
            self.faults.append(Fault("study", fault))
        return naming.directory_name(str(name))

    def _jobs(self, drafts: Sequence[Draft], study: str) -> list[Job]:
        """Validated jobs; of those with the same directory, the first."""
        jobs: dict[Path, Job] = {}
        for draft in drafts:
            if draft.config is None:
                continue
            made = dataclasses.replace(draft.config, study=study)
            job = Job.placed(made, study, draft.overrides)
            jobs.setdefault(job.path, job)
        for root in {job.config.results for job in jobs.values()}:
            if fault := root_fault(Path(root), study, probe=self.given.task == "run"):
                self.faults.append(fault)
                return list(jobs.values())
        self.faults += [fault for job in jobs.values() if (fault := _escape(job, study)) is not None]
        return list(jobs.values())

    def _mistuned(self, drafts: Sequence[Draft]) -> list[str]:
        """Warnings about tuned values of another recipe or environment than the chosen ones."""
        found: dict[str, None] = {}
        for draft in drafts:
            tuned, chosen = str(draft.overrides.get("tuned", "none")), {group: draft.choices.get(group, "") for group in ("recipe", "env")}
            recipe, _, env = tuned.partition("_")
            ours = recipe in self.composer.options("recipe") and env in self.composer.options("env")
            if ours and (recipe, env) != (chosen["recipe"], chosen["env"]):
                given = f"recipe={chosen['recipe']} env={chosen['env']}"
                found[f"tuned={tuned} holds values for recipe={recipe} env={env}, but this is {given}; tuned=none leaves them out"] = None
        return list(found)

    def _without_effect(self) -> list[str]:
        """Warnings about options of a sweep where a single run is asked for."""
        idle = [setting.key for setting in self.settings if setting.key.startswith("hydra.launcher.") and not self.given.multirun]
        return [f"{key} has no effect on a single run; a sweep needs -m" for key in idle]

    def _repeated(self) -> list[str]:
        """A warning if values are equal, however they are written: the runs that they make are one."""
        equal = [setting for setting in self._usable() if len(set(map(naming.shortest, setting.values))) < len(setting.values)]
        given = " ".join(f"{setting.key}={setting.text}" for setting in equal)
        return [f"{given}: some values are equal, and equal runs are trained once"] if equal else []

    def _inspect(self, drafts: Sequence[Draft]) -> list[str]:
        """Make each distinct environment once: faults of environments, and warnings that need the horizon.

        When something else is wrong already, only environments that the command line itself describes are made, so that
        the answer to a typo does not wait for a simulator to load.
        """
        specs: dict[str, EnvSpec | None] = {}
        warnings: dict[str, None] = {}
        for draft in drafts:
            described = any(key.startswith("env.") for key in draft.overrides)
            made = draft.env_config() if described or not self.faults else None
            if made is None:
                continue
            if repr(made) not in specs:
                specs[repr(made)] = self._spec(made)
            spec = specs[repr(made)]
            if spec is not None and draft.config is not None:
                self.faults += spec.faults(draft.config)
                warnings.update(dict.fromkeys(draft.warnings(spec.horizon)))
        return list(warnings)

    def _spec(self, made: EnvConfig) -> EnvSpec | None:
        """What the environment is; None, and a fault, if it cannot be used."""
        from ppo_sweep import envs  # loads Gymnasium, which most wrong command lines need not wait for

        try:
            return envs.inspect(made)
        except ConfigError as error:
            self.faults += error.faults
            return None

    def _hydra_argv(self, study: str) -> tuple[str, ...]:
        """The command as Hydra is to see it: no new keys without ``++``, ``env=any`` where implied, the study named."""
        typed = {word.lstrip("+").partition("=")[0] for word in self.given.overrides}
        settings = [setting for setting in self.settings if setting.key in typed and setting.key != "study"]
        keys = {setting.key for setting in self.settings}
        implied = ["env=any"] if "env.id" in keys and "env" not in keys else []
        return (*(setting.word for setting in settings), *implied, f"study='{study}'", *self.given.flags)


def _launcher_faults(settings: Iterable[Setting]) -> list[Fault]:
    """What is wrong with the options of our own launcher, or of Hydra's own; another one's are Hydra's to judge."""
    given = {setting.key: setting.values[0] for setting in settings if setting.hydra and len(setting.values) == 1}
    prefix = "hydra.launcher."
    options = {key.removeprefix(prefix): value for key, value in given.items() if key.startswith(prefix)}
    launcher = given.get("hydra/launcher", "population")
    if launcher == "basic":
        without = "runs one job after the other and has no options; leave out hydra/launcher=basic for the launcher that has, or this"
        return [Fault(f"{prefix}{name}", f"hydra/launcher=basic {without}") for name in options]
    if launcher != "population":
        return []
    try:
        LauncherOptions.of(options)
    except ConfigError as error:
        return list(error.faults)
    return []


def _sweeper_faults(settings: Iterable[Setting]) -> Iterator[Fault]:
    """What Hydra's basic sweeper, which ours is made from, would only stumble over."""
    for setting in settings:
        if setting.key == "hydra.sweeper.max_batch_size" and not setting.swept:
            [value] = setting.values
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                yield Fault(
                    setting.key, f"{value!r} is not a whole number of at least 1, or null for one batch; for example {setting.key}=100"
                )


def _chooses_a_study(words: Iterable[str], composer: Composer) -> bool:
    """Whether the choices that can be read amount to a study; what cannot is said later."""
    settings, _ = overrides.read(words, multirun=True, is_group=composer.is_group, groups=(), loader=composer.loader, study=True)
    chosen = {setting.key: str(setting.values[0]) for setting in settings if setting.group and not setting.swept and not setting.hydra}
    known = {group: choice for group, choice in chosen.items() if composer.choice_fault(group, choice) is None}
    try:
        return study_request.is_study(composer.compose(known))
    except ConfigError:
        return False


def _inspected(made: EnvConfig) -> EnvSpec:
    from ppo_sweep import envs  # loads Gymnasium, which most wrong command lines need not wait for

    return envs.inspect(made)


def _escape(job: Job, study: str) -> Fault | None:
    """What keeps a run's directory from being made below the results root, if anything."""
    root = Path(job.config.results)
    try:
        resolve_inside(root, study, job.path.relative_to(root / study).as_posix())
    except ConfigError as error:
        return error.faults[0]
    return None
