"""One Gymnasium environment from an env config: spaces, episodes, seeds, time limits, replay (floor 1, no torch).

environment   episodes with seeds of their own, and the way back into the middle of one
making        from an env config to a made environment; what prevents it, in words
spec          what the learner must know of it, and whether it can be learned at all
observation   observations of any supported space as one vector
mujoco, dm_control   what these simulators need beyond Gymnasium, and where they hide that they failed
"""

from ppo_sweep.envs.environment import Environment
from ppo_sweep.envs.making import make
from ppo_sweep.envs.mujoco import SimulationDiverged
from ppo_sweep.envs.spec import EnvSpec, inspect

__all__ = ["EnvSpec", "Environment", "SimulationDiverged", "inspect", "make"]
