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
    layer_norm: "moments" computes mean and variance; "magnitudes" centres, divides by the mean magnitude, and what
        that gives by its root mean square. After the first division the mean square is near 1 for every token,
        so that eight bits hold it well; of a variance they hold that of the token with the largest.
    double_norm: "divide" is external attention as published, softmax over tokens divided by the sum over memory
        units; "scaled" is that with larger numbers, of which 16 bits do not lose the small ones; "logsumexp" is
        the same by algebra, softmax over memory units of (x − log of the mean over tokens of eˣ), which needs no
        division and no softmax over hundreds of tokens.
    softmax: "fused" is the operator; "shifted" weights values by e to the score less a shift that is free to
        choose, and divides by the weights' sum at the end. The operator's integers have steps of 1/256, and an
        attention weight among 1,024 tokens is a quarter of that on average.
    tokens: "centred" has layers of a token stream (`models.token_stream`) write tokens with the mean 0, so that
        none has to be centred; "published" does not.
    branches: "parallel" is as while training, "merged" has one product in the place of several linear branches
        (inference only).
    """

    attention: Literal["projected", "merged"] = "projected"
    projections: Literal["joined", "separate"] = "joined"
    layer_norm: Literal["moments", "magnitudes"] = "moments"
    double_norm: Literal["divide", "scaled", "logsumexp"] = "divide"
    softmax: Literal["fused", "shifted"] = "fused"
    tokens: Literal["published", "centred"] = "published"
    branches: Literal["parallel", "merged"] = "parallel"


TRAINING_FORM = GraphForm()
# The scope in which a layer that also does other things normalises, in the names of its operations.
NORM_SCOPE = "norm"

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
