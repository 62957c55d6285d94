"""One writer for each run directory: ``flock``, which the kernel drops when its holder dies, however it dies."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
import weakref
from contextlib import suppress
from pathlib import Path

from ppo_sweep.runs import durable, strict_json
from ppo_sweep.runs.errors import CorruptFile, DirectoryBusy, StorageError, storage_errors

#: Hidden: it is empty of results. It stays when the lock is released; a file without a holder is no lock.
NAME = ".lock"

#: A reader's look (:func:`is_locked`) holds a shared lock for microseconds; a writer that meets one tries again.
_PATIENCE_SECONDS = 0.25

_held: weakref.WeakSet[RunLock] = weakref.WeakSet()


class RunLock:
    """The exclusive lock of a directory, held from construction until :meth:`release` or the process's end.

    Pid, host and time inside the file are for messages only. Children inherit nothing: the
    descriptor closes on exec, and in a forked child at once.
    """

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Raises:
            DirectoryBusy: somebody else has it; the message says who.
            StorageError: the directory or its file system refuses.
        """
        self._path = directory / NAME
        with storage_errors("lock", self._path):
            self._descriptor = _take(self._path)
        _held.add(self)
        # Without these words the lock is as good; a full disk is reported by what follows.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            started = time.strftime("%Y-%m-%d %H:%M:%S")
            os.pwrite(self._descriptor, strict_json.encode({"pid": os.getpid(), "host": socket.gethostname(), "since": started}), 0)

    def check_held(self) -> None:
        """Look whether the directory at this path is still the one that was locked.

        Raises:
            StorageError: it was moved away, removed or replaced; what is there now is somebody else's.
        """
        if _same_file(self._descriptor, self._path):
            return
        if not self._path.parent.exists():
            raise StorageError(f"cannot write {self._path.parent}: it was removed while the run wrote it; the same command starts anew")
        raise StorageError(
            f"cannot write {self._path.parent}: it is not the directory that this run began in, which was moved away or replaced; "
            "what was written is where it was moved to, and the same command starts or continues what is here now"
        )

    def release(self) -> None:
        """Let go; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_locked(directory: Path) -> bool:
    """Whether a living process holds the directory; writes nothing, and no writer fails because of it."""
    try:
        descriptor = os.open(directory / NAME, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def holder(directory: Path) -> str:
    """Who wrote the lock file last, in words."""
    try:
        content = durable.read(directory / NAME, limit=4096)
        about = strict_json.decode(content or b"", directory / NAME)
        pid, host, since = (about[key] for key in ("pid", "host", "since"))
    except (CorruptFile, StorageError, KeyError):
        return "another process"
    itself = " (this very process)" if (pid, host) == (os.getpid(), socket.gethostname()) else ""
    return f"process {pid} on {host}{itself}, since {since}"


def _take(path: Path) -> int:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Removed and made anew between open and flock: this would be a lock on a file that is not there.
            if _same_file(descriptor, path):
                return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise DirectoryBusy(
                    f"{path.parent} is in use by {holder(path.parent)}; wait for it or stop it, then the same command continues"
                ) from None
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.ENOLCK, errno.ENOTSUP):
                raise StorageError(f"cannot lock {path}: this file system has no flock; choose another with results=") from error
            raise
        os.close(descriptor)
        time.sleep(0.01)


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))


def _close_in_child() -> None:
    """A fork shares the open file, and a shared flock would outlive its holder for as long as the child runs."""
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_close_in_child)
