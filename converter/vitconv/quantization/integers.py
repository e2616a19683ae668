"""A float graph and its ranges → the same graph in integers."""

from __future__ import annotations

from collections.abc import Iterable

from vitconv.conversion.compaction import compact
from vitconv.conversion.float_graph import converting
from vitconv.quantization import output_steps
from vitconv.quantization.lookup_tables import between_conversions
from vitconv.quantization.ranges import TensorRange, with_ranges
from vitconv.tflite.graph import Graph


def quantize(
    graph: Graph, ranges: tuple[TensorRange, ...], keep_float: Iterable[str] = (), float_output: bool = False
) -> Graph:
    """The float graph in integers: int8 weights and activations, uint8 input and output.

    `keep_float` names operations, by the tensors they compute, that stay float with conversions around them. With
    `float_output` the last one does, too, and the output is float32.
    Needs no images. Where an op cannot be quantized it stays float, too, which Scheme.check then reports.
    """
    import tensorflow as tf
    from tensorflow.lite.python.util import modify_model_io_type

    # Float input and output first: only their QUANTIZE and DEQUANTIZE can be made to take and give uint8.
    kept = {*keep_float, output_steps.output_of(graph)} if float_output else keep_float
    with_float_ends = quantize_inside(with_ranges(graph, ranges).data, kept).data
    with converting("int8"):
        data = bytes(modify_model_io_type(with_float_ends, tf.uint8, tf.float32 if float_output else tf.uint8))
    return compact(Graph.parse(data, graph.name), inner_names=False)


def quantize_inside(ranged: bytes, keep_float: Iterable[str] = ()) -> Graph:
    """`quantize` of a file that holds its ranges (`ranges.with_ranges`), but for input and output: float32."""
    from tensorflow.lite.python.convert import _types_pb2, mlir_quantize

    with converting("int8"):
        data = bytes(
            mlir_quantize(
                ranged,
                fully_quantize=False,
                inference_type=_types_pb2.QUANTIZED_INT8,
                denylisted_nodes=set(keep_float) or None,
            )
        )
    return between_conversions(Graph.parse(data, "int8"), keep_float)
