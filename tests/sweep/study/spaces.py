"""Spaces and studies to test with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

from ppo_sweep import envs
from ppo_sweep.sweep import overrides
from ppo_sweep.sweep.composition import CONF, Composer
from ppo_sweep.sweep.overrides import Setting
from ppo_sweep.sweep.study import request
from ppo_sweep.sweep.study.compositions import FixedCompositions
from ppo_sweep.sweep.study.request import StudyRequest
from ppo_sweep.sweep.study.space import Space


def stand_in_for_the_sweeper() -> None:
    """Make ``override /hydra/sweeper: study`` compose where no plugin has registered it."""
    store = ConfigStore.instance()
    if "study.yaml" not in store.repo.get("hydra", {}).get("sweeper", {}):
        store.store(group="hydra/sweeper", name="study", node={"_target_": "hydra_plugins.none.Sweeper"}, provider="test")


@contextmanager
def compositions(**fixed: Any) -> Iterator[FixedCompositions]:
    """What ``conf/`` and these overrides amount to (``algo__lr`` stands for ``algo.lr``)."""
    stand_in_for_the_sweeper()
    with Composer() as composer:
        yield FixedCompositions(composer, {key.replace("__", "."): value for key, value in fixed.items()})


def space(
    definitions: Mapping[str, Any],
    typed: Mapping[str, str] | None = None,
    environments: Sequence[str] = (),
    prunes: bool = True,
    **fixed: Any,
) -> Space:
    """A space of these definitions, on Hopper unless told otherwise; ``algo__lr=1e-3`` fixes a knob."""
    fixed.setdefault("env", "hopper")
    with compositions(**fixed) as made:
        return Space.read(definitions, made, typed=typed, fixed=tuple(made.fixed), environments=environments, prunes=prunes)


def default_space(**fixed: Any) -> Space:
    """What ``sweep=tpe`` searches."""
    fixed.setdefault("env", "hopper")
    with compositions(sweep="tpe", **fixed) as made:
        return Space.read(made.composer.compose({"sweep": "tpe"}).values["sweep"]["space"], made, fixed=tuple(made.fixed))


def read(*words: str, further: tuple[Path, str] | None = None) -> StudyRequest:
    """The study that these words ask for, with ``--config-dir`` and ``--config-name`` if there are ``further`` configs."""
    stand_in_for_the_sweeper()
    with Composer(CONF, *(further or ())) as composer:
        settings = []
        for word in words:
            key, _, text = word.partition("=")
            parsed = overrides.parser().parse_override(word)
            swept = parsed.is_sweep_override()
            values = overrides._values(parsed) if swept else (parsed.value(),)
            settings.append(Setting(key, values, text, composer.is_group(key), swept))
        return request.read(settings, composer, envs.inspect)
