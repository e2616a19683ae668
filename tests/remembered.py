"""What takes long of exports, calibrations and verifications that tests make in their own process: asked once.

A checkpoint's answers, float graphs, the ranges of a graph, and what a search keeps in float in a hybrid file
depend on their arguments and the sources alone. They are kept on disk with all that tests share (`shared`), by a
digest of the arguments, as long as no source has changed: after a change of any file that decides them, the code
under test computes them again. Commands in a process of their own compute everything, and so does a test within
`anew`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property, partial
from hashlib import sha256
from typing import Any

import numpy as np

import shared
from vitconv.checkpoints import answers
from vitconv.checkpoints.checkpoint import read_tensors
from vitconv.classifiers import own
from vitconv.classifiers.foreign import ForeignModel
from vitconv.classifiers.own import OwnModel
from vitconv.conversion import float_graph, rewriting, rules
from vitconv.conversion.rewriting import Applied
from vitconv.conversion.schemes import Scheme
from vitconv.foundation.progress import Progress
from vitconv.quantization import calibration, integers
from vitconv.quantization.hybrid import choice
from vitconv.quantization.hybrid.kept import Kept
from vitconv.quantization.ranges import TensorRange, measure_ranges
from vitconv.tflite.graph import Graph

# Where tests put something of their own in the place of one of these, nothing is remembered.
_PARTS = (
    (float_graph, "trace"), (float_graph, "convert_traced"), (float_graph, "float_graphs"),
    (own, "keras_probabilities"), (answers, "keras_probabilities"), (integers, "quantize"),
    (integers, "quantize_inside"), (rewriting, "rewrite"), (rewriting, "fixed"), (rules, "FLOAT_RULES"),
    (rules, "INTEGER_RULES"),
)  # fmt: skip
_AS_WRITTEN = tuple(getattr(module, name) for module, name in _PARTS)
_remembers = True


@cache
def begin() -> None:
    """From now on this process asks once."""
    for name, remember in (
        ("predict", _predict),
        ("float_graphs", _float_graphs),
        ("layers_graph", _layers_graph),
    ):
        setattr(OwnModel, name, remember(getattr(OwnModel, name)))
    for name in ("_float", "_integer"):
        setattr(ForeignModel, name, _rewritten(name))
    calibration.measure_ranges = _measure_ranges
    choice.choose = _choose(choice.choose)


@contextmanager
def anew() -> Iterator[None]:
    """Within it, everything is computed by the code under test, whatever was asked before."""
    global _remembers
    _remembers, before = False, _remembers
    try:
        yield
    finally:
        _remembers = before


def _usable() -> bool:
    now = (getattr(module, name, None) for module, name in _PARTS)
    return _remembers and all(one is other for one, other in zip(now, _AS_WRITTEN, strict=True))


def _identity(model: OwnModel) -> bytes | None:
    """Of all that a checkpoint's network hangs on. None where a test may have changed it."""
    if not _usable():
        return None
    weights = model.weights
    if not weights.is_file():
        return None
    if network := vars(model).get("_network"):
        stored = read_tensors(weights)[0]
        if not all(np.array_equal(weight.numpy(), stored[weight.path]) for weight in network.weights):
            return None
    return json.dumps(model.card.to_json(), sort_keys=True).encode() + sha256(weights.read_bytes()).digest()


def _of_array(values: np.ndarray) -> bytes:
    return f"{values.dtype} {values.shape} ".encode() + sha256(np.ascontiguousarray(values).tobytes()).digest()


def _predict(ask: Callable[..., Any]) -> Callable[..., Any]:
    def predict(self: OwnModel, images: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        identity = _identity(self)
        if identity is None:
            return np.asarray(ask(self, images, progress))
        return shared.kept("answers", identity + _of_array(images), lambda: ask(self, images, progress))

    return predict


def _float_graphs(make: Callable[..., Any]) -> Callable[..., Any]:
    def float_graphs(
        self: OwnModel, wanted: Iterable[Scheme], progress: Progress | None = None
    ) -> Mapping[str, Graph]:
        schemes = list(wanted)
        identity = _identity(self)
        if identity is None:
            return dict(make(self, schemes, progress))
        found: dict[bytes, Graph] = {}  # schemes may share a graph
        made: dict[str, Graph] = {}
        graphs: dict[str, Graph] = {}

        def data_of(scheme: Scheme) -> bytes:
            if not made:
                made.update(make(self, schemes, progress))
            return made[scheme.name].data

        for scheme in schemes:
            data = shared.kept("graph", identity + repr(scheme).encode(), partial(data_of, scheme))
            if data not in found:
                found[data] = Graph.parse(data, scheme.name)
            graphs[scheme.name] = found[data]
        return graphs

    return float_graphs


def _layers_graph(make: Callable[..., Any]) -> Callable[..., Any]:
    def layers_graph(self: OwnModel, scheme: Scheme) -> Graph:
        identity = _identity(self)
        if identity is None:
            return make(self, scheme)
        data = shared.kept("layers-graph", identity + repr(scheme).encode(), lambda: make(self, scheme).data)
        return Graph.parse(data, scheme.name)

    return layers_graph


def _rewritten(name: str) -> cached_property[tuple[Graph, tuple[Applied, ...]]]:
    """A float graph of another tool's file, and the rules that rewrote it: of the files that tests share."""
    make = vars(ForeignModel)[name].func

    def rewritten(self: ForeignModel) -> tuple[Graph, tuple[Applied, ...]]:
        if not _usable() or not self.path.is_relative_to(shared.folder()):
            return make(self)

        def made() -> tuple[bytes, str, tuple[Applied, ...]]:
            graph, applied = make(self)
            return graph.data, graph.name, applied

        code = self.code.read_bytes() if self.code else b""
        told = f"{name} {self.digest} {self.model} {self.image} {self.pixels} {self.softmax}".encode()
        data, graph_name, applied = shared.kept("rewritten", told + code, made)
        return Graph.parse(data, graph_name), applied

    kept = cached_property(rewritten)
    kept.__set_name__(ForeignModel, name)
    return kept


def _measure_ranges(
    graph: Graph, images: np.ndarray, progress: Progress | None = None, *method: Any
) -> tuple[TensorRange, ...]:
    if not _usable():
        return measure_ranges(graph, images, progress, *method)
    made_from = sha256(graph.data).digest() + _of_array(images) + repr(method).encode()
    return shared.kept("ranges", made_from, lambda: measure_ranges(graph, images, progress, *method))


def _choose(choose: Callable[..., Kept]) -> Callable[..., Kept]:
    def found(
        graph: Graph,
        ranges: tuple[TensorRange, ...],
        images: np.ndarray,
        expected: np.ndarray,
        progress: Progress | None = None,
        **how: Any,
    ) -> Kept:
        def chosen() -> Kept:
            return choose(graph, ranges, images, expected, progress, **how)

        if not _usable():
            return chosen()
        made_from = sha256(graph.data).digest() + repr((ranges, sorted(how.items()))).encode() + _of_array(images)
        return shared.kept("choice", made_from, chosen)

    return found
