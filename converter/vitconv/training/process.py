"""What a training wants of the process that it has for itself.

It changes the allocator and TensorFlow's threads for good, so it is for a command, and not for `vitconv.train` in
somebody's notebook: there a training gives the same result, more slowly.
"""

from __future__ import annotations

from vitconv.foundation.memory import keep_freed_memory
from vitconv.models import catalogue
from vitconv.training.steps.batch_parts import compute_side_by_side, parts_of
from vitconv.training.train import TrainConfig


def prepare_process(config: TrainConfig) -> None:
    """To be called before `train`, in a process that does nothing else. Raises UnknownNameError."""
    keep_freed_memory()
    if config.strategy == "none":
        entry = catalogue.find(config.model)
        compute_side_by_side(parts_of(entry, config.recipe_of(entry)))
