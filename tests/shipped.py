"""The files of the networks that come with vitconv, as an export writes them, without the rest of it."""

from __future__ import annotations

import numpy as np

from shared import made_once
from vitconv.checkpoints import pretrained
from vitconv.checkpoints.checkpoint import open_checkpoint
from vitconv.conversion import float_graph, schemes
from vitconv.quantization import calibration, integers
from vitconv.quantization.ranges import measure_ranges

SCHEMES = (
    "float32",
    "dynamic",
    "int8",
)  # float16 computes as float32 does, and a hybrid's mixture was chosen by time


@made_once
def shipped_files(name: str) -> dict[str, bytes]:
    """Scheme → the file of the trained network, without metadata.

    Ranges are those that come with it. Where the graph has changed since, they are measured on noise: they change
    answers, and no costs.
    """
    folder = pretrained.folder(name)
    assert folder
    checkpoint = open_checkpoint(folder)
    graphs = float_graph.float_graphs(checkpoint.load(), [schemes.find(scheme) for scheme in SCHEMES])
    found = {}
    for scheme, graph in graphs.items():
        if not schemes.find(scheme).needs_calibration:
            found[scheme] = graph.data
            continue
        known = pretrained.calibration_file(checkpoint.card.weights["sha256"])
        assert known
        kept = calibration.read(known)
        if kept.fits({scheme: graph}):
            ranges = kept.of_graph(scheme, graph).ranges
        else:
            image = checkpoint.card.image
            noise = np.random.default_rng(0).integers(0, 256, (2, image.height, image.width, 3), np.uint8)
            ranges = measure_ranges(graph, noise)
        found[scheme] = integers.quantize(graph, ranges).data
    return found
