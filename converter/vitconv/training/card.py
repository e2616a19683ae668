"""What the card of a training says, and what must stay the same when it is resumed."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from vitconv.checkpoints.checkpoint import Card
from vitconv.data.datasets import Dataset, Split
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.pictures.pixels import Pixels
from vitconv.models.catalogue import Recipe
from vitconv.training.first_weights import FirstWeights
from vitconv.training.teacher import Teacher


def identity_of(
    model: str,
    seed: int,
    spec: ImageSpec,
    dataset: Dataset,
    training: Split,
    recipe: Recipe,
    init: FirstWeights | None,
    teacher: Teacher | None = None,
) -> dict[str, Any]:
    """What must not change between a training and its resumption; the number of epochs may where the learning rate
    does not depend on it."""
    how = recipe.to_json()
    if recipe.schedule == "constant":
        del how["epochs"]
    return {
        "model": model,
        "image": spec.to_json(),
        "dataset": {"name": dataset.name, "version": dataset.version, "digest": training.digest},
        "seed": seed,
        "recipe": how,
        "init": init.digest if init is not None else None,
        "teacher": teacher.model.digest if teacher is not None else None,
    }


def new_card(
    model: str,
    seed: int,
    spec: ImageSpec,
    dataset: Dataset,
    training: Split,
    validation: Split,
    reporting: Split,
    recipe: Recipe,
    init: FirstWeights | None,
    teacher: Teacher | None,
    pixels: Pixels,
    pictures: Mapping[str, str] | None,
) -> Card:
    """The card before the first epoch. `reporting` is the split that accuracy is reported on at the end, which may
    be `validation`. `pictures` names the file of the pictures' keys."""
    uses = {
        "trains": training.name,
        "chooses the epoch": validation.name,
        "reports": dataset.evaluation_name,
    }
    splits: dict[str, dict[str, Any]] = {}
    for split in {one.name: one for one in (training, validation, reporting)}.values():
        splits[split.name] = {
            "source": split.source,
            "images": len(split),
            "digest": split.digest,
            "use": " and ".join(use for use, name in uses.items() if name == split.name),
        }
        if missing := classes_missing(dataset, split):
            splits[split.name]["missing"] = missing
    return Card(
        model=model,
        labels=dataset.labels,
        image=spec,
        dataset={
            "name": dataset.name,
            "source": dataset.opened_by,
            "version": dataset.version,
            "splits": splits,
            "cut": dataset.cut,
            "identity": dataset.identity,
            **({"pictures": dict(pictures)} if pictures else {}),
        },
        recipe=recipe.to_json(),
        seed=seed,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("tensorflow", "keras", "numpy", "pillow")},
        },
        results={},
        init=init.note if init is not None else None,
        teacher=teacher.note if teacher is not None else None,
        pixels=pixels.to_json(),
    )


def classes_missing(dataset: Dataset, split: Split) -> list[str]:
    """The classes that no picture of the split is of."""
    counts = np.bincount(split.labels, minlength=len(dataset.labels))
    return [label for label, count in zip(dataset.labels, counts, strict=True) if not count]
