"""The folder on a phone that everything runs in: what is already there, by its digest, is not sent again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from vitconv.foundation.errors import DeviceRunError
from vitconv.phone.device.adb import Phone
from vitconv.phone.device.adb_process import Finished
from vitconv.phone.device.endings import shown

FOLDER = "/data/local/tmp/vitconv"
_DIGEST_SECONDS = 120.0
_LINE = re.compile(r"([0-9a-f]{64})\s+\*?(\S+)\s*")


@dataclass(frozen=True)
class Pushed:
    """What had to be sent."""

    files: int = 0
    bytes: int = 0


class PhoneFolder:
    """The folder on one phone. Names in it are made here, from digests: no name of a user's ever gets there."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone

    def put(self, wanted: Mapping[str, tuple[Path, str]], tell: Callable[[int, int], None]) -> Pushed:
        """Makes these files be there: name → (file here, its SHA-256). `tell` hears how many of how many are.

        Each arrives whole or DeviceRunError is raised; what a broken transfer left is sent again next time.
        """
        there = self._digests()
        missing = [name for name, (_, digest) in wanted.items() if there.get(name) != digest]
        tell(len(wanted) - len(missing), len(wanted))
        for number, name in enumerate(missing):
            self._phone.push(wanted[name][0], f"{FOLDER}/{name}")
            tell(len(wanted) - len(missing) + number + 1, len(wanted))
        if missing:
            there = self._digests()
            for name in missing:
                if there.get(name) != wanted[name][1]:
                    raise DeviceRunError(
                        f"{wanted[name][0].name} is incomplete on {self._phone.serial}. Check that the phone has "
                        "free space, and run the same command again."
                    )
        return Pushed(len(missing), sum(wanted[name][0].stat().st_size for name in missing))

    def run(self, program: str, arguments: list[str], mask: str | None, seconds: float) -> Finished:
        """Runs a program of the folder, on the cores of a `taskset` mask where one is given.

        Whatever ends the wait for it (the time, Ctrl-C), the program does not go on there.
        """
        words = [*(["taskset", mask] if mask else []), f"{FOLDER}/{program}", *arguments]
        command = " ".join(map(quote, words))
        # The shell that writes its number becomes the program.
        inner = quote(f"echo $$ > {FOLDER}/pid; exec {command}")
        script = f"cd {FOLDER} && chmod 755 {quote(program)} && sh -c {inner}; s=$?; rm -f {FOLDER}/pid; exit $s"
        try:
            return self._phone.shell(script, seconds)
        except BaseException:
            with suppress(DeviceRunError):
                self._phone.shell(
                    f'[ ! -f {FOLDER}/pid ] || kill -9 "$(cat {FOLDER}/pid)"; rm -f {FOLDER}/pid', last=True
                )
            raise

    def remove(self) -> None:
        """Takes everything away."""
        self._phone.shell(f"rm -rf {FOLDER}", _DIGEST_SECONDS, last=True)

    def _digests(self) -> dict[str, str]:
        script = (
            f"mkdir -p {FOLDER} && cd {FOLDER} || exit 8\n"
            "command -v sha256sum > /dev/null || exit 9\n"
            "sha256sum * 2> /dev/null\nexit 0"
        )
        ended = self._phone.shell(script, _DIGEST_SECONDS)
        if ended.status == 9:
            raise DeviceRunError(f"{self._phone.serial} has no sha256sum: its Android is older than 8.")
        if ended.status:
            raise DeviceRunError(
                f"{FOLDER} cannot be made on {self._phone.serial}: {shown(ended.err) or 'its storage is full'}."
            )
        return {found[2]: found[1] for found in map(_LINE.fullmatch, ended.out.splitlines()) if found}
