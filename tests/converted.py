"""Files of the catalogue's models with trained-like weights, each converted once a session."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from graphs import inspect_bytes
from parity import ours
from reference.weights import pictures
from shared import made_once
from vitconv.conversion import float_graph as conversion
from vitconv.conversion import schemes
from vitconv.models.forms import GraphForm
from vitconv.quantization import integers
from vitconv.quantization.hybrid.units import units
from vitconv.quantization.ranges import TensorRange, measure_ranges
from vitconv.tflite.graph import Graph
from vitconv.tflite.inspection import Inspection

if TYPE_CHECKING:
    import keras

CLASSES = 10


def size_of(name: str) -> int:
    """A small image size that the model takes."""
    return 32 if name.startswith("eanet") else 64


def keras_model(name: str) -> keras.Model:
    """The model with trained-like weights. The same each time: put back what you change."""
    return ours(name, size_of(name), CLASSES)


def images(name: str, count: int, seed: int = 1) -> np.ndarray:
    """uint8 [count, size, size, 3]"""
    return np.rint(pictures(count, size_of(name), seed)).astype(np.uint8)


@made_once
def keras_answers(name: str, count: int, seed: int = 1) -> np.ndarray:
    """The model's own answers to those images: float32 [count, CLASSES]"""
    return np.asarray(keras_model(name)(images(name, count, seed).astype(np.float32), training=False))


@cache
def traced(name: str, form: GraphForm) -> Any:
    """The model as `conversion.trace` gives it."""
    return conversion.trace(keras_model(name), form)


@cache
def float_graph(name: str, scheme: str) -> Graph:
    """What `conversion.convert_float` gives for a scheme's name."""
    return Graph.parse(_float_graph(name, scheme), f"{name} {scheme}")


@made_once
def _float_graph(name: str, scheme: str) -> bytes:
    wanted = schemes.find(scheme)
    return conversion.stored(conversion.convert_traced(traced(name, wanted.form), wanted), wanted).data


@made_once
def ranges(name: str, scheme: str = "int8") -> tuple[TensorRange, ...]:
    """The ranges of a calibrated scheme's float graph over 16 images."""
    return measure_ranges(float_graph(name, scheme), images(name, 16))


@made_once
def converted(name: str, scheme: str) -> bytes:
    """The scheme's file of the model, without metadata."""
    graph = float_graph(name, scheme)
    if not schemes.find(scheme).needs_calibration:
        return graph.data
    return integers.quantize(graph, ranges(name, scheme), kept_float(name, scheme)).data


def kept_float(name: str, scheme: str) -> tuple[str, ...]:
    """All that a search could keep float in a hybrid file, without the search, which takes its time."""
    if not schemes.find(scheme).hybrid:
        return ()
    found = units(float_graph(name, scheme), weights=False)
    return tuple(op.tensor for unit in found.values() for op in unit)


@cache
def inspected(name: str, scheme: str) -> Inspection:
    """What that file holds."""
    return inspect_bytes(converted(name, scheme), f"{name}-{scheme}.tflite")
