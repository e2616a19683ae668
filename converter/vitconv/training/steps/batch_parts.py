"""A batch in parts that go through the network side by side.

A network is a chain of operations. TensorFlow computes one after the other and shares each among the cores, which
then wait for each other hundreds of times a step. Parts of a batch are as many chains, each computed by a core
alone, on arrays that fit better into its cache. On two cores EANet so trains on 1.2 times as many images a second
by the article's recipe (128 images in 4 parts), and on 1.3 times as many by "best" (64 in 2). On one core it gains
nothing, and with two threads for an operation it loses.

It is for networks in which nothing is computed across a batch: batch norm would take other statistics.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from vitconv.foundation.cores import usable_cores
from vitconv.models.catalogue import ModelEntry, Recipe

if TYPE_CHECKING:
    import keras

_FEWEST_IMAGES = 32  # in a part
_MOST = 4  # each takes TensorFlow six seconds more to trace


def parts_of(entry: ModelEntry, recipe: Recipe) -> int:
    """Into how many parts a batch of that training is cut on this machine; 1 where that would gain nothing."""
    if entry.batch_norm or recipe.fake_quantization:
        return 1
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return 1
    parts = max(1, min(recipe.batch_size // _FEWEST_IMAGES, _MOST))
    return parts if usable_cores() <= parts else 1


def compute_side_by_side(parts: int) -> None:
    """Where there are several parts, from now on a thread computes an operation alone, and cores compute several
    at once. TensorFlow must not have computed anything in this process; if it has, nothing changes."""
    if parts == 1:
        return
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(usable_cores())
    except RuntimeError:
        pass


def cut_batches(model: keras.Model, parts: int) -> None:
    """Has the model compute every batch [B, ...] in so many parts, of sizes that differ by at most 1.

    All but its last layer, the classifier, whose softmax the loss must see: it goes on with what that was given.
    """
    import keras
    import tensorflow as tf

    head = model.layers[-1]
    body = keras.Model(model.input, head.input)

    def call(x: Any, training: bool | None = None, mask: Any = None) -> Any:
        images = tf.shape(x)[0]
        ends = [images * part // parts for part in range(parts + 1)]
        features = [body(x[start:end], training=training) for start, end in pairwise(ends)]
        return head(tf.concat(features, axis=0))

    model.call = call
