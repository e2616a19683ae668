"""scripts/check-with-mediapipe and check-with-netron: what they would call a difference.

That the readers themselves agree is for the scripts to show, which install them. Netron is asked here where it is.
"""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import script
from runtimes.test_classification import write_model
from vitconv.runtimes.classification import ClassifyConfig, classify
from vitconv.tflite.inspection import inspect

mediapipe, netron = script("check-with-mediapipe"), script("check-with-netron")


@pytest.fixture
def model(tiny_tflite: dict[str, bytes], tmp_path: Path) -> Path:
    return write_model(tmp_path / "m.tflite", tiny_tflite["int8"])


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def answer(model: Path, pictures: list[Path]) -> dict[str, Any]:
    """As MediaPipe gives it."""
    found = classify(ClassifyConfig(model, tuple(pictures))).pictures
    return {"scores": [[[guess.label, guess.index, guess.score] for guess in each.labels] for each in found]}


def test_the_same_answers_pass_and_one_step_may_be_between(model: Path, pictures: list[Path]) -> None:
    same = answer(model, pictures)
    result = mediapipe.compare_one(model, "int8", pictures, same)
    assert (result.passed, result.same_top, result.max_difference) == (True, 3, 0.0)
    same["scores"][1][-1][2] += 1 / 256
    assert mediapipe.compare_one(model, "int8", pictures, same).passed
    same["scores"][1][-1][2] += 1 / 256
    assert not mediapipe.compare_one(model, "int8", pictures, same).passed


def test_another_label_another_order_and_a_missing_one_fail(model: Path, pictures: list[Path]) -> None:
    right = answer(model, pictures)
    label, order, missing = (copy.deepcopy(right) for _ in range(3))
    label["scores"][0][0][0] = "tulips"
    first = order["scores"][2][0]
    order["scores"][2][1][2] = first[2] + 1 / 1024  # well within the tolerance of the scores
    order["scores"][2][0][2] -= 1 / 1024
    del missing["scores"][1][3]
    for wrong in (label, order, missing):
        assert not mediapipe.compare_one(model, "int8", pictures, wrong).passed


def test_a_refusal_is_listed_with_its_reason(model: Path, pictures: list[Path]) -> None:
    result = mediapipe.compare_one(model, "int8", pictures, {"refused": "no\n such   operator"})
    assert (result.passed, result.refused) == (True, "no such operator")
    assert "no such operator" in mediapipe.show("1", [result], 1000)


def test_what_netron_sees_otherwise_is_named(model: Path) -> None:
    ours = inspect(model)
    seen = {
        "errors": [],
        "name": "tiny",
        "operators": ours.op_count,
        "inputs": ["uint8[1,16,16,3]"],
        "outputs": ["uint8[1,5]"],
    }
    assert netron.differences(ours, seen) == []
    assert netron.differences(ours, {**seen, "operators": 2}) == [f"operators: 2, not {ours.op_count}"]
    assert netron.differences(ours, {"errors": ["Error: broken"]}) == ["Error: broken"]
    assert netron.differences(replace(ours, metadata=None), seen) == ["name: 'tiny', not ''"]


@pytest.mark.skipif(
    not shutil.which("node") or not (netron.READER.parent.parent / ".venv-netron" / "made-from").exists(),
    reason="scripts/check-with-netron has not been run here",
)
def test_netron_opens_a_file_and_refuses_a_broken_one(model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(model.read_bytes()[:100])
    whole, half = netron.ask((model, broken))
    assert netron.differences(inspect(model), whole) == []
    assert half["errors"]
