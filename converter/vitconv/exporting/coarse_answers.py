"""Networks that are less sure of their answers than uint8 probabilities can say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vitconv.conversion.schemes import Scheme
from vitconv.quantization import output_steps
from vitconv.quantization.calibration import Calibration


def coarse_output(
    wanted: Sequence[Scheme], calibration: Calibration | None, probabilities: np.ndarray
) -> str | None:
    """A sentence where uint8 probabilities cannot hold the network's answers to the calibration images, or to the
    golden ones, whose probabilities are given; else None."""
    names = [scheme.name for scheme in wanted if scheme.integer and not scheme.float_output]
    if not names:
        return None
    seen = [(output_steps.rounded(probabilities), "golden images")]
    if calibration is not None and calibration.answers is not None:
        seen.insert(0, (calibration.answers, "calibration images"))
    for found, what in seen:
        if found.undecided:
            return (
                f"{found.sentence(what)}. {' and '.join(names)} cannot be used like this. Export with "
                f"{output_steps.FLOAT_OUTPUT}, or train until the network is surer of its answers."
            )
    return None
