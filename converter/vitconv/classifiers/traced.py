"""What TensorFlow can call, a Keras model or a SavedModel's signature, as an opened file: it is traced for a
graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.classifiers.stand_ins import stand_ins
from vitconv.classifiers.told import Pixels
from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.errors import ModelFileError
from vitconv.foundation.quiet import native_output
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph
from vitconv.tflite.layer_names import operations


@dataclass(frozen=True, eq=False)
class Traced:
    """`call`: float tensor [N, H, W, 3] → what the model gives, one tensor or something with one inside.
    `scales_pixels`: whether it is seen to take raw pixels, 0 to 255."""

    path: Path
    call: Callable[[Any], Any]
    input_shape: tuple[int | None, int | None, int | None]
    scales_pixels: bool = False

    def answers(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raises ModelFileError where the model fails on them."""
        import tensorflow as tf

        try:
            with native_output():
                return np.asarray(self._function(tf.constant(inputs)), np.float32)
        except ModelFileError:
            raise
        # What a model of somebody else's raises can be anything.
        except Exception as error:
            raise ModelFileError(
                f"{self.path} fails on pictures of {inputs.shape[1]}×{inputs.shape[2]} pixels: {_line(error)}. "
                "Look at "
                "--image-size."
            ) from error

    @cached_property
    def _function(self) -> Any:
        import tensorflow as tf

        return tf.function(lambda images: self._rows(self.call(images)), autograph=False, reduce_retracing=True)

    def graph(self, image: ImageSpec, pixels: Pixels, softmax: bool, name: str) -> Graph:
        """Raises ModelFileError that names what TFLite has no operator for."""
        import tensorflow as tf

        scale, shift = (np.array(values, np.float32) for values in pixels.scale_and_shift)

        def classify(image: Any) -> Any:
            if np.any(scale != 1):
                image = image * scale
            if np.any(shift):
                image = image + shift
            rows = self._rows(self.call(image))
            return tf.nn.softmax(rows) if softmax else rows

        spec = tf.TensorSpec((1, *image.shape), tf.float32, name="image")
        with native_output() as printed, stand_ins():
            try:
                function = tf.function(classify, autograph=False).get_concrete_function(spec)
                self._check_random(function)
                converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
                converter.target_spec.supported_ops = [
                    tf.lite.OpsSet.TFLITE_BUILTINS,
                    tf.lite.OpsSet.SELECT_TF_OPS,
                ]
                data = bytes(converter.convert())
            except ModelFileError:
                raise
            except Exception as error:
                raise ModelFileError(
                    f"TensorFlow's converter cannot write {self.path}: {_line(error)}\n{printed()}".rstrip()
                ) from error
        graph = Graph.parse(data, name)
        self._check_operators(graph)
        return graph

    def _rows(self, found: Any) -> Any:
        """The one tensor of classes in what a model gives, as [N, classes]."""
        import tensorflow as tf

        tensors = tf.nest.flatten(found)
        if len(tensors) != 1:
            raise ModelFileError(
                f"{self.path} gives {len(tensors)} outputs: a classifier of pictures gives one, with a value a "
                "class. "
                "Save a model that ends there."
            )
        shape = tensors[0].shape
        if shape.rank is None or shape[-1] is None or any(size != 1 for size in shape[1:-1]) or shape.rank < 2:
            raise ModelFileError(
                f"{self.path} gives values of the shape {list(shape)}: a classifier of pictures gives [N, "
                "classes]. "
                "Save a model that ends there."
            )
        return tf.reshape(tensors[0], (-1, shape[-1]))

    def _check_random(self, function: Any) -> None:
        """Raises ModelFileError where an answer depends on random numbers."""
        graphs = [function.graph, *(f.graph for f in function.graph._functions.values() if hasattr(f, "graph"))]
        for graph in graphs:
            for operation in graph.get_operations():
                if "Random" in operation.type:
                    layer = operation.name.rpartition("/")[0]
                    raise ModelFileError(
                        f"{self.path} draws random numbers when it answers ({operation.type} in {layer}), so it "
                        "answers differently each time: dropout or augmentation that does not look at "
                        "training=False. "
                        "Save a model without it."
                    )

    def _check_operators(self, graph: Graph) -> None:
        strange = sorted({one.operator for one in operations(graph) if one.operator.startswith("Flex")})
        if strange:
            names = {flatbuffer.text(graph.model.subgraphs[0].tensors[one.output].name).partition(";")[0]
                     for one in operations(graph) if one.operator == strange[0]}  # fmt: skip
            raise ModelFileError(
                f"{self.path} computes with {', '.join(name.removeprefix('Flex') for name in strange)}, for which "
                f"TFLite has no operator ({strange[0].removeprefix('Flex')} in {min(names)}). Write these layers "
                "with other operations."
            )


def _line(error: Exception) -> str:
    """An error's first line with words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"[:400].rstrip(".")
