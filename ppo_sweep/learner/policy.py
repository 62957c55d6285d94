"""A trained policy on its own: observations in, actions out, with the normaliser it was trained under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ppo_sweep.config import Config, EnvConfig
from ppo_sweep.envs import EnvSpec
from ppo_sweep.learner.layout import Architecture
from ppo_sweep.learner.networks import LEAST_ROWS, Networks
from ppo_sweep.learner.normalizers import ObservationNormalizer, RunningMoments
from ppo_sweep.randomness import generator

POLICY_SCHEMA = 1


class Policy:
    """Acts in raw observations and raw, clipped actions.

    Attributes:
        config: the configuration it was trained with.
        architecture: its networks.
        iteration: iterations of training behind it.
    """

    def __init__(
        self, config: Config, architecture: Architecture, parameters: Mapping[str, npt.NDArray[np.float32]],
        moments: Mapping[str, npt.NDArray[np.float64]], iteration: int,
    ) -> None:  # fmt: skip
        """Build from named parameters at their saved shapes and observation ``mean, m2 (O,)`` and ``count (1,)``."""
        self.config, self.architecture, self.iteration = config, architecture, iteration
        self.parameters = {name: value for name, value in parameters.items() if not name.startswith("value.")}
        self.moments = dict(moments)
        self._networks = Networks(architecture)
        row = torch.from_numpy(self._networks.layout.pack(self.parameters))[None]
        self._weights = self._networks.layout.views(row)
        #: σ, ``(A,)``.
        with np.errstate(over="ignore"):  # of a diverged member; it has a mean all the same
            self.std = np.exp(self.parameters["policy.log_std"])
        self._normalizer = ObservationNormalizer([config.algo], architecture.observation_size)
        for name in RunningMoments.FIELDS:
            setattr(self._normalizer.moments, name, self.moments[name][None])
        self._rng = generator(config.seed, "act")
        self._low = np.asarray(architecture.action_low, np.float32)
        self._high = np.asarray(architecture.action_high, np.float32)

    @property
    def env_config(self) -> EnvConfig:
        """The environment it was trained in."""
        return self.config.env

    @property
    def spec(self) -> EnvSpec:
        """Shapes and bounds of that environment."""
        from ppo_sweep.envs import inspect

        return inspect(self.config.env)

    def mean(self, observations: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Mean actions ``(n, A)``, before clipping, for raw observations ``(n, O)``."""
        raw = np.asarray(observations, np.float64)
        count = len(raw)
        if count < LEAST_ROWS:  # one observation and a batch of them give the same actions to the last bit
            raw = np.concatenate([raw, np.zeros((LEAST_ROWS - count, raw.shape[1]))])
        x = torch.from_numpy(self._normalizer.normalize(raw[None]).astype(np.float32))
        mean: npt.NDArray[np.float32] = self._networks.mean_of_all(self._weights, x)[0, :count].numpy()
        return mean

    def clip(self, actions: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Actions ``(…, A)`` within the bounds."""
        clipped: npt.NDArray[np.float32] = np.clip(actions, self._low, self._high)
        return clipped

    def act(self, obs: npt.ArrayLike, deterministic: bool = True, rng: np.random.Generator | None = None) -> npt.NDArray[np.float32]:
        """Actions within the bounds: the mean, or a sample of the Gaussian.

        Args:
            obs: raw observations, ``(O,)`` or ``(n, O)``.
            deterministic: the mean action; else a sample.
            rng: source of the sample's noise; default: a stream that begins anew with each Policy.

        Returns:
            ``(A,)`` or ``(n, A)`` float32.

        Raises:
            ValueError: if the observations have another size.
        """
        raw = np.asarray(obs, np.float64)
        if raw.ndim not in (1, 2) or raw.shape[-1] != self.architecture.observation_size:
            size = self.architecture.observation_size
            raise ValueError(f"expected observations of shape ({size},) or (n, {size}), got {raw.shape}")
        action = self.mean(np.atleast_2d(raw))
        if not deterministic:
            noise = (rng or self._rng).standard_normal(action.shape, dtype=np.float32)
            action = np.asarray(action + self.std * noise, np.float32)
        clipped = self.clip(action)
        return clipped[0] if raw.ndim == 1 else clipped

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What ``policy.safetensors`` holds: parameters ``(in, out)``, and the observation statistics."""
        return dict(self.parameters) | {f"observation.{name}": value for name, value in self.moments.items()}

    def header(self) -> dict[str, Any]:
        """What ``policy.json`` holds."""
        config = self.config.to_dict(operational=False)
        return {"schema": POLICY_SCHEMA, "iteration": self.iteration, "architecture": asdict(self.architecture), "config": config}

    @classmethod
    def from_file(cls, arrays: Mapping[str, npt.NDArray[Any]], header: Mapping[str, Any]) -> Policy:
        """The inverse of :meth:`arrays` and :meth:`header`.

        Raises:
            ValueError, KeyError, TypeError: if they do not describe a policy.
        """
        if header["schema"] != POLICY_SCHEMA:
            raise ValueError(f"policy schema {header['schema']!r}, this version reads {POLICY_SCHEMA}")
        fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in header["architecture"].items()}
        parameters = {name: value for name, value in arrays.items() if not name.startswith("observation.")}
        moments = {name: arrays[f"observation.{name}"] for name in RunningMoments.FIELDS}
        return cls(Config.from_dict(header["config"]), Architecture(**fields), parameters, moments, int(header["iteration"]))
