"""The typed configuration: every knob with its unit, range, default and where the default comes from.

Floor 0: imports nothing of this package and no heavy library, so that a wrong command line is
answered in well under a second. ``conf/*.yaml`` holds *choices*; this is the *schema*, the source of
``docs/knobs.md`` and of every message about a wrong value.

algo, network, env   the sections: a knob is a line there
run                  a whole run: the sections, seed, budget, evaluation
declaring            what a knob knows of itself
reading              plain values in, a configuration or every fault out
combinations         choices that do not go together
faults               what is wrong, in words
"""

from ppo_sweep.config.algo import AlgoConfig
from ppo_sweep.config.combinations import combination_faults
from ppo_sweep.config.declaring import Knob
from ppo_sweep.config.env import EnvConfig
from ppo_sweep.config.faults import ConfigError, Fault
from ppo_sweep.config.network import NetworkConfig
from ppo_sweep.config.run import OPERATIONAL_KEYS, SCHEMA_VERSION, Config, EvalConfig, defaults, knobs, parse, unknown_key

__all__ = [
    "OPERATIONAL_KEYS",
    "SCHEMA_VERSION",
    "AlgoConfig",
    "Config",
    "ConfigError",
    "EnvConfig",
    "EvalConfig",
    "Fault",
    "Knob",
    "NetworkConfig",
    "combination_faults",
    "defaults",
    "knobs",
    "parse",
    "unknown_key",
]
