"""The files of the networks that come with vitconv, as an export writes them, without the rest of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import commands
from shared import folder, made_once, new_folder
from vitconv.checkpoints import pretrained
from vitconv.checkpoints.checkpoint import open_checkpoint
from vitconv.conversion import float_graph, schemes
from vitconv.quantization import calibration, integers
from vitconv.quantization.ranges import measure_ranges


@made_once
def shipped_file(name: str, scheme: str) -> bytes:
    """A scheme's file of the trained network at its full size, without metadata.

    Ranges are those that come with it. Where the graph has changed since, they are measured on noise: they change
    answers, and no costs.
    """
    kept_there = pretrained.folder(name)
    assert kept_there
    checkpoint = open_checkpoint(kept_there)
    graph = float_graph.convert_float(checkpoint.load(), schemes.find(scheme))
    if not schemes.find(scheme).needs_calibration:
        return graph.data
    known = pretrained.calibration_file(checkpoint.card.weights["sha256"])
    assert known
    kept = calibration.read(known)
    if kept.fits({scheme: graph}):
        return integers.quantize(graph, kept.of_graph(scheme, graph).ranges).data
    image = checkpoint.card.image
    noise = np.random.default_rng(0).integers(0, 256, (2, image.height, image.width, 3), np.uint8)
    return integers.quantize(graph, measure_ranges(graph, noise)).data


def shipped_export(name: str) -> Path:
    """What `vitconv export NAME --quant all` writes. Not to be changed."""
    return folder() / _exported(f"exported/{name}", name)


@made_once
def _exported(place: str, name: str) -> str:
    ended = commands.run("export", name, "--quant", "all", "--out", new_folder(place))
    assert ended.status == 0, ended.err
    return place
