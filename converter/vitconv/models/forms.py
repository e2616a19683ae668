"""The forms in which a layer can be written into a graph.

A layer may be written in more than one way without changing what it computes: a training step wants few large
operations, a phone's integer kernels want others. Training uses the default form, and each quantization scheme
names its own (`vitconv.conversion.schemes`). tests/models/test_layers.py checks every form against the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class GraphForm:
    """How the layers write themselves.

    attention: "projected" makes query, key and value of every token, as published; "merged" multiplies weight
        matrices with no softmax between them together, so that the tokens themselves are keys and values
        (inference only).
    projections: "joined" makes query, key and value in one product, "separate" in three, so that each can have a
        scale of its own.
    layer_norm: "moments" computes mean and variance; "l2" centres, then L2-normalises:
        LayerNorm(x) = √C · l2_normalize(x − mean(x)) · γ + β, one integer kernel that takes its root in 32 bits.
    double_norm: "divide" is external attention as published, softmax over tokens divided by the sum over memory
        units; "logsumexp" is the same by algebra, softmax over memory units of (x − logsumexp over tokens of x),
        which needs no division and no softmax over hundreds of tokens.
    softmax: "fused" is the operator; "log" is exp(x − max − log Σ exp(x − max)), whose steps are each a table
        lookup or an integer kernel of XNNPACK, and whose result may have any scale: the operator's is fixed at
        1/256, and an attention weight among 1,024 tokens is a quarter of that on average.
    """

    attention: Literal["projected", "merged"] = "projected"
    projections: Literal["joined", "separate"] = "joined"
    layer_norm: Literal["moments", "l2"] = "moments"
    double_norm: Literal["divide", "logsumexp"] = "divide"
    softmax: Literal["fused", "log"] = "fused"


TRAINING_FORM = GraphForm()

_form: ContextVar[GraphForm] = ContextVar("graph_form", default=TRAINING_FORM)


def current_form() -> GraphForm:
    """The form in which layers are to be traced now."""
    return _form.get()


@contextmanager
def graph_form(form: GraphForm) -> Iterator[None]:
    """Within this block, layers that are traced write themselves in `form`."""
    token = _form.set(form)
    try:
        yield
    finally:
        _form.reset(token)
