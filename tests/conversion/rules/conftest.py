from __future__ import annotations

import numpy as np
import pytest

from conversion.rules import changed


@pytest.fixture(autouse=True)
def values_anew() -> None:
    """Each test draws the same values, whichever ran before it."""
    changed.RANDOM.bit_generator.state = np.random.default_rng(0).bit_generator.state
