"""Small classifiers for the GPU, written by hand, and export folders of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from handmade import Handmade, run
from made_documents import digest, export_folder, write_json
from vitconv.foundation.errors import MissingToolError
from vitconv.runtimes.gpu.drivers import Driver
from vitconv.runtimes.gpu.probe import find_driver
from vitconv.tflite.graph import Graph

Middle = Callable[[Handmade, int], int]  # adds operators that keep [1, 6, 6, 4]


@cache
def _driver() -> Driver | str:
    try:
        return find_driver()
    except MissingToolError as error:
        return str(error)


def driver() -> Driver:
    """The driver of this machine; skips the test, with the reason, where there is none."""
    found = _driver()
    if isinstance(found, str):
        pytest.skip(found)
    return found


def classifier(middle: Middle) -> Graph:
    """float32 [1, 8, 8, 3] pixels 0–255 → [1, 1, 1, 3] probabilities."""
    random = np.random.default_rng(1)
    graph = Handmade()
    image = graph.tensor(1, 8, 8, 3, name="image")
    scaled = graph.arithmetic("MUL", image, graph.constant([1 / 255]), (1, 8, 8, 3))
    bias = graph.constant(-np.ones(4))
    small = graph.convolution(scaled, graph.constant(random.normal(0, 1, (4, 3, 3, 3))), bias, (1, 6, 6, 4))
    changed = middle(graph, small)
    kernel = graph.constant(random.normal(0, 0.3, (3, 6, 6, 4)))
    scores = graph.convolution(changed, kernel, graph.constant(np.zeros(3)), (1, 1, 1, 3))
    answers = graph.tensor(1, 1, 1, 3, name="answers")
    graph.operator("SOFTMAX", [scores], [answers], schema.SoftmaxOptionsT(beta=1.0))
    return graph.graph([answers])


def leaky(slope: float) -> Middle:
    """LEAKY_RELU, which with slope −1 is |x|."""

    def add(graph: Handmade, source: int) -> int:
        output = graph.tensor(1, 6, 6, 4, name="middle|")
        graph.operator("LEAKY_RELU", [source], [output], schema.LeakyReluOptionsT(alpha=slope))
        return output

    return add


def unary(name: str) -> Middle:
    """An operator of one input and no options."""

    def add(graph: Handmade, source: int) -> int:
        output = graph.tensor(1, 6, 6, 4, name="middle|")
        graph.operator(name, [source], [output])
        return output

    return add


def write_export(folder: Path, graph: Graph, scheme: str = "float32") -> Path:
    """An export folder of one file, whose golden probabilities are what LiteRT makes of it."""
    export_folder(folder)
    document = json.loads((folder / "manifest.json").read_text())
    for entry in document["files"]:
        (folder / entry["path"]).unlink()
    path = folder / f"eanet-flowers-{scheme}.tflite"
    path.write_bytes(graph.data)
    document["files"] = [
        {"scheme": scheme, "path": path.name, "bytes": len(graph.data), "sha256": digest(graph.data)}
    ]
    file = folder / "golden" / "golden.json"
    golden = json.loads(file.read_text())
    for image in golden["images"]:
        pixels = np.asarray(Image.open(folder / "golden" / image["file"]))
        image["probabilities"] = run(graph, pixels[np.newaxis])[0].ravel().tolist()
    write_json(file, golden)
    document["digests"]["golden/golden.json"] = digest(file.read_bytes())
    write_json(folder / "manifest.json", document)
    return folder
