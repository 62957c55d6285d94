"""Which configuration is tried next: samplers by name, each a function of the study's history, its seed and the trial's number.

A sampler is built anew for each trial, so nothing of it lives in memory only:

=======  ==============================================================================================
tpe      Optuna's, with the defaults of Optuna 5 (multivariate; running trials count as bad ones)
gp       Optuna's; its kernel is fitted from scratch for each trial; conditional knobs are drawn at random
cmaes    the package ``cmaes``, driven here: Optuna's own keeps its state as a pickle in the storage, which runs
         code when it is read. Here the trials of each generation are noted and told again. Numbers that are
         always searched; choices and conditional knobs are drawn at random
qmc      a scrambled Sobol sequence; trial n gets its n-th point, whatever happened before
random   Optuna's
grid     every configuration once, in an order shuffled by the seed; trial n gets the n-th
nsga2    Optuna's, with 20 to a generation
=======  ==============================================================================================

All are exactly repeatable from the storage alone (tests/sweep/study/test_asking.py); ``gp`` on one machine, with one
number of threads and the same packages (it optimises another way where ``greenlet`` is installed).
"""

from __future__ import annotations

import itertools
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import optuna
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from ppo_sweep import randomness
from ppo_sweep.config import Fault
from ppo_sweep.sweep.study.domains import Interval
from ppo_sweep.sweep.study.space import Space
from ppo_sweep.sweep.study.space_checks import Searched

#: Trials of one generation; Optuna's 50 would leave no second generation in most studies.
NSGA2_POPULATION = 20

#: A grid is listed whole at every ask.
MAX_POINTS = 100_000

#: What a sampler needs beside Optuna → how to get it.
_PACKAGES = {"gp": ("scipy", "torch"), "cmaes": ("cmaes",), "qmc": ("scipy",)}

#: Where a generation of CMA-ES is noted, in the trial that was asked after it was told.
_TOLD = "ppo_sweep:cmaes:told"
_GENERATION = "ppo_sweep:cmaes:generation"

_Make = Callable[[Space, int, int, int], BaseSampler]


def build(name: str, space: Space, seed: int, number: int, objectives: int = 1) -> BaseSampler:
    """The sampler for one trial.

    Args:
        name: one of ``options.SAMPLERS``.
        seed: of the study.
        number: of the trial.
        objectives: how many numbers a trial is worth.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _SAMPLERS[name](space, seed, number, objectives)


def faults(name: str, space: Space) -> list[Fault]:
    """What keeps a sampler from searching a space: packages that are missing, knobs that it cannot handle."""
    found = []
    for package in _PACKAGES.get(name, ()):
        if find_spec(package) is None:
            found.append(Fault("sweep.sampler", f"{name} needs the package {package}: pip install {package}; or use sweep.sampler=tpe"))
    if name == "grid":
        for searched in space.searched:
            if searched.domain.points() is None:
                found.append(
                    Fault(
                        searched.key,
                        f"{searched.domain} has no end of values for a grid; name choices, give a step, or use another sampler",
                    )
                )
        if (size := _grid_size(space)) > MAX_POINTS:
            found.append(
                Fault(
                    "sweep.sampler", f"a grid of {size} combinations at most; a study may list {MAX_POINTS}: use another sampler, or steps"
                )
            )
    if name == "cmaes" and len(_numbers(space)) < 2:
        found.append(
            Fault(
                "sweep.sampler",
                f"cmaes moves through at least 2 intervals that are always searched, and this space has {len(_numbers(space))}; "
                "use sweep.sampler=tpe",
            )
        )
    return found


def _grid_size(space: Space) -> int:
    """How many combinations a grid has, those that conditions rule out included; endless knobs counted as one."""
    return math.prod(len(searched.domain.points() or (None,)) for searched in space.searched)


def most_trials(name: str, space: Space) -> int | None:
    """After how many trials, trial 0 included, a sampler has nothing new to offer; None = never."""
    return 1 + len(GridOrder.points(space)) if name == "grid" else None


def _seed(seed: int, number: int) -> int:
    """What Optuna's samplers are seeded with: 31 bits of (study seed, trial number)."""
    return int(randomness.generator(seed, "sampler", number).integers(2**31))


def _tpe(space: Space, seed: int, number: int, objectives: int) -> BaseSampler:
    # Stated, because Optuna 4.9 has other defaults than 5.
    return TPESampler(seed=_seed(seed, number), n_startup_trials=10, multivariate=objectives == 1, constant_liar=True)


def _gp(space: Space, seed: int, number: int, objectives: int) -> BaseSampler:
    return GPSampler(seed=_seed(seed, number), n_startup_trials=10, warn_independent_sampling=False)


def _random(space: Space, seed: int, number: int, objectives: int) -> BaseSampler:
    return RandomSampler(seed=_seed(seed, number))


def _nsga2(space: Space, seed: int, number: int, objectives: int) -> BaseSampler:
    return NSGAIISampler(seed=_seed(seed, number), population_size=NSGA2_POPULATION)


class PointSampler(BaseSampler):
    """Knows the whole point of its one trial beforehand; the rest (none, or choices for CMA-ES) is drawn at random."""

    def __init__(self, space: Space, seed: int, number: int) -> None:
        self._space, self._study_seed, self._number = space, seed, number
        self._random = RandomSampler(seed=_seed(seed, number))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every parameter, conditional ones too: what a trial does not ask for does no harm."""
        return self._space.distributions()

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """The point, by label."""
        raise NotImplementedError

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        """A parameter that the point does not hold."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


class SobolOrder(PointSampler):
    """Point ``number`` of a scrambled Sobol sequence (Owen 1998), one dimension per parameter."""

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """See :class:`PointSampler`."""
        from scipy.stats import qmc

        engine = qmc.Sobol(len(self._space.searched), scramble=True, seed=randomness.generator(self._study_seed, "sobol"))
        if self._number > 0:
            engine.fast_forward(self._number)
        [point] = engine.random(1)
        return {searched.label: _at(searched, share) for searched, share in zip(self._space.searched, point.tolist(), strict=True)}


class GridOrder(PointSampler):
    """Point ``number`` of the shuffled list of all configurations; after the last one the list begins anew."""

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """See :class:`PointSampler`."""
        points = self.points(self._space)
        order = randomness.generator(self._study_seed, "grid").permutation(len(points))
        return points[int(order[(self._number - 1) % len(points)])]  # trial 0 is the default configuration

    @staticmethod
    def points(space: Space) -> list[dict[str, Any]]:
        """The parameters of every configuration of a space that has no intervals without steps, the default one left out."""
        axes = [[(searched, point) for point in searched.domain.points() or ()] for searched in space.searched]
        found: dict[str, dict[str, Any]] = {}
        for combination in itertools.product(*axes):
            params: dict[str, Any] = {}
            for searched, point in combination:
                if space.active(searched, params):
                    params[searched.label] = point
            found.setdefault(repr(params), params)
        default = space.default()
        return [params for params in found.values() if default.outside or params != default.params]


class CmaEs(PointSampler):
    """CMA-ES (Hansen 2016, arXiv 1604.00772) over the unit cube of the numbers of a space.

    A generation is told as soon as enough of its trials have ended, in order of their numbers, and which those were
    is noted. Only ranks are told, which is all that CMA-ES looks at: finished trials by value, behind them pruned ones by
    how far they came.
    """

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """See :class:`PointSampler`."""
        numbers = _numbers(self._space)
        trials = study.get_trials(deepcopy=False)
        told: dict[int, list[int]] = {}
        for done in trials:
            if _TOLD in done.system_attrs:  # two processes may have told one generation at the same moment: the first counts
                told.setdefault(done.system_attrs[_GENERATION], json.loads(done.system_attrs[_TOLD]))
        optimizer = self._optimizer(len(numbers))
        maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
        for _, generation in sorted(told.items()):
            optimizer.tell(_ranked([trials[number] for number in generation], numbers, maximize))
        ended = [
            done
            for done in trials
            if done.state in (TrialState.COMPLETE, TrialState.PRUNED) and done.system_attrs.get(_GENERATION) == len(told)
        ]
        storage = study._storage
        if len(ended) >= optimizer.population_size:
            chosen = ended[: optimizer.population_size]
            optimizer.tell(_ranked(chosen, numbers, maximize))
            storage.set_trial_system_attr(trial._trial_id, _TOLD, json.dumps([done.number for done in chosen]))
        storage.set_trial_system_attr(trial._trial_id, _GENERATION, optimizer.generation)
        point = optimizer.ask().tolist()
        return {searched.label: _at(searched, share) for searched, share in zip(numbers, point, strict=True)}

    def _optimizer(self, dimensions: int) -> Any:
        cmaes = import_module("cmaes")  # may be missing, which `faults` has said

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of another version's deprecations
            return cmaes.CMA(
                mean=np.full(dimensions, 0.5),
                sigma=1 / 6,  # Optuna's
                bounds=np.tile([0.0, 1.0], (dimensions, 1)),
                n_max_resampling=10 * dimensions,
                # What is drawn for this trial; being told of others draws nothing.
                seed=_seed(self._study_seed, self._number),
            )


def _ranked(trials: Sequence[FrozenTrial], numbers: Sequence[Searched], maximize: bool) -> list[tuple[Any, float]]:
    def value(trial: FrozenTrial) -> float:
        return (-1.0 if maximize else 1.0) * trial.values[0] if trial.values else math.inf

    complete = sorted((trial for trial in trials if trial.state == TrialState.COMPLETE), key=value)
    pruned = sorted(
        (trial for trial in trials if trial.state != TrialState.COMPLETE), key=lambda trial: (-(trial.last_step or 0), value(trial))
    )
    points = ([_share(searched, trial.params[searched.label]) for searched in numbers] for trial in [*complete, *pruned])
    return [(np.array(point), float(rank)) for rank, point in enumerate(points)]


def _numbers(space: Space) -> list[Searched]:
    """Knobs that are numbers and searched in every trial."""
    return [searched for searched in space.searched if isinstance(searched.domain, Interval) and not searched.when]


def _at(searched: Searched, share: float) -> Any:
    """The coordinate at a share, 0 … 1, of a domain, on its own scale."""
    domain = searched.domain
    points = domain.points()
    if points is not None and not (isinstance(domain, Interval) and domain.log):
        return points[min(int(share * len(points)), len(points) - 1)]
    assert isinstance(domain, Interval)
    low, high = domain.bottom, domain.high
    if domain.whole:  # on a logarithmic scale, from half below to half above, so that the ends get their share
        value = math.exp(math.log(low - 0.5) + share * (math.log(high + 0.5) - math.log(low - 0.5)))
        return min(max(round(value), int(low)), int(high))
    value = math.exp(math.log(low) + share * (math.log(high) - math.log(low))) if domain.log else low + share * (high - low)
    return min(max(value, low), high)


def _share(searched: Searched, coordinate: Any) -> float:
    """The inverse of :func:`_at` for numbers: the middle of what leads to ``coordinate``."""
    domain = searched.domain
    assert isinstance(domain, Interval)
    low, high = domain.bottom, domain.high
    if domain.log:
        low, high = (low - 0.5, high + 0.5) if domain.whole else (low, high)
        return (math.log(coordinate) - math.log(low)) / (math.log(high) - math.log(low))
    points = domain.points()
    if points is not None:
        return (min(range(len(points)), key=lambda index: abs(points[index] - coordinate)) + 0.5) / len(points)
    return (float(coordinate) - low) / (high - low)


_SAMPLERS: Mapping[str, _Make] = {
    "tpe": _tpe,
    "gp": _gp,
    "cmaes": lambda space, seed, number, objectives: CmaEs(space, seed, number),
    "qmc": lambda space, seed, number, objectives: SobolOrder(space, seed, number),
    "random": _random,
    "grid": lambda space, seed, number, objectives: GridOrder(space, seed, number),
    "nsga2": _nsga2,
}
