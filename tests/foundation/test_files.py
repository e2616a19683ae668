"""Files that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from vitconv.foundation.disk.file_names import safe_name
from vitconv.foundation.disk.files import (
    atomic_directory,
    atomic_write,
    remove_leftovers,
    restore_directory,
    sha256,
    writable_directory,
    write_bytes,
    write_json,
    write_text,
)
from vitconv.foundation.errors import OutputError


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 20,000 bytes: what a full disk looks like to a program, but for the error's name."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_digest_is_sha256_of_all_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000  # more than one block
    (tmp_path / "file").write_bytes(data)
    assert sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_text_and_json_are_written_as_utf8_into_folders_made_for_them(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "text", "Blüte\r\n")
    assert (tmp_path / "a" / "b" / "text").read_bytes() == "Blüte\r\n".encode()
    write_json(tmp_path / "value.json", {"label": "Blüte", "list": [1, 2.5]})
    text = (tmp_path / "value.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"label": "Blüte", "list": [1, 2.5]}
    assert "Blüte" in text
    assert text.endswith("}\n")


def test_what_is_not_json_is_refused_and_the_old_file_kept(tmp_path: Path) -> None:
    write_json(tmp_path / "value.json", 1)
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "value.json", float("nan"))
    assert names(tmp_path) == ["value.json"]
    assert (tmp_path / "value.json").read_text() == "1\n"


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_stop_while_writing_keeps_the_old_file_and_leaves_nothing(
    tmp_path: Path, stop: type[BaseException]
) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def write() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half of the n")
            raise stop

    with pytest.raises(stop):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt])
def test_a_stop_while_filling_a_folder_keeps_the_old_folder(tmp_path: Path, stop: type[BaseException]) -> None:
    path = tmp_path / "folder"
    with atomic_directory(path) as temporary:
        (temporary / "old").write_text("old")

    def write() -> None:
        with atomic_directory(path) as temporary:
            (temporary / "new").write_text("half")
            raise stop

    with pytest.raises(stop):
        write()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["folder"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with atomic_directory(tmp_path / "folder") as temporary:
            (temporary / name).write_text(name)
            assert name not in names(tmp_path)
    assert names(tmp_path / "folder") == ["second"]
    assert names(tmp_path) == ["folder"]


def test_a_full_disk_is_an_error_that_names_the_file_and_keeps_the_old_one(
    tmp_path: Path, small_disk: None
) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(OutputError, match=rf"cannot write {path}: File too large"):
        write_bytes(path, bytes(30_000))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]

    def fill() -> None:
        with atomic_directory(tmp_path / "folder") as temporary:
            (temporary / "big").write_bytes(bytes(30_000))

    with pytest.raises(OutputError, match="folder: File too large"):
        fill()
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("writer", [atomic_write, atomic_directory])
def test_a_place_below_a_file_cannot_be_written(
    tmp_path: Path, writer: Callable[[Path], AbstractContextManager[Path]]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"), writer(tmp_path / "file" / "below"):
        pytest.fail("the block must not be entered")
    with pytest.raises(OutputError, match="Give another folder"):
        writable_directory(tmp_path / "file" / "below")
    with pytest.raises(OutputError, match="Give another folder"):
        writable_directory(tmp_path / "file")


def test_a_file_cannot_take_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder" / "kept").mkdir(parents=True)
    with pytest.raises(OutputError, match="Is a directory"):
        write_text(tmp_path / "folder", "text")
    assert names(tmp_path) == ["folder"]


def test_a_writable_folder_is_made_with_its_parents_and_left_empty(tmp_path: Path) -> None:
    made = writable_directory(tmp_path / "a" / "b")
    assert made == tmp_path / "a" / "b"
    assert names(made) == []


def test_a_kill_leaves_the_old_file_whole_and_what_it_leaves_beside_can_be_removed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from vitconv.foundation.disk.files import atomic_write\n"
        "with atomic_write(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); print('written', flush=True); time.sleep(60)"
    )
    path = tmp_path / "state"
    write_text(path, "old")
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_text() == "old"
    (tmp_path / ".somebody.else.tmp").write_text("kept")
    assert len(names(tmp_path)) == 3
    remove_leftovers(tmp_path, ["state"])
    assert names(tmp_path) == [".somebody.else.tmp", "state"]


def at_once(threads: int, write: Callable[[int], None]) -> None:
    """Calls write(0), write(1) … in threads that start together. Raises what one of them raises."""
    ready = threading.Barrier(threads)

    def start(number: int) -> None:
        ready.wait()
        write(number)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(start, number) for number in range(threads)]:
            done.result()


def test_threads_that_write_one_file_all_succeed(tmp_path: Path) -> None:
    at_once(20, lambda number: write_bytes(tmp_path / "file", bytes([number]) * 300_000))
    data = (tmp_path / "file").read_bytes()
    assert len(data) == 300_000
    assert len(set(data)) == 1
    assert names(tmp_path) == ["file"]


def test_threads_that_write_one_folder_all_succeed(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for _ in range(10):
            with atomic_directory(tmp_path / "folder") as temporary:
                for name in "ab":
                    (temporary / f"{name}{number}").write_text("")

    at_once(8, write)
    assert [name[0] for name in names(tmp_path / "folder")] == ["a", "b"]
    assert len({name[1:] for name in names(tmp_path / "folder")}) == 1
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("name", ["folder", "a [0-9]* folder"])
def test_a_folder_comes_back_after_a_kill_between_the_two_renames(name: str, tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from vitconv.foundation.disk.files import atomic_directory

path, replace = Path(sys.argv[1]), Path.replace

def and_die(self, target):
    replace(self, target)
    if self == path:
        os.kill(os.getpid(), signal.SIGKILL)

Path.replace = and_die
with atomic_directory(path) as temporary:
    (temporary / "new").write_text("")
"""
    path = tmp_path / name
    with atomic_directory(path) as temporary:
        (temporary / "old").write_text("old")
    done = subprocess.run([sys.executable, "-c", script, str(path)])
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()

    def fail() -> None:
        with atomic_directory(path):
            assert names(path) == ["old"]
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  our own
        fail()
    assert (path / "old").read_text() == "old"
    restore_directory(path)
    assert names(path) == ["old"]
    remove_leftovers(tmp_path, [glob.escape(name)])
    assert names(tmp_path) == [name]


def test_the_folder_that_was_there_last_comes_back(tmp_path: Path) -> None:
    for number in ("1", "0", "2"):
        (tmp_path / f".folder.{number}.tmp" / number).mkdir(parents=True)
        (tmp_path / f".folder.{number}.tmp").rename(tmp_path / f".folder.{number}.old")
        time.sleep(0.02)
    (tmp_path / ".folders.9.old").mkdir()
    restore_directory(tmp_path / "folder")
    assert names(tmp_path / "folder") == ["2"]
    restore_directory(tmp_path / "folder")
    assert names(tmp_path / "folder") == ["2"]
    remove_leftovers(tmp_path, ["folder"])
    assert names(tmp_path) == [".folders.9.old", "folder"]


@pytest.mark.parametrize("writer", [atomic_write, atomic_directory])
def test_an_error_of_what_is_read_is_not_blamed_on_what_is_written(
    tmp_path: Path, writer: Callable[[Path], AbstractContextManager[Path]]
) -> None:
    def read(path: Path) -> Callable[[Path], object]:
        return lambda temporary: path.read_bytes()

    def copy(temporary: Path) -> None:
        shutil.copyfile(tmp_path / "absent", temporary if writer is atomic_write else temporary / "copy")

    def reset(temporary: Path) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    for act in (read(tmp_path / "absent"), read(tmp_path), copy, reset):

        def write(act: Callable[[Path], object] = act) -> None:
            with writer(tmp_path / "out") as temporary:
                act(temporary)

        with pytest.raises(OSError, match=r"absent|Is a directory|reset") as caught:
            write()
        assert not isinstance(caught.value, OutputError)
        assert names(tmp_path) == []


def test_an_error_that_names_no_file_is_the_output_s_where_only_writing_gives_it(
    tmp_path: Path, small_disk: None
) -> None:
    (tmp_path / "big").write_bytes(b"1" * 15_000)

    def save(temporary: Path) -> None:
        np.save(temporary, np.zeros(100_000))  # which tells how much it has written, and nothing else

    def copy(temporary: Path) -> None:
        with (tmp_path / "big").open("rb") as source, temporary.open("wb") as target:
            shutil.copyfileobj(source, target)
            source.seek(0)
            shutil.copyfileobj(source, target)

    for act in (save, copy):

        def write(act: Callable[[Path], None] = act) -> None:
            with atomic_write(tmp_path / "out.npy") as temporary:
                act(temporary)

        with pytest.raises(OutputError, match=rf"^cannot write {tmp_path}/out.npy: "):
            write()

    def broken() -> None:
        with atomic_write(tmp_path / "out"):
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OutputError, match=rf"^stopped while writing {tmp_path}/out: Input/output error"):
        broken()


def test_a_folder_cannot_take_the_place_of_a_file(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "text")

    def write() -> None:
        with atomic_directory(tmp_path / "file"):
            pass

    with pytest.raises(OutputError, match="Not a directory"):
        write()
    assert (tmp_path / "file").read_text() == "text"
    assert names(tmp_path) == ["file"]


def test_readers_only_ever_see_a_whole_file(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from vitconv.foundation.disk.files import write_text\n"
        "while True:\n"
        "    for letter in 'ab': write_text(Path(sys.argv[1]), letter * 100_000)"
    )
    path = tmp_path / "file"
    write_text(path, "a" * 100_000)
    with subprocess.Popen([sys.executable, "-c", script, str(path)]) as process:
        try:
            seen: set[str] = set()
            deadline = time.monotonic() + 20
            while len(seen) < 2 and time.monotonic() < deadline:
                seen.add(path.read_text())
            for _ in range(200):
                seen.add(path.read_text())
        finally:
            process.kill()
    assert seen == {"a" * 100_000, "b" * 100_000}


@pytest.mark.parametrize(
    ("text", "name"),
    [("tf_flowers", "tf_flowers"), ("cats/large:1.0.0", "cats-large-1.0.0"), ('a\\b?"c', "a-b--c")],
)
def test_a_name_that_every_system_takes(text: str, name: str) -> None:
    assert safe_name(text) == name
