"""One writer at a time for a folder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from vitconv.foundation.disk.writing import writing
from vitconv.foundation.errors import OutputError


def test_a_second_thread_is_refused_at_once_and_the_folder_is_left_clean(tmp_path: Path) -> None:
    said: list[str] = []

    def second() -> None:
        try:
            with writing(tmp_path):
                said.append("got it")
        except OutputError as error:
            said.append(str(error))

    with writing(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(30)
    assert said == [
        f"another vitconv is writing into {tmp_path}. Wait until it has ended, or give another folder."
    ]
    assert list(tmp_path.iterdir()) == []
    second()
    assert said[1:] == ["got it"]


def test_the_same_folder_by_another_name_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    monkeypatch.chdir(tmp_path)
    with writing(Path("out")):
        for name in (tmp_path / "link", Path("./out"), Path("out/../out")):
            with pytest.raises(OutputError, match="another vitconv"), writing(name):
                pass


def test_a_killed_process_leaves_the_folder_free(tmp_path: Path) -> None:
    script = (
        "import os, sys, time; from pathlib import Path; from vitconv.foundation.disk.writing import writing\n"
        f"with writing(Path({str(tmp_path)!r})):\n  print('in', flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    ) as one:
        assert one.stdout
        assert one.stdout.readline() == "in\n"
        with pytest.raises(OutputError, match="another vitconv is writing"), writing(tmp_path):
            pass
        one.send_signal(signal.SIGKILL)
        one.wait(60)
    with writing(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), writing(tmp_path):
        raise ValueError("mine")
    with writing(tmp_path):
        pass


def test_a_file_has_a_lock_of_its_own(tmp_path: Path) -> None:
    """Two commands may write different files of one folder."""
    with writing(tmp_path / "a.json"), writing(tmp_path / "b.json"), writing(tmp_path):
        with pytest.raises(OutputError, match=r"another vitconv is writing into .*a\.json"), writing(
            tmp_path / "." / "a.json"
        ):  # fmt: skip
            pass
        assert len(list(tmp_path.iterdir())) == 3
    assert list(tmp_path.iterdir()) == []


def test_who_waits_gets_it_when_the_other_has_done(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with writing(tmp_path, wait_s=30):
            order.append("second")

    with writing(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]
    with writing(tmp_path), pytest.raises(OutputError, match="another vitconv"), writing(tmp_path, wait_s=0.1):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".vitconv.lock").write_text("")
    (tmp_path / ".a.json.lock").write_text("")
    for place in (tmp_path, tmp_path / "a.json"):
        with writing(place):
            pass
    assert list(tmp_path.iterdir()) == []


def test_something_else_in_the_lock_s_place_is_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / ".vitconv.lock").symlink_to("/etc/hostname")
    with pytest.raises(OutputError) as refused, writing(tmp_path):
        pass
    assert f"cannot lock {tmp_path / '.vitconv.lock'}: " in str(refused.value)
    assert "Remove that file if no vitconv is writing there, or give another folder." in str(refused.value)


def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: FileLock) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(FileLock, "_acquire", denied)
    with pytest.raises(OutputError, match=r"cannot lock .*: Permission denied. Give another folder."), writing(
        tmp_path
    ):  # fmt: skip
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_written_to_with_a_word(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(self: FileLock) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FileLock, "_acquire", unknown)
    with writing(tmp_path):
        (tmp_path / "done").touch()
    assert [record.message for record in caplog.records] == [
        f"the file system of {tmp_path} has no locks: see to it that no other vitconv writes there meanwhile."
    ]
    with pytest.raises(ValueError, match="mine"), writing(tmp_path):
        raise ValueError("mine")
