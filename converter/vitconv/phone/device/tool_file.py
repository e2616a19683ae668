"""Where the benchmark_model that goes to a phone comes from: a file that is given, a kept one, or a download.

The builds at TensorFlow's address are made every night and have no signature, and they run on the user's phone. So
what was downloaded first is trusted: its SHA-256 is shown and remembered, for each processor and address, in
benchmark_model.json beside it in the cache folder. Another one from the same address is refused until the user
accepts it.
"""

from __future__ import annotations

import logging
import struct
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path

import msgspec

from vitconv.foundation import documents
from vitconv.foundation.disk import files
from vitconv.foundation.disk.cache import cache_directory, lock_beside
from vitconv.foundation.errors import InputError, MissingToolError
from vitconv.phone.device.adb import Device

# TensorFlow's own nightly builds, the ones its documentation links to. There are none for other processors.
_BUILDS = (
    "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/nightly/latest"
)
PREBUILT = {
    "arm64-v8a": f"{_BUILDS}/android_aarch64_benchmark_model",
    "armeabi-v7a": f"{_BUILDS}/android_arm_benchmark_model",
}
_SECONDS = 30
_MOST_BYTES = 200 << 20
_MACHINES = {3: "x86", 40: "armeabi-v7a", 62: "x86_64", 183: "arm64-v8a"}  # ELF's e_machine → Android's ABI

logger = logging.getLogger("vitconv")


@dataclass(frozen=True)
class ToolFile:
    """A program for a phone; `source` says where it came from."""

    path: Path
    sha256: str
    source: str


def find(binary: Path | None, device: Device, accept_changed: bool = False) -> ToolFile:
    """`binary` where it is given, else the kept one for the phone's processor, else a download that is then kept.

    Raises InputError for a file that is missing or made for another processor, and for a download that is not what
    was downloaded from there before, unless `accept_changed`; MissingToolError where nothing is there and nothing
    can be downloaded.
    """
    if binary is not None:
        if not binary.is_file():
            raise InputError(f"there is no benchmark binary {binary}. Check the path of --benchmark-binary.")
        tool = ToolFile(binary, files.sha256(binary), str(binary))
    else:
        # Phones of one kind ask at the same time.
        with lock_beside(files.writable_directory(cache_directory()) / f"benchmark_model-{device.abi}"):
            tool = _kept(device.abi) or _download(device.abi, accept_changed)
    _check_machine(tool, device)
    return tool


def elf_abi(start: bytes) -> str | None:
    """The Android ABI of a program that begins with these bytes; None where it is no ELF file."""
    if start[:4] != b"\x7fELF" or len(start) < 20:
        return None
    (machine,) = struct.unpack_from("<H", start, 18)
    return _MACHINES.get(machine, f"machine {machine}")


def _check_machine(tool: ToolFile, device: Device) -> None:
    with tool.path.open("rb") as stream:
        abi = elf_abi(stream.read(64))
    if abi is not None and abi not in device.abis:
        raise InputError(
            f"{tool.path} is made for {abi}, and {device.serial} runs {', '.join(device.abis)}. "
            "Give the build for its processor with --benchmark-binary."
        )


def _kept(abi: str) -> ToolFile | None:
    """The one that a download left, if it still is what it was."""
    path = _place(abi)
    note = _read_note(path)
    with suppress(OSError):
        if note is not None and files.sha256(path) == note.sha256:
            return ToolFile(path, note.sha256, note.url)
    return None


class _Note(msgspec.Struct, frozen=True):
    """What is remembered of a program: where it came from, and the digest of what was accepted from each address.
    An earlier version kept no `trusted`."""

    url: str
    sha256: str
    trusted: dict[str, str] | None = None


def _read_note(path: Path) -> _Note | None:
    """None where there is none that can be read."""
    with suppress(OSError, InputError):
        return documents.convert(documents.parse(_note(path).read_bytes()), _Note)
    return None


def _trusted(path: Path) -> dict[str, str]:
    """Address → the digest of what came from there and was accepted."""
    note = _read_note(path)
    if note is None:
        return {}
    return {note.url: note.sha256} if note.trusted is None else note.trusted


def _download(abi: str, accept_changed: bool) -> ToolFile:
    help_text = "Get one for this phone's processor and give it with --benchmark-binary FILE."
    if abi not in PREBUILT:
        raise MissingToolError(f"there is no prebuilt benchmark_model for {abi}. {help_text}")
    url, path = PREBUILT[abi], _place(abi)
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as response:
            data = response.read(_MOST_BYTES + 1)
            wanted = response.headers.get("Content-Length")
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise MissingToolError(
            f"benchmark_model could not be downloaded from {url}: {reason}. {help_text}"
        ) from error
    whole = len(data) <= _MOST_BYTES and wanted in (None, str(len(data)))
    if not whole or elf_abi(data) != abi:
        raise MissingToolError(
            f"what {url} gave is not a whole program for {abi} ({len(data)} bytes). {help_text}"
        )
    digest, trusted = sha256(data).hexdigest(), _trusted(path)
    known = trusted.get(url)
    if known not in (None, digest) and not accept_changed:
        raise InputError(
            f"the benchmark_model at {url} has changed: its SHA-256 is {digest}, and {known} was downloaded from "
            "there before. It would run on the phone. If you expect a new build, accept it with --yes; or give "
            "a program that you know with --benchmark-binary FILE."
        )
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    note = {"url": url, "sha256": digest, "bytes": len(data), "downloaded": now}
    # First what is trusted: a stop between the two then leaves no program that nobody vouches for.
    files.write_json(_note(path), {**note, "trusted": {**trusted, url: digest}})
    files.write_bytes(path, data)
    if known != digest:
        logger.warning(
            f"benchmark_model was downloaded from {url}. It is not signed; its SHA-256 is {digest}. This is "
            f"remembered in {_note(path)}, and another one from there will be refused."
        )
    return ToolFile(path, digest, url)


def _place(abi: str) -> Path:
    return cache_directory() / "benchmark_model" / abi / "benchmark_model"


def _note(path: Path) -> Path:
    return path.with_suffix(".json")
