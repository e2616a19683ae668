"""A network of a thousand classes that it can hardly tell apart: float32 probabilities say what uint8 cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shared
from commands import Call
from graphs import metadata_of
from vitconv import open_checkpoint
from vitconv.checkpoints.checkpoint import save
from vitconv.classifiers.own import OwnModel
from vitconv.data.datasets import open_dataset
from vitconv.models import catalogue
from vitconv.quantization import calibration
from vitconv.tflite.inspection import inspect

CLASSES = 1000


@pytest.fixture(scope="module")
def unsure_checkpoint(digits_checkpoint: Path) -> Path:
    """The digits' network, as sure of its order but a fiftieth as sure of itself, with 990 classes more that it
    never names: all probabilities are below 1/512. Not to be changed."""
    return shared.folder() / _unsure("trained/unsure", str(digits_checkpoint))


@shared.made_once
def _unsure(name: str, digits: str) -> str:
    known = open_checkpoint(digits)
    old = known.load()
    card = replace(known.card, labels=(*known.card.labels, *(f"other {number}" for number in range(10, CLASSES))))
    model = catalogue.find(card.model).build(card.image, CLASSES)
    head = old.get_layer("head")
    for mine, theirs in zip(model.weights, old.weights, strict=True):
        if mine.shape == theirs.shape:
            mine.assign(theirs)
    kernel, bias = np.asarray(head.kernel), np.asarray(head.bias)
    model.get_layer("head").kernel.assign(np.pad(0.02 * kernel, ((0, 0), (0, CLASSES - 10))))
    model.get_layer("head").bias.assign(np.pad(0.02 * bias, (0, CLASSES - 10), constant_values=-0.2))
    save(shared.new_folder(name), model, card)
    return name


@pytest.fixture(scope="module")
def ranges(unsure_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibration file, without the search of what int8-hybrid keeps in float, which takes its time."""
    from vitconv.quantization.hybrid import choice
    from vitconv.quantization.hybrid.kept import Kept

    out = tmp_path_factory.mktemp("ranges") / "ranges.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice, "choose", lambda *_, **__: Kept((), ()))
        calibration.calibrate(calibration.CalibrateConfig(unsure_checkpoint, out, samples=40))
    return out


def test_the_calibration_keeps_how_many_answers_uint8_would_lose(ranges: Path) -> None:
    kept = json.loads(ranges.read_text())["answers"]
    assert (kept["images"], kept["silent"], kept["tied"]) == (40, 40, 0)
    assert 0.001 < kept["largest"][0] < kept["largest"][1] < 1 / 512
    answers = calibration.read(ranges).answers
    assert answers is not None
    assert answers.undecided


def test_uint8_is_warned_of_and_fails_with_the_reason(
    unsure_checkpoint: Path, ranges: Path, tmp_path: Path, call: Call
) -> None:
    out = tmp_path / "out"
    ended = call("export", unsure_checkpoint, "--quant", "int8", "--out", out, "--calibration", ranges)
    assert ended.status == 0, ended.err
    assert "on 40 calibration images. In the steps of 1/256" in ended.err
    assert "40 answers are 0 for every class" in ended.err
    assert "int8 cannot be used like this. Export with --probabilities float32" in ended.err

    ended = call("verify", out, "--limit", "60", "--json")
    assert ended.status == 1
    (int8,) = json.loads(ended.out)["files"]
    (said,) = [reason for reason in int8["reasons"] if "for every class" in reason]
    assert said.startswith("gives 0 for every class on 60 of 60 images, so it names none: Keras's largest")
    assert said.endswith("Export it with --probabilities float32")


@pytest.mark.parametrize("scheme", ["int8", "int8-hybrid"])
def test_float_probabilities_verify_and_run_with_the_right_classes(
    scheme: str, unsure_checkpoint: Path, ranges: Path, tmp_path: Path, call: Call
) -> None:
    out = tmp_path / "out"
    arguments = ("--quant", scheme, "--calibration", ranges, "--probabilities", "float32")
    ended = call("export", unsure_checkpoint, "--out", out, *arguments)
    assert ended.status == 0, ended.err
    assert "cannot be used" not in ended.err

    (path,) = out.glob("*.tflite")
    file = inspect(path)
    assert (file.inputs[0].dtype, file.outputs[0].dtype) == ("uint8", "float32")
    assert file.float_ops == {"DEQUANTIZE": 1, "SOFTMAX": 1}
    described = metadata_of(path.read_bytes())
    assert described is not None
    assert len(described.labels) == CLASSES

    ended = call("verify", out, "--json")
    assert ended.status == 0, ended
    (verified,) = json.loads(ended.out)["files"]
    assert verified["agreement"] >= 0.96

    card = open_checkpoint(unsure_checkpoint).card
    pictures = open_dataset("digits").split("test", card.image)
    for number in range(4):
        Image.fromarray(pictures.images[number]).save(tmp_path / f"{number}.png")
    ended = call("run", path, *(tmp_path / f"{number}.png" for number in range(4)), "--json")
    assert ended.status == 0, ended.err
    expected = OwnModel.open(unsure_checkpoint).predict(pictures.images[:4])
    for picture, probabilities in zip(json.loads(ended.out)["pictures"], expected, strict=True):
        assert picture["labels"][0]["label"] == card.labels[probabilities.argmax()]
        assert picture["labels"][0]["score"] == pytest.approx(probabilities.max(), rel=0.05)
