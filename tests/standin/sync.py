"""The sync service of the stand-in phone: push, pull, stat and list, and the second version's stat."""

from __future__ import annotations

import errno
import os
import stat
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

from standin.system import REFUSED

if TYPE_CHECKING:
    from standin.phone import StandInPhone, Stream

_BLOCK = 64 * 1024


def serve_sync(stream: Stream, phone: StandInPhone) -> None:
    """Answers requests, each four letters and a length, until QUIT or the end of the stream."""
    while True:
        kind, length = struct.unpack("<4sI", stream.read(8))
        if kind == b"QUIT":
            return
        name = stream.read(length).decode()
        if kind == b"SEND":
            path, _, mode = name.rpartition(",")
            _receive(stream, phone, path, int(mode))
            continue
        path = phone.system.path(name)
        if kind == b"STAT":
            found = _stat(path)
            stream.write(
                struct.pack(
                    "<4s3I",
                    b"STAT",
                    *((found.st_mode, found.st_size, int(found.st_mtime)) if found else (0, 0, 0)),
                )
            )
        elif kind in (b"STA2", b"LST2"):
            stream.write(_stat_v2(kind, _stat(path)))
        elif kind == b"RECV":
            _give(stream, path)
        elif kind in (b"LIST", b"LIS2"):
            stream.write(struct.pack("<4sI", b"DONE", 0) + bytes(12 if kind == b"LIST" else 68))
        else:
            _fail(stream, f"unknown request {kind!r}")
            return


def _receive(stream: Stream, phone: StandInPhone, name: str, mode: int) -> None:
    path, problem, written = phone.system.path(name), "", bytearray()
    while True:
        kind, length = struct.unpack("<4sI", stream.read(8))
        if kind == b"DONE":
            break
        data = stream.read(length)
        phone.seen.pushed_bytes += len(data)
        faults, so_far = phone.faults, phone.seen.pushed_bytes
        if faults.unplug_after_bytes is not None and so_far > faults.unplug_after_bytes:
            phone.unplug()
            raise EOFError
        if faults.stall_after_bytes is not None and so_far > faults.stall_after_bytes:
            time.sleep(3600)
        written += data
    phone.seen.pushed.append(name)
    if phone.faults.refuse_push is not None:
        _fail(stream, phone.faults.refuse_push)
        return
    if not path.parent.is_dir():
        problem = "couldn't create file: No such file or directory"
    elif len(written) > phone.system.free_bytes():
        problem = "couldn't write file: No space left on device"
        written = written[: phone.system.free_bytes()]
    if path.parent.is_dir():
        path.write_bytes(written)
        path.chmod(mode & 0o777 or 0o644)
    if problem:
        _fail(stream, problem)
    else:
        stream.write(struct.pack("<4sI", b"OKAY", 0))


def _give(stream: Stream, path: Path) -> None:
    try:
        data = path.read_bytes()
    except OSError as error:
        # Where only apps may look; see system.py.
        _fail(stream, f"open failed: {REFUSED if error.errno == errno.ELOOP else error.strerror}")
        return
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        stream.write(struct.pack("<4sI", b"DATA", len(block)) + block)
    stream.write(struct.pack("<4sI", b"DONE", 0))


def _fail(stream: Stream, reason: str) -> None:
    stream.write(struct.pack("<4sI", b"FAIL", len(reason)) + reason.encode())


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _stat_v2(kind: bytes, found: os.stat_result | None) -> bytes:
    if found is None:
        return struct.pack("<4sI", kind, 2) + bytes(64)  # 2: ENOENT
    return struct.pack(
        "<4sI2Q4IQ3q", kind, 0, found.st_dev, found.st_ino, found.st_mode, found.st_nlink, 0, 0,
        found.st_size if stat.S_ISREG(found.st_mode) else 4096,
        int(found.st_atime), int(found.st_mtime), int(found.st_ctime),
    )  # fmt: skip
