"""Where the cache is, and that one at a time makes something there."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vitconv.foundation.disk.cache import cache_directory, lock_beside
from vitconv.foundation.errors import OutputError

HOLD = """
import sys, time
from pathlib import Path
from vitconv.foundation.disk.cache import lock_beside
with lock_beside(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="where Linux has its caches")
@pytest.mark.parametrize(
    ("chosen", "shared", "place"),
    [
        ("/mnt/mine", "/mnt/shared", "/mnt/mine"),
        ("~/mine", "/mnt/shared", "/home/somebody/mine"),
        (None, "/mnt/shared", "/mnt/shared/vitconv"),
        ("", "/mnt/shared", "/mnt/shared/vitconv"),
        (None, None, "/home/somebody/.cache/vitconv"),
        # The XDG specification has relative paths ignored.
        (None, "relative", "/home/somebody/.cache/vitconv"),
        (None, "", "/home/somebody/.cache/vitconv"),
    ],
)
def test_the_folder_of_the_cache(
    chosen: str | None, shared: str | None, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for name, value in (("VITCONV_CACHE", chosen), ("XDG_CACHE_HOME", shared)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert cache_directory() == Path(place)


@pytest.mark.skipif(sys.platform != "linux", reason="asks for the user's home as Linux does")
def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def unknown(user: int) -> None:
        raise KeyError(user)  # as in a container that was started with a number for its user

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "VITCONV_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OutputError, match="Set VITCONV_CACHE to a folder"):
        cache_directory()
    monkeypatch.setenv("VITCONV_CACHE", "~/mine")
    with pytest.raises(OutputError, match="Set VITCONV_CACHE to a folder"):
        cache_directory()


def test_one_thread_at_a_time_has_the_lock(tmp_path: Path) -> None:
    inside, most = [], []

    def work() -> None:
        with lock_beside(tmp_path / "entry"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


def test_a_lock_ends_with_the_process_that_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "entry")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        got = threading.Event()

        def wait() -> None:
            with lock_beside(tmp_path / "entry"):
                got.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert not got.wait(0.3)
        process.send_signal(signal.SIGKILL)
    assert got.wait(30)
    thread.join()


def test_a_place_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match=r"cannot lock .*/file/\.entry\.lock: "),
        lock_beside(tmp_path / "file/entry"),
    ):
        pytest.fail("the block must not be entered")
