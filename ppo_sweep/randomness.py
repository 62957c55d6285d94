"""Randomness as a function: every draw comes from a generator derived from (seed, stream name, index…).

Floor 0. Nothing to save, nothing shared between members: iteration 7 of seed 3 draws the same
noise whether it follows iteration 6 in one process or starts another after a kill.
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, stream: str, *index: int) -> np.random.Generator:
    """The generator of one stream at one index, for instance ``generator(3, "action_noise", iteration)``."""
    return np.random.Generator(np.random.PCG64(_sequence(seed, stream, index)))


def episode_seed(seed: int, stream: str, *index: int) -> int:
    """A non-negative 31-bit integer for ``env.reset(seed=…)``, which not every environment accepts in 64 bits."""
    return int(_sequence(seed, stream, index).generate_state(1)[0] >> 1)


def _sequence(seed: int, stream: str, index: tuple[int, ...]) -> np.random.SeedSequence:
    # A spawn key keeps streams apart even where a seed and an index happen to be equal numbers.
    name = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:4], "little")
    return np.random.SeedSequence(entropy=seed, spawn_key=(name, *index))
