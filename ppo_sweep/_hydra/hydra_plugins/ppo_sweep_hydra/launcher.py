"""``hydra/launcher=population``: the launcher that ``-m`` uses unless another is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class PopulationLauncher(Launcher):
    """Hands the jobs of a sweep to :func:`ppo_sweep.sweep.hydra_jobs.launch`.

    Args:
        options: see :class:`ppo_sweep.sweep.options.LauncherOptions`, which checks them.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._context, self._task_function, self._config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from ppo_sweep.sweep import hydra_jobs  # loads torch

        return hydra_jobs.launch(
            self._context, self._config, self._task_function, self._options, [list(words) for words in job_overrides], initial_job_idx
        )


ConfigStore.instance().store(
    group="hydra/launcher",
    name="population",
    provider="ppo_sweep",
    # Plain values, so that a wrong one gets our message with its example.
    node={
        "_target_": f"{PopulationLauncher.__module__}.{PopulationLauncher.__name__}",
        "workers": None,
        "slots": None,
        "max_restarts": 3,
        "worker_timeout": 600,
    },
)
