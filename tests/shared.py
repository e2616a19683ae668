"""What takes long to make is made once for all of pytest's processes, and kept in a folder of the run."""

from __future__ import annotations

import fcntl
import os
import pickle
import re
import tempfile
from collections.abc import Callable
from functools import cache, wraps
from hashlib import sha256
from pathlib import Path
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")

FOLDER = "VITCONV_TEST_MODELS"  # names the folder; scripts/test sets it, so that the Android half has the same one


@cache
def folder() -> Path:
    """Of this run. pytest's first process makes it where nobody has named one."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="vitconv-tests-")
    return Path(os.environ[FOLDER])


def made_once(make: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """A function whose value the first process that asks computes, and the others load. Arguments and value can be
    pickled; the same value is given each time, so nobody may change it."""

    @cache
    @wraps(make)
    def made(*arguments: Arguments.args, **more: Arguments.kwargs) -> Value:
        # The file's name, not the module's: that of a program is __main__.
        name = f"{Path(make.__code__.co_filename).stem}-{make.__qualname__}"
        key = sha256(repr((arguments, sorted(more.items()))).encode()).hexdigest()[:16]
        kept = folder() / f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}-{key}.pickle"
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if kept.exists():
                value: Value = pickle.loads(kept.read_bytes())
                return value
            value = make(*arguments, **more)
            temporary = kept.with_suffix(".new")
            temporary.write_bytes(pickle.dumps(value))
            temporary.replace(kept)
            return value

    return made
