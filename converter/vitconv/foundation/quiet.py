"""Keeps what native code prints (TensorFlow, its converter) off the terminal, which shows vitconv's
own messages only."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vitconv.foundation.keras_settings import choose_keras


@contextmanager
def native_output() -> Iterator[Callable[[], str]]:
    """Within this block, file descriptors 1 and 2 lead to a temporary file, Python's own output included.

    Yields a function that gives the end of what was printed so far, for the message of an error.
    """
    import tempfile  # takes a moment, and `vitconv --help` loads this module, too

    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as log:

        def printed() -> str:
            log.seek(0)
            return log.read().decode("utf-8", "replace").strip()[-1000:]

        try:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            yield printed
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, number)
                os.close(copy)


def import_tensorflow() -> None:
    """For a command: imports TensorFlow and Keras, as `choose_keras` sets it, without the notes that they print
    while they load."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_output():
        choose_keras()
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
