"""The same work on every phone at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from vitconv.phone.device.adb import Adb

Item = TypeVar("Item")
Result = TypeVar("Result")


def on_each(adb: Adb, items: Sequence[Item], do: Callable[[Item], Result]) -> list[Result]:
    """`do(item)` for all items, each in a thread of its own; the results in the same order.

    Where one raises, or Ctrl-C is pressed, the others' calls of adb end too, and that exception is raised.
    """
    with ThreadPoolExecutor(len(items)) as pool:
        futures = [pool.submit(do, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            adb.stop()
            raise
