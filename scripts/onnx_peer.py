#!/usr/bin/env python3
"""ONNX Runtime's side of scripts/compare-with-peers. Runs in an environment of its own, with tf2onnx.

onnx_peer.py convert SAVED_MODEL IMAGES.npy FOLDER    writes float32.onnx, dynamic.onnx (matrix products)
                                                      and int8.onnx (QDQ, kernels by channel, calibrated)
onnx_peer.py serve FILE.onnx IMAGES.npy               one thread; answers each line on standard input:
                                                      `time`: milliseconds of one inference of the first image
                                                      `run PATH`: probabilities of all images, written to PATH

Images are uint8 [N, H, W, 3]; the networks take float32 pixels 0 to 255, one image at a time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def convert(saved_model: str, images: np.ndarray, folder: Path) -> None:
    import subprocess

    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    folder.mkdir(parents=True, exist_ok=True)
    made, prepared = folder / "float32.onnx", folder / "prepared.onnx"
    command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", saved_model, "--opset", "17"]
    subprocess.run([*command, "--output", str(made)], check=True, stdout=sys.stderr)
    quant_pre_process(str(made), str(prepared), skip_symbolic_shape=True)
    # Its integer convolution has no kernel for a processor's float activations.
    quantize_dynamic(str(prepared), str(folder / "dynamic.onnx"), op_types_to_quantize=["MatMul", "Gemm"])

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            self.feeds: Iterator[dict[str, np.ndarray]] = iter(
                [{session(prepared).get_inputs()[0].name: one(image)} for image in images]
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.feeds, None)

    quantize_static(
        str(prepared),
        str(folder / "int8.onnx"),
        Images(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def serve(path: Path, images: np.ndarray) -> None:
    running = session(path)
    name = running.get_inputs()[0].name
    first = {name: one(images[0])}
    running.run(None, first)
    for line in sys.stdin:
        what, _, place = line.rstrip("\n").partition(" ")
        if what == "time":
            start = time.perf_counter()
            running.run(None, first)
            print((time.perf_counter() - start) * 1000, flush=True)
        else:
            np.save(place, np.concatenate([running.run(None, {name: one(image)})[0] for image in images]))
            print("written", flush=True)


def session(path: Path):  # type: ignore[no-untyped-def]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def one(image: np.ndarray) -> np.ndarray:
    return image[np.newaxis].astype(np.float32)


if __name__ == "__main__":
    if sys.argv[1] == "convert":
        convert(sys.argv[2], np.load(sys.argv[3]), Path(sys.argv[4]))
    else:
        serve(Path(sys.argv[2]), np.load(sys.argv[3]))
