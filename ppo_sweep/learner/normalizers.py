"""Running statistics of observations and returns, one set per member, in float64 numpy.

A member's statistics cover its N environments and move by Chan's parallel update, in environment
order (Chan, Golub & LeVeque 1983). All members are updated in one operation; nothing crosses P.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ppo_sweep.config import AlgoConfig

Array = npt.NDArray[np.float64]

#: Added to a variance before its root (37 details; gymnasium's NormalizeObservation).
EPSILON = 1e-8
#: Weight of the prior "mean 0, variance 1" (openai/baselines RunningMeanStd): the first samples are not divided by 0.
PRIOR_COUNT = 1e-4


class RunningMoments:
    """Mean and variance of vectors seen so far.

    Attributes:
        mean: ``(P, F)``.
        m2: sum of squared deviations, ``(P, F)``; the variance is ``m2 / count``.
        count: ``(P, 1)``.
    """

    FIELDS = ("mean", "m2", "count")

    def __init__(self, members: int, features: int) -> None:
        self.mean: Array = np.zeros((members, features))
        self.m2: Array = np.full((members, features), PRIOR_COUNT)
        self.count: Array = np.full((members, 1), PRIOR_COUNT)

    @property
    def variance(self) -> Array:
        """``(P, F)``."""
        return self.m2 / self.count

    def push(self, x: Array) -> None:
        """Add ``x (P, n, F)`` to every member."""
        if x.shape[1] == 1:
            self._push_one(self.mean, self.m2, self.count, x[:, 0])
        else:
            self._merge(slice(None), x)

    def push_rows(self, rows: Sequence[int], x: Array) -> None:
        """Add ``x (len(rows), n, F)`` to the members ``rows`` only."""
        index = np.asarray(rows)
        if x.shape[1] == 1:
            mean, m2, count = self.mean[index], self.m2[index], self.count[index]
            self._push_one(mean, m2, count, x[:, 0])
            self.mean[index], self.m2[index], self.count[index] = mean, m2, count
        else:
            self._merge(index, x)

    def push_series(self, rows: npt.NDArray[np.int64], x: Array) -> Array:
        """Add ``x (T, len(rows), n)`` of one-dimensional samples to the members ``rows``, step by step.

        The same sums as T calls of :meth:`push_rows`, with the running means taken from one cumulative sum.

        Returns:
            The variance after each step, ``(T, len(rows))``.
        """
        n = x.shape[2]
        start_mean, start_m2, start_count = self.mean[rows, 0], self.m2[rows, 0], self.count[rows, 0]
        mean = x.mean(2)
        deviation = x - mean[..., None]
        before = start_count + np.arange(len(x))[:, None] * n
        after = before + n
        means = (start_count * start_mean + np.cumsum(mean * n, axis=0)) / after
        delta = mean - np.concatenate([start_mean[None], means[:-1]])
        m2 = start_m2 + np.cumsum((deviation * deviation).sum(2) + delta * delta * (before * n / after), axis=0)
        self.mean[rows, 0], self.m2[rows, 0], self.count[rows, 0] = means[-1], m2[-1], after[-1]
        variance: Array = m2 / after
        return variance

    @staticmethod
    def _push_one(mean: Array, m2: Array, count: Array, x: Array) -> None:
        """Chan's update by one sample each, which is Welford's: μ ← μ + δ/n, M₂ ← M₂ + δ (x − μ); in place."""
        delta = x - mean
        count += 1
        mean += delta / count
        delta *= x - mean
        m2 += delta

    def _merge(self, rows: slice | npt.NDArray[np.int64], x: Array) -> None:
        """Chan's update by ``x (len(rows), n, F)``."""
        n = x.shape[1]
        mean = x.mean(1)
        deviation = x - mean[:, None]
        delta = mean - self.mean[rows]
        count = self.count[rows]
        total = count + n
        self.mean[rows] += delta * (n / total)
        self.m2[rows] += (deviation * deviation).sum(1) + delta * delta * (count * n / total)
        self.count[rows] = total


class ObservationNormalizer:
    """x → clip((x − μ)/√(σ² + ε), ± c), with centring, scaling and clipping switched per member.

    Attributes:
        moments: of raw observations, ``(P, O)``.
    """

    def __init__(self, algos: Sequence[AlgoConfig], observation_size: int) -> None:
        self.moments = RunningMoments(len(algos), observation_size)
        self._centres = np.array([[a.norm_obs in ("mean_std", "mean")] for a in algos])
        self._scales = np.array([[a.norm_obs in ("mean_std", "std")] for a in algos])
        limits = [np.inf if a.clip_obs is None or a.norm_obs == "off" else a.clip_obs for a in algos]
        self._limit = np.array(limits)[:, None, None]
        self._negative_limit = -self._limit
        # What all members agree on is not looked up member by member; the numbers are the same.
        self._all_centre, self._all_scale = bool(self._centres.all()), bool(self._scales.all())
        self._clips = bool(np.isfinite(self._limit).any())
        active = [a.norm_obs != "off" for a in algos]
        #: Members whose statistics move at every step, and those whose move once per rollout.
        self.stepwise = [p for p, a in enumerate(algos) if active[p] and a.norm_obs_update == "step"]
        self.rolloutwise = [p for p, a in enumerate(algos) if active[p] and a.norm_obs_update == "rollout"]
        self._all_stepwise = len(self.stepwise) == len(algos)

    def shift_and_scale(self) -> tuple[Array, Array]:
        """What is subtracted and what it is divided by now, each ``(P, O)``."""
        moments = self.moments
        scale = moments.m2 / moments.count
        scale += EPSILON
        np.sqrt(scale, out=scale)
        shift = moments.mean if self._all_centre else np.where(self._centres, moments.mean, 0.0)
        return shift, scale if self._all_scale else np.where(self._scales, scale, 1.0)

    def normalize(self, raw: Array) -> Array:
        """``raw (P, n, O)`` under the statistics of this moment."""
        shift, scale = self.shift_and_scale()
        x = raw - shift[:, None]
        x /= scale[:, None]
        if self._clips:
            np.minimum(x, self._limit, out=x)
            np.maximum(x, self._negative_limit, out=x)
        return x

    def normalize_one(self, member: int, raw: Array) -> Array:
        """One observation ``(O,)`` of one member."""
        shift = np.where(self._centres[member], self.moments.mean[member], 0.0)
        variance = self.moments.m2[member] / self.moments.count[member]
        scale = np.where(self._scales[member], np.sqrt(variance + EPSILON), 1.0)
        limit = self._limit[member, 0]
        x: Array = np.maximum(np.minimum((raw - shift) / scale, limit), -limit)
        return x

    def saw_step(self, raw: Array) -> None:
        """Observations ``(P, N, O)`` that followed a step of every environment."""
        if self._all_stepwise:
            self.moments.push(raw)
        elif self.stepwise:
            self.moments.push_rows(self.stepwise, raw[self.stepwise])

    def saw_resets(self, member: int, raw: Array) -> None:
        """First observations ``(n, O)`` of episodes that one member has just begun."""
        if member in self.stepwise:
            self.moments.push_rows([member], raw[None])

    def saw_rollout(self, raw: Array) -> None:
        """All observations ``(P, T·N, O)`` of a rollout, for members that update once per rollout."""
        if self.rolloutwise:
            self.moments.push_rows(self.rolloutwise, raw[self.rolloutwise])


class RewardScaler:
    """r → clip(r / √(Var of the running discounted return + ε), ± c) (37 details, continuous 7 and 8).

    acc ← γ·acc + r; push acc; divide; acc ← 0 when the episode ends for either reason (docs/numbers.md §1).

    Attributes:
        moments: of acc, ``(P, 1)``.
        acc: ``(P, N)``.
    """

    def __init__(self, algos: Sequence[AlgoConfig], n_envs: int) -> None:
        self.moments = RunningMoments(len(algos), 1)
        self.acc: Array = np.zeros((len(algos), n_envs))
        self._gamma = np.array([[a.gamma] for a in algos])
        self._on = np.array([[a.norm_reward] for a in algos])
        # Only scaled rewards are clipped: raw ones have no natural size.
        limits = [np.inf if a.clip_reward is None or not a.norm_reward else a.clip_reward for a in algos]
        self._limit = np.array(limits)[:, None]

    def scale(self, rewards: Array, ends: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.float32], Array]:
        """Scale one rollout.

        Args:
            rewards: raw, ``(T, P, N)``.
            ends: the episode ended with this step, ``(T, P, N)``.

        Returns:
            Scaled and clipped rewards ``(T, P, N)`` float32, and the share of them that was clipped ``(P,)``.
        """
        scaled = rewards.copy()
        rows = np.flatnonzero(self._on)
        if len(rows):
            chosen = rewards[:, rows]
            accumulated = np.empty_like(chosen)
            goes_on = self._gamma[rows] * ~ends[:, rows]
            acc = self._gamma[rows] * self.acc[rows]
            for reward, total, factor in zip(chosen, accumulated, goes_on, strict=True):
                np.add(acc, reward, out=total)
                np.multiply(factor, total, out=acc)
            self.acc[rows] = np.where(ends[-1, rows], 0.0, accumulated[-1])
            divisors = np.sqrt(self.moments.push_series(rows, accumulated) + EPSILON)
            scaled[:, rows] = chosen / divisors[..., None]
        clipped = np.abs(scaled) > self._limit
        limited = np.minimum(np.maximum(scaled, -self._limit), self._limit)
        share = clipped.sum((0, 2)) / (clipped.shape[0] * clipped.shape[2])
        return limited.astype(np.float32), share

    @property
    def divisor(self) -> Array:
        """What rewards are divided by now, ``(P,)``; 1 where scaling is off."""
        root = np.sqrt(self.moments.variance + EPSILON)
        divisor: Array = np.where(self._on, root, 1.0)[:, 0]
        return divisor
