"""What the app's Kotlin tests hold its preprocessing to: computed by the converter's own code, and committed.

    python tests/android_fixtures.py      writes the files anew

test_android_fixtures.py compares the committed files with what the converter computes now, so neither side can
change alone. The pictures are drawn by a formula that Kotlin knows, too; none comes from a data set.
"""

from __future__ import annotations

import base64
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from handmade import Handmade
from vitconv.benchmarking.benchmark import median_interval
from vitconv.data.pictures.images import ImageSpec
from vitconv.explanation.occlusion import occlusion
from vitconv.runtimes.classification import input_table, model_input
from vitconv.runtimes.process import TensorDetail
from vitconv.tflite.confidence import Confidence, Threshold
from vitconv.tflite.metadata import ModelMetadata
from vitconv.tflite.metadata import write as write_metadata

APP = Path(__file__).resolve().parent.parent / "android-app"
PREPROCESSING = APP / "core/src/test/resources/preprocessing.json"
CAMERA = APP / "core/src/test/resources/camera.json"
ANSWERS = APP / "core/src/test/resources/answers.json"
PICTURES = APP / "app/src/test/resources/pictures"
SURE = APP / "app/src/test/resources/sure.tflite"

_ORIENTATION = 0x0112

# EXIF orientation → what turns an upright picture into one that is stored like that.
_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

_CASES = [  # width, height of the picture; the model's image; EXIF orientation
    (32, 32, ImageSpec(32, 32), 1),
    (64, 64, ImageSpec(32, 32), 1),
    (97, 61, ImageSpec(32, 32), 1),
    (61, 97, ImageSpec(24, 40), 1),
    (97, 61, ImageSpec(32, 32, resize="center_crop"), 1),
    (61, 97, ImageSpec(24, 40, resize="center_crop"), 1),
    (300, 200, ImageSpec(16, 16, resize="center_crop"), 1),
    (7, 5, ImageSpec(32, 32), 1),
    (5, 90, ImageSpec(20, 20, resize="center_crop"), 1),
    (1, 1, ImageSpec(8, 8), 1),
    (32, 77, ImageSpec(32, 32), 1),
    (77, 32, ImageSpec(32, 32), 1),
    (1000, 3, ImageSpec(16, 16), 1),
    *((45, 30, ImageSpec(16, 16, resize="center_crop"), orientation) for orientation in range(2, 9)),
    (33, 21, ImageSpec(21, 33), 6),
]


_INPUTS: list[tuple[str, tuple[float, int] | None, tuple[tuple[float, ...], tuple[float, ...]] | None]] = [
    # a model's input: type; scale and zero point; mean and deviation
    ("float32", None, ((0.0,), (1.0,))),
    ("float32", None, ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))),
    ("uint8", (1.0, 0), ((0.0,), (1.0,))),
    ("uint8", (1 / 128, 128), ((127.5,), (127.5,))),
    # Scales that do not undo the normalisation; the first is of a network that takes 0 to 1.
    ("uint8", (1 / 255, 0), ((127.5,), (127.5,))),
    ("uint8", (0.0187, 114), ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))),
    ("uint8", (0.9, 20), None),
    ("uint8", None, ((0.0,), (255.0,))),
    ("int8", (1.0, -128), ((0.0,), (1.0,))),
    ("int8", (1 / 128, 0), ((127.5,), (127.5,))),
    ("int8", (1 / 127.5, -1), ((127.5,), (127.5,))),  # halves, that both must round alike
    ("int8", (0.0187, -14), ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))),
    ("int8", (1 / 60, 3), ((127.5,), (127.5,))),
    ("int8", (1 / 255, -128), None),
    ("int8", None, None),
]


SURE_CONFIDENCE = Confidence(1.7, 1 / 512, "validation", "digest", 100, 0.0, 0.0, (
    Threshold(0.01, None, None), Threshold(0.05, 0.9, 0.5), Threshold(0.1, 0.6, 0.8)))  # fmt: skip


def picture(width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 4]: a gradient under noise, from a generator of pseudorandom numbers; alpha is 255."""
    state = 12345
    values = np.empty(width * height * 3, np.uint8)
    for index in range(len(values)):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        pixel, channel = divmod(index, 3)
        y, x = divmod(pixel, width)
        gradient = (255 * x // width, 255 * y // height, 255 * (x + y) // (width + height))[channel]
        values[index] = (gradient + (state >> 16) % 128) % 256
    rgb = values.reshape(height, width, 3)
    return np.concatenate([rgb, np.full((height, width, 1), 255, np.uint8)], axis=2)


def preprocessing() -> dict[str, Any]:
    """The content of PREPROCESSING."""
    cases = []
    for width, height, spec, orientation in _CASES:
        image = Image.fromarray(picture(width, height)[:, :, :3])
        image.getexif()[_ORIENTATION] = orientation
        cases.append({
            "width": width,
            "height": height,
            "orientation": orientation,
            "image": spec.to_json(),
            "expected": base64.b64encode(spec.prepare(image).tobytes()).decode(),
        })  # fmt: skip
    samples = [round(float(value), 6) for value in np.random.default_rng(3).gamma(2, 3, 25)]
    statistics = {
        "samples": samples,
        "percentiles": {str(p): float(np.percentile(samples, p)) for p in (0, 50, 90, 95, 100)},
        "median_interval": list(median_interval(np.array(samples))),
    }
    return {"cases": cases, "inputs": inputs(), "statistics": statistics}


def inputs() -> list[dict[str, Any]]:
    """What the converter puts into inputs of each kind for the grey values 0 to 255."""
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    found = []
    for dtype, quantization, normalization in _INPUTS:
        scale, zero_point = quantization or (None, None)
        source = TensorDetail("input", (1, 256, 1, 3), dtype, scale, zero_point)
        logging.disable(logging.WARNING)  # of scales that do not fit
        try:
            written = model_input(grey, input_table(Path("m.tflite"), source, normalization))
        finally:
            logging.disable(logging.NOTSET)
        mean, deviation = normalization or (None, None)
        found.append({
            "type": dtype,
            "scale": scale,
            "zero_point": zero_point,
            "mean": mean and list(mean),
            "deviation": deviation and list(deviation),
            "expected": base64.b64encode(written.astype(written.dtype.newbyteorder("<")).tobytes()).decode(),
        })  # fmt: skip
    return found


def camera() -> dict[str, Any]:
    """The content of CAMERA: one picture as a PNG, as the camera frames that show it, and as models' inputs.

    A frame has chroma for every 2×2 pixels alone. The picture's is the same in each of these squares, and its
    sides are even, so that frame and PNG show the same however the camera is turned.
    """
    height, width = 28, 36
    noise = picture(width, height)[:, :, :3].astype(float) / 255
    luma = np.rint(75 + 105 * noise[:, :, 0]).astype(np.uint8)
    blue, red = (np.rint(88 + 80 * noise[::2, ::2, channel]).astype(np.uint8) for channel in (1, 2))
    frames = []
    for orientation, transpose in _STORED.items():
        planes = [Image.fromarray(plane) for plane in (luma, blue, red)]
        y, u, v = (plane if transpose is None else plane.transpose(transpose) for plane in planes)
        encoded = {name: _base64(np.asarray(plane)) for name, plane in (("y", y), ("u", u), ("v", v))}
        frames.append({"orientation": orientation, "width": y.width, "height": y.height, **encoded})
    image = Image.fromarray(_rgb(luma, blue, red))
    inputs = []
    for spec in (ImageSpec(16, 16), ImageSpec(24, 20, resize="center_crop"), ImageSpec(28, 36)):
        inputs.append({"image": spec.to_json(), "expected": _base64(spec.prepare(image))})
    return {"png": base64.b64encode(_encode(image, "PNG")).decode(), "inputs": inputs, "frames": frames}


def answers() -> dict[str, Any]:
    """The content of ANSWERS: what covering does to a sum of weighted pixels, which Kotlin computes, too; and
    scores with a temperature."""
    height, width = 26, 34  # halves, that both must round alike
    pixels = picture(width, height)[:, :, :3]
    weights = picture(height, width)[:, :, 0].T.astype(np.float64) ** 2

    def answer(batch: np.ndarray) -> np.ndarray:
        return ((batch[..., 0] * weights).sum(axis=(1, 2)) / (255 * weights.sum()))[:, np.newaxis].astype(
            np.float32
        )

    found = occlusion(answer, pixels, 0)
    given = np.array([[0.7, 0.2, 0.1, 0.0], [0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]], np.float32)
    return {
        "occlusion": {
            "width": width,
            "height": height,
            "probability": found.probability,
            "drops": found.drops.ravel().tolist(),
            "spread": [round(value, 7) for value in found.spread.ravel().tolist()],
        },
        "confidence": SURE_CONFIDENCE.to_json(),
        "given": given.tolist(),
        "scores": SURE_CONFIDENCE.apply(given).tolist(),
    }


def sure_model() -> bytes:
    """The content of SURE: a file of one layer, whose metadata say how sure it is."""
    made = Handmade()
    image = made.tensor(1, 2, 2, 3)
    made.dense(made.reshaped(image, 1, 12), np.linspace(-1, 1, 24).reshape(2, 12), np.zeros(2))
    facts = ModelMetadata(
        "sure",
        "One layer, for tests.",
        "1",
        "vitconv",
        "Apache-2.0",
        ("cat", "dog"),
        ImageSpec(2, 2),
        SURE_CONFIDENCE,
    )
    return write_metadata(made.graph([len(made.tensors) - 1]), facts, "sure.tflite").data


def _rgb(luma: np.ndarray, blue: np.ndarray, red: np.ndarray) -> np.ndarray:
    """ITU-T T.871; chroma is given for every 2×2 pixels. No colour of the picture is cut off at 0 or 255."""
    y = luma.astype(float)
    cb, cr = (np.repeat(np.repeat(plane, 2, axis=0), 2, axis=1).astype(float) - 128 for plane in (blue, red))
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=2)
    assert rgb.min() >= 0
    assert rgb.max() <= 255
    return np.rint(rgb).astype(np.uint8)


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


def pictures() -> dict[str, bytes]:
    """The content of PICTURES: picture files, and pictures.json with what the converter makes of each."""
    pixels = picture(60, 44)
    rgb = Image.fromarray(pixels[:, :, :3])
    smooth = rgb.resize((60, 44), Image.Resampling.BOX).reduce(4).resize((60, 44), Image.Resampling.BICUBIC)
    pixels[:, :, 3] = np.linspace(0, 255, 60).astype(np.uint8)
    transparent = Image.fromarray(pixels)
    files = {
        "plain.png": _encode(rgb, "PNG"),
        "grey.png": _encode(rgb.convert("L"), "PNG"),
        "palette.png": _encode(smooth.quantize(32), "PNG"),
        "transparent.png": _encode(transparent, "PNG"),
        "plain.webp": _encode(rgb, "WEBP", lossless=True),
        "plain.jpg": _encode(smooth, "JPEG", quality=95, subsampling=0),
    }
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        files[f"turned{orientation}.jpg"] = _encode(smooth, "JPEG", quality=95, subsampling=0, exif=exif)
    spec = ImageSpec(24, 24, resize="center_crop")
    expected = {}
    for name, data in files.items():
        prepared = spec.prepare(Image.open(io.BytesIO(data)))
        expected[name] = base64.b64encode(prepared.tobytes()).decode()
    document = {"image": spec.to_json(), "expected": expected}
    return {**files, "pictures.json": (json.dumps(document, indent=1) + "\n").encode()}


def _encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def main() -> None:
    PREPROCESSING.parent.mkdir(parents=True, exist_ok=True)
    PREPROCESSING.write_text(json.dumps(preprocessing(), indent=1) + "\n", encoding="utf-8")
    CAMERA.write_text(json.dumps(camera(), indent=1) + "\n", encoding="utf-8")
    ANSWERS.write_text(json.dumps(answers(), indent=1) + "\n", encoding="utf-8")
    SURE.write_bytes(sure_model())
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, data in pictures().items():
        (PICTURES / name).write_bytes(data)


if __name__ == "__main__":
    main()
