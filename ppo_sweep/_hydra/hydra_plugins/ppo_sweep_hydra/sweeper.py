"""``hydra/sweeper=grid``: Hydra's basic sweeper without its second look at every job, and undeterred by one that fails."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from omegaconf import OmegaConf


class GridSweeper(BasicSweeper):
    """Every combination of the values given, in one batch unless ``hydra.sweeper.max_batch_size`` is set.

    The basic sweeper composes each job once just to see whether that works, about 40 ms a job;
    ``train.py`` has checked them all before (:mod:`ppo_sweep.sweep.command_line`). And it asks the jobs of
    a batch for their values before it begins the next one, so that the first failure would end them all.
    """

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Launch all batches, then raise what the first failed job did, if any."""
        assert self.config is not None and self.launcher is not None and self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        directory = Path(self.config.hydra.sweep.dir)
        directory.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, directory / "multirun.yaml")
        returned: list[Sequence[JobReturn]] = []
        first = 0
        for batch in self.split_arguments(overrides, self.max_batch_size):
            returned.append(self.launcher.launch(batch, initial_job_idx=first))
            first += len(batch)
        for job in chain(*returned):
            _ = job.return_value
        return returned


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="grid",
    provider="ppo_sweep",
    node={"_target_": f"{GridSweeper.__module__}.{GridSweeper.__name__}", "max_batch_size": None, "params": None},
)
