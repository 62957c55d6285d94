"""From an env config to a made Gymnasium environment; whatever prevents it is worded for who typed the config."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import inspect
import re
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
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
    "ALE": (lambda: importlib.import_module("ale_py"), "pip install -e '.[atari]'"),
}

#: Arguments of gymnasium.make that are not the environment's, and where they belong.
_NOT_KWARGS = {
    "id": "it is env.id",
    "max_episode_steps": "it is a knob of its own, for example env.max_episode_steps=1000",
    "render_mode": "training renders nothing; scripts/watch.py shows a trained policy",
    "disable_env_checker": "spaces are checked here",
}

#: Names that Atari games had before they moved into the namespace ALE (without ale_py, nothing knows its games).
_ATARI = re.compile(
    r"(?P<game>\w+?)(-ram)?(NoFrameskip|Deterministic)-v\d+|"
    r"(?P<famous>Asteroids|BeamRider|Breakout|Enduro|Freeway|MontezumaRevenge|MsPacman|Pong|Qbert|Seaquest|SpaceInvaders)(-ram)?(-v\d+)?"
)

#: Entry points of registered environments that nothing here can train on, and which are therefore not suggested.
_UNUSABLE = re.compile(
    r"gymnasium\.envs\.(toy_text|tabular|phys2d)\b|"
    r"gymnasium\.envs\.(classic_control\.(cartpole|acrobot|mountain_car:)|box2d\.car_racing)|shimmy\.openai_gym"
)

#: What Gymnasium registers by itself; all else needs ``module:`` before it.
_BUILT_IN = frozenset(gymnasium.registry)


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
    if ":" in identifier:
        _import(identifier, module, name)
    try:
        if namespace in _NAMESPACES:
            _NAMESPACES[namespace][0]()
    except ImportError as error:
        message = f"{identifier} needs a package that is missing ({error}); install it with {_NAMESPACES[namespace][1]}"
        raise ConfigError([Fault("env.id", message)]) from error
    except Exception as error:
        message = f"{identifier} cannot be used: what registers it raised {type(error).__name__}: {_plain(str(error))}"
        raise ConfigError([Fault("env.id", message)]) from error
    if namespace == dm_control.NAMESPACE and "vision" in name:
        # Refused before it is made: without a display its renderer ends the whole process.
        raise ConfigError([Fault("env.id", f"{identifier} has images as observations; supported are vectors, for example Hopper-v5")])
    if name not in gymnasium.registry:
        raise ConfigError([Fault("env.id", f"{identifier!r} is not a registered environment; {_close(module, name)}")])
    return name


def _import(identifier: str, module: str, name: str) -> None:
    """Import the user's module; whatever it raises (``exit()`` too) is a fault that says where."""
    if not all(part.isidentifier() for part in module.split(".")):
        message = f"{identifier!r}: {module!r} is not the name of a module; for example env.id=package.module:Name-v0"
        raise ConfigError([Fault("env.id", message)])
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:
        place = _place(error)
        if isinstance(error, ImportError) and not place:
            why = f"the module {module!r} could not be imported ({error}); it must be on PYTHONPATH and register {name}"
        else:
            why = f"importing the module {module!r} raised {type(error).__name__}: {_plain(str(error))}{place}; repair the module"
        raise ConfigError([Fault("env.id", f"{identifier}: {why}")]) from error


def _place(error: BaseException) -> str:
    """Which line of which file raised ``error`` on import; empty where the import found no file at all."""
    if isinstance(error, SyntaxError):
        return ""  # its text says so
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    frames = [frame for frame in frames if frame.filename not in (__file__, importlib.__file__)]
    places = sysconfig.get_paths()
    own = [frame for frame in frames if not frame.filename.startswith((places["stdlib"], places["purelib"]))]
    for frame in (own or frames)[-1:]:
        return f" (line {frame.lineno} of {Path(frame.filename).name})"
    return ""


def _close(module: str, name: str) -> str:
    """Which registered ids the writer of ``name`` may have meant."""
    namespace = name.split("/")[0] if "/" in name else ""
    if not namespace:
        with contextlib.suppress(ImportError):  # then there is nothing of it to suggest
            dm_control.register()
    newest: dict[str, tuple[int, str]] = {}
    for known, spec in gymnasium.registry.items():
        if _UNUSABLE.match(str(spec.entry_point)):
            continue
        base = known.rsplit("-v", 1)[0].lower()
        for alias in {base, base.split("/")[-1]}:
            newest[alias] = max(newest.get(alias, (-1, "")), (spec.version or 0, _typed(module, known)))
    atari = _ATARI.fullmatch(name)
    if atari is not None and not module:
        return f"Atari games are called ALE/{atari['game'] or atari['famous']}-v5 and need {_NAMESPACES['ALE'][1]}"
    wanted = re.sub(r"-v\d*$", "", name).lower()
    near = [newest[alias][1] for alias in difflib.get_close_matches(wanted, newest, n=3, cutoff=0.7)]
    if near:
        return f"did you mean {' or '.join(dict.fromkeys(near))}?"
    known_namespaces = {spec.namespace for spec in gymnasium.registry.values()}
    if namespace and namespace not in known_namespaces:
        return f"nothing is registered under {namespace!r}: import its package with env.id=package:{name}"
    return "for example env.id=Hopper-v5, or env.id=package.module:Name-v0 for one of your own"


def _typed(module: str, known: str) -> str:
    """A registered id as it is typed: ``module:`` before what only that import registered."""
    own = known not in _BUILT_IN and known.split("/")[0] not in _NAMESPACES
    return f"{module}:{known}" if module and own else known


def _check_kwargs(config: EnvConfig, name: str) -> None:
    faults = [Fault(f"env.kwargs.{key}", why) for key, why in _NOT_KWARGS.items() if key in config.kwargs]
    task = config.kwargs.get("task_kwargs")
    if name.startswith(f"{dm_control.NAMESPACE}/") and isinstance(task, Mapping) and "time_limit" in task:
        faults.append(Fault("env.kwargs.task_kwargs.time_limit", _NOT_KWARGS["max_episode_steps"]))
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
        return Fault("env.id", f"{config.id} needs Box2D; install it with pip install -e '.[box2d]'")
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
