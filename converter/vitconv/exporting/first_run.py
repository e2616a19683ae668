"""Does a finished file run, as an app would run it?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vitconv.conversion.schemes import Scheme
from vitconv.foundation.errors import PromiseError
from vitconv.runtimes.litert import Runner


def check_runs(path: Path, scheme: Scheme, picture: np.ndarray, ours: bool) -> str | None:
    """Loads the file as an app would and runs one image. That a graph of another tool's file is not one partition
    is a note, and of ours an error."""
    with Runner(path) as runner:
        (probabilities,) = runner.probabilities(picture)
        # Each of an integer file's probabilities may be rounded by half a step.
        rounding = len(probabilities) * (runner.outputs[0].scale or 0.0) / 2
        total = float(probabilities.sum())
        if not abs(total - 1) <= 0.05 + rounding:  # also where it is NaN
            raise PromiseError(f"the outputs of {path.name} are not probabilities: they sum to {total}, not to 1.")
        if scheme.one_partition and runner.partitions != 1:
            cut = f"XNNPACK cuts {path.name} into {runner.partitions} partitions instead of 1"
            if ours:
                raise PromiseError(f"{cut}.")
            return f"{cut}, which costs time."
    return None
