"""One Gymnasium environment from an env config: spaces, episodes, seeds, time limits, replay (floor 1, no torch)."""

from ppo_sweep.envs.environment import Environment
from ppo_sweep.envs.making import make
from ppo_sweep.envs.mujoco import SimulationDiverged
from ppo_sweep.envs.spec import EnvSpec, inspect

__all__ = ["EnvSpec", "Environment", "SimulationDiverged", "inspect", "make"]
