"""Which paths a run may use, and what in them is its own."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path, PurePosixPath

from ppo_sweep.config import ConfigError, Fault
from ppo_sweep.runs import checkpoint, lock, loggers, status, stored_config
from ppo_sweep.runs.durable import fsync_directory
from ppo_sweep.runs.errors import DirectoryMismatch, StorageError, storage_errors
from ppo_sweep.runs.fault_points import passing

CHECKPOINT = checkpoint.DIRECTORY
LOG = "train.log"
TABLES = ("metrics.csv", "episodes.csv", "eval.csv", "timing.csv")
POLICY = ("policy.json", "policy.safetensors")

#: Start of the names of directories that keep what a damaged run left.
DAMAGED = "damaged"

#: What the entry may have put there before the run is opened, and what outlives ``force=true``.
_BESIDE = (".hydra", LOG, lock.NAME)
#: Files of a run, in the order of deletion.
_OWN = (status.NAME, *POLICY, *TABLES, stored_config.NAME)


def resolve_inside(root: Path, study: str, run: str) -> Path:
    """``root/study/run``, if that is inside ``root`` when every symbolic link is followed.

    Args:
        root: the results root; may itself be a link.
        study, run: relative, ``/`` between directories (``algo.lr=0.001/seed=1``).

    Raises:
        ConfigError: absolute, ``..``, an empty or unusable name, or a link that leads out.
    """
    for key, name in (("study", study), ("run", run)):
        parts = name.split("/")
        if not name or "\0" in name or any(part in ("", ".", "..") for part in parts):
            raise ConfigError(
                [Fault(key, f"{name!r} is no name inside the results directory; use one without '..', '//' or a leading '/'")]
            )
        if any(len(os.fsencode(part)) > 255 for part in parts):
            raise ConfigError([Fault(key, f"{name[:40]!r}… is longer than the 255 bytes that a file name may have")])
    path = root / PurePosixPath(study) / PurePosixPath(run)
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a loop of links
        inside = False
    if not inside:
        raise ConfigError([Fault("study", f"{path} leads out of {root} through a symbolic link; remove the link or choose another study")])
    return path


def check_ours(directory: Path) -> None:
    """Check that the directory is a run's, or empty, or not there.

    Raises:
        DirectoryMismatch: it holds something else, which must not be written into, let alone deleted.
        StorageError: it is a file, or cannot be read.
    """
    with storage_errors("read", directory):
        try:
            names = set(os.listdir(directory))
        except FileNotFoundError:
            return
        except NotADirectoryError:
            raise StorageError(f"{directory} is a file where a run's directory belongs; move it, or choose another study=") from None
    if stored_config.NAME in names and stored_config.is_stored_config(directory / stored_config.NAME):
        return
    # Half made, half deleted, or with a damaged configuration: the lock file is the first thing that a run leaves.
    expected = {*_BESIDE, *_OWN, CHECKPOINT, *loggers.DIRECTORIES} if lock.NAME in names else set(_BESIDE)
    strange = sorted(name for name in names - expected if not _is_temporary(name) and not name.startswith(f"{DAMAGED}-"))
    if strange:
        raise DirectoryMismatch(f"{directory} is not the directory of a run: it holds {', '.join(strange[:5])}; choose another study=")


def clear(directory: Path) -> None:
    """Delete what an earlier run left, by name: nothing else, and through no symbolic link.

    ``.hydra/``, ``train.log`` and files of others stay. Call with the lock held.

    Raises:
        DirectoryMismatch: the directory is not a run's.
        StorageError: something cannot be deleted.
    """
    check_ours(directory)
    # Status first, so that a half-deleted run never reads as finished; the configuration last, so that it is known as a run's.
    first, *others = (directory / name for name in _OWN)
    for path in [first, *_temporaries(directory), *_own_files(directory / CHECKPOINT), *others]:
        with storage_errors("delete", path):
            passing("force.delete.before")
            with suppress(FileNotFoundError):
                os.unlink(path)
            passing("force.delete.after")
    for path in (directory / name for name in loggers.DIRECTORIES):
        with storage_errors("delete", path), suppress(FileNotFoundError):
            shutil.rmtree(path)
    with storage_errors("save", directory):
        fsync_directory(directory)


def set_aside(directory: Path) -> Path:
    """Copy tables and checkpoints into ``damaged-N/``, before a run that cannot be continued begins anew over them.

    Raises:
        StorageError: there is no room for them; nothing has then been overwritten.
    """
    aside = next(path for number in itertools.count(1) if not os.path.lexists(path := directory / f"{DAMAGED}-{number}"))
    with storage_errors("make", aside):
        aside.mkdir()
    for path in (*(directory / name for name in TABLES), *_own_files(directory / CHECKPOINT)):
        with storage_errors("copy", path), suppress(FileNotFoundError):
            shutil.copyfile(path, aside / path.name, follow_symlinks=False)
    return aside


def make_directory(path: Path) -> None:
    """Make a directory, with its parents; a symbolic link in its place is refused.

    Raises:
        StorageError: it cannot be made, or is none.
    """
    with storage_errors("make", path):
        path.mkdir(parents=True, exist_ok=True)
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise StorageError(f"{path} is a symbolic link; a run is only written into a directory of its own")
        fsync_directory(path.parent)


def _own_files(generations: Path) -> list[Path]:
    if generations.is_symlink() or not generations.is_dir():
        return []
    return [*(generations / name for name in checkpoint.FILES), *_temporaries(generations)]


def _temporaries(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if _is_temporary(path.name))


def _is_temporary(name: str) -> bool:
    inner = name.removeprefix(".").removesuffix(".tmp")
    return name == f".{inner}.tmp" and inner in (*_OWN, *checkpoint.FILES)
