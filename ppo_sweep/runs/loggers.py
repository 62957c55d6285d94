"""A run's metrics for other programs to show: TensorBoard and Weights & Biases, beside the CSV tables.

What a logger writes is a copy of the tables, and nothing here reads it. When a run is opened it is
made anew from them, as they stand at the checkpoint: so nothing is in it twice, whatever a kill left
behind, and a run that goes on under another logger has its whole history there. Trouble with a
logger ends the logger; the run goes on.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ppo_sweep.config import OPERATIONAL_KEYS, Config
from ppo_sweep.runs.naming import shortest

TENSORBOARD, WANDB = "tensorboard", "wandb"
#: What loggers make in a run's directory.
DIRECTORIES = (TENSORBOARD, WANDB)
#: Longest name of a project or group that W&B takes.
_WANDB_NAME = 128


class Logger(Protocol):
    """What a run tells its logger; none of it raises."""

    def row(self, env_steps: int, row: Mapping[str, Any]) -> None:
        """An iteration's metrics, as in ``metrics.csv``."""

    def evaluation(self, env_steps: int, row: Mapping[str, Any]) -> None:
        """An evaluation, as in ``eval.csv``."""

    def finish(self, state: str, score: float | None) -> None:
        """The run has come to this state; nothing follows."""

    def close(self) -> None:
        """Let go of files and processes; a second time does nothing."""


def logger_of(config: Config, directory: Path, after_iteration: int, say: Callable[[str], None]) -> Logger:
    """The logger that ``config.logger`` asks for.

    Args:
        directory: of the run; its tables hold the iterations up to ``after_iteration``, which are copied first.
        say: told once if there is trouble.
    """
    if config.logger == "csv":
        return _Guarded("csv", None, say)
    destination: Callable[[Config, Path, Iterable[_Point]], _Destination] = _TensorBoard if config.logger == "tensorboard" else _Wandb
    return _Guarded(config.logger, lambda: destination(config, directory, list(_history(directory, after_iteration))), say)


def copy_finished(config: Config, directory: Path, state: str, score: float | None, say: Callable[[str], None]) -> bool:
    """Write what ``config.logger`` would have, had a run that has ended had it; whoever calls this holds the run's lock.

    Args:
        say: told once if there is trouble.

    Returns:
        Whether there was anything to do: False if the tables are all that is asked for, or the logger was there before.
    """
    if config.logger == "csv" or (directory / config.logger).exists():
        return False
    logger_of(config, directory, config.iterations, say).finish(state, score)
    return True


@dataclass(frozen=True)
class _Point:
    """Values at a step, by tag (``train/kl``); ``time`` in seconds since 1970."""

    env_steps: int
    values: Mapping[str, float]
    time: float


class _Destination(Protocol):
    """Where points go; anything may be raised."""

    def write(self, point: _Point) -> None: ...

    def finish(self, state: str, score: float | None) -> None: ...

    def close(self) -> None: ...


class _Guarded:
    """A :class:`Logger` that is off from its first trouble on, or from the start where there is no destination."""

    def __init__(self, name: str, opened: Callable[[], _Destination] | None, say: Callable[[str], None]) -> None:
        self._name, self._say = name, say
        self._destination: _Destination | None = None
        if opened is not None:
            try:
                self._destination = opened()
            except Exception as error:
                self._report(error)

    def row(self, env_steps: int, row: Mapping[str, Any]) -> None:
        self._write(env_steps, "train", row)

    def evaluation(self, env_steps: int, row: Mapping[str, Any]) -> None:
        self._write(env_steps, f"eval/{row['mode']}", row)

    def finish(self, state: str, score: float | None) -> None:
        self._guard(lambda destination: destination.finish(state, score))
        self.close()

    def close(self) -> None:
        self._guard(lambda destination: destination.close())
        self._destination = None

    def _write(self, env_steps: int, prefix: str, row: Mapping[str, Any]) -> None:
        if self._destination is not None:
            point = _Point(env_steps, _values(prefix, row), time.time())
            self._guard(lambda destination: destination.write(point))

    def _guard(self, action: Callable[[_Destination], None]) -> None:
        destination = self._destination
        if destination is None:
            return
        try:
            action(destination)
        except Exception as error:  # of other people's code, about something that no result depends on
            self._destination = None
            with suppress(Exception):
                destination.close()
            self._report(error)

    def _report(self, error: Exception) -> None:
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        self._say(f"warning: logger={self._name} is off until this run is continued; its tables are not concerned: {what}")


class _TensorBoard:
    """One event file in ``tensorboard/``, without threads: what is written is in the file, and trouble is met where it arises."""

    def __init__(self, config: Config, directory: Path, history: Iterable[_Point]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event = Event
        place = directory / TENSORBOARD
        place.mkdir(exist_ok=True)
        earlier = list(place.glob("*tfevents*"))
        # Readers take files in the order of their names.
        self._file: BinaryIO = (place / f"events.out.tfevents.{time.time_ns() // 1000:016d}").open("xb")
        try:
            self._records = RecordWriter(self._file)
            self._record(file_version="brain.Event:2")
            # A TensorBoard that is watching forgets what it has read from the files before.
            self._record(session_log=SessionLog(status=SessionLog.START), step=0)
            self._record(summary=_session_start(config))
            for point in history:
                self._points(point)
            self._file.flush()
            for path in earlier:
                # Emptied first and removed the next time: a TensorBoard that is reading it would wait for it forever.
                if path.stat().st_size:
                    os.truncate(path, 0)
                else:
                    path.unlink()
        except BaseException:
            self.close()
            raise

    def write(self, point: _Point) -> None:
        self._points(point)
        self._file.flush()

    def finish(self, state: str, score: float | None) -> None:
        if state != "stopped":  # which is to be continued
            self._record(summary=_session_end(state))
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _points(self, point: _Point) -> None:
        values = [{"tag": tag, "simple_value": value} for tag, value in point.values.items()]
        self._record(summary={"value": values}, step=point.env_steps, wall_time=point.time)

    def _record(self, **content: Any) -> None:
        self._records.write(self._event(**({"wall_time": time.time()} | content)).SerializeToString())


def _session_start(config: Config) -> Any:
    """For the page HPARAMS: every knob but the seed, so that the seeds of a setting are one group."""
    from tensorboard.plugins.hparams import plugin_data_pb2

    knobs = {key: value for key, _, value in config.walk() if key not in ("seed", *OPERATIONAL_KEYS)}
    group = hashlib.sha256(json.dumps(knobs, sort_keys=True).encode()).hexdigest()[:16]
    start = plugin_data_pb2.SessionStartInfo(group_name=group, start_time_secs=time.time())
    for key, value in knobs.items():
        if isinstance(value, bool):
            start.hparams[key].bool_value = value
        elif isinstance(value, (int, float)):
            start.hparams[key].number_value = value
        else:
            start.hparams[key].string_value = shortest(value)
    return _hparams("SESSION_START_INFO_TAG", session_start_info=start)


def _session_end(state: str) -> Any:
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    status = api_pb2.STATUS_SUCCESS if state in ("done", "pruned") else api_pb2.STATUS_FAILURE
    return _hparams("SESSION_END_INFO_TAG", session_end_info=plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time()))


def _hparams(tag: str, **content: Any) -> Any:
    """A summary as the plugin ``hparams`` expects it; its own functions for this import TensorFlow."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    about = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**content))
    return Summary(value=[Summary.Value(tag=getattr(metadata, tag), metadata=about, tensor=metadata.NULL_TENSOR)])


class _Wandb:
    """A W&B run in ``wandb/``; offline, without any access to a network, unless ``WANDB_MODE`` says otherwise.

    A run that is continued is the same W&B run: the id follows from configuration and name. Several
    runs are active in one process, so the one that W&B calls its current run is never used.
    """

    def __init__(self, config: Config, directory: Path, history: Iterable[_Point]) -> None:
        offline = not os.environ.get("WANDB_MODE")
        if offline:
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # which would look for a network
        import wandb

        project, name = _project_and_name(config, directory)
        identity = hashlib.sha256(f"{config.hash} {project} {name}".encode()).hexdigest()[:16]
        # Offline runs are uploaded later, each by itself: there must be one, and it must hold everything.
        for earlier in (directory / WANDB).glob(f"offline-run-*-{identity}"):
            shutil.rmtree(earlier)
        settings = wandb.Settings(
            reinit="create_new",
            console="off",
            silent=True,
            disable_code=True,
            disable_git=True,
            x_disable_stats=True,  # no process that samples the machine beside training
        )
        self._run = wandb.init(
            mode="offline" if offline else None,
            resume=None if offline else "allow",
            project=None if os.environ.get("WANDB_PROJECT") else project,
            id=identity,
            name=name,
            group=name.rpartition("/")[0][:_WANDB_NAME] or None,
            config=config.to_dict(operational=False),
            dir=str(directory),
            settings=settings,
        )
        try:
            for point in history:
                self.write(point)
        except BaseException:
            self.close()
            raise

    def write(self, point: _Point) -> None:
        self._run.log(dict(point.values), step=point.env_steps)

    def finish(self, state: str, score: float | None) -> None:
        self._run.summary.update({"state": state, "score": score})
        self._run.finish(exit_code=0 if state in ("done", "pruned") else 1)

    def close(self) -> None:
        self._run.finish(exit_code=1)


def _project_and_name(config: Config, directory: Path) -> tuple[str, str]:
    """Study and run below the results root; of a directory elsewhere, the last three parts of its path."""
    path = directory.resolve()
    with suppress(ValueError):
        path = path.relative_to(Path(config.results).resolve())
    project, *name = path.parts[-3:] if path.is_absolute() or len(path.parts) < 2 else path.parts
    return re.sub(r"[/\\#?%:]", "-", project)[:_WANDB_NAME], "/".join(name)


def _history(directory: Path, after_iteration: int) -> Iterator[_Point]:
    """What the tables hold up to an iteration, with evaluations behind the iteration they belong to."""
    if after_iteration < 1:
        return
    evaluations = defaultdict(list)
    for row in _rows(directory / "eval.csv"):
        evaluations[row["env_steps"]].append(row)
    seconds = {row["iteration"]: float(row["seconds"] or 0) for row in _rows(directory / "timing.csv")}
    # As if training had gone on without a break until now: TensorBoard can show the hours it took.
    moment = time.time() - sum(seconds.values())
    for row in _rows(directory / "metrics.csv"):
        if int(row["iteration"]) > after_iteration:
            return
        steps = int(row["env_steps"])
        moment += seconds.get(row["iteration"], 0.0)
        yield _Point(steps, _values("train", row), moment)
        for evaluation in evaluations[row["env_steps"]]:
            yield _Point(steps, _values(f"eval/{evaluation['mode']}", evaluation), moment)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _values(prefix: str, row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row by tag; what is blank in the table is left out."""
    cells = {name: value for name, value in row.items() if name not in ("env_steps", "mode") and value not in (None, "")}
    numbers = {f"{prefix}/{name}": float(value) for name, value in cells.items()}
    return {tag: number for tag, number in numbers.items() if math.isfinite(number)}
