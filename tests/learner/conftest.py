"""What the learner's tests share: one thread, the tiny environments, hypothesis without a clock."""

from __future__ import annotations

import tiny_environments  # noqa: F401  (registers the environments)
import torch
from hypothesis import settings

torch.set_num_threads(1)
# The same examples every time, whatever else the machine is doing.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("repeatable")
