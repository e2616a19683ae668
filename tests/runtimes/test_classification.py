"""`vitconv run`: one file, some pictures, and what is said about each."""

from __future__ import annotations

import codecs
import io
import json
import logging
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import Call
from graphs import with_metadata
from shared import made_once
from vitconv.cli.check import classification_text
from vitconv.data.pictures.images import ImageSpec, ResizeRule, open_picture
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.runtimes.classification import Classification, ClassifyConfig, Guess, Picture, classify
from vitconv.runtimes.litert import Runner
from vitconv.tflite import archive, flatbuffer, metadata
from vitconv.tflite.graph import Graph

LABELS = ("rose", "tulip", "daisy", "a label of several words", "×")

SCALE = np.float32(1 / 127.5)  # of an int8 input that holds −1 to 1


def write_model(path: Path, model: bytes, resize: ResizeRule = "stretch") -> Path:
    facts = metadata.ModelMetadata("tiny", "", "1", "nobody", "none", LABELS, ImageSpec(16, 16, resize=resize))
    path.write_bytes(with_metadata(model, facts))
    return path


def write_foreign(path: Path, model: bytes, mean: float | None, deviation: float | None) -> Path:
    """With metadata as another tool writes them: its own normalisation, and no resize rule."""
    metadata._load_libusb()
    from tensorflow_lite_support.metadata.python.metadata_writers import image_classifier, metadata_info

    labels = path.with_suffix(".txt")
    labels.write_text("\n".join(LABELS))
    source = metadata_info.InputImageTensorMd(
        norm_mean=None if mean is None else [mean], norm_std=None if deviation is None else [deviation]
    )
    output = metadata_info.ClassificationTensorMd(label_files=[metadata_info.LabelFileMd(str(labels))])
    writer = image_classifier.MetadataWriter.create_from_metadata_info(
        bytearray(model), input_md=source, output_md=output
    )
    path.write_bytes(writer.populate())
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Of other sizes than the model's, and of other kinds than RGB."""
    random = np.random.default_rng(3)
    paths = []
    for number, shape in enumerate([(16, 16, 3), (40, 90, 3), (33, 20), (50, 50, 4)]):
        paths.append(tmp_path / f"picture {number}.png")
        Image.fromarray(random.integers(0, 256, shape).astype(np.uint8)).save(paths[-1])
    return paths


@pytest.mark.parametrize("scheme", ["float32", "float16", "dynamic", "int8"])
def test_scores_are_the_files_own_the_best_first(
    scheme: str, tiny_tflite: dict[str, bytes], pictures: list[Path], tmp_path: Path
) -> None:
    path = write_model(tmp_path / "m.tflite", tiny_tflite[scheme])
    result = classify(ClassifyConfig(path, tuple(pictures), top=5))
    prepared = np.stack([ImageSpec(16, 16).prepare(open_picture(picture)) for picture in pictures])
    with Runner(path) as runner:
        expected = runner.probabilities(prepared)
    assert [picture.path for picture in result.pictures] == [str(path) for path in pictures]
    for picture, scores in zip(result.pictures, expected, strict=True):
        assert sorted(guess.index for guess in picture.labels) == [0, 1, 2, 3, 4]
        assert [guess.score for guess in picture.labels] == sorted(scores.tolist(), reverse=True)
        for guess in picture.labels:
            assert (guess.label, guess.score) == (LABELS[guess.index], scores[guess.index])


def test_the_resize_rule_of_the_file_is_followed(tiny_tflite: dict[str, bytes], tmp_path: Path) -> None:
    # Noise in the middle, nothing on either side: only one that crops sees the noise alone.
    pixels = np.zeros((16, 48, 3), np.uint8)
    pixels[:, 16:32] = np.random.default_rng(5).integers(0, 256, (16, 16, 3))
    wide, middle = tmp_path / "wide.png", tmp_path / "middle.png"
    Image.fromarray(pixels).save(wide)
    Image.fromarray(pixels[:, 16:32]).save(middle)
    scores = {}
    rules: tuple[ResizeRule, ...] = ("center_crop", "stretch")
    for rule in rules:
        path = write_model(tmp_path / f"{rule}.tflite", tiny_tflite["float32"], rule)
        seen, alone = classify(ClassifyConfig(path, (wide, middle))).pictures
        scores[rule] = (seen.labels, alone.labels)
    assert scores["center_crop"][0] == scores["center_crop"][1]
    assert scores["stretch"][0] != scores["stretch"][1]


def test_a_file_of_another_tool_gets_its_own_normalisation(
    tiny_tflite: dict[str, bytes], pictures: list[Path], tmp_path: Path
) -> None:
    path = write_foreign(tmp_path / "m.tflite", tiny_tflite["float32"], 127.5, 64.0)
    assert metadata.read_normalization(Graph.read(path)) == ((127.5,), (64.0,))
    (picture,) = classify(ClassifyConfig(path, (pictures[0],), top=1)).pictures
    pixels = ImageSpec(16, 16).prepare(open_picture(pictures[0])).astype(np.float32)
    with Runner(path) as runner:
        expected, raw = runner.probabilities(np.stack([(pixels - 127.5) / 64, pixels]))
    assert picture.labels[0].score == expected.max() != raw.max()


def test_an_integer_file_of_another_tool_gets_raw_bytes(
    tiny_tflite: dict[str, bytes], pictures: list[Path], tmp_path: Path
) -> None:
    path = write_foreign(tmp_path / "m.tflite", tiny_tflite["int8"], 127.5, 127.5)
    (picture,) = classify(ClassifyConfig(path, (pictures[0],), top=1)).pictures
    with Runner(path) as runner:
        expected = runner.probabilities(np.asarray(Image.open(pictures[0]))[None])
    assert picture.labels[0].score == expected.max()


def test_a_float_file_that_does_not_say_how_pixels_are_normalised_is_refused(
    tiny_tflite: dict[str, bytes], pictures: list[Path], tmp_path: Path
) -> None:
    path = write_foreign(tmp_path / "m.tflite", tiny_tflite["float32"], 127.5, 64.0)
    parsed = flatbuffer.parse(path.read_bytes(), "m")
    record = metadata._get_record(parsed)
    assert record is not None
    import flatbuffers
    from tensorflow_lite_support.metadata import metadata_schema_py_generated as records

    tree = records.ModelMetadataT.InitFromObj(records.ModelMetadata.GetRootAs(record, 0))
    tree.subgraphMetadata[0].inputTensorMetadata[0].processUnits = []
    builder = flatbuffers.Builder()
    builder.Finish(tree.Pack(builder), b"M001")
    metadata._set_record(parsed, bytes(builder.Output()))
    path.write_bytes(archive.append(flatbuffer.serialize(parsed), {"m.txt": "\n".join(LABELS)}))
    with pytest.raises(ModelFileError, match="do not say how they are normalised"):
        classify(ClassifyConfig(path, (pictures[0],)))


def test_a_file_without_metadata_is_refused(
    call: Call, tiny_tflite: dict[str, bytes], pictures: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "bare.tflite"
    path.write_bytes(tiny_tflite["float32"])
    ended = call("run", path, pictures[0])
    assert (ended.status, ended.out) == (2, "")
    assert f"{path} has no metadata" in ended.err


def test_a_picture_that_cannot_be_read_costs_the_others_nothing(
    call: Call, tiny_tflite: dict[str, bytes], pictures: list[Path], tmp_path: Path
) -> None:
    path = write_model(tmp_path / "m.tflite", tiny_tflite["int8"])
    half, deep = tmp_path / "half.png", tmp_path / "deep.tiff"
    half.write_bytes(pictures[1].read_bytes()[:900])
    Image.fromarray(np.ones((9, 9), np.float32)).save(deep)
    arguments = (path, pictures[0], half, tmp_path / "absent.jpg", deep, pictures[1])
    ended = call("run", *arguments, "--json")
    document: dict[str, Any] = json.loads(ended.out)
    assert ended.status == 2
    assert set(document) == {"path", "model", "image", "pictures"}
    problems = [picture["problem"] for picture in document["pictures"]]
    assert [bool(problem) for problem in problems] == [False, True, True, True, False]
    assert all(problem in ended.err for problem in problems if problem)
    assert str(deep) in problems[3]
    assert [len(picture["labels"]) for picture in document["pictures"]] == [5, 0, 0, 0, 5]
    assert set(document["pictures"][0]["labels"][0]) == {"label", "index", "score"}

    ended = call("run", *arguments)
    assert ended.status == 2
    assert [block.splitlines()[0] for block in ended.out.split("\n\n")] == [str(pictures[0]), str(pictures[1])]
    assert ended.err.count("\nvitconv: ") == 3


@pytest.mark.parametrize("width", [60, 80, 200])
def test_bars_are_as_long_as_scores_and_fit(width: int) -> None:
    guesses = (Guess("rose", 0, 0.75), Guess("a label of several words", 3, 0.25), Guess("tulip", 1, 0.0))
    shown = classification_text(
        Classification("m", "tiny", ImageSpec(8, 8), (Picture("p", guesses), Picture("q", (), "bad"))), width
    )
    path, *lines = shown.splitlines()
    assert path == "p"
    bars = [line.count("#") for line in lines]
    assert bars[0] >= 18
    assert abs(bars[0] - 3 * bars[1]) <= 2
    assert bars[2] == 0
    assert [line.split()[-2 if "#" in line else -1] for line in lines] == ["75.0%", "25.0%", "0.0%"]
    assert max(map(len, lines)) <= width


def test_long_labels_are_folded_and_other_scores_than_probabilities_have_no_bars() -> None:
    guesses = (Guess("word " * 20 + "end", 0, 0.75), Guess("rose", 1, 0.25))
    shown = classification_text(Classification("m", "tiny", ImageSpec(8, 8), (Picture("p", guesses),)), 60)
    assert max(map(len, shown.splitlines())) <= 60
    assert "75.0%" in shown
    logits = (Guess("rose", 0, 12.5), Guess("tulip", 1, -3.25))
    shown = classification_text(Classification("m", "tiny", ImageSpec(8, 8), (Picture("p", logits),)), 60)
    assert shown.splitlines()[1:] == ["  rose    12.5", "  tulip  -3.25"]


@pytest.fixture(scope="module")
def convolutional() -> dict[str, bytes]:
    """Files as other tools make them: answers of shape [1, 1, 1, 5], and int8 in and out.

    "float32", "int8" of pixels 0–255, and "int8 normalised", of pixels −1 to 1, whose input scale is 1/127.5.
    """
    return _converted()


@made_once
def _converted() -> dict[str, bytes]:
    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    keras.utils.set_random_seed(3)

    def converter(low: float, high: float, signature: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = keras.Sequential(
                [
                    keras.layers.Input((16, 16, 3), batch_size=1),
                    keras.layers.Rescaling(1 / (high - low)),
                    keras.layers.Conv2D(8, 4, strides=4, activation="relu"),
                    keras.layers.Conv2D(5, 4),
                    keras.layers.Softmax(),
                ]
            )
            function = tf.function(lambda image: network(image, training=False)).get_concrete_function(signature)
            made = tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(function)])
            random = np.random.default_rng(7)
            pictures = random.uniform(low, high, (8, 1, 16, 16, 3)).astype(np.float32)
            pictures[0], pictures[1] = low, high
            made.representative_dataset = lambda: ([picture] for picture in pictures)
            return made

    def integers(low: float, high: float) -> bytes:
        made = converter(low, high, tf.TensorSpec((1, 16, 16, 3), tf.float32))
        made.optimizations = [tf.lite.Optimize.DEFAULT]
        made.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        made.inference_input_type = made.inference_output_type = tf.int8
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bytes(made.convert())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        floating = bytes(converter(0, 255, tf.TensorSpec((1, 16, 16, 3), tf.float32)).convert())
    return {"float32": floating, "int8": integers(0, 255), "int8 normalised": integers(-1, 1)}


def test_answers_of_a_last_convolution_are_read(
    convolutional: dict[str, bytes], pictures: list[Path], tmp_path: Path
) -> None:
    path = write_foreign(tmp_path / "m.tflite", convolutional["float32"], 0, 1)
    with Runner(path) as runner:
        assert runner.outputs[0].shape == (1, 1, 1, 5)
        pixels = np.stack([ImageSpec(16, 16).prepare(open_picture(picture)) for picture in pictures])
        expected = runner.probabilities(pixels)
    assert expected.shape == (len(pictures), 5)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-5)
    found = classify(ClassifyConfig(path, tuple(pictures), top=5)).pictures
    for picture, scores in zip(found, expected, strict=True):
        assert {guess.index: guess.score for guess in picture.labels} == dict(enumerate(scores.tolist()))


@pytest.mark.parametrize(
    ("kind", "normalization", "stored"),
    [
        ("int8", (0.0, 1.0), lambda pixels: pixels - 128.0),
        ("int8 normalised", (127.5, 127.5), lambda pixels: np.rint((pixels - 127.5) / 127.5 / SCALE) - 1),
        # Half of the contrast: what the file says counts, not that its input could hold more.
        ("int8 normalised", (127.5, 255.0), lambda pixels: np.rint((pixels - 127.5) / 255 / SCALE) - 1),
    ],
)
def test_an_int8_input_gets_normalised_pixels_in_its_own_scale(
    convolutional: dict[str, bytes],
    pictures: list[Path],
    tmp_path: Path,
    kind: str,
    normalization: tuple[float, float],
    stored: Callable[[np.ndarray], np.ndarray],
) -> None:
    path = write_foreign(tmp_path / "m.tflite", convolutional[kind], *normalization)
    pixels = ImageSpec(16, 16).prepare(open_picture(pictures[1]))
    with Runner(path) as runner:
        source = runner.inputs[0]
        assert source.dtype == "int8"
        if kind != "int8":
            assert (source.scale, source.zero_point) == (pytest.approx(SCALE, rel=1e-6), -1)
        expected = runner.probabilities(
            np.clip(stored(pixels.astype(np.float32)), -128, 127).astype(np.int8)[None]
        )[0]
        with pytest.raises(InputError, match="must be int8 values, not uint8"):
            runner.run(pixels[None])
    (picture,) = classify(ClassifyConfig(path, (pictures[1],))).pictures
    assert {guess.index: guess.score for guess in picture.labels} == dict(enumerate(expected.tolist()))


def test_an_int8_file_whose_scale_belongs_to_another_normalisation_is_refused(
    call: Call, convolutional: dict[str, bytes], pictures: list[Path], tmp_path: Path
) -> None:
    for kind, normalization in (("int8 normalised", (0.0, 1.0)), ("int8", (127.5, 127.5))):
        path = write_foreign(tmp_path / "m.tflite", convolutional[kind], *normalization)
        ended = call("run", path, pictures[0])
        assert ended.status == 2
        assert "contradicts itself" in ended.err
        assert "Traceback" not in ended.err


def test_a_uint8_file_whose_scale_does_not_undo_its_normalisation_gets_raw_bytes_and_says_so(
    tiny_tflite: dict[str, bytes], pictures: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = {}
    for mean, deviation in ((0.0, 1.0), (127.5, 127.5), (100.0, 3.0)):
        path = write_foreign(tmp_path / "m.tflite", tiny_tflite["int8"], mean, deviation)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "vitconv"):
            said[mean] = classify(ClassifyConfig(path, (pictures[0],))).pictures
        assert ("Pixels go in as they are" in caplog.text) == (mean != 0)
    assert said[0.0] == said[127.5] == said[100.0]


def with_labels(model: bytes, labels: bytes, path: Path) -> Path:
    """A model with metadata, and other bytes in the place of its label file."""
    write_model(path, model)
    with zipfile.ZipFile(path) as archive:
        kept = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    start = path.read_bytes().index(b"PK\x03\x04")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in kept.items():
            archive.writestr(name, labels if name == "labels.txt" else data)
    # zipfile finds an archive behind anything, whatever its offsets count from.
    path.write_bytes(path.read_bytes()[:start] + stream.getvalue())
    return path


NAMES = "\n".join(LABELS)


@pytest.mark.parametrize(
    "encoded",
    [
        NAMES.replace("\n", "\r\n").encode(),
        NAMES.replace("\n", "\r\n").encode() + b"\r\n",
        NAMES.replace("\n", "\r").encode(),
        NAMES.replace("\n", "\r").encode() + b"\r",
        codecs.BOM_UTF8 + NAMES.encode(),
        codecs.BOM_UTF8 + NAMES.replace("\n", "\r\n").encode() + b"\r\n",
        NAMES.encode("utf-16"),
        codecs.BOM_UTF16_BE + NAMES.replace("\n", "\r\n").encode("utf-16-be"),
        NAMES.encode() + b"\n\n\n",
        NAMES.replace("\n", "\r\n", 2).encode() + b"\n",
    ],
)
def test_label_files_of_any_system_give_the_same_labels(
    tiny_tflite: dict[str, bytes], pictures: list[Path], tmp_path: Path, encoded: bytes
) -> None:
    path = with_labels(tiny_tflite["float32"], encoded, tmp_path / "m.tflite")
    (picture,) = classify(ClassifyConfig(path, (pictures[0],))).pictures
    assert {guess.index: guess.label for guess in picture.labels} == dict(enumerate(LABELS))


def test_damaged_exif_data_cost_no_picture_its_answer(
    call: Call, tiny_tflite: dict[str, bytes], pictures: list[Path], tmp_path: Path
) -> None:
    path = write_model(tmp_path / "m.tflite", tiny_tflite["int8"])
    paths = [pictures[0]]
    with Image.open(pictures[1]) as picture:
        for number, exif in enumerate((b"Exif\0\0XX", b"Exif\0\0a text", b"Exif\0\0II*\0\x08\0\0\0\xff\xff")):
            paths.append(tmp_path / f"damaged {number}.jpg")
            picture.convert("RGB").save(paths[-1], exif=exif)
    ended = call("run", path, *paths, pictures[2], "--json")
    assert ended.status == 0
    document = json.loads(ended.out)
    assert [len(picture["labels"]) for picture in document["pictures"]] == [5] * 5
    notes = [picture["note"] for picture in document["pictures"]]
    assert [bool(note) for note in notes] == [False, True, True, True, False]
    for damaged, note in zip(paths[1:], notes[1:4], strict=True):
        assert f"{damaged}: {note}" in ended.err
    assert "Warning" not in ended.err
    assert "Traceback" not in ended.err
