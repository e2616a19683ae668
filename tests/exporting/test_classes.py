"""What an export tells of the classes that training saw, from the card to the folder."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vitconv.exporting import classes
from vitconv.exporting.classes import TrainedClass, never_trained, never_validated, of_card
from vitconv.foundation.errors import CheckpointError, InputError

LABELS = ("daisy", "rose", "tulip")


def card(splits: Any = None, results: Any = None) -> Any:
    """As far as it is looked at."""
    dataset = {} if splits is None else {"splits": splits}
    return SimpleNamespace(labels=LABELS, dataset=dataset, results={} if results is None else {"classes": results})


def result(label: str, images: int, right: int) -> dict[str, Any]:
    return {"label": label, "images": images, "right": right, "top1": right / images if images else None}


def test_each_class_has_what_training_and_validation_saw_of_it() -> None:
    splits = {"train": {"source": "x", "images": 9, "missing": ["rose"]}, "validation": {"missing": ["tulip"]}}
    found = of_card(card(splits, [result("daisy", 4, 3), result("rose", 2, 0), result("tulip", 0, 0)]))
    assert found == (
        TrainedClass("daisy", True, 4, 3), TrainedClass("rose", False, 2, 0), TrainedClass("tulip", True, 0, 0),
    )  # fmt: skip
    assert never_trained(found) == ["rose"]
    assert never_validated(found) == ["tulip"]


def test_without_accuracies_the_missing_classes_are_told_alone() -> None:
    """Several workers keep none."""
    found = of_card(card({"train": {"missing": ["rose"]}, "validation": {"missing": ["rose"]}}))
    assert found == (TrainedClass("daisy", True), TrainedClass("rose", False, 0, 0), TrainedClass("tulip", True))
    assert never_validated(found) == ["rose"]


@pytest.mark.parametrize("splits", [None, {}, {"train": {"images": 3}, "validation": {"images": 1}}])
def test_a_card_that_tells_nothing_gives_nothing(splits: Any) -> None:
    assert of_card(card(splits)) is None


@pytest.mark.parametrize(
    ("splits", "results"),
    [([], None), ({"train": 3}, None), ({"train": {"missing": "rose"}}, None), (None, [{"label": "daisy"}])],
)
def test_a_card_with_something_else_is_refused(splits: Any, results: Any) -> None:
    if splits == []:
        assert of_card(card(splits, results)) is None
        return
    with pytest.raises(CheckpointError, match="the card's splits or classes are not what a training writes"):
        of_card(card(splits, results))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    written = (TrainedClass("daisy", True, 4, 3), TrainedClass("rosé", False), TrainedClass("tulip", True, 0, 0))
    classes.write(tmp_path, written)
    assert classes.read(tmp_path) == written
    assert classes.read(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    "change", [{"right": 5}, {"images": None}, {"right": None}, {"images": -1}, {"trained": None}, {"label": 3}]
)
def test_what_cannot_be_is_refused_by_name(change: dict[str, Any], tmp_path: Path) -> None:
    one = {"label": "daisy", "trained": True, "images": 4, "right": 3, **change}
    (tmp_path / "classes.json").write_text(json.dumps({"classes": [one]}))
    with pytest.raises(InputError, match=r"cannot use the list of classes .*classes\.json: .* Export again"):
        classes.read(tmp_path)
