"""An example's pixels, or why there are none."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitconv.data.pictures.images import ImageSpec
from vitconv.data.sources import Example
from vitconv.foundation.errors import InputError

THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class Failure:
    """Why one picture cannot be used."""

    message: str
    remedy: str
    error: Exception


def decode(example: Example, spec: ImageSpec, note: Callable[[str], None]) -> NDArray[np.uint8] | Failure:
    """The picture as `spec` prepares it, uint8 [H, W, 3]. `note` is told what is to be said of it nevertheless."""
    # Pillow's decoders meet a damaged file with many kinds of exception, not only OSError.
    try:
        return spec.prepare(example.open(), lambda said: note(f"{example.where}: {said}"))
    except InputError as error:
        where = "" if example.where in str(error) else f"{example.where}: "
        return Failure(f"{where}{error}", example.remedy, error)
    except Exception as error:
        return Failure(f"cannot read {example.where}: {error}.", example.remedy, error)
