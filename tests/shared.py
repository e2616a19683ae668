"""What takes long to make is made once for all of pytest's processes, and kept while its makers are the same."""

from __future__ import annotations

import fcntl
import os
import pickle
import re
import shutil
import sys
import time
from collections.abc import Callable
from functools import cache, wraps
from hashlib import sha256
from pathlib import Path
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")

FOLDER = "VITCONV_TEST_MODELS"  # names the folder; scripts/test sets it, so that the Android half has the same one
_ROOT = Path(__file__).resolve().parent.parent
_KEPT = _ROOT / ".test-models"
_UNUSED_SECONDS = 2 * 3600  # longer than all tests take
# Rooms of the package that nothing here is made with.
_NOT_USED = ("app", "benchmarking", "phone", "reporting")
# What it is made with beside the package: the file of each maker is in its own key.
_MAKERS = ("tests/*.py", "tests/reference/*.py", "scripts/*.py", "scripts/ship-checkpoint", "calibration/*.json",
           "requirements.lock")  # fmt: skip


@cache
def folder() -> Path:
    """Named by what its content is made from. Older folders go, but for those that tests may be using."""
    if FOLDER not in os.environ:
        wanted = _KEPT / digest()
        wanted.mkdir(parents=True, exist_ok=True)
        os.utime(wanted)
        for other in _KEPT.iterdir():
            if time.time() - other.stat().st_mtime > _UNUSED_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
        os.environ[FOLDER] = str(wanted)
    return Path(os.environ[FOLDER])


def digest() -> str:
    """Of every file that decides what is made, and of the Python that makes it."""
    package = _ROOT / "converter" / "vitconv"
    files = [
        path
        for path in package.rglob("*")  # weights, too
        if path.is_file() and path.suffix != ".pyc" and path.relative_to(package).parts[0] not in _NOT_USED
    ]
    files += [path for pattern in _MAKERS for path in _ROOT.glob(pattern)]
    found = sha256(sys.version.encode())
    for path in sorted(files):
        found.update(f"{path.relative_to(_ROOT)}\0".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def new_folder(name: str) -> Path:
    """The place in the shared folder for what a maker writes; what a killed one left there goes."""
    place = folder() / name
    shutil.rmtree(place, ignore_errors=True)
    return place


def made_once(make: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """A function whose value the first process that asks computes, and the others load. Arguments and value can be
    pickled; the same value is given each time, so nobody may change it."""

    @cache
    @wraps(make)
    def made(*arguments: Arguments.args, **more: Arguments.kwargs) -> Value:
        # The file's name, not the module's: that of a program is __main__.
        name = f"{Path(make.__code__.co_filename).stem}-{make.__qualname__}"
        source = Path(make.__code__.co_filename).read_bytes()
        return kept(
            name, repr((arguments, sorted(more.items()))).encode() + source, lambda: make(*arguments, **more)
        )

    return made


def kept(name: str, made_from: bytes, make: Callable[[], Value]) -> Value:
    """What `make` gives: computed where nobody has yet, else loaded. `made_from` is all that it depends on beside
    the files of `digest`."""
    key = sha256(made_from).hexdigest()[:16]
    place = folder() / f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}-{key}.pickle"
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists():
            value: Value = pickle.loads(place.read_bytes())
            return value
        value = make()
        temporary = place.with_suffix(".new")
        with temporary.open("wb") as stream:  # what tests put in the place of write_bytes is not meant for this
            pickle.dump(value, stream)
        temporary.replace(place)
        return value


if __name__ == "__main__":
    print(folder())  # for scripts/test
