"""The numbers that the app's Kotlin tests compare with are those that the converter computes today."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

import android_fixtures
import android_metadata
from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.errors import ModelFileError
from vitconv.tflite import metadata
from vitconv.tflite.graph import Graph


def test_the_apps_preprocessing_is_held_to_the_converters() -> None:
    committed = json.loads(android_fixtures.PREPROCESSING.read_text(encoding="utf-8"))
    computed = android_fixtures.preprocessing()
    for case, now in zip(committed["cases"], computed["cases"], strict=True):
        assert {**case, "expected": ""} == {**now, "expected": ""}
        # One step: Pillow's releases differ in which side they scale first, and round in between.
        assert np.abs(_pixels(case["expected"]) - _pixels(now["expected"])).max() <= 1
    assert committed["inputs"] == computed["inputs"]
    statistics, expected = committed["statistics"], computed["statistics"]
    assert statistics["percentiles"] == pytest.approx(expected["percentiles"])
    assert statistics["median_interval"] == expected["median_interval"]


def test_the_apps_camera_frames_are_held_to_the_converter() -> None:
    committed = json.loads(android_fixtures.CAMERA.read_text(encoding="utf-8"))
    computed = android_fixtures.camera()
    assert committed["frames"] == computed["frames"]
    picture = Image.open(io.BytesIO(base64.b64decode(committed["png"])))
    for case in committed["inputs"]:
        prepared = ImageSpec.from_json(case["image"]).prepare(picture)
        assert np.abs(prepared.astype(int).ravel() - _pixels(case["expected"])).max() <= 1


def test_the_apps_maps_and_thresholds_are_held_to_the_converters() -> None:
    committed = json.loads(android_fixtures.ANSWERS.read_text(encoding="utf-8"))
    computed = android_fixtures.answers()
    for name in ("probability", "drops", "spread"):
        assert committed["occlusion"][name] == pytest.approx(computed["occlusion"][name], abs=2e-7)
    assert committed["confidence"] == computed["confidence"]
    np.testing.assert_allclose(committed["scores"], computed["scores"], atol=1e-12)


def test_the_file_that_says_how_sure_it_is_is_one_of_today() -> None:
    committed = metadata.read(Graph.parse(android_fixtures.SURE.read_bytes(), "sure.tflite"))
    assert committed == metadata.read(Graph.parse(android_fixtures.sure_model(), "sure.tflite"))
    assert committed is not None
    assert committed.confidence == android_fixtures.SURE_CONFIDENCE


def test_files_of_other_tools_are_read_or_refused_by_the_converter_as_the_app_must() -> None:
    committed = json.loads(android_metadata.FILE.read_text(encoding="utf-8"))
    assert [case["name"] for case in committed] == [case["name"] for case in android_metadata.cases()]
    for case in committed:
        data = base64.b64decode(case["file"])
        if case["problem"] is None:
            expected = {key: value for key, value in case.items() if key not in ("name", "file", "problem")}
            # As JSON: it has no tuples.
            assert json.loads(json.dumps(android_metadata.read(data))) == expected, case["name"]
        elif case["problem"] not in android_metadata.RUNTIME_S:
            with pytest.raises(ModelFileError) as caught:
                android_metadata.read(data)
            assert not re.search("(Error|BadZipFile):", str(caught.value)), case["name"]


def _pixels(encoded: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(encoded), np.uint8).astype(int)


def test_what_the_app_must_make_of_picture_files_is_what_the_converter_makes() -> None:
    # The files themselves are not compared: another build of an encoder may write other bytes.
    document = json.loads((android_fixtures.PICTURES / "pictures.json").read_text(encoding="utf-8"))
    spec = ImageSpec.from_json(document["image"])
    assert document["expected"]
    for name, expected in document["expected"].items():
        picture = Image.open(io.BytesIO((android_fixtures.PICTURES / name).read_bytes()))
        difference = np.abs(spec.prepare(picture).astype(int).ravel() - _pixels(expected))
        assert difference.max() <= 1, name
