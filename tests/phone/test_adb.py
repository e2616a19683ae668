"""Finding adb and phones, and what passes between them: through the real adb, with stand-in phones."""

from __future__ import annotations

import os
import re
import shlex
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from commands import Call, refused, wait_until
from phone.conftest import Adb, Plug
from standin.phone import StandInPhone
from vitconv.cli.doctor.examination import examine
from vitconv.foundation.errors import DeviceError, DeviceLostError, DeviceRunError, MissingToolError
from vitconv.phone.conditions import cpu_mask, thermal_status
from vitconv.phone.device.adb import Adb as Connection
from vitconv.phone.device.adb import Phone, ask_server, parse_devices
from vitconv.phone.device.adb_process import Finished, LateError, run
from vitconv.phone.device.phone_folder import PhoneFolder


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
        refused(call(*arguments), "adb, the program that connects to phones, is not installed", "apt install adb")


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
    with pytest.raises(DeviceRunError, match="more than the 1,000 that are read"):
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
    monkeypatch.setattr("vitconv.phone.device.adb._SERVER_SECONDS", 1.0)
    phone.faults.stall_after_bytes = 100_000
    local = tmp_path / "large"
    local.write_bytes(bytes(400_000))
    with pytest.raises(DeviceRunError, match="did not finish `adb push` within 2 s"):
        reached.push(local, "/data/local/tmp/there")


def test_adbs_refusals_and_broken_connections_are_told_apart(
    reached: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(said: str) -> DeviceRunError:
        return reached.failed("a file could not be copied to it", Finished(1, "", said))

    for said in (
        "adb: error: failed to copy 'a' to '/data/x': remote couldn't create file: Permission denied",
        "adb: error: failed to copy 'closed connection' to '/data/offline': remote Read-only file system",
        "adb: error: stat failed when trying to push to /data/x: Operation not permitted",
        "[ 10%] /data/x\nadb: error: failed to copy 'a' to 'b': remote secure_mkdirs failed: Not a directory\n",
        "a: 0 files pushed. adb: error: something that nobody has seen yet",
    ):
        assert not isinstance(error(said), DeviceLostError), said
    for said in (
        "adb: error: failed to copy 'Permission denied' to 'b': connection closed",
        "error: closed",
        "adb: error: failed to read copy response: EOF",
        "error: protocol fault (couldn't read status): connection reset",
        "adb: error: connect failed: device offline",
        "",
    ):
        assert isinstance(error(said), DeviceLostError), said
        assert "did not allow" not in str(error(said))


def test_a_file_that_may_not_be_read_is_not_called_absent(reached: Phone, phone: StandInPhone) -> None:
    # The tests may run as root, who may read everything: so the phone's shell says what it says to others.
    wc = phone.system.folder / "bin" / "wc"
    wc.write_text("#!/bin/sh\necho 'sh: cannot open: Permission denied' >&2; exit 1\n")
    wc.chmod(0o755)
    phone.system.path("/data/local/tmp/there").write_bytes(b"it")
    with pytest.raises(DeviceRunError, match=r"does not let .* be read.*Permission denied"):
        reached.pull("/data/local/tmp/there")


def running() -> list[str]:
    """The command lines of all processes, as far as this system shows them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def test_a_call_that_hangs_or_prints_without_end_is_stopped() -> None:
    start = time.monotonic()
    with pytest.raises(LateError) as caught:
        run(["sh", "-c", "echo first words; sleep 100"], 0.5, lambda: False)
    assert caught.value.printed.split() == ["first", "words"]
    # The shell's child prints, and must not go on when the shell is gone.
    endless = f"yes {uuid4()}"
    with pytest.raises(DeviceRunError, match=f"`adb -c {endless}.* printed more than 32 MiB"):
        run(["sh", "-c", f"{endless}; true"], 30, lambda: False)
    # A killed one takes a moment to end.
    assert wait_until(lambda: not [command for command in running() if endless in command], seconds=5)
    with pytest.raises(KeyboardInterrupt):
        run(["sleep", "100"], 30, lambda: True)
    assert time.monotonic() - start < 20


RUBBISH = ["", "\0", "\t", "\x1b[2J", "999999", "\n", "ä", "'"]


def test_whatever_adb_prints_ends_in_an_answer_or_an_error(
    reached: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(18)
    samples = [
        "List of devices attached\nR58M12\tdevice\nemulator-5554\toffline\n\n",
        "adb: error: failed to copy 'a' to 'b': remote couldn't create file: Permission denied\n",
        "\nTOKEN 0\nGoogle\nPixel 7\n14\narm64-v8a,armeabi-v7a\narm64-v8a\n",
        "error: device '' not found\n", "1234\n\nTOKEN 0\n", "Thermal Status: 3\n\nTOKEN 0\n",
        "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq 1800000\n\nTOKEN 0\n",
        f"{'0' * 64}  model.tflite\n\nTOKEN 0\n",
    ]  # fmt: skip

    def mutated(token: str) -> str:
        text = list(random.choice(samples).replace("TOKEN", token))
        for _ in range(random.randint(0, 5)):
            at = random.randrange(len(text) or 1)
            text[at : at + random.randint(0, 9)] = random.choice(RUBBISH)
        return "".join(text)

    def call(arguments: list[str], seconds: float, last: bool = False) -> Finished:
        found = re.search(r"vitconv-[0-9a-f]{16}", " ".join(arguments))
        token = found[0] if found else ""
        if random.random() < 0.1:
            raise LateError(mutated(token))
        return Finished(random.choice([0, 0, 1, 255]), mutated(token), mutated(token))

    monkeypatch.setattr(reached._adb, "call", call)
    folder = PhoneFolder(reached)
    local = Path(__file__)
    jobs: list[Callable[[], object]] = [
        lambda: Phone(reached._adb, "R58M12").device,
        lambda: reached.push(local, "/data/x"),
        lambda: reached.pull("/data/x"),
        lambda: reached.install(local),
        lambda: thermal_status(reached),
        lambda: cpu_mask(reached, "big"),
        lambda: folder.put({"m": (local, "0" * 64)}, lambda done, total: None),
        lambda: folder.run("m", ["--help"], None, 1),
        lambda: reached._adb.states(),
        lambda: reached._adb.phones("R58M12"),
    ]
    answered, said = 0, []
    for number in range(1000):
        try:
            jobs[number % len(jobs)]()
            answered += 1
        except (DeviceRunError, DeviceError) as error:
            said.append(str(error))
    assert [message for message in said if not message.isprintable() or len(message) > 2000] == []
    assert 50 < answered < 950


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
