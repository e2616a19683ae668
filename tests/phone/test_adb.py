"""Finding adb and phones, and what passes between them: through the real adb, with stand-in phones."""

from __future__ import annotations

import os
import shlex
import socket
import sys
import time
from pathlib import Path

import pytest

from commands import Call, refused
from phone.conftest import Adb, Plug
from standin.phone import StandInPhone
from vitconv.cli.doctor import examine
from vitconv.foundation.errors import DeviceError, DeviceLostError, DeviceRunError, MissingToolError
from vitconv.phone.adb import Adb as Connection
from vitconv.phone.adb import Phone, ask_server, parse_devices


@pytest.fixture
def reached(phone: StandInPhone) -> Phone:
    (reached,) = Connection().phones(phone.serial)
    return reached


def test_without_adb_it_says_how_to_get_it(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, models: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    for arguments in (("benchmark", models, "--device"), ("app", "run"), ("app", "selftest")):
        refused(call(*arguments), "adb is not installed", "apt install adb")


@pytest.mark.skipif(sys.platform != "linux", reason="places of Linux")
@pytest.mark.parametrize("place", ["sdk/platform-tools", "Android/Sdk/platform-tools"])
def test_adb_is_found_where_androids_tools_put_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path / "sdk"))
    with pytest.raises(MissingToolError):
        Connection()
    program = tmp_path / place / "adb"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nprintf 'List of devices attached\\nan adb of ours\\tdevice\\n'\n")
    program.chmod(0o755)
    assert Connection().states() == {"an adb of ours": "device"}


def test_no_phone(call: Call, adb: Adb, models: Path) -> None:
    assert "device\n" not in adb("devices")
    refused(call("benchmark", models, "--device"), "no phone is connected", "USB debugging")
    refused(call("benchmark", models, "--device", "all"), "no phone is connected")
    refused(call("benchmark", models, "--device", "R58M"), "there is no phone 'R58M'", "USB debugging")
    refused(call("benchmark", "--device", models), f"--device {models} is a path, not a phone")


def test_an_unauthorized_phone(call: Call, plug: Plug, models: Path) -> None:
    phone = plug(unauthorized=True)
    words = "unlock it and accept 'Allow USB debugging'"
    refused(call("benchmark", models, "--device"), "no phone can be used", f"{phone.serial}: unauthorized", words)
    refused(call("benchmark", models, "--device", phone.serial), f"{phone.serial} cannot be used", words)
    refused(call("app", "run"), words)


def test_a_phone_that_is_offline(call: Call, phone: StandInPhone, models: Path) -> None:
    phone.unplug()
    time.sleep(0.2)
    refused(call("benchmark", models, "--device", phone.serial), "offline: it does not answer")


def test_a_serial_may_come_from_the_environment_as_for_adb_itself(
    plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = plug("first"), plug("second")
    with pytest.raises(DeviceError, match="several phones"):
        Connection().phones("")
    monkeypatch.setenv("ANDROID_SERIAL", second.serial)
    assert [phone.serial for phone in Connection().phones("")] == [second.serial]
    assert [phone.serial for phone in Connection().phones(first.serial)] == [first.serial]


@pytest.mark.parametrize("features", [("shell_v2", "cmd", "stat_v2"), ()], ids=["new", "old"])
def test_a_command_gives_its_status_and_its_words(plug: Plug, features: tuple[str, ...]) -> None:
    (phone,) = Connection().phones(plug(features=features).serial)
    ended = phone.shell("echo one; printf two; exit 7")
    assert (ended.status, ended.out) == (7, "one\ntwo")
    assert phone.shell("sh -c 'kill -SEGV $$'").status == 128 + 11
    assert phone.shell("true").status == 0
    assert phone.device.abis == ("arm64-v8a", "armeabi-v7a", "armeabi")


def test_a_quoted_word_reaches_the_phone_as_it_is(reached: Phone, tmp_path: Path) -> None:
    for word in ("it's", "$(touch pwned)", "`id`", "a  b", '"', ";reboot", "*", "\\", "-n", "$HOME", "ä日"):
        assert reached.shell(f"printf %s {shlex.quote(word)}").out == word
    assert not list(tmp_path.rglob("pwned"))


def test_files_go_there_and_come_back(reached: Phone, tmp_path: Path) -> None:
    local = tmp_path / "-a file's $(name)"
    local.write_bytes(bytes(range(256)) * 5000)
    reached.push(local, "/data/local/tmp/there")
    assert reached.pull("/data/local/tmp/there") == local.read_bytes()
    assert reached.pull("/data/local/tmp/absent") is None
    with pytest.raises(DeviceRunError, match="far too many"):
        reached.pull("/data/local/tmp/there", most_bytes=1000)


def test_a_command_that_hangs_and_one_that_is_cut_off(reached: Phone, phone: StandInPhone) -> None:
    start = time.monotonic()
    with pytest.raises(DeviceRunError, match="within 1 s") as caught:
        reached.shell("sleep 100", seconds=1)
    assert time.monotonic() - start < 10
    assert not isinstance(caught.value, DeviceLostError), "the phone is still there"
    phone.faults.unplug_at_command = "sleep"
    # adb's own exit status is 0 here: it tells nothing.
    with pytest.raises(DeviceLostError, match="Connect it again"):
        reached.shell("sleep 100; true")


def test_a_transfer_that_stalls(
    reached: Phone, phone: StandInPhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitconv.phone.adb._SERVER_SECONDS", 1.0)
    phone.faults.stall_after_bytes = 100_000
    local = tmp_path / "large"
    local.write_bytes(bytes(400_000))
    with pytest.raises(DeviceRunError, match="did not finish `adb push` within 2 s"):
        reached.push(local, "/data/local/tmp/there")


def test_what_adb_lists() -> None:
    text = (
        "* daemon not running; starting now at tcp:5037\n* daemon started successfully\n"
        "List of devices attached\nR58M12\tdevice\n192.168.1.7:5555\toffline\n"
        "adb-R5 (2)._adb-tls-connect._tcp\tdevice\n"
        "0123\tno permissions (missing udev rules? user is in the plugdev group); see [http://…]\n\n"
    )
    assert parse_devices(text) == {
        "R58M12": "device",
        "192.168.1.7:5555": "offline",
        "adb-R5 (2)._adb-tls-connect._tcp": "device",
        "0123": "no permissions (missing udev rules? user is in the plugdev group); see [http://…]",
    }


def test_the_server_is_asked_without_being_started(adb: Adb, plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `vitconv doctor` does."""
    phone = plug()
    assert (ask_server() or {})[phone.serial] == "device"
    assert "ready" in next(check.found for check in examine().checks if check.found.startswith(phone.serial))
    locked = plug("locked", unauthorized=True)
    assert (ask_server() or {})[locked.serial] == "unauthorized"
    (check,) = (check for check in examine().checks if check.found == locked.serial)
    assert (check.problem, check.needed_for) == ("unauthorized", ())
    assert "USB debugging" in (check.remedy or "")
    with (
        monkeypatch.context() as patch
    ):  # undone before the phones are unplugged, which would start a server there
        patch.setenv("ADB_SERVER_SOCKET", f"tcp:127.0.0.1:{os.environ['ANDROID_ADB_SERVER_PORT']}")
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(closed_port()))
        assert phone.serial in (ask_server() or {})
        patch.delenv("ADB_SERVER_SOCKET")
        assert ask_server() is None


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
