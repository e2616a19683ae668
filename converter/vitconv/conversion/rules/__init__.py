"""Patterns in other people's float graphs, and what is written in their place. One rule a module.

A rule is a function that changes a `sketch.Sketch` and returns in how many places. It goes by what operators
compute and never by names of layers, so that it fits Keras, tf.nn, PyTorch and what people write by hand. What it
writes computes the same; `rewriting` tries it on pictures and takes it back where it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vitconv.conversion.rules import (
    attention,
    concatenations,
    dense_tails,
    divisions,
    group_norm,
    layer_norm,
    masks,
    negations,
    ranks,
    softmax,
    views,
)
from vitconv.conversion.sketch import Sketch


@dataclass(frozen=True)
class Rule:
    """`name` is what reports call it; each form of it changes a graph and says in how many places. The first that
    computes the same is taken."""

    name: str
    forms: tuple[Callable[[Sketch], int], ...]


# For every file.
FLOAT_RULES = (
    Rule("softmax spelt out becomes one operator", (softmax.join,)),
    Rule("reshapes and transposes in a row become one", (views.merge,)),
    Rule("biases and factors behind a dense layer go into it", (dense_tails.fold,)),
    Rule("no tensor of more than four dimensions", (ranks.lower,)),
    Rule("reshapes and transposes in a row become one", (views.merge,)),
)

# For integers, after the others.
INTEGER_RULES = (
    Rule("layer normalisation by magnitudes", (layer_norm.without_epsilon, layer_norm.with_epsilon)),
    Rule("group normalisation by magnitudes", (group_norm.without_epsilon, group_norm.with_epsilon)),
    Rule("masks beside the softmax, and once", (masks.gather,)),
    Rule("attention by weights and their sum", (attention.shift,)),
    Rule("masks by zeros and small numbers", (masks.bound,)),
    Rule("softmax of maps by logarithms", (softmax.by_logarithms,)),
    Rule("maps normalised a second time", (softmax.of_quotients,)),
    Rule("softmax of maps by logarithms", (softmax.by_logarithms,)),
    Rule("quotients by logarithms", (divisions.by_logarithms,)),
    Rule("roots and powers by logarithms", (divisions.powers,)),
    Rule("logarithms of exponentials are exponents", (divisions.logarithms,)),
    Rule("convolutions of what is side by side, one each", (concatenations.split,)),
    Rule("negations and squares as products", (negations.as_products,)),
)
