"""Memory for training, where the C library lets itself be asked for it (glibc).

A training step frees and asks again for arrays of tens of megabytes. By default glibc gives each back to the
system and gets fresh pages, which the system has to clear: a seventh of EANet's training time. Kept, they can also
lie in huge pages, which the processor finds faster than pages of 4 KB: 9 % of EANet's time; of MobileViT's,
at 256×256, nothing.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager

from vitconv.foundation.errors import InputError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8  # malloc.h
_HUGE_PAGE = 2**21
_LARGEST = 2**32  # bytes in huge pages; what isn't used of them takes no memory


def keep_freed_memory() -> None:
    """From now on, memory that is freed is used again by this process, in huge pages where the system has them.

    Does nothing without glibc. The arrays of all threads come from one heap, as only that can be asked for.
    """
    try:
        libc = ctypes.CDLL(None)
        mallopt, malloc, free, madvise = libc.mallopt, libc.malloc, libc.free, libc.madvise
    except (OSError, AttributeError, TypeError):  # another C library; on Windows, no library without a name
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, -1)
    mallopt(_M_TOP_PAD, 2**27)
    mallopt(_M_ARENA_MAX, 1)
    malloc.restype = ctypes.c_void_p
    begin = malloc(ctypes.c_size_t(_LARGEST))
    if begin is None:
        return
    first = -(-begin // _HUGE_PAGE) * _HUGE_PAGE
    madvise(ctypes.c_void_p(first), ctypes.c_size_t(_LARGEST - _HUGE_PAGE), mmap.MADV_HUGEPAGE)
    free(ctypes.c_void_p(begin))


@contextmanager
def enough_memory(remedy: str) -> Iterator[None]:
    """Turns what TensorFlow and Python raise in this block where memory runs out into an InputError."""
    try:
        yield
    except Exception as error:
        # Named, not imported: whoever has not loaded TensorFlow gets no error of its own.
        if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
            raise InputError(f"there is not enough memory for this. {remedy}.") from error
        raise
