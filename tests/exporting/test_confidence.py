"""A temperature and thresholds from a file's answers: what they are, and what they promise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from commands import Call, refused
from vitconv.evaluation.confidence import held_out
from vitconv.exporting import manifest
from vitconv.exporting.confidence import ERROR_RATES, _threshold, fit
from vitconv.tflite import metadata
from vitconv.tflite.confidence import Confidence, Threshold, expected_calibration_error
from vitconv.tflite.graph import Graph

INT8 = "mobilevit_xxs-digits-int8.tflite"


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def answers(
    sureness: float, images: int = 4000, seed: int = 1, spread: float = 2.0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities that say too much by this factor, and the true classes, which follow the honest ones."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, spread, (images, 5))
    honest = softmax(logits)
    labels = (honest.cumsum(axis=1) > random.random((images, 1))).argmax(axis=1)
    return softmax(sureness * logits), labels


@pytest.mark.parametrize("sureness", [0.4, 1.0, 2.5])
def test_the_temperature_takes_back_what_a_network_says_too_much(sureness: float) -> None:
    probabilities, labels = answers(sureness)
    found = fit(probabilities, labels, [1e-7], "validation", "d" * 64)
    assert found.temperature == pytest.approx(sureness, rel=0.06)
    assert found.error_after < 0.025
    if sureness != 1:
        assert found.error_before > 3 * found.error_after
    other, truth = answers(sureness, seed=2)
    assert expected_calibration_error(found.apply(other), truth) < 0.03


def test_answers_in_steps_of_eight_bits_get_nearly_the_same() -> None:
    probabilities, labels = answers(2.5)
    rounded = np.rint(probabilities * 256) / 256
    found = fit(rounded, labels, [1 / 256 / 2**k for k in range(1, 7)], "validation", "d" * 64)
    assert found.temperature == pytest.approx(2.5, rel=0.15)
    assert found.floor < 1 / 256
    assert found.error_after < found.error_before / 3


def test_a_temperature_of_one_changes_nothing_and_a_higher_one_no_order() -> None:
    probabilities, _ = answers(1.0, 50)
    one = Confidence(1.0, 1e-7, "v", "d" * 64, 50, 0.0, 0.0, ())
    assert one.apply(probabilities) == pytest.approx(probabilities)
    warm = Confidence(3.0, 1e-7, "v", "d" * 64, 50, 0.0, 0.0, ()).apply(probabilities)
    assert np.array_equal(warm.argsort(axis=1), probabilities.argsort(axis=1))
    assert (warm.max(axis=1) < probabilities.max(axis=1)).all()
    assert warm.sum(axis=1) == pytest.approx(np.ones(50))


def test_calibration_error_is_confidence_against_accuracy_bin_by_bin() -> None:
    sure, unsure = [0.9, 0.1], [0.6, 0.4]
    probabilities = np.array([sure] * 10 + [unsure] * 10)
    labels = np.array([0] * 5 + [1] * 5 + [0] * 6 + [1] * 4)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.5 * abs(0.9 - 0.5))


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2])
def test_a_stated_error_rate_holds_on_other_images(rate: float) -> None:
    broken = 0
    for seed in range(20):
        probabilities, labels = answers(1.0, 2000, seed, 5.0)
        threshold = _threshold(rate, probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)
        assert threshold.least is not None
        assert threshold.answered
        others, truth = answers(1.0, 20_000, 100 + seed, 5.0)
        accepted = others.max(axis=1) >= threshold.least
        broken += np.mean(others.argmax(axis=1)[accepted] != truth[accepted]) > rate
        # Nor is it needlessly strict.
        assert np.mean(others.argmax(axis=1)[accepted] != truth[accepted]) > 0.3 * rate
    assert broken <= 3  # 5 % of 20, and what chance adds


def test_what_too_few_images_cannot_show_is_not_promised() -> None:
    found = _threshold(0.01, np.linspace(0.5, 1, 100), np.ones(100, bool))
    assert (found.least, found.answered) == (None, None)
    enough = _threshold(0.01, np.linspace(0.5, 1, 2000), np.ones(2000, bool))
    assert enough.least is not None


def test_the_loosest_threshold_that_keeps_the_rate_is_taken() -> None:
    thresholds = (Threshold(0.01, None, None), Threshold(0.05, 0.9, 0.4), Threshold(0.1, 0.7, 0.6))
    found = Confidence(1.0, 1e-7, "v", "d" * 64, 100, 0.0, 0.0, thresholds)
    assert [found.threshold(rate) for rate in (0.02, 0.05, 0.07, 0.5)] == [
        None, thresholds[1], thresholds[1], thresholds[2],
    ]  # fmt: skip
    assert found.lowest_rate == 0.05


def test_verify_sees_what_becomes_of_it_on_held_out_images() -> None:
    fitted = fit(*answers(2.5), [1e-7], "validation", "d" * 64)
    probabilities, labels = answers(2.5, seed=3)
    probabilities[0] = np.nan  # fails the file elsewhere
    found = held_out("a.tflite", "int8", fitted, probabilities, labels, "e" * 64)
    assert not found.fitted_here
    assert held_out("a", "int8", fitted, probabilities, labels, "d" * 64).fitted_here
    assert found.error_after < 0.03 < found.error_before
    assert [promise.error_rate for promise in found.promises] == [
        one.error_rate for one in fitted.thresholds if one.least is not None
    ]
    for promise in found.promises:
        assert promise.wrong is not None
        assert promise.wrong < 1.3 * promise.error_rate


def test_it_is_off_unless_asked_for_and_the_answers_stay_the_same(
    call: Call, exported_digits: Path, digits_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sure"
    ended = call("export", digits_checkpoint, "--quant", "float32,int8", "--confidence", "--out", out, "--json")
    assert ended.status == 0
    document = json.loads(ended.out)
    for entry, plain in zip(document["files"], ("float32", "int8"), strict=True):
        path = out / entry["path"]
        said = metadata.read(Graph.read(path))
        assert said
        assert said.confidence
        assert said.confidence.to_json() == entry["confidence"]
        assert [one["error_rate"] for one in entry["confidence"]["thresholds"]] == list(ERROR_RATES)
        assert entry["scheme"] == plain
    before = metadata.read(Graph.read(exported_digits / INT8))
    assert before
    assert before.confidence is None
    assert "confidence" not in before.to_json()
    assert manifest.read(out).files[0].confidence

    picture = out / "golden" / "0.png"
    folders = (out, exported_digits)
    plain_answers = [json.loads(call("run", folder / INT8, picture, "--json").out) for folder in folders]
    assert plain_answers[0]["pictures"][0]["labels"] == plain_answers[1]["pictures"][0]["labels"]
    assert "none_of_these" not in plain_answers[0]["pictures"][0]
    asked = json.loads(call("run", out / INT8, picture, "--error-rate", 20, "--json").out)
    assert asked["threshold"]["error_rate"] <= 0.2
    (shown,) = asked["pictures"]
    assert shown["none_of_these"] == (shown["labels"][0]["score"] < asked["threshold"]["least"])
    refused(call("run", exported_digits / INT8, picture, "--error-rate", 5), "--error-rate", "export --confidence")
    refused(call("run", out / INT8, picture, "--error-rate", 0.01), "0.01 %", "validation images show")
    refused(call("run", out / INT8, picture, "--error-rate", 0), "between 0 and 100 percent")

    ended = call("verify", out, "--json")
    found = json.loads(ended.out)["confidence"]
    assert [file["scheme"] for file in found] == ["float32", "int8"]
    assert all(file["error_before"] > 0 for file in found)
    assert not any(file["fitted_here"] for file in found)
    assert "answered, wrong at" in call("verify", out).out


def test_pictures_without_classes_fit_nothing(call: Call, digits_checkpoint: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8), (number * 80, 0, 0)).save(pictures / f"{number}.png")
    options = ["--quant", "float32", "--images", pictures, "--confidence", "--out", tmp_path / "o"]
    refused(call("export", digits_checkpoint, *options), "--confidence", "classes")
    assert not (tmp_path / "o" / "manifest.json").exists()
