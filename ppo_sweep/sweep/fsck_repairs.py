"""What ``fsck`` does to a run's files. Call with the run's lock held; every step may be the last one that is reached."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from ppo_sweep.config import Config
from ppo_sweep.runs import checkpoint, durable, places, stored_config
from ppo_sweep.runs.checkpoint import Progress
from ppo_sweep.runs.errors import storage_errors
from ppo_sweep.runs.status import Status, write_status
from ppo_sweep.runs.tables import CsvTable
from ppo_sweep.sweep.fsck_tables import COLUMNS


class Repairs:
    """The repairs of one run; all raise :class:`StorageError` where the disk refuses."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open_again(self, before: Status, progress: Progress | None, *, policy: bool) -> None:
        """Write a status that reads ``interrupted`` once the lock is released.

        Args:
            before: what is kept of: overrides, threads, versions.
            progress: of the checkpoint that the run continues from, if it has one.
            policy: whether the policy that is there is good; a damaged one is set aside.
        """
        opened = Status("running", versions=before.versions, threads=before.threads, overrides=before.overrides)
        if progress is not None:
            opened = replace(
                opened,
                iteration=progress.iteration,
                env_steps=progress.env_steps,
                versions=progress.versions,
                mixed_versions=progress.mixed_versions,
            )
        write_status(self.directory, opened)
        if not policy:
            self.set_policy_aside()

    def restore_config(self, config: Config) -> None:
        """Write ``config.yaml`` anew."""
        self._set_aside(self.directory / stored_config.NAME)
        stored_config.write_config(self.directory, config)

    def set_generation_aside(self, slot: str) -> None:
        """Take a checkpoint out of use; its header first, without which the rest is nothing."""
        self._set_aside(*(self.directory / checkpoint.DIRECTORY / f"{slot}{end}" for end in (".json", ".safetensors")))

    def set_policy_aside(self) -> None:
        """Take the policy out of use."""
        self._set_aside(*(self.directory / name for name in places.POLICY))

    def cut_table(self, name: str, length: int, copy: bytes | None) -> None:
        """Cut a table.

        Args:
            name: a key of ``COLUMNS``.
            length: bytes that stay; 0 = only the header.
            copy: what it was, if that is to be kept.
        """
        if copy is not None:
            durable.replace(self._aside / f"{name}.csv", copy, name)
        table = CsvTable(self.directory / f"{name}.csv", COLUMNS[name], name)
        try:
            if length:
                table.cut(length)
            else:
                table.start()
            table.synchronise()
        finally:
            table.close()

    def _set_aside(self, *paths: Path) -> None:
        for path in paths:
            if os.path.lexists(path):
                with storage_errors("move", path):
                    os.rename(path, self._aside / path.name)
                    durable.fsync_directory(path.parent)

    @cached_property
    def _aside(self) -> Path:
        """A new directory for what is taken out of use."""
        number = 1
        while os.path.lexists(aside := self.directory / f"{places.DAMAGED}-{number}"):
            number += 1
        places.make_directory(aside)
        return aside


def remove(path: Path) -> None:
    """Delete a temporary file."""
    with storage_errors("delete", path):
        path.unlink(missing_ok=True)
