"""Which parts of a network take part in its answers: each is cut in turn, and the answers looked at.

A residual network gives good answers even where a branch has died, for the shortcut beside it goes on. Accuracy
does not show that; cutting the branch does: where nothing changes, nothing was there.

What is cut, found in the graph itself (any Keras functional model):

    attention   what an attention layer adds to the tokens
    mlp         what the two dense layers behind it add
    layer       a whole transformer layer, both of these: its tokens pass unchanged
    block       the features that a MobileViT block joins with its shortcut: zeros in their place
    residual    what an inverted residual's convolutions add

A part that gives the same for every picture is missed too, by a network that counts on it. So each is also
replaced by its mean over other pictures: what changes then is what the part makes of the picture itself. A part is
alive where both change the answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from vitconv.foundation.progress import Progress

if TYPE_CHECKING:
    import keras

Kind = Literal["attention", "mlp", "layer", "block", "residual"]

# Half a layer, attention or mlp alone, may have little to do beside the other.
WHOLE: tuple[Kind, ...] = ("layer", "block", "residual")
ALIVE = 0.001  # nats; each of the dead layers that were seen had less than 1e-9 with its mean in its place
PIXELS = 2**20  # of a batch, 16 images of 256×256: all their activations are held at a time, 300 bytes a pixel
LEAST_IMAGES = 4  # of a batch: the mean of fewer is too much like each

Nats = Annotated[float, msgspec.Meta(ge=0, le=100)]  # 28 at most: see divergence
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


@dataclass(frozen=True)
class Effect:
    """What a part does to the answers.

    name: that of the layers it is made of, "stage3.mobilevit.transformer1". kl: mean over the images of the
    Kullback–Leibler divergence of the answers without it from those with it, Σ p ln(p / q), in nats. changed:
    share of the images whose first answer is another one. lost: points of top-1 accuracy that go with it,
    100 · (with − without), None where the right classes were not given. kl_of_mean: as kl, with what the part
    gives replaced not by nothing but by its mean over a batch of images.
    """

    name: str
    kind: Kind
    kl: Nats
    changed: Share
    kl_of_mean: Nats
    lost: Annotated[float, msgspec.Meta(ge=-100, le=100)] | None = None

    @property
    def nats(self) -> float:
        """How far the answers move at least, whichever way the part is taken away."""
        return min(self.kl, self.kl_of_mean)

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True, eq=False)
class Cut:
    """A part of a network. Without it, what the operation (a Keras layer) `by` gives stands in the place of what
    `at` gives, or zeros where `by` is None."""

    name: str
    kind: Kind
    at: Any
    by: Any


def measure(
    model: keras.Model,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None = None,
    progress: Progress | None = None,
) -> tuple[Effect, ...]:
    """The effect of each part that `find_cuts` finds, in the order of the network; none where it has no such part.

    images: [N, H, W, 3] raw pixels 0–255, two or more; labels: their classes, int64 [N]. What comes before a cut
    is computed once for all: MobileViT's 33 cuts, each made twice, take as long as some 35 evaluations of the
    whole.
    """
    cuts = find_cuts(model)
    if not cuts:
        return ()
    whole, without, averaged = _answers(model, cuts, images, progress)
    return tuple(_effect(cut, whole, without[index], averaged[index], labels) for index, cut in enumerate(cuts))


def silent(effects: Iterable[Effect], least: float = ALIVE) -> tuple[Effect, ...]:
    """Those of whole layers, blocks and inverted residuals that move the answers by less than `least` nats."""
    return tuple(one for one in effects if one.kind in WHOLE and one.nats < least)


def _effect(
    cut: Cut, whole: np.ndarray, without: np.ndarray, averaged: np.ndarray, labels: NDArray[np.int64] | None
) -> Effect:
    first, second = whole.argmax(axis=1), without.argmax(axis=1)
    return Effect(
        cut.name,
        cut.kind,
        kl=max(0.0, float(divergence(whole, without).mean())),
        changed=float(np.mean(first != second)),
        kl_of_mean=max(0.0, float(divergence(whole, averaged).mean())),
        lost=None if labels is None else 100 * float(np.mean(first == labels) - np.mean(second == labels)),
    )


def divergence(p: NDArray[np.floating], q: NDArray[np.floating]) -> NDArray[np.float64]:
    """Σ p ln(p / q) of each row, in nats: float [N, classes] → [N]. Probabilities count as at least 1e-12."""
    p, q = (np.maximum(np.asarray(values, np.float64), 1e-12) for values in (p, q))
    p, q = (values / values.sum(axis=1, keepdims=True) for values in (p, q))
    sums: NDArray[np.float64] = np.sum(p * np.log(p / q), axis=1)
    return sums


def find_cuts(model: keras.Model) -> tuple[Cut, ...]:
    """The parts of a functional model, in its order. Where two tensors are joined and one of them was made from
    the other, the other is the shortcut."""
    graph = _Graph(model)
    found: list[Cut] = []
    attention: dict[Any, Any] = {}  # the operation that adds attention's branch -> its shortcut
    for operation in graph.operations:
        joined = graph.shortcut_and_branch(operation)
        if joined is None:
            continue
        shortcut, branch = joined
        between = graph.between(shortcut, branch)
        if _kind(operation) == "concatenation":
            found.append(Cut(_stem(operation.name), "block", branch, None))
        elif any(_kind(inner) == "attention" for inner in between):
            attention[operation] = shortcut
            found.append(Cut(f"{_stem(operation.name)}.attention", "attention", operation, shortcut))
        elif any(_kind(inner) == "convolution" for inner in between):
            found.append(Cut(_stem(operation.name), "residual", operation, shortcut))
        elif any(_kind(inner) == "dense" for inner in between):
            found.append(Cut(f"{_stem(operation.name)}.mlp", "mlp", operation, shortcut))
            if shortcut in attention:
                found.append(Cut(_stem(operation.name), "layer", operation, attention[shortcut]))
    return tuple(found)


def _kind(operation: Any) -> str:
    import keras

    from vitconv.models.layers.transformer_layer import Attention

    kinds = {
        "attention": (Attention, keras.layers.MultiHeadAttention),
        "convolution": (keras.layers.Conv2D, keras.layers.DepthwiseConv2D),
        "dense": (keras.layers.Dense,),
        "concatenation": (keras.layers.Concatenate,),
    }
    return next((kind for kind, classes in kinds.items() if isinstance(operation, classes)), "other")


def _stem(name: str) -> str:
    """What the part is called to whose layers this name belongs: "block1.add2" → "block1"."""
    return name.rpartition(".")[0] or name


class _Graph:
    """A functional model as operations, each with one output; `operations` stand behind those they depend on."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.operations = self._ordered()
        self.place = {operation: index for index, operation in enumerate(self.operations)}
        self._before: dict[Any, set[Any]] = {}
        for operation in self.operations:
            direct = self.inputs(operation)
            self._before[operation] = set(direct).union(*(self._before[one] for one in direct))

    def _ordered(self) -> list[Any]:
        ordered: list[Any] = []
        waiting = list(self.model.operations)
        done: set[Any] = set()
        while waiting:
            ready = [operation for operation in waiting if all(one in done for one in self.inputs(operation))]
            if not ready:
                raise ValueError(f"{self.model.name} is not a functional model without loops")
            ordered += ready
            done.update(ready)
            waiting = [operation for operation in waiting if operation not in done]
        return ordered

    def inputs(self, operation: Any) -> list[Any]:
        """The operations whose outputs this one takes, in its own order."""
        if not operation._inbound_nodes:
            return []
        return [tensor._keras_history[0] for tensor in operation._inbound_nodes[0].input_tensors]

    def before(self, operation: Any) -> set[Any]:
        """All that its output is made from."""
        return self._before[operation]

    def between(self, first: Any, last: Any) -> set[Any]:
        """What is made from `first` and goes into `last`, `last` among it."""
        return {one for one in self.before(last) | {last} if first in self.before(one)}

    def shortcut_and_branch(self, operation: Any) -> tuple[Any, Any] | None:
        """The two that it joins, where one of them is made from the other."""
        inputs = self.inputs(operation)
        if len(inputs) != 2:
            return None
        first, second = inputs
        if first in self.before(second):
            return first, second
        return (second, first) if second in self.before(first) else None

    def after(self, operation: Any) -> list[Any]:
        """All that is made from its output, in order."""
        return [one for one in self.operations if operation in self.before(one)]

    def run(self, operations: Iterable[Any], values: dict[int, Any]) -> Any:
        """Computes these in turn, and gives the model's output. `values` are tensors by the id of the symbolic
        tensor they stand for, as in Keras's own replay of a graph; those of the operations are added."""
        for operation in operations:
            node = operation._inbound_nodes[0]
            if node.is_input:
                continue
            arguments, options = node.arguments.fill_in(values)
            values[id(operation.output)] = operation(*arguments, **options)
        return values[id(self.model.output)]


def _answers(
    model: keras.Model, cuts: Sequence[Cut], images: NDArray[np.uint8], progress: Progress | None
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Probabilities of all images: of the whole model, float [N, classes]; without each part; and with each part's
    mean in its place."""
    import tensorflow as tf

    graph = _Graph(model)
    rests = [graph.after(cut.at) for cut in cuts]
    rows: list[np.ndarray] = []
    without: list[list[np.ndarray]] = [[] for _ in cuts]
    averaged: list[list[np.ndarray]] = [[] for _ in cuts]
    at_a_time = max(LEAST_IMAGES, PIXELS // (images.shape[1] * images.shape[2]))
    done = 0
    for batch in np.array_split(images, max(1, len(images) // at_a_time)):
        if progress:
            progress("measuring which layers take part", done, len(images))
        done += len(batch)
        values = {id(model.inputs[0]): tf.constant(batch, tf.float32)}
        rows.append(np.asarray(graph.run(graph.operations, values)))
        for index, (cut, rest) in enumerate(zip(cuts, rests, strict=True)):
            at = id(cut.at.output)
            nothing = tf.zeros_like(values[at]) if cut.by is None else values[id(cut.by.output)]
            mean = nothing + _mean_over_images(values[at] - nothing, len(batch))
            for column, stands in ((without, nothing), (averaged, mean)):
                column[index].append(np.asarray(graph.run(rest, {**values, at: stands})))
    if progress:
        progress("measuring which layers take part", done, done)
    joined = [[np.concatenate(parts) for parts in column] for column in (without, averaged)]
    return np.concatenate(rows), joined[0], joined[1]


def _mean_over_images(x: Any, images: int) -> Any:
    """float [images · k, ...], an image's k rows together (1, or a patch's 4 pixels) → the same shape."""
    import tensorflow as tf

    by_image = tf.reshape(x, (images, -1, *x.shape[1:]))
    mean = tf.reduce_mean(by_image, axis=0, keepdims=True)
    return tf.reshape(tf.broadcast_to(mean, tf.shape(by_image)), tf.shape(x))
