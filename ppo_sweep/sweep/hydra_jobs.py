"""Hydra's side of a sweep: its job overrides in, our runs through, its ``JobReturn`` out.

Every job keeps what Hydra promises: a directory of its own with ``.hydra/``, callbacks, a log file,
a ``JobReturn`` in order. Hydra's ``run_job`` does that around a function call; here many jobs run at
the same time in other processes, so the same is done at their beginning and end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus, configure_log, env_override, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ppo_sweep.config import Config, ConfigError, Fault
from ppo_sweep.runs import naming
from ppo_sweep.runs.interrupts import Interrupts
from ppo_sweep.runs.score import diverged_score
from ppo_sweep.runs.trainer import RunResult
from ppo_sweep.sweep import launch as sweeps
from ppo_sweep.sweep import overrides, session
from ppo_sweep.sweep.closing import Outcome, closing_table
from ppo_sweep.sweep.composition import overlay
from ppo_sweep.sweep.errors import RunFailed
from ppo_sweep.sweep.job import Job
from ppo_sweep.sweep.options import LauncherOptions


def launch(
    context: HydraContext,
    config: DictConfig,
    task_function: TaskFunction,
    options: Mapping[str, Any],
    job_overrides: Sequence[Sequence[str]],
    first: int,
) -> list[JobReturn]:
    """One batch of jobs, as a sweeper hands it to a launcher; equal jobs run once, and each gets its ``JobReturn``.

    Args:
        options: of ``hydra.launcher``.
        job_overrides: of each job, as words.
        first: the number of the first one (``hydra.job.num``).

    Raises:
        ConfigError: for wrong options or jobs.
        SystemExit: when the sweep was interrupted.
        DirectoryBusy, DirectoryMismatch, StorageError, WorkersDoNotStart: see :func:`ppo_sweep.sweep.launch.launch`.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    checked = LauncherOptions.of(options)
    every = _read(context.config_loader, config, job_overrides)
    distinct = {job.path: number for number, job in reversed(list(enumerate(every)))}
    numbers = sorted(distinct.values())  # of each distinct job, its first place in the batch
    if not every:
        return []
    [study] = {job.path.parents[1] for job in every}  # one command, one study
    jobs = [every[number] for number in numbers]
    hooks = _Hooks(context, config, task_function, [list(job_overrides[number]) for number in numbers], jobs, first, numbers)
    active = session.current()
    with Interrupts() as interrupts, env_override(_environment(config)):
        results = sweeps.launch(
            jobs,
            study,
            checked,
            command=active.command,
            begun=hooks.begin,
            ended=hooks.end,
            interrupts=interrupts,
        )
    active.add(results.values())
    closing_table(study, [_outcome(job, results.get(number)) for number, job in enumerate(jobs)], sys.stdout)
    if interrupts.received is not None and _over(results) < len(jobs):
        print(f"interrupted; the same command continues ({len(jobs) - _over(results)} of {len(jobs)} runs are left)", flush=True)
        raise SystemExit(interrupts.exit_code)
    place = {jobs[number].path: number for number in results}
    return [hooks.returned(place[job.path], results[place[job.path]], words) for job, words in zip(every, job_overrides, strict=True)]


def _over(results: Mapping[int, RunResult]) -> int:
    return sum(result.state not in ("stopped", "interrupted") for result in results.values())


def _outcome(job: Job, result: RunResult | None) -> Outcome:
    return Outcome.of(job, result.state, result.score, result.reason) if result is not None else Outcome.of(job, "queued")


def _worth(job: Job, result: RunResult) -> float | None:
    """The score, for a diverged run what it counts as."""
    return diverged_score(job.config, result.directory) if result.state == "diverged" else result.score


def _environment(config: DictConfig) -> dict[str, str]:
    return cast("dict[str, str]", OmegaConf.to_container(config.hydra.job.env_set, resolve=True))


# ---------------------------------------------------------------------- overrides → jobs


def _read(loader: ConfigLoader, config: DictConfig, job_overrides: Sequence[Sequence[str]]) -> list[Job]:
    """Jobs from their overrides; each distinct set of group choices is composed once.

    Raises:
        ConfigError: where a job is wrong; jobs from ``train.py`` have been checked before.
    """
    groups: dict[str, bool] = {}
    composed: dict[tuple[str, ...], dict[str, Any]] = {}

    def is_group(key: str) -> bool:
        if key not in groups:
            groups[key] = "." not in key and bool(loader.get_group_options(key))
        return groups[key]

    jobs = []
    for words in job_overrides:
        parsed = [_parsed(word) for word in words]
        choices = tuple(word for word, override in zip(words, parsed, strict=True) if is_group(override.key_or_group))
        if choices not in composed:
            values = OmegaConf.to_container(loader.load_sweep_config(config, list(choices)), resolve=False)
            assert isinstance(values, dict)
            composed[choices] = {str(key): value for key, value in values.items() if key != "hydra"}
        named = {override.key_or_group: override.value() for override in parsed}
        values = overlay(composed[choices], {key: value for key, value in named.items() if not is_group(key)})
        made = Config.from_dict(values)
        jobs.append(Job.placed(made, _study(made), named, tuple(words)))
    return jobs


def _study(config: Config) -> str:
    """The study's directory, which ``train.py`` has put for its name; other applications may give none."""
    if config.study is None:
        return naming.study_name([config.env.id])
    fault = naming.study_fault(config.study)
    if fault is not None:
        raise ConfigError([Fault("study", fault)])
    return config.study


@cache
def _parsed(word: str) -> Override:
    return overrides.parser().parse_override(word)


# ---------------------------------------------------------------------- what Hydra promises


class RunReturn(JobReturn):
    """A ``JobReturn`` whose configs are read from the run's ``.hydra/`` when asked for: thousands of them would fill the memory."""

    directory: Path | None = None

    @property
    def return_value(self) -> Any:
        """The score of a run.

        Raises:
            RunFailed: it has none because it failed; the closing table has said so to people.
        """
        if self.status is JobStatus.FAILED:
            raise self._return_value
        return self._return_value

    @return_value.setter
    def return_value(self, value: Any) -> None:
        self._return_value = value

    @property
    def cfg(self) -> DictConfig | None:
        return self._stored("config.yaml")

    @cfg.setter
    def cfg(self, value: object) -> None:
        """Not kept."""

    @property
    def hydra_cfg(self) -> DictConfig | None:
        return self._stored("hydra.yaml")

    @hydra_cfg.setter
    def hydra_cfg(self, value: object) -> None:
        """Not kept."""

    def _stored(self, name: str) -> DictConfig | None:
        path = self.directory / ".hydra" / name if self.directory is not None else None
        return cast("DictConfig", OmegaConf.load(path)) if path is not None and path.is_file() else None


class _Hooks:
    """The beginning and the end of a job, as Hydra's ``run_job`` has them."""

    def __init__(
        self,
        context: HydraContext,
        config: DictConfig,
        task_function: TaskFunction,
        words: Sequence[Sequence[str]],
        jobs: Sequence[Job],
        first: int,
        numbers: Sequence[int],
    ) -> None:
        self._context, self._config, self._task_function = context, config, task_function
        self._words, self._jobs = words, jobs
        self._numbers = [first + number for number in numbers]
        self._begun: set[int] = set()

    def begin(self, job: int) -> None:
        """``.hydra/`` and ``on_job_start``."""
        self._begun.add(job)
        config = self._composed(job)
        path = self._jobs[job].path / str(config.hydra.output_subdir)
        path.mkdir(parents=True, exist_ok=True)
        task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        for name, content in (
            ("config.yaml", task),
            ("hydra.yaml", OmegaConf.masked_copy(config, "hydra")),
            ("overrides.yaml", config.hydra.overrides.task),
        ):
            (path / name).write_text(OmegaConf.to_yaml(content), encoding="utf-8")
        with _current(config):
            self._context.callbacks.on_job_start(config=config, task_function=self._task_function)

    def end(self, job: int, result: RunResult) -> None:
        """``on_job_end``."""
        if job not in self._begun or not self._context.callbacks.callbacks:
            return
        config = self._composed(job)
        with _current(config):
            self._context.callbacks.on_job_end(config=config, job_return=self.returned(job, result, self._words[job]))

    def _composed(self, job: int) -> DictConfig:
        """The job's config as Hydra composes it, with the run's directory; made when needed, not kept."""
        config = self._context.config_loader.load_sweep_config(self._config, list(self._words[job]))
        with open_dict(config), read_write(config):
            config.hydra.job.num = self._numbers[job]
            config.hydra.job.id = str(self._numbers[job])
            config.hydra.runtime.output_dir = os.path.abspath(self._jobs[job].path)
        return config

    def returned(self, job: int, result: RunResult, words: Sequence[str]) -> JobReturn:
        """What the sweeper gets: the score, for a diverged run what it counts as, for a failed one the exception."""
        made = RunReturn()
        made.directory = result.directory
        made.overrides, made.task_name, made.working_dir = list(words), self._config.hydra.job.name, os.getcwd()
        if result.state in ("failed", "interrupted"):
            made.status, made.return_value = JobStatus.FAILED, RunFailed(f"{result.directory}: {result.reason}")
        else:
            made.status, made.return_value = JobStatus.COMPLETED, _worth(self._jobs[job], result)
        return made


@contextmanager
def _current(config: DictConfig) -> Iterator[None]:
    """``HydraConfig.get()`` is this job's, for the length of a callback."""
    instance = HydraConfig.instance()
    before = instance.cfg
    instance.set_config(config)
    try:
        yield
    finally:
        instance.cfg = before


# ---------------------------------------------------------------------- studies


def carry_out_study(config: DictConfig, options: Mapping[str, Any]) -> int:
    """The study of the active command, in Hydra's surroundings; its exit code.

    Args:
        options: of ``hydra.launcher``.

    Raises:
        ConfigError: for wrong options, or if ``train.py`` has not checked a study.
        DirectoryBusy, DirectoryMismatch, StorageError, WorkersDoNotStart: see :func:`ppo_sweep.sweep.study.carrying_out.carry_out`.
    """
    from ppo_sweep.sweep.study.carrying_out import carry_out  # loads Optuna

    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    active = session.current()
    if active.study is None:
        raise ConfigError([Fault("hydra/sweeper", "study works with train.py only, which checks the study first; for example sweep=tpe")])
    with env_override(_environment(config)):
        return carry_out(active.study, LauncherOptions.of(options), active.command)
