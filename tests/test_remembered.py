"""What tests ask once: only the same of the same, and never what a test has changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import remembered
import shared
from vitconv.checkpoints import pretrained
from vitconv.checkpoints.checkpoint import read_tensors
from vitconv.classifiers.own import OwnModel
from vitconv.conversion import float_graph

PICTURES = np.zeros((2, 32, 32, 3), np.uint8)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of one that comes along, and an empty place for what is remembered."""
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr(shared, "folder", lambda: tmp_path / "kept")
    return Path(shutil.copytree(pretrained.folder("eanet") or "", tmp_path / "checkpoint"))


@pytest.fixture
def asked() -> list[int]:
    """How often the model was asked, by the sum of the pictures."""
    return []


@pytest.fixture
def predict(asked: list[int]) -> Callable[..., np.ndarray]:
    def ask(model: OwnModel, images: np.ndarray, progress: object = None) -> np.ndarray:
        asked.append(int(images.sum()))
        return np.full((len(images), 3), len(asked), np.float32)

    return remembered._predict(ask)


def test_the_same_is_asked_once(checkpoint: Path, predict: Callable[..., np.ndarray], asked: list[int]) -> None:
    first = predict(OwnModel.open(checkpoint), PICTURES)
    again = predict(OwnModel.open(checkpoint), PICTURES)
    np.testing.assert_array_equal(first, again)
    assert asked == [0]
    predict(OwnModel.open(checkpoint), PICTURES + 1)
    predict(OwnModel.open(checkpoint), PICTURES[:1])
    assert len(asked) == 3


def test_other_weights_and_another_card_are_asked_anew(
    checkpoint: Path, predict: Callable[..., np.ndarray], asked: list[int]
) -> None:
    predict(OwnModel.open(checkpoint), PICTURES)
    model = OwnModel.open(checkpoint)
    card = (checkpoint / "card.json").read_text()
    (checkpoint / "card.json").write_text(card.replace('"seed": ', '"seed": 1'))
    predict(OwnModel.open(checkpoint), PICTURES)
    assert len(asked) == 2
    (checkpoint / "card.json").write_text(card)
    data = bytearray(model.weights.read_bytes())
    data[-1] ^= 1
    model.weights.write_bytes(data)
    predict(model, PICTURES)
    assert len(asked) == 3
    model.weights.unlink()
    predict(model, PICTURES)  # the error is the checkpoint's own
    assert len(asked) == 4


def test_a_network_that_a_test_has_changed_is_asked_itself(
    checkpoint: Path, predict: Callable[..., np.ndarray], asked: list[int]
) -> None:
    model = OwnModel.open(checkpoint)
    predict(model, PICTURES)
    values = {name: np.array(value) for name, value in read_tensors(model.weights)[0].items()}
    network = SimpleNamespace(
        weights=[SimpleNamespace(path=name, numpy=lambda name=name: values[name]) for name in values]
    )
    vars(model)["_network"] = network  # loaded, as it is in the file
    predict(model, PICTURES)
    assert len(asked) == 1
    next(iter(values.values())).flat[0] += 1
    predict(model, PICTURES)
    predict(model, PICTURES)
    assert len(asked) == 3


def test_nothing_is_remembered_where_a_part_is_replaced_or_a_test_says_so(
    checkpoint: Path, predict: Callable[..., np.ndarray], asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(OwnModel.open(checkpoint), PICTURES)
    with remembered.anew():
        predict(OwnModel.open(checkpoint), PICTURES)
    assert len(asked) == 2
    monkeypatch.setattr(float_graph, "trace", None)
    predict(OwnModel.open(checkpoint), PICTURES)
    assert len(asked) == 3
    monkeypatch.undo()


def test_what_fails_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "folder", lambda: tmp_path)
    tried = []

    def fail() -> int:
        tried.append(1)
        if len(tried) == 1:
            raise ValueError("no")
        return 7

    with pytest.raises(ValueError, match="no"):
        shared.kept("name", b"key", fail)
    assert shared.kept("name", b"key", fail) == 7
    assert shared.kept("name", b"key", fail) == 7
    assert len(tried) == 2
    assert shared.kept("name", b"other", lambda: 8) == 8
