"""What TFLite has no operator for, written with others while a model is traced: patches of pictures, and Fourier
transforms. A graph that is traced already, as a SavedModel's, cannot be helped like this."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class _Complex(NamedTuple):
    """A complex tensor as two of float; `imaginary` None where it is zero."""

    real: Any
    imaginary: Any


@contextmanager
def stand_ins() -> Iterator[None]:
    """Within this block TensorFlow's own functions write themselves with operators that TFLite has."""
    import tensorflow as tf

    real, imaginary = tf.math.real, tf.math.imag
    with ExitStack() as stack:
        for owner, name, stand_in in (
            (tf.image, "extract_patches", _extract_patches),
            (tf.signal, "fft", _fft),
            (tf.signal, "fft2d", _fft2d),
            (tf.dtypes, "complex", _complex),
            (tf, "complex", _complex),
            (tf.math, "real", lambda x, name=None: x.real if isinstance(x, _Complex) else real(x, name=name)),
            (
                tf.math,
                "imag",
                lambda x, name=None: _imaginary(x) if isinstance(x, _Complex) else imaginary(x, name),
            ),
        ):
            stack.enter_context(_swapped(owner, name, stand_in))
        yield


@contextmanager
def _swapped(owner: Any, name: str, stand_in: Callable[..., Any]) -> Iterator[None]:
    kept = getattr(owner, name)
    setattr(owner, name, stand_in)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def _extract_patches(images: Any, sizes: Any, strides: Any, rates: Any, padding: str, name: Any = None) -> Any:
    """A convolution whose kernels are ones and zeros."""
    import tensorflow as tf

    images = tf.convert_to_tensor(images)
    height, width, channels = sizes[1], sizes[2], images.shape[-1]
    outputs = height * width * channels
    kernel = np.eye(outputs, dtype=np.float32).reshape(height, width, channels, outputs)
    return tf.nn.conv2d(images, kernel, strides, padding, dilations=rates, name=name)


def _complex(real: Any, imag: Any, name: Any = None) -> _Complex:
    import tensorflow as tf

    known = tf.get_static_value(imag)
    zero = known is not None and not np.any(known)
    return _Complex(real, None if zero else imag)


def _imaginary(x: _Complex) -> Any:
    import tensorflow as tf

    return tf.zeros_like(x.real) if x.imaginary is None else x.imaginary


def _fft(x: Any, name: Any = None) -> _Complex:
    """Over the last axis, as products with matrices of cosines and sines."""
    import tensorflow as tf

    cosines, sines = _waves(x.real.shape[-1])
    real, imaginary = tf.matmul(x.real, cosines), -tf.matmul(x.real, sines)
    if x.imaginary is not None:
        real = real + tf.matmul(x.imaginary, sines)
        imaginary = imaginary + tf.matmul(x.imaginary, cosines)
    return _Complex(real, imaginary)


def _fft2d(x: Any, name: Any = None) -> _Complex:
    """Over the last two axes."""
    import tensorflow as tf

    rows = _fft(x)
    order = [*range(len(rows.real.shape) - 2), len(rows.real.shape) - 1, len(rows.real.shape) - 2]
    turned = _fft(_Complex(tf.transpose(rows.real, order), tf.transpose(rows.imaginary, order)))
    return _Complex(tf.transpose(turned.real, order), tf.transpose(turned.imaginary, order))


def _waves(length: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """cos and sin of 2π j k / length: float32 [length, length]."""
    angles = np.outer(np.arange(length), np.arange(length)) % length * (2 * np.pi / length)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
