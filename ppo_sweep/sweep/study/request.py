"""A study that a command line asks for, checked: all of it that can be known before anything runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ppo_sweep.config import Config, ConfigError, EnvConfig, Fault
from ppo_sweep.machine import device_faults
from ppo_sweep.runs import naming
from ppo_sweep.sweep.composition import Composer, Composition
from ppo_sweep.sweep.overrides import Setting
from ppo_sweep.sweep.study.compositions import FixedCompositions
from ppo_sweep.sweep.study.options import StudyOptions, sampler_seed
from ppo_sweep.sweep.study.rungs import Budget, Rungs, place, with_scores
from ppo_sweep.sweep.study.space import Space

if TYPE_CHECKING:
    from ppo_sweep.envs import EnvSpec


@dataclass(frozen=True)
class StudyRequest:
    """See the module.

    Attributes:
        name: of the study and its directory (``study=``, else ``hopper-tpe``).
        options: ``sweep.*``.
        space: what is searched.
        seed: of the sampler.
        rungs: where trials are compared.
        defaults: environment (None: the one of ``env=``) → default configuration, ``study`` set.
        fixed: full key → value of what the command line fixes, without operational keys; ``env`` in any case.
        groups: which keys, fixed or searched, are choices among files.
        further: configs of the user's own took part (``--config-dir``, ``--config-name``).
        notes: what to say before it begins.
        most_trials: ``n_trials``, or after how many the sampler has nothing new to offer.
    """

    name: str
    options: StudyOptions
    space: Space
    seed: int
    rungs: Rungs
    defaults: Mapping[str | None, Config]
    fixed: Mapping[str, Any]
    groups: tuple[str, ...]
    further: bool
    notes: tuple[str, ...]
    most_trials: int

    @property
    def most_steps(self) -> int:
        """Environment steps of the whole search if nothing is pruned and every trial is as long as the default configuration's."""
        trial = self.options.seeds * sum(config.iterations * config.steps_per_iteration for config in self.defaults.values())
        limit = self.options.max_env_steps
        trials = self.most_trials if limit is None else min(self.most_trials, math.ceil(limit / trial))
        return trials * trial

    def written(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Full key → value of everything that makes a trial's configuration out of ``conf/config.yaml``; ``env`` in any case.

        Every knob, where configs of the user's own took part: ``best.yaml`` must not depend on where they are.
        """
        if not self.further:
            return {**self.fixed, **overrides}
        environments = self.options.env or (None,)
        values = {key: value for key, _, value in self.space.config(overrides, environments[0]).walk()}
        own = {key: value for key, value in values.items() if key != "seed" and not naming.is_operational(key)}
        if len(environments) == 1:
            return {"env": "any", **own}
        # Each environment is chosen in its turn.
        return {"env": environments[0], **{key: value for key, value in own.items() if not key.startswith("env.")}}

    def configuration(self, overrides: Mapping[str, Any]) -> tuple[str, ...]:
        """What tells the configurations of trials apart: their hashes, one per environment."""
        return tuple(self.space.config(overrides, env).hash for env in self.options.env or (None,))


def is_study(composed: Composition) -> bool:
    """Whether choices amount to a study, not to a grid."""
    return isinstance(composed.values.get("sweep"), Mapping)


def read(settings: Sequence[Setting], composer: Composer, inspect: Callable[[EnvConfig], EnvSpec]) -> StudyRequest:
    """The study of a command line.

    Args:
        settings: its overrides, keys and single choices checked; sweeps are searched.
        composer: open.
        inspect: what an environment is.

    Raises:
        ConfigError: with every fault found.
    """
    own = [setting for setting in settings if not setting.hydra]
    typed = {setting.key: setting.text for setting in own if setting.swept and setting.key != "seed"}
    fixed = {setting.key: setting.values[0] for setting in own if not setting.swept}
    if "env.id" in fixed and "env" not in fixed:
        fixed["env"] = "any"
    compositions = FixedCompositions(composer, fixed)
    composed = compositions.compose({})
    given = composer.compose({key: str(value) for key, value in fixed.items() if composer.is_group(key)}).values["sweep"]
    given = {**given, **{key.removeprefix("sweep."): value for key, value in fixed.items() if key.startswith("sweep.")}}
    faults = [Fault(key, "cannot be searched: it says how the study goes") for key in typed if key.startswith("sweep.")]
    if composed.grid:
        faults.append(
            Fault(
                "sweep",
                f"a study searches its space, not a grid, and there is one (hydra.sweeper.params: {', '.join(composed.grid)}); leave out "
                "sweep= to train it, or the file it comes from",
            )
        )
    if composed.values.get("force"):
        faults.append(Fault("force", "would train every run of the study anew; remove the study's directory, or give another study="))
    # An interval has no values, and is no seed either.
    seeds = [value for setting in own if setting.key == "seed" for value in setting.values or [setting.text]]
    seed = _try(lambda: sampler_seed(seeds or 0), faults)
    options = _try(lambda: StudyOptions.of(given), faults)
    if options is not None:
        faults += _package_faults(options)
    space = _try(
        lambda: Space.read(
            given.get("space") or {},
            compositions,
            typed={key: text for key, text in typed.items() if not key.startswith("sweep.")},
            fixed=tuple(fixed),
            environments=options.env if options is not None else (),
            prunes=options is None or options.pruner != "none",
        ),
        faults,
    )
    if faults or options is None or space is None or seed is None:
        raise ConfigError(list(dict.fromkeys(faults)))
    budgets = _budgets(space, inspect, faults)
    rungs = _try(lambda: place(budgets, options.pruner, options.rungs), faults) if budgets else None
    faults += [*_sampler_faults(options, space), *_scale_faults(options, space), *_evaluation_faults(options, space)]
    if faults or rungs is None:
        raise ConfigError(list(dict.fromkeys(faults)))
    rungs = with_scores(rungs, budgets, options.objectives[0].score)
    name = _name(composed, options)
    defaults = {env: space.config({}, env).replace(study=name) for env in options.env or (None,)}
    computing = {key: value for key, value in fixed.items() if not naming.is_operational(key) and not key.startswith("sweep/")}
    kept = {"env": composed.choices.get("env", "any"), **computing}
    groups = tuple(key for key in {**kept, **dict.fromkeys(searched.key for searched in space.searched)} if composer.is_group(key))
    kept.pop("seed", None)
    most = _most_trials(options, space)
    return StudyRequest(
        name, options, space, seed, rungs, defaults, kept, groups, composer.has_further, _notes(options, space, rungs, most), most
    )


def _try(make: Callable[[], Any], faults: list[Fault]) -> Any:
    """What ``make`` makes; None, and its faults, if it cannot."""
    try:
        return make()
    except ConfigError as error:
        faults += error.faults
        return None


def _name(composed: Composition, options: StudyOptions) -> str:
    stated = composed.values.get("study")
    if stated is not None:
        return naming.study_directory(stated)
    environment = composed.choices.get("env", "any")
    own = str(composed.values["env"].get("id")) if environment == "any" else environment
    return naming.directory_name(f"{naming.study_name(options.env or (own,))}-{composed.choices['sweep']}")


def _budgets(space: Space, inspect: Callable[[EnvConfig], EnvSpec], faults: list[Fault]) -> list[Budget]:
    """Of one configuration per signature; empty, and faults, if an environment cannot be used."""
    budgets = []
    for config in space.shapes():
        spec = _try(lambda config=config: inspect(config.env), faults)  # type: ignore[misc]
        if spec is not None:
            faults += [*spec.faults(config), *device_faults(config)]
            budgets.append(Budget(config, spec.horizon))
    return budgets


def _package_faults(options: StudyOptions) -> list[Fault]:
    from ppo_sweep.sweep.study.storage import url_fault  # loads Optuna, for which a typo need not wait

    fault = url_fault(options.storage) if options.storage is not None else None
    return [fault] if fault is not None else []


def _most_trials(options: StudyOptions, space: Space) -> int:
    from ppo_sweep.sweep.study import samplers

    most = samplers.most_trials(options.sampler, space)
    return options.n_trials if most is None else min(options.n_trials, most)


def _sampler_faults(options: StudyOptions, space: Space) -> list[Fault]:
    from ppo_sweep.sweep.study import samplers

    return samplers.faults(options.sampler, space)


def _scale_faults(options: StudyOptions, space: Space) -> list[Fault]:
    """Several environments need scores on one scale."""
    if len(options.env) < 2:
        return []
    without = [env for env in options.env if space.config({}, env).env.score_reference is None]
    return [
        Fault("sweep.env", f"{env} has no env.score_reference, so its scores cannot be put on one scale with others; set it in conf/env/")
        for env in without
    ]


def _evaluation_faults(options: StudyOptions, space: Space) -> Iterator[Fault]:
    """A metric of evaluations needs them: deterministic ones, at a run's end at the latest."""
    configs = [space.config({}, env) for env in options.env or (None,)]
    for metric, objective in zip(options.metric, options.objectives, strict=True):
        if objective.score == "eval":
            if not all(config.eval.every or config.score == "eval" for config in configs):
                yield Fault("sweep.metric", f"{metric} is of evaluations, and none is made; give score=eval, or eval.every=10")
            elif any(config.eval.mode == "sampled" for config in configs):
                yield Fault(
                    "sweep.metric", f"{metric} is of the deterministic evaluation, but eval.mode=sampled makes none; use eval.mode=both"
                )


def _notes(options: StudyOptions, space: Space, rungs: Rungs, most_trials: int) -> tuple[str, ...]:
    found = space.signatures()
    together = "all of its configurations can train side by side" if found.exact and found.count == 1 else "those of one train side by side"
    notes = [*space.notes, f"this space leads to {found}: {together}"]
    if rungs.note is not None:
        notes.append(rungs.note)
    if options.confirm_top:
        each = (options.confirm_top + 1) * options.confirm_seeds + 2 * options.report_seeds
        runs = each * max(1, len(options.env))
        notes.append(f"after the search {runs} runs at most confirm and report, as many as {each / options.seeds:.0f} trials have")
    if most_trials < options.n_trials:
        notes.append(f"the grid has {most_trials} configurations, the default included: the study ends after as many trials")
    outside = space.default().outside
    if outside:
        notes.append(f"the default configuration lies outside the space in {', '.join(outside)}: the sampler does not learn from trial 0")
    return tuple(notes)
