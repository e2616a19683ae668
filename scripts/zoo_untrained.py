"""Networks of timm in `scripts/zoo`: their weights are random, for no package has trained ones. Their answers mean
nothing; how much of the signal their layers and answers keep in int8 means something.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from scipy.special import softmax

import zoo_torch
import zoo_training
from comparison import as_stored
from own_environment import LITERT_TORCH, python_with
from vitconv.classifiers.opening import open_model
from vitconv.classifiers.told import Pixels, Told
from vitconv.evaluation.layer_errors import layer_errors
from vitconv.foundation.errors import InputError, VitconvError
from vitconv.runtimes.litert import Runner
from vitconv.tflite.graph import Graph
from zoo_networks import Network, Pictures

CALIBRATED = 32
SHOWN = 16  # pictures for signal-to-noise ratios


def converted(network: Network, shown: Pictures, folder: Path) -> dict[str, Any]:
    """The card of the network, which is converted by litert-torch where it was not yet. Raises InputError where
    that fails."""
    known = zoo_training.card(folder)
    if known is not None:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    given = folder / "calibration.npy"
    np.save(given, calibration(network, shown)[:, np.newaxis] / 255)
    python = python_with("5 GB", *LITERT_TORCH)
    script = Path(zoo_torch.__file__)
    command = [python, script, network.name, str(len(shown.labels)), given, folder]
    done = subprocess.run(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, check=False)
    given.unlink()
    made = zoo_training.card(folder)
    if done.returncode or made is None:
        why = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        raise InputError(f"litert-torch makes no file: {''.join(why)}")
    return made


def calibration(network: Network, shown: Pictures) -> np.ndarray:
    """float32 [N, side, side, 3], 0 to 255."""
    return enlarged(shown.train[list(shown.calibration[:CALIBRATED])], network.side)


def enlarged(images: np.ndarray, side: int) -> np.ndarray:
    """uint8 [N, H, W, 3] → float32 [N, side, side, 3], 0 to 255."""
    resized = [Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR) for image in images]
    return np.stack([np.asarray(image, np.float32) for image in resized])


def opened(network: Network, shown: Pictures, folder: Path) -> Any:
    """The file of litert-torch, as `vitconv export` opens it."""
    return open_model(folder / "model.tflite", Told(Pixels.parse(network.pixels), shown.labels))


def kept_signal(
    float_graph: Graph, file: Graph, path: Path, shown: np.ndarray, expected: np.ndarray
) -> dict[str, Any]:
    """Of a file at `path`: the signal-to-noise ratio of its probabilities, and of its layers the worst and the
    median, in dB. Layers are found by the names of their tensors; None where none is found."""
    with Runner(path) as runner:
        partitions = runner.partitions
        answers = _probabilities(runner.probabilities(_inputs(runner, shown)))
    noise = float(np.sum(np.square(answers - expected)))
    answers_db = 10 * np.log10(float(np.sum(np.square(expected))) / max(noise, 1e-12))
    try:
        layers = [layer.snr_db for layer in layer_errors(float_graph, file, shown.astype(np.uint8))]
    except VitconvError:
        layers = []
    return {
        "partitions": partitions,
        "answers_db": round(float(answers_db), 1),
        "worst_layer_db": round(min(layers), 1) if layers else None,
        "median_layer_db": round(median(layers), 1) if layers else None,
    }


def _inputs(runner: Runner, shown: np.ndarray) -> np.ndarray:
    """What the file takes for pixels: ours raw ones, those of other tools pixels from 0 to 1."""
    if runner.inputs[0].dtype == "uint8":
        return shown.astype(np.uint8)
    return np.asarray(as_stored(runner, shown / np.float32(255)))


def _probabilities(values: np.ndarray) -> np.ndarray:
    """Of logits their softmax."""
    if np.all(values >= 0) and np.allclose(values.sum(axis=1), 1, atol=0.02):
        return values
    return np.asarray(softmax(values, axis=1))
