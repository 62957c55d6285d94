"""From an env config to a made Gymnasium environment; whatever prevents it is worded for who typed the config."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.envs.registration import load_env_creator
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from ppo_sweep.config import ConfigError, EnvConfig, Fault
from ppo_sweep.envs import dm_control
from ppo_sweep.envs.mujoco import redirect_warnings, relay_said

Made = gymnasium.Env[Any, Any]

#: Namespaces that are registered by importing a package: what to import, and what installs it.
_NAMESPACES: dict[str, tuple[Callable[[], object], str]] = {
    dm_control.NAMESPACE: (dm_control.register, "pip install dm_control shimmy"),
    "ALE": (lambda: importlib.import_module("ale_py"), "pip install 'ppo-sweep[atari]'"),
}

#: Arguments of gymnasium.make that are not the environment's, and where they belong.
_NOT_KWARGS = {
    "id": "it is env.id",
    "max_episode_steps": "it is a knob of its own, for example env.max_episode_steps=1000",
    "render_mode": "training renders nothing; scripts/watch.py shows a trained policy",
    "disable_env_checker": "spaces are checked here",
}


def make(config: EnvConfig, warn: Callable[[str], None], *, render_mode: str | None = None) -> Made:
    """Make the environment with its registered wrappers and the time limit of ``config``.

    Warnings of Gymnasium, of the constructor and of MuJoCo's compiler go to ``warn``. ``action_repeat``
    and ``clip_action`` are not applied here.

    Raises:
        ConfigError: unknown id, missing package, unknown or unfit ``env.kwargs``.
    """
    name = _registered_name(config.id)
    arguments = dict(config.kwargs)
    if render_mode is not None:
        arguments["render_mode"] = render_mode
    redirect_warnings()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            _check_kwargs(config, name)
            suite = name.startswith(f"{dm_control.NAMESPACE}/")
            if suite:
                arguments = dm_control.seeded(arguments)
            with dm_control.plain_sky() if suite and render_mode is None else contextlib.nullcontext():
                env = gymnasium.make(name, max_episode_steps=config.max_episode_steps, disable_env_checker=True, **arguments)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError([_unmakeable(config, name, error)]) from error
        finally:
            redirect_warnings()
    if config.max_episode_steps is not None:
        dm_control.lift_step_limit(env.unwrapped)
    for warning in caught:
        warn(_plain(str(warning.message)))
    relay_said(warn)
    return env


def peel(env: Made) -> tuple[Made, bool]:
    """``env`` without the wrappers that only count and guard, and whether the time limit went with them.

    Only what is outermost is taken off: a registered wrapper may look at the truncation inside it.
    """
    limited = type(env) is TimeLimit
    if type(env) is TimeLimit:
        env = env.env
    if type(env) is OrderEnforcing:
        env = env.env
    return env, limited


def accepted_kwargs(name: str) -> list[str] | None:
    """The keyword arguments that the constructor of registered id ``name`` takes; None = any."""
    entry_point = gymnasium.registry[name].entry_point
    if name.startswith(f"{dm_control.NAMESPACE}/"):
        return list(dm_control.KWARGS)
    creator: Any = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    if not isinstance(creator, type):
        bound = creator.keywords if isinstance(creator, functools.partial) else {}
        names, more = _keywords(creator)
        return None if more else [name for name in names if name not in bound]
    found: list[str] = []
    for cls in creator.__mro__:
        if "__init__" in vars(cls):
            # **kwargs of a constructor go to its parent; what the parent requires, the child supplies.
            names, more = _keywords(vars(cls)["__init__"], optional=cls is not creator)
            found += [name for name in names if name not in found]
            if not more:
                return found
    return None


def _keywords(function: Callable[..., Any], *, optional: bool = False) -> tuple[list[str], bool]:
    """The names ``function`` takes by keyword (``optional``: only those with a default), and whether it takes any other."""
    parameters = list(inspect.signature(function).parameters.values())
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = [p.name for p in parameters if p.kind in by_name and p.name != "self"]
    if optional:
        names = [p.name for p in parameters if p.name in names and p.default is not inspect.Parameter.empty]
    return names, any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def _registered_name(identifier: str) -> str:
    """The id as Gymnasium's registry knows it, after importing what registers it."""
    module, _, name = identifier.rpartition(":")
    namespace = name.split("/")[0] if "/" in name else ""
    try:
        if module:
            importlib.import_module(module)
    except ImportError as error:
        message = f"{identifier}: the module {module!r} could not be imported ({error}); it must be on PYTHONPATH and register {name}"
        raise ConfigError([Fault("env.id", message)]) from error
    try:
        if namespace in _NAMESPACES:
            _NAMESPACES[namespace][0]()
    except ImportError as error:
        message = f"{identifier} needs a package that is missing ({error}); install it with {_NAMESPACES[namespace][1]}"
        raise ConfigError([Fault("env.id", message)]) from error
    if namespace == dm_control.NAMESPACE and "vision" in name:
        # Refused before it is made: without a display its renderer ends the whole process.
        raise ConfigError([Fault("env.id", f"{identifier} has images as observations; supported are vectors, for example Hopper-v5")])
    if name not in gymnasium.registry:
        raise ConfigError([Fault("env.id", f"{identifier!r} is not a registered environment; {_close(name)}")])
    return name


def _close(name: str) -> str:
    """Which registered ids the writer of ``name`` may have meant."""
    namespace = name.split("/")[0] if "/" in name else ""
    if not namespace:
        with contextlib.suppress(ImportError):  # then there is nothing of it to suggest
            dm_control.register()
    newest: dict[str, tuple[int, str]] = {}
    for known, spec in gymnasium.registry.items():
        base = known.rsplit("-v", 1)[0].lower()
        for alias in {base, base.split("/")[-1]}:
            newest[alias] = max(newest.get(alias, (-1, "")), (spec.version or 0, known))
    wanted = re.sub(r"-v\d*$", "", name).lower()
    near = [newest[alias][1] for alias in difflib.get_close_matches(wanted, newest, n=3, cutoff=0.6)]
    if near:
        return f"did you mean {' or '.join(dict.fromkeys(near))}?"
    known_namespaces = {spec.namespace for spec in gymnasium.registry.values()}
    if namespace and namespace not in known_namespaces:
        return f"nothing is registered under {namespace!r}: import its package with env.id=package:{name}"
    return "for example env.id=Hopper-v5, or env.id=package.module:Name-v0 for one of your own"


def _check_kwargs(config: EnvConfig, name: str) -> None:
    faults = [Fault(f"env.kwargs.{key}", why) for key, why in _NOT_KWARGS.items() if key in config.kwargs]
    accepted = accepted_kwargs(name) if config.kwargs else None
    for key in config.kwargs:
        if accepted is not None and key not in accepted and key not in _NOT_KWARGS:
            near = difflib.get_close_matches(key, accepted, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it takes {', '.join(accepted) or 'none'}"
            faults.append(Fault(f"env.kwargs.{key}", f"{config.id} takes no such argument; {hint}"))
    if faults:
        raise ConfigError(faults)


def _unmakeable(config: EnvConfig, name: str, error: Exception) -> Fault:
    """Why Gymnasium could not make the environment, and what to do about it."""
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    text = _plain(str(cause))
    if "box2d" in text.lower():
        return Fault("env.id", f"{config.id} needs Box2D; install it with pip install 'ppo-sweep[box2d]'")
    if "gymnasium-robotics" in text:
        newest = name.rsplit("-v", 1)[0] + "-v5"
        use = f"use {newest}" if newest in gymnasium.registry else "use the v5 environments"
        return Fault("env.id", f"{config.id} needs the abandoned mujoco-py; {use}")
    if isinstance(cause, ImportError | gymnasium.error.DependencyNotInstalled):
        return Fault("env.id", f"{config.id} needs a package that is missing: {text}")
    if config.kwargs:
        return Fault("env.kwargs", f"{config.id} could not be made with {config.kwargs}: {type(cause).__name__}: {text}")
    return Fault("env.id", f"{config.id} could not be made: {type(cause).__name__}: {text}")


def _plain(text: str) -> str:
    """Without terminal colours (Gymnasium paints its warnings) and line breaks."""
    return " ".join(re.sub(r"\x1b\[[\d;]*m", "", text).split())
