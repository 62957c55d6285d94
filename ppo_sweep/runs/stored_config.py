"""``config.yaml`` of a run: what it computes, so that nothing else is ever continued in its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ppo_sweep.config import SCHEMA_VERSION, Config, ConfigError
from ppo_sweep.runs import durable
from ppo_sweep.runs.errors import CorruptFile, DirectoryMismatch

NAME = "config.yaml"

_SIZE_LIMIT = 2**20


def write_config(directory: Path, config: Config) -> None:
    """Write the resolved configuration without operational keys, its hash and the schema version.

    Raises:
        StorageError: the disk refused.
    """
    document = {"schema_version": SCHEMA_VERSION, "hash": config.hash, **_plain(config)}
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=140)
    durable.replace(directory / NAME, text.encode(), "config")


def read_config(directory: Path) -> Config:
    """The configuration that a run directory was made with (operational keys at their defaults).

    Raises:
        CorruptFile: it does not parse, is of another schema, or does not match its own hash.
        StorageError: there is none, or the system will not give it.
    """
    path = directory / NAME
    document = _read(path)
    if document is None:
        raise CorruptFile(path, "file", "the configuration of a run", "no such file")
    schema, stored_hash = document.pop("schema_version", None), document.pop("hash", None)
    if schema != SCHEMA_VERSION:
        raise CorruptFile(path, "schema_version", SCHEMA_VERSION, repr(schema))
    try:
        config = Config.from_dict(document)
    except ConfigError as error:
        raise CorruptFile(path, error.faults[0].key, "a valid configuration", error.faults[0].message) from None
    if config.hash != stored_hash:
        raise CorruptFile(path, "hash", config.hash, repr(stored_hash))
    return config


def check_config(directory: Path, config: Config) -> bool:
    """Whether the directory already is one of this configuration; False if it has none yet.

    Raises:
        DirectoryMismatch: it is one of another; the message lists the differences.
        StorageError: the system will not give the file.
    """
    path = directory / NAME
    try:
        document = _read(path)
    except CorruptFile as error:
        raise DirectoryMismatch(f"{error}; restore it, or start anew with force=true") from error
    if document is None:
        return False
    schema, stored_hash = document.pop("schema_version", None), document.pop("hash", None)
    if schema != SCHEMA_VERSION:
        raise DirectoryMismatch(
            f"{path}: schema_version: expected {SCHEMA_VERSION}, found {schema!r}: written by another version of ppo_sweep; "
            "use that version, or start anew with force=true"
        )
    lines = list(_differences(document, _plain(config)))
    if not lines and stored_hash != config.hash:
        lines = [f"hash: {stored_hash} here, {config.hash} asked for"]
    if lines:
        raise DirectoryMismatch(
            f"{directory} holds a run of another configuration:\n"
            + "".join(f"  {line}\n" for line in lines)
            + "choose another study=, or delete that run and start anew with force=true"
        )
    return True


def is_stored_config(path: Path) -> bool:
    """Whether a file is a configuration that this project wrote (and not another tool's ``config.yaml``)."""
    try:
        content = durable.read(path, limit=_SIZE_LIMIT)
    except CorruptFile:
        return False
    # By its first lines, as write_config puts them: parsing YAML costs milliseconds, and what is in it is for check_config to judge.
    return content is not None and content.startswith(b"schema_version: ") and b"\nhash: " in content


def _plain(config: Config) -> dict[str, Any]:
    """Nested plain values as YAML gives them back: tuples as lists, keys as strings, no two alike objects shared."""
    return dict(json.loads(json.dumps(config.to_dict(operational=False))))


def _read(path: Path) -> dict[str, Any] | None:
    content = durable.read(path, limit=_SIZE_LIMIT)
    if content is None:
        return None
    try:
        # We write none, and a file of references to itself would never come to an end.
        if b"*" in content and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, yaml.SafeLoader)):
            raise CorruptFile(path, "YAML", "plain values", "a reference to another part of the file")
        document = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        summary = " ".join(str(error).split())
        raise CorruptFile(path, "YAML", "a configuration", f"{len(content)} bytes that do not parse ({summary})") from None
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise CorruptFile(path, "YAML", "a mapping of knobs", f"a {type(document).__name__}")
    return document


def _differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str]:
    """``algo.lr: 0.0003 here, 0.001 asked for``, one line per knob."""
    here, there = dict(_flat(stored)), dict(_flat(asked))
    for key in sorted(here.keys() | there.keys()):
        if _text(here, key) != _text(there, key):
            yield f"{key}: {_text(here, key)} here, {_text(there, key)} asked for"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "not set"
    value = values[key]
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
