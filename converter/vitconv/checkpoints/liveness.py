"""Which layers of a checkpoint take part in its answers, as its card and an export keep it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from vitconv.data.datasets import Split
from vitconv.foundation import documents
from vitconv.foundation.progress import Progress
from vitconv.models import liveness
from vitconv.models.liveness import ALIVE, WHOLE, Effect

if TYPE_CHECKING:
    import keras

IMAGES = 32  # each costs as much as some 35 answers

_NAMES = (("layer", "transformer layer"), ("block", "block"), ("residual", "inverted residual"))


@dataclass(frozen=True)
class Liveness:
    """The effect of each part of the network on its answers to `images` images of `split` (its name, and where it
    comes from), in the order of the network."""

    split: str
    images: Annotated[int, msgspec.Meta(ge=2)]
    parts: Annotated[tuple[Effect, ...], msgspec.Meta(min_length=1, max_length=1000)]

    @property
    def whole(self) -> tuple[Effect, ...]:
        """Transformer layers, blocks and inverted residuals, without the halves that layers are made of."""
        return tuple(part for part in self.parts if part.kind in WHOLE)

    @property
    def silent(self) -> tuple[Effect, ...]:
        """Those of `whole` that have no part in the answers."""
        return liveness.silent(self.parts)

    def to_json(self) -> dict[str, Any]:
        return {"split": self.split, "images": self.images, "parts": [part.to_json() for part in self.parts]}

    def sentence(self) -> str:
        """In words: that all of `whole` live, or which do not, and what to do; empty where there is nothing."""
        on = f"({self.images} images of {self.split})"
        if self.silent:
            shown = ", ".join(f"{part.name} ({part.nats:.2g})" for part in self.silent[:12])
            more = f" and {len(self.silent) - 12} more" if len(self.silent) > 12 else ""
            verb = "has" if len(self.silent) == 1 else "have"
            return (
                f"Of {_counted(self.whole)}, {_counted(self.silent)} {verb} no part in the answers: cut out, or "
                f"with the mean in its place, each moves them by less than {ALIVE:g} nats {on}: {shown}{more}. "
                "That costs size and time for nothing, and accuracy does not show it. Larger pictures, a longer "
                "training and the recipe best keep layers at work."
            )
        if not self.whole:
            return ""
        least = min(self.whole, key=lambda part: part.nats)
        return (
            f"Each of {_counted(self.whole)} takes part in the answers; least {least.name}, without which they "
            f"move by {least.nats:.2g} nats {on}."
        )


def read(path: Path) -> Liveness | None:
    """What an export kept; None where it kept none. Raises InputError for a file that is something else."""
    build = partial(documents.convert, structure=Liveness)
    return documents.read_if_there(path, build, "list of which layers take part", "Export again.")


def _counted(parts: tuple[Effect, ...]) -> str:
    """9 transformer layers, 3 blocks and 3 inverted residuals"""
    counts = Counter(str(part.kind) for part in parts)
    words = [f"{counts[kind]} {name}{'s' if counts[kind] > 1 else ''}" for kind, name in _NAMES if counts[kind]]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def measure(model: keras.Model, split: Split, progress: Progress | None = None) -> Liveness | None:
    """On IMAGES images of the split, evenly spaced over it. None where the network has no such parts, or the split
    fewer than two images."""
    chosen = np.unique(np.linspace(0, len(split) - 1, min(IMAGES, len(split))).round().astype(np.int64))
    if len(chosen) < 2:
        return None
    parts = liveness.measure(model, split.images[chosen], np.asarray(split.labels)[chosen], progress)
    return Liveness(f"{split.name} ({split.source})", len(chosen), parts) if parts else None
