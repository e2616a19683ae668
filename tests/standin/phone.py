"""A stand-in for a phone: speaks adb's transport protocol, so that the real adb client and server connect to it.

It listens on the loopback address; `adb connect 127.0.0.1:PORT` makes it a device like any other. What it has of
a phone is in system.py: a folder for its file system, and a handful of Android's programs. Nothing in the product
knows it.

    phone = StandInPhone(folder)
    phone.serial                    what adb calls it
    phone.unplug(); phone.plug_in() as a cable does

Protocol: messages of six little-endian 32-bit words (command, two arguments, length, checksum, command ^ ~0) and a
payload; streams are opened by OPEN, carry WRTE, each answered with OKAY, and end with CLSE.
`python phone.py FOLDER [PORT]` runs one in a process of its own.
"""

from __future__ import annotations

import itertools
import os
import queue
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from standin.sync import serve_sync
from standin.system import System

_HEADER = struct.Struct("<6I")
_CNXN, _AUTH, _OPEN, _OKAY, _CLSE, _WRTE = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"CLSE", b"WRTE")
)
_VERSION = 0x01000001
_MOST_DATA = 256 * 1024
_FEATURES = ("shell_v2", "cmd", "stat_v2", "ls_v2", "fixed_push_mkdir", "abb_exec")
_STDOUT, _STDERR, _EXIT = 1, 2, 3


@dataclass
class Faults:
    """What is to go wrong. Each is None, or False, until a test sets it."""

    unplug_after_bytes: int | None = None  # of pushed data
    unplug_at_command: str | None = None  # a shell command that holds these words has just been started
    stall_after_bytes: int | None = None  # pushed data is no longer taken, and nothing is said
    refuse_push: str | None = None  # what the phone says to pushed data in the place of OKAY
    unauthorized: bool = False
    install_answer: str = "Success\n"


@dataclass
class Seen:
    """What was asked of the phone."""

    commands: list[str] = field(default_factory=list)
    pushed: list[str] = field(default_factory=list)
    pushed_bytes: int = 0


class StandInPhone:
    """`features` as adbd announces them; none of them makes an old phone: no exit codes, no streamed install."""

    def __init__(self, folder: Path, features: tuple[str, ...] = _FEATURES, port: int = 0) -> None:
        self.system = System(folder)
        self.features = features
        self.faults = Faults()
        self.seen = Seen()
        self.unplugged_at = 0.0  # on time.monotonic's clock
        self._port = port
        self._listener: socket.socket | None = None
        self._connections: set[_Connection] = set()
        self._lock = threading.Lock()
        self.plug_in()

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self._port}"

    def plug_in(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        listener.listen()
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def unplug(self) -> None:
        """Ends every connection at once, and takes no new one."""
        self.unplugged_at = time.monotonic()
        if self._listener:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            connection = _Connection(self, client)
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: _Connection) -> None:
        try:
            connection.serve()
        finally:
            connection.close()
            with self._lock:
                self._connections.discard(connection)


class Stream:
    """One service of a connection, as a file: `read` what the host sends, `write` to it."""

    def __init__(self, connection: _Connection, own: int, theirs: int) -> None:
        self._connection, self._own, self._theirs = connection, own, theirs
        self._inbox: queue.Queue[bytes | None] = queue.Queue()
        self._buffer = b""
        self._taken = threading.Semaphore(0)
        self.closed = threading.Event()
        self.on_close: Callable[[], None] = lambda: None

    def read(self, count: int) -> bytes:
        """Exactly so many bytes. Raises EOFError where the stream ends before."""
        while len(self._buffer) < count:
            data = self._inbox.get()
            if data is None:
                raise EOFError
            self._buffer += data
            self._connection.send(_OKAY, self._own, self._theirs)
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), _MOST_DATA):
            if self.closed.is_set():
                raise EOFError
            self._connection.send(_WRTE, self._own, self._theirs, data[start : start + _MOST_DATA])
            self._taken.acquire()

    def close(self) -> None:
        if not self.closed.is_set():
            self.end()
            self._connection.send(_CLSE, self._own, self._theirs)

    # What the connection's reader tells:

    def arrived(self, data: bytes) -> None:
        self._inbox.put(data)

    def taken(self) -> None:
        self._taken.release()

    def end(self) -> None:
        self.closed.set()
        self._inbox.put(None)
        self._taken.release()
        self.on_close()


class _Connection:
    def __init__(self, phone: StandInPhone, client: socket.socket) -> None:
        self.phone = phone
        self._socket = client
        self._send_lock = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._ids = itertools.count(1)

    def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        header = _HEADER.pack(command, first, second, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF)
        with self._send_lock, suppress(OSError):  # the reader notices that the host has gone
            self._socket.sendall(header + data)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for stream in list(self._streams.values()):
            stream.end()

    def serve(self) -> None:
        while True:
            try:
                command, first, second, length, _, _ = _HEADER.unpack(self._receive(_HEADER.size))
                data = self._receive(length)
            except (OSError, EOFError):
                return
            if command == _CNXN:
                if self.phone.faults.unauthorized:
                    self.send(_AUTH, 1, 0, os.urandom(20))
                else:
                    self._welcome()
            elif command == _AUTH and first == 2:  # a signature with a key that this phone does not know
                self.send(_AUTH, 1, 0, os.urandom(20))
            elif command == _OPEN:
                own = next(self._ids)
                stream = self._streams[own] = Stream(self, own, first)
                service = data.rstrip(b"\0").decode()
                threading.Thread(target=self._run, args=(stream, own, service), daemon=True).start()
            elif second in self._streams:
                stream = self._streams[second]
                if command == _WRTE:
                    stream.arrived(data)
                elif command == _OKAY:
                    stream.taken()
                elif command == _CLSE:
                    stream.end()

    def _welcome(self) -> None:
        names = {"name": "standin", "model": self.phone.system.property("ro.product.model"), "device": "standin"}
        banner = "".join(f"ro.product.{key}={value};" for key, value in names.items())
        banner = f"device::{banner}features={','.join(self.phone.features)}"
        self.send(_CNXN, _VERSION, _MOST_DATA, banner.encode())

    def _receive(self, count: int) -> bytes:
        parts = []
        while count:
            part = self._socket.recv(min(count, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _run(self, stream: Stream, own: int, service: str) -> None:
        kind, _, rest = service.partition(":")
        kind, *options = kind.split(",")
        self.send(_OKAY, own, stream._theirs)
        try:
            if kind == "sync":
                serve_sync(stream, self.phone)
            elif kind in ("shell", "exec") and rest.startswith("cmd package "):
                self._install(stream, rest.replace("'", "").split())
            elif kind == "abb_exec":
                self._install(stream, ["cmd", *rest.split("\0")])
            elif kind in ("shell", "exec"):
                self._shell(stream, rest, "v2" in options)
        except EOFError:
            pass
        finally:
            stream.close()
            self._streams.pop(own, None)

    def _shell(self, stream: Stream, command: str, with_codes: bool) -> None:
        self.phone.seen.commands.append(command)
        process = self.phone.system.start(command)
        stream.on_close = process.kill  # as adbd does when the host hangs up
        words = self.phone.faults.unplug_at_command
        if words is not None and words in command:
            threading.Timer(0.02, self.phone.unplug).start()  # before the quickest of programs has ended
        lock = threading.Lock()

        def forward(number: int) -> None:
            for line in process.lines(number):
                data = struct.pack("<BI", number, len(line)) + line if with_codes else line
                with lock, suppress(EOFError):
                    stream.write(data)

        pumps = [threading.Thread(target=forward, args=(number,), daemon=True) for number in (_STDOUT, _STDERR)]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        status = process.wait()
        if with_codes:
            stream.write(struct.pack("<BIB", _EXIT, 1, status))

    def _install(self, stream: Stream, words: list[str]) -> None:
        """cmd package install … -S SIZE, and then the file's bytes."""
        self.phone.seen.commands.append(" ".join(words))
        size = int(words[words.index("-S") + 1])
        data = stream.read(size)
        answer = self.phone.faults.install_answer
        if answer.startswith("Success"):
            self.phone.system.install(data)
        stream.write(answer.encode())


if __name__ == "__main__":
    alone = StandInPhone(Path(sys.argv[1]), port=int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(alone.serial, flush=True)
    threading.Event().wait()
