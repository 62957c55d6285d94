"""Carrying out a checked command: what Hydra calls per job, and the exit code of it all."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ppo_sweep.config import Config, ConfigError
from ppo_sweep.runs.errors import DirectoryBusy, DirectoryMismatch, StorageError
from ppo_sweep.sweep.composition import worded
from ppo_sweep.sweep.errors import RunFailed, WorkersDoNotStart
from ppo_sweep.sweep.wording import outcome

if TYPE_CHECKING:
    from ppo_sweep.runs.trainer import RunResult
    from ppo_sweep.sweep.study.request import StudyRequest

BUG, BAD_INPUT, RUN_FAILED, DIRECTORY = 1, 2, 3, 4

#: Exit codes after which there is something to continue: Ctrl-C, SIGTERM, a terminal that closed, and runs that failed.
_TO_BE_CONTINUED = (130, 143, 129, RUN_FAILED)


class Session:
    """One command being carried out: runs single jobs as Hydra hands them over, and hears from sweeps what came of theirs.

    Attributes:
        command: the command line as typed.
        study: the study that it asks for, if it does.
        results: what came of each distinct run, in the order they ended.
    """

    def __init__(self, command: Sequence[str] = (), study: StudyRequest | None = None) -> None:
        self.command = tuple(command)
        self.study = study
        self.results: dict[Path, RunResult] = {}

    def add(self, results: Iterable[RunResult]) -> None:
        """Take note of what came of a sweep's runs."""
        self.results |= {result.directory: result for result in results}

    def run(self, composed: DictConfig) -> RunResult:
        """Train one job in the directory that Hydra made for it.

        Raises:
            SystemExit: when the run was interrupted, so that the rest of a grid is not begun.
        """
        from ppo_sweep.runs.trainer import train  # loads torch, which a wrong command line need not wait for

        hydra = HydraConfig.get()
        path = Path(hydra.runtime.output_dir)
        if path in self.results:
            return self.results[path]
        values = cast("dict[str, Any]", OmegaConf.to_container(composed, resolve=True))
        result = train(Config.from_dict(values), _relative(path), overrides=list(hydra.overrides.task))
        self.results[path] = result
        line = outcome(result.state, result.directory, result.score, result.reason)
        print(f"already {line}" if result.already else line, flush=True)
        if result.exit_code > 128:
            raise SystemExit(result.exit_code)
        return result

    @property
    def exit_code(self) -> int:
        """0 if all runs are done, 3 if some failed or diverged."""
        return max((result.exit_code for result in self.results.values()), default=0)


_active: list[Session] = []


def current() -> Session:
    """The command that is being carried out; launchers, which Hydra makes, ask for it. An empty one in a foreign application."""
    return _active[-1] if _active else Session()


def carry_out(main: Callable[[], Any], session: Session, argv: tuple[str, ...]) -> int:
    """Enter ``hydra.main`` and turn whatever comes out of it into an exit code.

    Args:
        main: the function that ``hydra.main`` decorated.
        session: what it calls.
        argv: the command line for Hydra.
    """
    with _command_line(argv), _carrying_out(session):
        code = _entered(main, session)
    if code in _TO_BE_CONTINUED and any(word.lstrip("+").lower() == "force=true" for word in argv):
        print("to continue, leave out force=true: with it, the same command deletes what is there and begins anew", file=sys.stderr)
    return code


def _entered(main: Callable[[], Any], session: Session) -> int:
    try:
        main()
    except (ConfigError, HydraException, OmegaConfBaseException) as error:
        print(error if isinstance(error, ConfigError) else worded(error), file=sys.stderr)
        return BAD_INPUT
    except (DirectoryBusy, DirectoryMismatch) as error:
        print(error, file=sys.stderr)
        return DIRECTORY
    except RunFailed:
        return RUN_FAILED  # a sweeper asked a failed run for its score; the closing table has told why it has none
    except StorageError as error:
        print(error, file=sys.stderr)
        return RUN_FAILED
    except WorkersDoNotStart as error:
        print(error, file=sys.stderr)
        return BUG
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else BUG
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        return 130
    except Exception as error:
        refused = _disk_error(error)
        if refused is not None:
            print(refused, file=sys.stderr)
            return RUN_FAILED
        traceback.print_exc()
        print("this is a bug in ppo_sweep; the lines above say where", file=sys.stderr)
        return BUG
    return session.exit_code


@contextmanager
def _carrying_out(session: Session) -> Iterator[None]:
    _active.append(session)
    try:
        yield
    finally:
        _active.pop()


def _disk_error(error: BaseException | None) -> str | None:
    """What the disk refused, if that is at the root of ``error``: Hydra writes files of its own, and wraps what it meets."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            what = f"cannot write {error.filename}" if error.filename else "cannot write the results"
            return f"{what}: {error.strerror}; what was written before is intact, and the same command continues once the cause is gone"
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def _command_line(argv: tuple[str, ...]) -> Iterator[None]:
    """Hydra reads ``sys.argv``."""
    before = sys.argv
    sys.argv = [before[0], *argv]
    try:
        yield
    finally:
        sys.argv = before


def _relative(path: Path) -> Path:
    """As the user would type it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
