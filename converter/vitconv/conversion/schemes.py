"""What each exported file is: how its weights and computation are quantized, and what it promises.

| scheme  | weights | computation | input → output |
| ------- | ------- | ----------- | -------------- |
| float32 | float32 | float32 | float32 raw pixels → float32 probabilities |
| float16 | float16 | float32 | the same |
| dynamic | int8    | float32, activations quantized on the fly in dense and convolution layers | the same |
| int8    | int8    | integers only | uint8 raw pixels → uint8 probabilities |
| int8-hybrid | int8 | integers, but float for operations that measurement says must stay float | the same |

On request (`giving`), the last two keep their last softmax in float and give float32 probabilities. Those in uint8
have steps of 1/256, too coarse for a thousand classes that the network can hardly tell apart.

All of them have batch 1, fixed shapes of at most four dimensions, TFLite's own operators only, and load on the
newest TFLite for Android. A promise that a file breaks is an error, never a warning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from vitconv.foundation.errors import PromiseError, UnknownNameError
from vitconv.models.forms import TRAINING_FORM, GraphForm
from vitconv.tflite.runtime_versions import ANDROID_RELEASE, release_name

if TYPE_CHECKING:
    from vitconv.tflite.inspection import Inspection


Probabilities = Literal["uint8", "float32"]
"""What integer schemes give."""

# What computes float32 probabilities from integer logits.
_FLOAT_END = {"DEQUANTIZE": 1, "SOFTMAX": 1}


@dataclass(frozen=True)
class Limits:
    """How far a file may be from Keras on all images like the held-out ones; `verify` fails it where those that it
    tries show that it is further.

    max_drop: top-1 accuracy lost, in percentage points.
    min_agreement: smallest fraction of images on which file and Keras name the same class first. It catches what
        the drop cannot: a collapsed file of a checkpoint that is not much better than chance itself. With 1 they
        must do so on every single image.
    max_error: largest difference of any probability; None where it says nothing.
    min_layer_snr_db: least signal-to-noise ratio of any layer's output against the float graph, in decibels;
        looked at where layers are compared.
    """

    max_drop: float
    min_agreement: float = 0.0
    max_error: float | None = None
    min_layer_snr_db: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether a single image on which file and Keras disagree is one too many."""
        return self.min_agreement >= 1


@dataclass(frozen=True)
class Scheme:
    """A way to write a model's file.

    integer: pixels, probabilities, weights and computation are integers.
    hybrid: of an integer scheme, some operations may stay float inside.
    form: how the layers write themselves into the float graph that is then quantized.
    float_output: of an integer scheme, the last softmax is float and gives float32 probabilities.
    marker: its mark in charts, in matplotlib's letters.
    """

    name: str
    weights: Literal["float32", "float16", "int8"]
    integer: bool
    limits: Limits
    form: GraphForm = TRAINING_FORM
    hybrid: bool = False
    float_output: bool = False
    marker: str = "o"

    @property
    def exact(self) -> bool:
        """Whether nothing is rounded to fewer bits than Keras has."""
        return self.weights == "float32"

    @property
    def integers_only(self) -> bool:
        """Whether no operation may stay float."""
        return self.integer and not self.hybrid

    @property
    def on_the_fly(self) -> bool:
        """Whether activations are float between the layers, and rounded to eight bits inside some."""
        return self.weights == "int8" and not self.integer

    @property
    def one_partition(self) -> bool:
        """Whether LiteRT's XNNPACK takes the whole graph."""
        return self.weights != "int8"

    @property
    def needs_calibration(self) -> bool:
        """Whether activation ranges must be known before the file can be written."""
        return self.integer

    def giving(self, probabilities: Probabilities) -> Scheme:
        """The scheme with this kind of probabilities; one that is not integer gives float32 anyway."""
        return replace(self, float_output=self.integer and probabilities == "float32")

    def check(self, inspection: Inspection) -> None:
        """Raises PromiseError with every promise that the inspected file breaks."""
        broken = list(self._broken(inspection))
        if broken:
            raise PromiseError(
                f"{inspection.path} does not keep the promises of {self.name}: {'; '.join(broken)}."
            )

    def _broken(self, file: Inspection) -> Iterable[str]:
        pixels = "uint8" if self.integer else "float32"
        given = "float32" if self.float_output else pixels
        for tensor, what, dtype in ((file.inputs[0], "input", pixels), (file.outputs[0], "output", given)):
            if tensor.dtype != dtype:
                yield f"its {what} is {tensor.dtype}, not {dtype}"
            if tensor.shape[:1] != (1,):
                yield f"its {what} has the shape {list(tensor.shape)}, not batch 1"
        scale, zero_point = file.inputs[0].scale, file.inputs[0].zero_point
        if self.integer and (scale, zero_point) != (1.0, 0):
            yield f"its input has scale {scale} and zero point {zero_point}, not 1 and 0 for raw pixels"
        if file.flex_ops:
            yield f"it holds ops outside TFLite's own: {', '.join(file.flex_ops)}"
        if file.max_rank > 4:
            yield f"it holds a tensor of {file.max_rank} dimensions, more than 4"
        if file.has_dynamic_shapes:
            yield "it holds tensors whose shape is not fixed"
        if not file.loads_on(ANDROID_RELEASE):
            yield f"it needs TFLite {file.runtime_needed}, newer than Android's {release_name(ANDROID_RELEASE)}"
        if self.integers_only:
            allowed_ops = _FLOAT_END if self.float_output else {}
            if too_many := [name for name, count in file.float_ops.items() if count > allowed_ops.get(name, 0)]:
                yield f"it computes in float: {', '.join(too_many)}"
            if not file.all_integer and not self.float_output:
                yield "it holds float tensors"
        # On-the-fly quantization leaves small weights and tables in float32, and so does what is kept in float.
        mixed = self.weights == "int8" and (self.hybrid or not self.integer)
        allowed = {self.weights, "float32"} if mixed else {self.weights}
        # Most values have to be of its kind: of the bytes, a table that no operator takes in int8 has four times
        # as many.
        values = {dtype: 8 * size // _bits(dtype) for dtype, size in file.weight_bytes.items()}
        total = sum(values.values())
        if not set(values) <= allowed or 2 * values.get(self.weights, 0) < total:
            shares = ", ".join(f"{count / total:.0%} {dtype}" for dtype, count in values.items())
            yield f"its weights are {shares or 'none'}, not {self.weights}"


def _bits(dtype: str) -> int:
    """Of a value: 4 of "int4"."""
    return int("".join(filter(str.isdigit, dtype)))


_FLOAT_FORM = GraphForm(attention="merged", double_norm="scaled", tokens="centred", branches="merged")
_INTEGER_FORM = GraphForm(
    attention="merged",
    projections="separate",
    layer_norm="magnitudes",
    double_norm="logsumexp",
    softmax="shifted",
    tokens="centred",
    branches="merged",
)

# In the order in which they are shown: the one nearest to Keras first.
_SCHEMES = (
    Scheme("float32", "float32", False, Limits(0.0, min_agreement=1.0, max_error=1e-4), _FLOAT_FORM, marker="o"),
    Scheme("float16", "float16", False, Limits(0.1, min_agreement=0.998), _FLOAT_FORM, marker="s"),
    Scheme("dynamic", "int8", False, Limits(0.5, min_agreement=0.97), _FLOAT_FORM, marker="^"),
    Scheme("int8", "int8", True, Limits(0.8, min_agreement=0.96), _INTEGER_FORM, marker="D"),
    Scheme(
        "int8-hybrid",
        "int8",
        True,
        Limits(0.5, min_agreement=0.97),
        _INTEGER_FORM,
        hybrid=True,
        marker="P",
    ),
)

SCHEMES = {scheme.name: scheme for scheme in _SCHEMES}


def check_probabilities(kind: str) -> None:
    """Raises UnknownNameError for a kind of output that there isn't."""
    if kind not in get_args(Probabilities):
        raise UnknownNameError("kind of probabilities", kind, get_args(Probabilities))


def find(name: str) -> Scheme:
    """The scheme of that name. Raises UnknownNameError, which lists the known ones."""
    if name not in SCHEMES:
        raise UnknownNameError("scheme", name, SCHEMES)
    return SCHEMES[name]


def scheme_of(path: Path | str) -> str | None:
    """mobilevit_xxs-tf_flowers-int8-hybrid.tflite → "int8-hybrid"; None where the name ends in no scheme."""
    return next((name for name in SCHEMES if Path(path).stem.endswith(f"-{name}")), None)
