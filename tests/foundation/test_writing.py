"""One writer at a time for a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vitconv.foundation.errors import OutputError
from vitconv.foundation.writing import writing


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
        "import os, sys, time; from pathlib import Path; from vitconv.foundation.writing import writing\n"
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
