"""What steps of 1/256 leave of a network's answers: all probabilities may round to 0, and the best two alike.

The probabilities of N classes sum to 1. Of a thousand classes that a network can hardly tell apart each has about
1/1000, a quarter of a step: a uint8 output then says 0 for all of them. Of a hundred, the best two are often in
the same step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitconv.foundation.cores import litert_threads
from vitconv.foundation.judgement import judge_agreement
from vitconv.foundation.quiet import native_output
from vitconv.tflite import flatbuffer
from vitconv.tflite.graph import Graph

STEP = 1 / 256  # of uint8 probabilities: TFLite's integer softmax has this scale and no other
FLOAT_OUTPUT = "--probabilities float32"

# What networks lose that are surer of themselves: the best two classes are in one step on 1.0 % of CIFAR-100's
# test images (EANet, 53 % top-1) and 0.3 % of tf_flowers' (MobileViT-XXS).
_LOSABLE = 0.05


@dataclass(frozen=True)
class Rounded:
    """Of the answers to `images` pictures, rounded to uint8: `silent` are 0 for every class; in `tied` others the
    largest value is that of several classes. `largest` is the least and the greatest of the images' largest
    probabilities, before rounding."""

    images: int
    silent: int
    tied: int
    largest: tuple[float, float]

    @property
    def undecided(self) -> bool:
        """Whether so many answers are lost that uint8 probabilities are of no use."""
        lost = self.silent + self.tied
        return lost > _LOSABLE * self.images and (lost > 1 or self.images == 1)

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "largest": list(self.largest)}

    def sentence(self, what: str) -> str:
        """Of `what` pictures, in words; without its full stop."""
        low, high = self.largest
        found = []
        if self.silent:
            found.append(f"{self.silent} answers are 0 for every class")
        if self.tied:
            found.append(f"in {self.tied} the best classes are equal")
        return (
            f"the largest probability that the network gives is {low:.2g} to {high:.2g} on {self.images} {what}. "
            f"In the steps of 1/256 of a uint8 output {' and '.join(found) or 'all can be told'}"
        )


def rounded(probabilities: np.ndarray) -> Rounded:
    """Of float [N, classes]."""
    best = probabilities.max(axis=1)
    # As TFLite's kernel does: the 256th step is the 255th.
    steps = np.minimum(np.rint(probabilities / STEP), 255)
    top = steps.max(axis=1, keepdims=True)
    silent = top[:, 0] == 0
    tied = ~silent & ((steps == top).sum(axis=1) > 1)
    return Rounded(len(best), int(silent.sum()), int(tied.sum()), (float(best.min()), float(best.max())))


def of_file(data: bytes, images: np.ndarray) -> np.ndarray:
    """What a file with float input and output answers: uint8 [N, H, W, 3] → float64 [N, classes]."""
    return answers_of(loaded(data), images)


def answers_of(interpreter: Any, images: np.ndarray) -> np.ndarray:
    """`of_file`, of a file that is loaded already."""
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for image in images:
        interpreter.set_tensor(source["index"], image[np.newaxis].astype(np.float32))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target["index"])[0].astype(np.float64))
    return np.array(rows)


def loaded(data: bytes, threads: int | None = None) -> Any:
    """LiteRT's interpreter of a file, ready to run, on these threads or all that it can use here."""
    from ai_edge_litert.interpreter import Interpreter

    with native_output():
        interpreter = Interpreter(model_content=data, num_threads=threads or litert_threads())
        interpreter.allocate_tensors()
    return interpreter


def output_of(graph: Graph) -> str:
    """The name of the tensor with the graph's probabilities, by which `integers.quantize` keeps the operation in
    float that computes it."""
    main = graph.model.subgraphs[0]
    return flatbuffer.text(main.tensors[main.outputs[0]].name)


def lost_answers(actual: np.ndarray, expected: np.ndarray, least: float, step: float | None) -> Iterator[str]:
    """Why a file's answers, float [N, classes], are none, where the images show that less than the fraction
    `least` of all are answers, or none of these is. `expected` are Keras's, `step` is the scale of the file's
    output, None where it is float."""
    most, images = actual.max(axis=1), len(actual)
    flat = most == actual.min(axis=1)
    remedy = f". Export it with {FLOAT_OUTPUT}" if step else ""
    if flat.all() or judge_agreement(images - int(flat.sum()), images, least).shown == "broken":
        value = float(np.median(most[flat]))
        best = expected[flat].max(axis=1)
        why = ""
        if step and not value and best.max() < step / 2:
            why = (
                f": Keras's largest probabilities there are {best.min():.2g} to {best.max():.2g}, and half a step "
                f"of its output is {step / 2:.2g}{remedy}"
            )
        yield f"gives {value:.3g} for every class on {flat.sum()} of {images} images, so it names none{why}"
    tied = ~flat & ((actual == most[:, np.newaxis]).sum(axis=1) > 1)
    if judge_agreement(images - int(tied.sum()), images, least).shown == "broken":
        why = f": its output is too coarse for them{remedy}" if step else ""
        yield f"gives several classes the same largest value on {tied.sum()} of {images} images{why}"
