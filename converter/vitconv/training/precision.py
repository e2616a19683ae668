"""Training in bfloat16: eight bits of exponent as float32 has, and eight digits.

Processors and GPUs with bfloat16 arithmetic multiply twice to sixteen times as many of them. Variables, their
gradients and the optimizer stay in float32, so that small steps are not lost (Micikevicius et al., 2018, "Mixed
Precision Training"), and no loss has to be scaled (Kalamkar et al., 2019, "A Study of BFLOAT16 for Deep Learning
Training").
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

_CPU_INFO = Path("/proc/cpuinfo")
_FLAGS = re.compile(r"\b(avx512_bf16|amx_bf16|bf16)\b")  # x86's two, and arm64's


def compute_in_bfloat16(model: keras.Model) -> None:
    """Has the layers of a built network compute in bfloat16, but for what scales the pixels and for the last two,
    the mean over the picture and the classifier, whose probabilities the loss takes the logarithm of."""
    import keras

    *body, pool, head = model.layers
    scaling = (keras.layers.InputLayer, keras.layers.Rescaling, keras.layers.Normalization)
    exact = {layer for layer in body if isinstance(layer, scaling)}
    exact.update(pool._flatten_layers(), head._flatten_layers())
    for layer in model._flatten_layers(include_self=False):
        if layer not in exact:
            layer.dtype_policy = "mixed_bfloat16"


def has_bfloat16() -> bool:
    """Whether this machine computes in bfloat16 faster than in float32, as far as can be told."""
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return True
    try:
        return _FLAGS.search(_CPU_INFO.read_text(encoding="utf-8", errors="replace")) is not None
    except OSError:
        return False
