"""What PPO Sweep adds to Hydra: thin adapters to :mod:`ppo_sweep.sweep`.

Hydra scans this folder in every process that uses it, so nothing here imports torch or optuna.
``hydra_plugins/`` itself has no ``__init__.py``: it is a namespace that other plugins share.
"""
