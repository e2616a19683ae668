"""How the numbers of a model's input and output stand for pixels and probabilities, in words."""

from __future__ import annotations

from typing import Any

from vitconv.tflite import flatbuffer


def in_words(source: Any, output: Any) -> str:
    """Of both tensors, as the end of a file's description."""
    return f"Input: {of_input(source)} Output: {of_output(output)}"


def of_input(tensor: Any) -> str:
    dtype = flatbuffer.tensor_dtype(tensor)
    quantization = flatbuffer.tensor_quantization(tensor)
    if quantization is None:
        return f"raw RGB pixels 0–255 as {dtype}."
    scale, zero_point = quantization
    return f"raw RGB pixels 0–255 as {dtype} (scale {scale:.7g}, zero point {zero_point})."


def of_output(tensor: Any) -> str:
    dtype = flatbuffer.tensor_dtype(tensor)
    quantization = flatbuffer.tensor_quantization(tensor)
    if quantization is None:
        return f"the probability of each label as {dtype}."
    scale, zero_point = quantization
    value = "value" if zero_point == 0 else f"(value {'−' if zero_point > 0 else '+'} {abs(zero_point)})"
    steps = 1 / scale
    formula = f"{value} / {round(steps)}" if abs(steps - round(steps)) < 1e-6 * steps else f"{value} × {scale:.7g}"
    return f"{dtype}, probability = {formula}."
