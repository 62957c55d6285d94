"""What the rules see: one run's rows and facts, or one group's seeds; plain data, so that rules can be tested on made series."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Series = npt.NDArray[np.float64]

#: Entropy of a Gaussian component with σ = 1, in nats: ½ log 2πe.
UNIT_ENTROPY = 0.5 * math.log(2 * math.pi * math.e)


@dataclass(frozen=True)
class EnvironmentFacts:
    """What a run's files say of its environment; None where they do not.

    Attributes:
        half_range: half of (upper − lower bound) per action component, action units; infinite where unbounded.
        horizon: time limit in agent steps.
    """

    half_range: tuple[float, ...] | None = None
    horizon: int | None = None


@dataclass(frozen=True)
class RunRecord:
    """One run as the rules see it.

    Attributes:
        name: of the run, as findings print it.
        config: full key → value.
        metrics: its rows of ``metrics.csv``; blank cells are NaN.
        state, reason: as in ``status.json``.
        random: return of uniform actions; None if not known.
        reference: return that counts as 1 in normalised scores; None if not set.
        total_steps: budget in environment steps.
        environment: bounds and time limit.
        read_episodes: its ``episodes.csv``, read when a rule needs it.
    """

    name: str
    config: Mapping[str, Any]
    metrics: pd.DataFrame
    state: str = "done"
    reason: str | None = None
    random: float | None = None
    reference: float | None = None
    total_steps: int = 0
    environment: EnvironmentFacts = field(default_factory=EnvironmentFacts)
    read_episodes: Callable[[], pd.DataFrame] | None = None

    def column(self, name: str) -> Series:
        """A column of the metrics, ``(iterations,)``; NaN where blank, or throughout if there is none of this name."""
        if name not in self.metrics:
            return np.full(len(self.metrics), np.nan)
        return np.asarray(pd.to_numeric(self.metrics[name], errors="coerce"), np.float64)

    def __len__(self) -> int:
        return len(self.metrics)

    @cached_property
    def iterations(self) -> Series:
        """Iteration number of every row."""
        return self.column("iteration")

    @cached_property
    def env_steps(self) -> Series:
        """Environment steps done at the end of every row's iteration."""
        return self.column("env_steps")

    @cached_property
    def begun_at(self) -> Series:
        """Environment steps done when every row's iteration began: where the policy it describes stood."""
        return np.concatenate([[0.0], self.env_steps[:-1]])[: len(self)]

    @cached_property
    def budget(self) -> float:
        """Environment steps the run is to do; what it has done if that is not known."""
        done = float(self.env_steps[-1]) if len(self) else 0.0
        return float(max(self.total_steps, done))

    @property
    def scale(self) -> float:
        """From the random to the reference score; 0 if either is not known."""
        return 0.0 if self.random is None or self.reference is None else self.reference - self.random

    @cached_property
    def episodes(self) -> pd.DataFrame:
        """Finished training episodes, partial ones left out; empty if there is no file."""
        table = self.read_episodes() if self.read_episodes is not None else pd.DataFrame()
        return table[table["partial"] == 0] if "partial" in table else table

    @cached_property
    def action_size(self) -> int | None:
        """A: from the bounds, else from the entropy at the start, where every σ is exp(log_std_init)."""
        if self.environment.half_range is not None:
            return len(self.environment.half_range)
        per_component = UNIT_ENTROPY + float(self.config.get("network.log_std_init", math.nan))
        entropy = self.column("entropy")
        if not len(entropy) or not math.isfinite(entropy[0]) or abs(per_component) < 0.05 or math.isnan(per_component):
            return None
        size = round(float(entropy[0]) / per_component)
        return size if size >= 1 else None

    def late(self, share: float) -> slice:
        """The rows of the last ``share`` of the iterations done, at least one."""
        return slice(len(self) - max(1, math.ceil(share * len(self))), len(self))


@dataclass(frozen=True)
class SeedGroup:
    """Runs that differ in nothing but the seed.

    Attributes:
        name: study, environment and swept knobs, as findings print it.
        scores: run → score, finished runs only; a diverged one with what it counts as.
    """

    name: str
    scores: Mapping[str, float]
