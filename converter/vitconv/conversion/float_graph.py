"""A Keras model → its float graph, in the form that a scheme names.

The graph is prepared before TensorFlow's converter sees it: batch 1, fixed shapes, at most four dimensions, layers
in the form that their scheme names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vitconv.conversion.compaction import compact
from vitconv.conversion.dense_layers import as_convolutions
from vitconv.conversion.folding import fold_pixel_scaling
from vitconv.conversion.half_range import within_half_range
from vitconv.conversion.row_products import as_row_products
from vitconv.conversion.rules import concatenations
from vitconv.conversion.schemes import Scheme
from vitconv.conversion.sketch import Sketch
from vitconv.conversion.weights import in_eight_bits, in_half_precision
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.pictures.photographs import sample_photographs
from vitconv.foundation.errors import PromiseError
from vitconv.foundation.progress import Progress
from vitconv.foundation.quiet import native_output
from vitconv.models.forms import GraphForm, graph_form
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

if TYPE_CHECKING:
    import keras


def convert_float(model: keras.Model, scheme: Scheme) -> Graph:
    """The graph of a scheme that needs no calibration, or the float graph that a calibrated scheme starts from.

    Input float32 [1, H, W, 3] raw pixels 0–255, output float32 [1, classes] probabilities.
    """
    return stored(convert_traced(trace(model, scheme.form), scheme), scheme)


def float_graphs(
    model: keras.Model, wanted: Iterable[Scheme], progress: Progress | None = None
) -> dict[str, Graph]:
    """Scheme → `convert_float` of the model. What schemes have in common is done once."""
    traced: dict[GraphForm, Any] = {}
    converted: dict[tuple[GraphForm, bool], Graph] = {}
    graphs = {}
    schemes = list(wanted)
    for done, scheme in enumerate(schemes):
        if progress:
            progress("converting", done, len(schemes))
        form = scheme.form
        if form not in traced:
            traced[form] = trace(model, form)
        key = form, scheme.needs_calibration
        if key not in converted:
            converted[key] = convert_traced(traced[form], scheme)
        graphs[scheme.name] = stored(converted[key], scheme)
    return graphs


def trace(model: keras.Model, form: GraphForm) -> Any:
    """The model as a concrete function of one image, its layers in `form`. Schemes of one form share it."""
    import tensorflow as tf

    image = tf.TensorSpec((1, *model.inputs[0].shape[1:]), tf.float32, name="image")
    with native_output(), graph_form(form):
        return tf.function(lambda image: model(image, training=False)).get_concrete_function(image)


def convert_traced(function: Any, scheme: Scheme) -> Graph:
    """`convert_float` of a model that was traced in the scheme's form, with all weights in float32."""
    import tensorflow as tf

    with converting(scheme.name):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        graph = Graph.parse(bytes(converter.convert()), scheme.name)
    if scheme.needs_calibration:
        return compact(_split(as_convolutions(fold_pixel_scaling(graph))))
    main = graph.model.subgraphs[0]
    _, height, width, _ = flatbuffer.tensor_shape(main.tensors[main.inputs[0]])
    photographs = sample_photographs(ImageSpec(height, width))[::2]
    return compact(as_row_products(within_half_range(graph, photographs)))


def _split(graph: Graph) -> Graph:
    sketch = Sketch(graph)
    concatenations.split(sketch)
    return sketch.graph


def stored(graph: Graph, scheme: Scheme) -> Graph:
    """A graph with float32 weights → with the scheme's own; the same where it is still to be calibrated."""
    if scheme.needs_calibration or scheme.weights == "float32":
        return graph
    return compact(in_half_precision(graph) if scheme.weights == "float16" else in_eight_bits(graph))


@contextmanager
def converting(scheme: str) -> Iterator[None]:
    with native_output() as printed:
        try:
            yield
        except Exception as error:
            raise PromiseError(
                f"TensorFlow's converter could not write {scheme}: {error}\n{printed()}".rstrip()
            ) from error
