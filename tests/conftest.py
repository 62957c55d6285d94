"""What holds for the whole suite."""

from __future__ import annotations

import sys

from absl import logging as absl_logging

# Hydra's logging setup closes all handlers, and absl's (it comes with dm_control) closes the stream it found when it was
# imported unless that is the present or the original standard error. Under pytest it found the capture of everything.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__
