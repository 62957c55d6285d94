"""A Hydra callback that writes down what it is called with, into ``events.jsonl``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class Recording(Callback):
    """Every event of a multirun, in order."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _note("multirun start")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        _note("multirun end")

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        _note("start", **_about(config))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        assert job_return.cfg is not None and job_return.hydra_cfg is not None and job_return.overrides is not None
        returned = {
            "status": job_return.status.name,
            "overrides": list(job_return.overrides),
            "returned_seed": job_return.cfg.seed,
            "returned_num": job_return.hydra_cfg.hydra.job.num,
            "task": job_return.task_name,
            "at": job_return.working_dir,
        }
        _note("end", **_about(config), **returned)


def _about(config: DictConfig) -> dict[str, Any]:
    current = HydraConfig.get()
    assert current.runtime.output_dir == config.hydra.runtime.output_dir
    return {"num": current.job.num, "id": current.job.id, "seed": config.seed, "place": Path(current.runtime.output_dir).name}


def _note(event: str, **about: Any) -> None:
    with Path("events.jsonl").open("a") as file:
        file.write(json.dumps({"event": event, **about}) + "\n")
