"""``hydra/sweeper=study``: the sweeper of Optuna studies (``sweep=tpe``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class StudySweeper(Sweeper):
    """Hands the study that ``train.py`` has checked to :mod:`ppo_sweep.sweep.study.carrying_out`."""

    def __init__(self, **options: Any) -> None:
        """``options`` (``params``, as other sweepers have) are for Hydra's eyes only."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._config = config

    def sweep(self, arguments: list[str]) -> None:
        """Carry the study out.

        Raises:
            SystemExit: with the exit code, if that is not 0.
        """
        from ppo_sweep.sweep import hydra_jobs  # loads torch

        launcher = cast("Mapping[str, Any]", OmegaConf.to_container(self._config.hydra.launcher, resolve=True))
        directory = Path(self._config.hydra.sweep.dir)
        directory.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self._config, directory / "multirun.yaml")
        code = hydra_jobs.carry_out_study(self._config, launcher)
        if code:
            raise SystemExit(code)


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="study",
    provider="ppo_sweep",
    node={"_target_": f"{StudySweeper.__module__}.{StudySweeper.__name__}", "params": None},
)
