"""A server of the real adb, on a port of its own, and stand-in phones that it reaches."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import wait_until
from standin import app, benchmark_model
from standin.phone import StandInPhone

Plug = Callable[..., StandInPhone]
Adb = Callable[..., str]


@pytest.fixture(scope="session")
def adb_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment for a server that is nobody else's: its port, its keys, and no look-out for emulators."""
    if not shutil.which("adb"):
        pytest.skip("adb is not installed: apt install adb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "ANDROID_ADB_SERVER_PORT": str(port),
        "ADB_LOCAL_TRANSPORT_MAX_PORT": "5554",
        "HOME": str(tmp_path_factory.mktemp("home")),
    }
    yield environment
    subprocess.run(["adb", "kill-server"], env={**os.environ, **environment}, capture_output=True, timeout=30)


@pytest.fixture
def adb(adb_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Adb:
    """Calls adb itself: adb("devices") → what it printed. The commands of the test use the same server."""
    for name, value in adb_environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)

    def call(*arguments: str) -> str:
        done = subprocess.run(
            ["adb", *arguments], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
        )
        return done.stdout + done.stderr

    call("start-server")
    return call


def plug_in_again(adb: Adb, phone: StandInPhone) -> None:
    """Connects a phone that is not connected, or was and is offline, and waits until adb says how it is."""
    adb("disconnect", phone.serial)
    adb("connect", phone.serial)
    state = "unauthorized" if phone.faults.unauthorized else "device"
    assert wait_until(lambda: f"{phone.serial}\t{state}" in adb("devices"), seconds=30)


@pytest.fixture
def plug(adb: Adb, tmp_path: Path) -> Iterator[Plug]:
    """Connects one more phone: plug("name", features=…, unauthorized=True)."""
    phones: list[StandInPhone] = []

    def connect(name: str = "phone", unauthorized: bool = False, **options: Any) -> StandInPhone:
        folder = tmp_path / name
        folder.mkdir()
        phone = StandInPhone(folder, **options)
        phones.append(phone)
        phone.faults.unauthorized = unauthorized
        (folder / "tool.json").write_text('{"format": "new"}')
        (folder / "app.py").write_text(app.program())
        plug_in_again(adb, phone)
        return phone

    yield connect
    for phone in phones:
        adb("disconnect", phone.serial)
        phone.unplug()
        (phone.system.folder / "app.py").unlink(missing_ok=True)  # one that hangs ends


@pytest.fixture
def phone(plug: Plug) -> StandInPhone:
    return plug()


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """The stand-in for benchmark_model, as a user has it: a file."""
    path = tmp_path / "benchmark model's file"
    path.write_text(benchmark_model.program())
    return path


@pytest.fixture
def models(tmp_path: Path, tiny_tflite: dict[str, bytes]) -> Path:
    """A folder with two models, and with everything in its name that a shell could trip over."""
    folder = tmp_path / 'my $(touch pwned) models; it\'s "here" & `now`'
    folder.mkdir()
    for scheme in ("float32", "int8"):
        (folder / f"tiny '$x' {scheme};-{scheme}.tflite").write_bytes(tiny_tflite[scheme])
    return folder
