"""A phone through adb, Android's own program for it.

Every call names the phone's serial, has a time limit, and quotes each word for the phone's shell. adb's exit
status cannot be trusted: if the connection breaks in the middle of a command, it is 0. So each command ends with
a line of its own that says how it went. If that line is missing, the command did not end.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from shlex import quote

from vitconv.foundation.errors import DeviceError, DeviceLostError, DeviceRunError, MissingToolError
from vitconv.phone.device.adb_process import MOST_OUTPUT, Finished, LateError, run
from vitconv.phone.device.endings import error_line, is_refusal, shown

ALL = "all"  # instead of a serial: every phone that is ready

_ANSWER_SECONDS = 10.0  # for what takes a moment: a list, a property, a digest
_SERVER_SECONDS = 30.0  # the first call starts adb's server
_SERVER_MOMENT = 1.0  # a server that runs on this machine answers in thousandths of it
_SLOWEST_LINK = 500_000  # bytes a second; USB 2 gives fifty times as much, a bad wireless link still this
_PROPERTIES = (
    "ro.product.manufacturer", "ro.product.model", "ro.build.version.release", "ro.product.cpu.abilist",
    "ro.product.cpu.abi",
)  # fmt: skip

HOW_TO_GET = (
    "Install it (Debian, Ubuntu: apt install adb; macOS: brew install android-platform-tools; otherwise Google's "
    "SDK Platform Tools) and put it on PATH."
)
_STATES = {
    "unauthorized": "it has not allowed this computer: unlock it and accept 'Allow USB debugging'",
    "authorizing": "it is asking whether to allow this computer: unlock it and accept 'Allow USB debugging'",
    "offline": "it does not answer: unplug it and plug it in again, or restart it",
    "connecting": "it is still being connected: try again in a moment",
    "no permissions": "this user may not open the USB device: install Android's udev rules, or join group plugdev",
    "recovery": "it is in recovery mode: start Android on it",
    "sideload": "it is in sideload mode: start Android on it",
    "bootloader": "it is in its bootloader: start Android on it",
}
HOW_TO_CONNECT = (
    "Switch on 'USB debugging' in its developer options and plug it in, or use `adb connect ADDRESS`; "
    "`adb devices` should list it."
)
_NONE = f"no phone is connected. {HOW_TO_CONNECT}"


@dataclass(frozen=True)
class Device:
    """A phone as results name it. `abi` is the first, its native one, of what it can run: `abis`."""

    serial: str
    model: str
    android: str
    abi: str
    abis: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.model}, Android {self.android}, {self.abi}"

    def to_json(self) -> dict[str, str]:
        return {name: value for name, value in asdict(self).items() if name != "abis"}


class NotFinishedError(DeviceRunError):
    """A command that took too long; `printed` is what it had printed until then."""

    def __init__(self, message: str, printed: str) -> None:
        super().__init__(message)
        self.printed = printed


class Phone:
    """One phone. Every method raises DeviceLostError where the phone can no longer be reached."""

    def __init__(self, adb: Adb, serial: str) -> None:
        self._adb = adb
        self.serial = serial

    @cached_property
    def device(self) -> Device:
        script = "; ".join(f"getprop {name}" for name in _PROPERTIES)
        lines = self.shell(script).out.split("\n")
        maker, model, android, abis, abi = (shown(line) for line in (lines + [""] * 5)[:5])
        if not abis and not abi:
            raise DeviceRunError(f"{self.serial} does not say which processor it has (ro.product.cpu.abilist).")
        name = model if model.lower().startswith(maker.lower()) else f"{maker} {model}"
        known = tuple(abis.split(",")) if abis else (abi,)
        return Device(self.serial, name or "unknown", android or "unknown", known[0], known)

    def shell(self, script: str, seconds: float = _ANSWER_SECONDS, last: bool = False) -> Finished:
        """Runs a script in the phone's shell; what comes from elsewhere must be in it through `shlex.quote`.

        `last` is for tidying up: it runs after `Adb.stop`, too.
        Raises NotFinishedError where it takes longer than `seconds`; then it may still be running there.
        """
        token = f"vitconv-{secrets.token_hex(8)}"
        ended = self._call(["shell", f"( {script}\n); printf '\\n%s %s\\n' {token} $?"], seconds, last)
        out, err = ended.out.replace("\r\n", "\n"), ended.err.replace("\r\n", "\n")
        found = re.search(rf"\n{token} ([0-9]{{1,3}})\n", out)
        if found is None:
            raise self.failed("a command was cut off", ended)
        # An old phone sends both streams as one, and what the shell itself says may come last.
        return Finished(int(found[1]), out[: found.start()], err + out[found.end() :])

    def push(self, local: Path, remote: str) -> None:
        """Copies a file to the phone."""
        size = local.stat().st_size
        ended = self._call(["push", str(local.absolute()), remote], _SERVER_SECONDS + size / _SLOWEST_LINK)
        if "No space left" in ended.err + ended.out:
            raise DeviceRunError(
                f"the storage of {self.serial} is full: {local.name} needs {size / 1e6:.1f} MB in {remote}. "
                "Free some space on it."
            )
        if ended.status:
            raise self.failed(f"{local.name} could not be copied to it", ended)

    def pull(self, remote: str, most_bytes: int = MOST_OUTPUT) -> bytes | None:
        """A file of the phone; None where there is none."""
        found = self.shell(f"wc -c < {quote(remote)}")
        if "denied" in found.err:
            raise DeviceRunError(f"{self.serial} does not let {remote} be read: {shown(found.err)}.")
        if found.status:
            return None
        size = re.fullmatch(r"\s*([0-9]{1,15})\s*", found.out)
        if size is None:
            raise DeviceRunError(f"{self.serial} does not say how large {remote} is: {shown(found.out)!r}.")
        if int(size[1]) > most_bytes:
            raise DeviceRunError(
                f"{remote} on {self.serial} has {int(size[1]):,} bytes, more than the {most_bytes:,} that are "
                "read."
            )
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "pulled"
            seconds = _SERVER_SECONDS + most_bytes / _SLOWEST_LINK
            ended = self._call(["pull", remote, str(local)], seconds)
            if ended.status or not local.is_file():
                raise self.failed(f"{remote} could not be copied from it", ended)
            return local.read_bytes()

    def install(self, apk: Path) -> str:
        """Installs or replaces an app, and returns what Android said: it holds "Success" where it did."""
        seconds = 120 + apk.stat().st_size / _SLOWEST_LINK  # Android compiles the app meanwhile
        ended = self._call(["install", "-r", str(apk.absolute())], seconds)
        said = f"{ended.out}\n{ended.err}"
        if "Success" not in said and "Failure" not in said and "INSTALL_" not in said:
            raise self.failed(f"{apk.name} could not be installed", ended)
        return said

    def failed(self, what: str, ended: Finished) -> DeviceRunError:
        """The error for an adb call that failed: is the phone still there, and did it say no?"""
        state = self._adb.state_of(self.serial)
        if state != "device":
            why = "is no longer connected" if state is None else f"is now {state}"
            return DeviceLostError(
                f"{self.serial} {why}: {what}. It was unplugged, it restarted, or adb's server was stopped. "
                "Connect it again (`adb devices` should list it as 'device') and run the same command."
            )
        told = error_line(ended.out + "\n" + ended.err)
        said = f"; adb says: {told}" if told else ""
        if is_refusal(told):
            return DeviceRunError(
                f"{self.serial} did not allow it: {what}{said}. See what is there: "
                f"adb -s {self.serial} shell ls -la /data/local/tmp"
            )
        return DeviceLostError(f"the connection to {self.serial} broke: {what}{said}. Run the same command again.")

    def _call(self, arguments: list[str], seconds: float, last: bool = False) -> Finished:
        try:
            return self._adb.call(["-s", self.serial, *arguments], seconds, last)
        except LateError as error:
            state = self._adb.state_of(self.serial)
            message = f"{self.serial} did not finish `adb {arguments[0]}` within {seconds:.0f} s"
            if state == "device":
                raise NotFinishedError(f"{message}.", error.printed) from error
            raise DeviceLostError(f"{message}, and it is {state or 'no longer connected'}.") from error


class Adb:
    """The adb program. Raises MissingToolError where it is not installed."""

    def __init__(self) -> None:
        self._program = find_program()
        self.stopped = threading.Event()

    def stop(self) -> None:
        """Makes every call of every thread, running or to come, raise KeyboardInterrupt; all but the `last`."""
        self.stopped.set()

    def states(self) -> dict[str, str]:
        """Serial → state, "device" where it is ready, of every phone that adb knows."""
        try:
            ended = self.call(["devices"], _SERVER_SECONDS)
        except TimeoutError:
            raise DeviceError(
                f"{self._program} did not answer within {_SERVER_SECONDS:.0f} s. Try `adb kill-server`."
            ) from None
        if ended.status:
            lines = [line for line in (ended.err + ended.out).splitlines() if line.strip()] or ["nothing"]
            raise DeviceError(f"{self._program} cannot list phones; it says: {shown(lines[-1])}.")
        return parse_devices(ended.out)

    def state_of(self, serial: str) -> str | None:
        """The state of one phone; None where adb does not know it, or does not answer."""
        try:
            return parse_devices(self.call(["devices"], _ANSWER_SECONDS).out).get(serial)
        except TimeoutError:
            return None

    def phones(self, device: str) -> list[Phone]:
        """The phones that `device` means: a serial, "all", or "" for the only one there is.

        Without a serial, the environment's ANDROID_SERIAL counts, as it does for adb itself.
        Raises DeviceError, with what is connected and what to do, where there is none to use.
        """
        states = self.states()
        device = device or os.environ.get("ANDROID_SERIAL", "")
        ready = [serial for serial, state in states.items() if state == "device"]
        problems = [f"{serial}: {explain(state)}" for serial, state in states.items() if state != "device"]
        if device not in ("", ALL):
            if device not in states:
                known = self._describe(ready) + problems
                listed = f" Connected: {'; '.join(known)}." if known else f" {_NONE[0].upper()}{_NONE[1:]}"
                raise DeviceError(f"there is no phone {device!r}.{listed}")
            if states[device] != "device":
                raise DeviceError(f"{device} cannot be used: {explain(states[device])}.")
            return [Phone(self, device)]
        if not ready:
            raise DeviceError(f"no phone can be used. {'; '.join(problems)}." if problems else _NONE)
        if device == ALL:
            if problems:
                raise DeviceError(
                    f"not all connected phones can be used: {'; '.join(problems)}. Unplug those, or choose one "
                    "phone with --device SERIAL."
                )
            return [Phone(self, serial) for serial in ready]
        if len(ready) > 1:
            raise DeviceError(
                f"several phones are connected: {'; '.join(self._describe(ready))}. "
                "Choose one with --device SERIAL, or all of them with --device all."
            )
        return [Phone(self, ready[0])]

    def _describe(self, serials: Iterable[str]) -> list[str]:
        described = []
        for serial in serials:
            try:
                described.append(f"{serial} ({Phone(self, serial).device})")
            except DeviceRunError:
                described.append(serial)
        return described

    def call(self, arguments: list[str], seconds: float, last: bool = False) -> Finished:
        """Runs adb; `last` as in `Phone.shell`.

        Raises LateError, which is a TimeoutError, and DeviceRunError where it prints without end.
        """
        give_up = (lambda: False) if last else self.stopped.is_set
        return run([self._program, *arguments], seconds, give_up)


def parse_devices(text: str) -> dict[str, str]:
    """What `adb devices` prints → serial → state. Serials may hold spaces; a tab ends them."""
    states = {}
    for line in text.splitlines():
        serial, tab, state = line.partition("\t")
        # What comes over a bad link is no phone.
        if tab and serial and serial.isprintable() and not line.startswith("*"):
            states[serial] = shown(state)
    return states


def ask_server() -> dict[str, str] | None:
    """Serial → state of every phone that adb's server knows; None where no server runs.

    Unlike the adb program, which would start one that then stays. ANDROID_ADB_SERVER_PORT and ADB_SERVER_SOCKET
    (tcp only) say where it is.
    """
    host, port = "127.0.0.1", os.environ.get("ANDROID_ADB_SERVER_PORT", "5037")
    if named := re.fullmatch(r"tcp:(?:(.+):)?(\d+)", os.environ.get("ADB_SERVER_SOCKET", "")):
        host, port = named[1] or host, named[2]
    question = b"host:devices"
    try:
        with socket.create_connection((host, int(port)), _SERVER_MOMENT) as connection:
            connection.settimeout(_SERVER_MOMENT)
            connection.sendall(b"%04x" % len(question) + question)
            with connection.makefile("rb") as stream:
                if stream.read(4) != b"OKAY":
                    return None
                return parse_devices(stream.read(int(stream.read(4), 16)).decode(errors="replace"))
    except (OSError, ValueError):
        return None


def explain(state: str) -> str:
    """What is to be done about a phone in this state."""
    for known, text in _STATES.items():
        if state.startswith(known):
            return f"{known}: {text}"
    return f"its state is {state!r}: it must be 'device' in `adb devices`"


def find_program() -> str:
    """adb on PATH, else where Android's tools install it."""
    found = shutil.which("adb")
    if found:
        return found
    folders = [os.environ.get(name) for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT")]
    folders += [str(Path.home() / place) for place in ("Android/Sdk", "Library/Android/sdk")]
    if "LOCALAPPDATA" in os.environ:
        folders.append(str(Path(os.environ["LOCALAPPDATA"]) / "Android" / "Sdk"))
    for folder in folders:
        program = Path(folder or ".") / "platform-tools" / ("adb.exe" if sys.platform == "win32" else "adb")
        if folder and program.is_file():
            return str(program)
    raise MissingToolError(f"adb, the program that connects to phones, is not installed. {HOW_TO_GET}")
