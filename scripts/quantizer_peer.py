#!/usr/bin/env python3
"""ai-edge-quantizer's side of the scripts that compare with it. Runs in an environment of its own.

quantizer_peer.py FLOAT.tflite IMAGES.npy FOLDER

Writes into FOLDER, where the quantizer makes them: dynamic.tflite (int8 kernels, float activations);
int8.tflite (everything that it can in int8); products.tflite (in int8 only CONV_2D, DEPTHWISE_CONV_2D and
FULLY_CONNECTED, which keeps most answers). Calibrated with the images, as float32 [N, 1, H, W, 3]. What it refuses
is said on standard error.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import qtyping, quantizer, recipe

PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def quantize(path: Path, images: np.ndarray, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (signature, tensors), *_ = Interpreter(str(path)).get_signature_list().items()
    data = {signature: [{tensors["inputs"][0]: image} for image in images]}
    for name in ("dynamic", "int8", "products"):
        way = quantizer.Quantizer(str(path))
        if name == "products":
            for operator in PRODUCTS:
                way.add_static_config(".*", qtyping.TFLOperationName(operator), 8, 8)
        else:
            way.load_quantization_recipe(
                recipe.dynamic_wi8_afp32() if name == "dynamic" else recipe.static_wi8_ai8()
            )
        try:
            calibrated = way.calibrate(data, num_threads=1) if way.need_calibration else None
            way.quantize(calibrated).export_model(str(folder / f"{name}.tflite"))
        except Exception as error:
            print(f"{name}: {str(error).strip().partition(chr(10))[0][:200]}", file=sys.stderr)


if __name__ == "__main__":
    quantize(Path(sys.argv[1]), np.load(sys.argv[2]), Path(sys.argv[3]))
