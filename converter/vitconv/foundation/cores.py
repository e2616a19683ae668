"""How much of this machine's processor there is."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """How many cores this process may use, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def litert_threads() -> int:
    """What LiteRT's interpreters get where no time is measured: two threads, and one where there is one core. Its
    threads wait for each other busily, so that more of them than cores take many times as long."""
    return min(2, usable_cores())
