"""Files and words that cannot be used: one clear line each."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import Call, refused
from vitconv.classifiers.opening import check_answers, open_model
from vitconv.classifiers.told import Pixels, Told, read_labels
from vitconv.data.datasets import open_dataset, open_pictures
from vitconv.foundation.errors import InputError

# Keras's own, when it saves with this NumPy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

TWO = Told(Pixels.parse("0..1"), ("dark", "bright"))
LAYERS = """
import keras


@keras.saving.register_keras_serializable("mine")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


def classifier(shape: tuple[int | None, ...] = (8, 8, 3), classes: int = 2, activation: Any = "softmax") -> Any:
    import keras

    image = keras.Input(shape)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, name="conv")(image))
    return keras.Model(image, keras.layers.Dense(classes, activation=activation, name="head")(x))


def with_nan(folder: Path) -> Any:
    model = classifier()
    model.get_layer("conv").kernel.assign(np.full((3, 3, 3, 4), np.nan))
    return model


def two_inputs(folder: Path) -> Any:
    import keras

    first, second = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(keras.layers.Add()([first, second]))
    return keras.Model([first, second], keras.layers.Dense(2)(x))


def two_outputs(folder: Path) -> Any:
    import keras

    image = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(image)
    return keras.Model(image, [keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)])


def of_words(folder: Path) -> Any:
    import keras

    words = keras.Input((20, 16))
    return keras.Model(words, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(words)))


def a_map(folder: Path) -> Any:
    import keras

    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Conv2D(2, 3)(image))


def half_precision(folder: Path) -> Any:
    import keras

    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, dtype="float16", name="conv")(image)
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))


def mixed_precision(folder: Path) -> Any:
    import keras

    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, dtype="mixed_float16", name="conv")(image)
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))


def with_lambda(folder: Path) -> Any:
    import keras

    image = keras.Input((8, 8, 3))
    x = keras.layers.Lambda(lambda pixels: pixels * 2)(image)
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)))


def with_own_class(folder: Path) -> Any:
    import keras

    scope: dict[str, Any] = {"__name__": "mine"}
    exec(LAYERS, scope)
    known = keras.saving.get_custom_objects()
    for name in [name for name in known if name.endswith("Twice")]:  # no others: later tests need them
        del known[name]
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(scope["Twice"]()(image))))


def dropping(folder: Path) -> Any:
    import keras

    scope: dict[str, Any] = {"__name__": "dropping"}
    exec(DROPPING, scope)
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(scope["Dropping"]()(image))))


DROPPING = """
import keras


class Dropping(keras.layers.Layer):
    def call(self, x):
        return x * keras.random.uniform((1, 8, 8, 3))
"""
TURNING = """
import keras


class Turning(keras.layers.Layer):
    def call(self, x):
        return keras.ops.qr(x[..., 0])[1][..., None]
"""


def turning(folder: Path) -> Any:
    import keras

    scope: dict[str, Any] = {"__name__": "turning"}
    exec(TURNING, scope)
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(scope["Turning"]()(image))))


# --- Keras files ---

KERAS: dict[str, tuple[Callable[[Path], Any], Told, str]] = {
    "two inputs": (two_inputs, TWO, "takes 2 inputs"),
    "two outputs": (two_outputs, TWO, "gives 2 outputs"),
    "words": (of_words, TWO, r"takes values of the shape \[None, 20, 16\]"),
    "a map": (a_map, TWO, r"a classifier of pictures gives \[N, classes\]"),
    "one channel": (lambda _: classifier((8, 8, 1)), TWO, "pictures of 1 channels"),
    "channels first": (lambda _: classifier((3, 8, 8)), TWO, "channels first"),
    "open size": (lambda _: classifier((None, None, 3)), TWO, r"open \(\?×\?\).*--image-size"),
    "another size": (lambda _: classifier(), replace(TWO, image_size=(9, 9)), "of 8×8 pixels, not 9×9"),
    "NaN": (with_nan, TWO, "108 weights that are NaN"),
    "float16 weights": (half_precision, TWO, r"weights of float16 \(conv/kernel\)"),
    "mixed precision": (mixed_precision, TWO, r"computes in float16 \(layer conv\)"),
    "Lambda": (with_lambda, TWO, "has a Lambda layer"),
    "class that is not there": (with_own_class, TWO, r"class (mine>)?Twice, .*--code"),
    "sigmoids": (lambda _: classifier(activation="sigmoid"), TWO, "looks like a sigmoid for each class"),
    "one output": (lambda _: classifier(classes=1, activation=None), TWO, "gives a single value"),
    "more labels than outputs": (lambda _: classifier(classes=3), TWO, "3 outputs, and there are 2 labels"),
    "no labels": (lambda _: classifier(), replace(TWO, labels=None), "2 outputs and no labels.*--labels"),
    "no pixels": (lambda _: classifier(), replace(TWO, pixels=None), "does not say what it takes for a pixel"),
}


@pytest.mark.parametrize("case", KERAS)
def test_a_keras_file_that_is_no_classifier_of_pictures_is_refused(case: str, tmp_path: Path) -> None:
    make, told, message = KERAS[case]
    path = tmp_path / "mine.keras"
    make(tmp_path).save(path)
    with pytest.raises(InputError, match=message) as caught:
        open_model(path, told)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        (dropping, DROPPING, "answers differently"),
        (turning, TURNING, "for which TFLite has no operator"),
    ],
)
def test_what_tflite_cannot_compute_is_named(make: Any, code: str, message: str, tmp_path: Path) -> None:
    from vitconv.conversion import schemes

    path, own = tmp_path / "mine.keras", tmp_path / "own.py"
    make(tmp_path).save(path)
    own.write_text(code)
    with pytest.raises(InputError, match=message):
        open_model(path, replace(TWO, code=own)).float_graphs([schemes.find("float32")])


def test_a_class_is_found_in_the_code_that_is_named(tmp_path: Path) -> None:
    path, own = tmp_path / "mine.keras", tmp_path / "own.py"
    with_own_class(tmp_path).save(path)
    own.write_text(LAYERS)
    assert open_model(path, replace(TWO, code=own)).labels == ("dark", "bright")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise ValueError('no')", "fails when it is executed: ValueError: no"),
        ("import sys; sys.exit(3)", "fails when it is executed: SystemExit"),
        (None, "cannot read the code"),
        ("x = 1", "own.py does not define it"),
    ],
)
def test_code_that_fails_is_named(text: str | None, message: str, tmp_path: Path) -> None:
    path, own = tmp_path / "mine.keras", tmp_path / "own.py"
    with_own_class(tmp_path).save(path)
    if text is not None:
        own.write_text(text)
    with pytest.raises(InputError, match=message):
        open_model(path, replace(TWO, code=own))


# --- what is no Keras file ---


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_json", ".json"), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"weights": [1, 2, 3]}), "is a Python pickle"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file"),
        (b"", "is no .keras file"),
        (b"PK\x03\x04 and then nothing", "is no .keras file"),
        (zipped(config_json=b"{}"), "has no metadata.json"),
        (b"\0\0\0\0TFL3 and then nothing", "is corrupt"),
    ],
)
def test_something_else_under_the_name_of_a_keras_file_is_refused(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.keras"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_model(path, TWO)


def test_a_keras_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.keras"
    classifier().save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"is no \.keras file, or an incomplete one"):
        open_model(path, TWO)


# --- .tflite files and SavedModels ---


@pytest.mark.parametrize(("optimized", "message"), [(True, "is quantized already"), (False, None)])
def test_a_quantized_tflite_file_is_refused(optimized: bool, message: str | None, tmp_path: Path) -> None:
    import tensorflow as tf

    model = classifier((16, 16, 3), classes=300, activation=None)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT] if optimized else []
    path = tmp_path / "mine.tflite"
    path.write_bytes(converter.convert())
    told = replace(TWO, labels=tuple(f"class {number}" for number in range(300)))
    if message is None:
        opened = open_model(path, told)
        assert opened.image.shape == (16, 16, 3)
        return
    with pytest.raises(InputError, match=message):
        open_model(path, told)


def test_a_saved_model_without_a_serving_signature_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), str(tmp_path / "saved"))
    with pytest.raises(InputError, match=r"has no signature 'serving_default' \(it has none\)"):
        open_model(tmp_path / "saved", TWO)


# --- what is told ---


@pytest.mark.parametrize("text", ["", "0-1", "0..2", "0.5", "a,b", "1,2,3,4", "nan,1"])
def test_pixels_are_one_of_a_few_words_or_numbers(text: str) -> None:
    with pytest.raises(InputError, match="--pixels"):
        Pixels.parse(text)


def test_means_of_pixels_to_255_are_refused() -> None:
    with pytest.raises(InputError, match="Divide them by 255"):
        Pixels.parse("127.5,127.5")


@pytest.mark.parametrize(
    ("text", "scale", "shift"),
    [
        ("0..255", (1,), (0,)),
        ("0..1", (1 / 255,), (0,)),
        ("-1..1", (2 / 255,), (-1,)),
        ("0.5,0.25", (4 / 255,), (-2,)),
        ("0,0.5,1,1,0.5,0.25", (1 / 255, 2 / 255, 4 / 255), (0, -1, -4)),
    ],
)
def test_pixels_say_what_the_model_gets(text: str, scale: Any, shift: Any) -> None:
    given = Pixels.parse(text).scale_and_shift
    np.testing.assert_allclose(given[0], scale)
    np.testing.assert_allclose(given[1], shift, atol=1e-12)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat\n\ndog\n", "line 2 of .* is empty"),
        (b"cat\ndog\ncat\n", "has the label 'cat' twice, in lines 1 and 3"),
        (b"cat\n", "has 1 labels"),
        (b"\xff\xfe\x00", "cannot read the labels"),
        (b"\xe4\nb\n", "cannot read the labels"),
    ],
)
def test_a_list_of_labels_has_a_class_a_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_labels(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_labels_may_be_in_the_encodings_of_windows(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("Gänseblümchen\r\nrose\r\n".encode(encoding))
    assert read_labels(path) == ("Gänseblümchen", "rose")


def test_a_missing_list_of_labels_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*none\.txt"):
        read_labels(tmp_path / "none.txt")


@pytest.fixture
def lamps(tmp_path: Path) -> Path:
    """Pictures of two classes: dark and bright ones."""
    random = np.random.default_rng(0)
    for label, level in (("bright", 170), ("dark", 70)):
        (tmp_path / "lamps" / label).mkdir(parents=True)
        for number in range(300):
            pixels = level + random.integers(-40, 40, (8, 8, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "lamps" / label / f"{number}.png")
    return tmp_path / "lamps"


def light_meter() -> Any:
    """Is the mean pixel, from 0 to 1, above a half?"""
    import keras

    image = keras.Input((8, 8, 3))
    x = keras.layers.Dense(2, activation="softmax", name="head")(keras.layers.GlobalAveragePooling2D()(image))
    model = keras.Model(image, x)
    model.get_layer("head").set_weights([np.array([[9.0, -9.0]] * 3), np.array([-13.5, 13.5])])
    return model


def test_pixels_that_give_clearly_worse_answers_are_refused(lamps: Path, tmp_path: Path) -> None:
    path = tmp_path / "meter.keras"
    light_meter().save(path)
    dataset = open_dataset(str(lamps))
    right = open_model(path, Told(Pixels.parse("0..1")), str(lamps))
    assert right.labels == ("bright", "dark")
    check_answers(right, dataset)
    wrong = open_model(path, Told(Pixels.parse("0..255")), str(lamps))
    with pytest.raises(InputError, match=r"--pixels 0\.\.255 looks wrong: .* with --pixels 0\.\.1 for 100%"):
        check_answers(wrong, dataset)


def test_pictures_without_classes_need_no_labels_of_theirs(lamps: Path, tmp_path: Path) -> None:
    path = tmp_path / "meter.keras"
    light_meter().save(path)
    model = open_model(path, TWO)
    pictures = open_pictures(lamps)
    assert not pictures.labelled
    check_answers(model, pictures)
    assert sum(pictures.counts().values()) == 600


def test_the_command_says_it_in_one_line(lamps: Path, tmp_path: Path, call: Call) -> None:
    path, out = tmp_path / "meter.keras", tmp_path / "out"
    light_meter().save(path)
    for told, words in (
        (("--pixels", "0-1"), ["--pixels must be"]),
        ((), ["does not say what it takes for a pixel", "--pixels"]),
        (("--pixels", "0..1", "--images", lamps), ["2 outputs and no labels"]),
        (("--pixels", "0..1", "--labels", tmp_path / "none.txt"), ["none.txt"]),
    ):
        refused(call("export", path, "--quant", "float32", "--out", out, *told), *words)
        assert not out.exists()
