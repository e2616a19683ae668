"""A trained classifier whose answers a training learns from beside the labels: knowledge distillation (Hinton,
Vinyals & Dean, 2015, "Distilling the Knowledge in a Neural Network"). The teacher looks at the very picture that
the network sees, as it was cut out and changed (Beyer et al., 2022, "Knowledge distillation: A good teacher is
patient and consistent").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitconv.data.datasets import Dataset
from vitconv.foundation.errors import InputError
from vitconv.foundation.progress import Progress

if TYPE_CHECKING:
    from vitconv.classifiers.float_model import FloatModel

SHARE = 0.7  # of a target; the rest is the label


@dataclass(frozen=True)
class Teacher:
    """`order`: int64 [classes], where each class of the data set is among the teacher's outputs."""

    model: FloatModel
    order: NDArray[np.int64]

    @classmethod
    def open(cls, path: Path, dataset: Dataset, progress: Progress | None = None) -> Teacher:
        """A checkpoint, or a file of another tool that says itself what it takes for a pixel, with the classes of
        the data set in any order. Raises CheckpointError, ModelFileError or InputError."""
        # LiteRT is loaded with them, which a training without a teacher has no use for.
        from vitconv.classifiers.opening import open_model
        from vitconv.classifiers.told import PixelsNotToldError, Told

        try:
            model = open_model(path, Told(), dataset.opened_by, progress)
        except PixelsNotToldError:
            raise InputError(
                f"the teacher {path} does not say what it takes for a pixel. Save it with a first layer that "
                "scales pixels from 0 to 255 (keras.layers.Rescaling)."
            ) from None
        missing = [label for label in dataset.labels if label not in model.labels]
        if missing or len(model.labels) != len(dataset.labels):
            named = f", and not {', '.join(missing[:5])}" if missing else ""
            raise InputError(
                f"the teacher {path} knows {len(model.labels)} classes{named}; {dataset.name} has "
                f"{len(dataset.labels)}. Give a teacher of the same classes."
            )
        return cls(model, np.asarray([model.labels.index(label) for label in dataset.labels]))

    @property
    def note(self) -> Mapping[str, Any]:
        """For the card."""
        return {"model": self.model.model, "sha256": self.model.digest, "share": SHARE}

    def targets(self, images: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float32]:
        """What to learn: float32 [B, H, W, 3] in 0–255 and one-hot labels [B, classes] → SHARE · the teacher's
        probabilities + (1 − SHARE) · labels."""
        import tensorflow as tf

        size = (self.model.image.height, self.model.image.width)
        seen = images if images.shape[1:3] == size else tf.image.resize(images, size, antialias=True).numpy()
        answers = self.model.predict(np.clip(np.rint(seen), 0, 255).astype(np.uint8))[:, self.order]
        mixed: NDArray[np.float32] = (SHARE * answers + (1 - SHARE) * labels).astype(np.float32)
        return mixed
