"""Where the benchmark_model that goes to a phone comes from: a file that is given, a kept one, or a download."""

from __future__ import annotations

import json
import struct
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from http.client import HTTPException
from pathlib import Path

from vitconv.foundation import files
from vitconv.foundation.cache import cache_directory
from vitconv.foundation.errors import InputError, MissingToolError
from vitconv.phone.adb import Device

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


@dataclass(frozen=True)
class ToolFile:
    """A program for a phone; `source` says where it came from."""

    path: Path
    sha256: str
    source: str


def find(binary: Path | None, device: Device) -> ToolFile:
    """`binary` where it is given, else the kept one for the phone's processor, else a download that is then kept.

    Raises InputError for a file that is missing or made for another processor, MissingToolError where nothing
    is there and nothing can be downloaded.
    """
    if binary is not None:
        if not binary.is_file():
            raise InputError(f"there is no benchmark binary {binary}. Check the path of --benchmark-binary.")
        tool = ToolFile(binary, files.sha256(binary), str(binary))
    else:
        tool = _kept(device.abi) or _download(device.abi)
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
    with suppress(OSError, ValueError, KeyError, TypeError):
        note = json.loads(_note(path).read_text(encoding="utf-8"))
        digest = files.sha256(path)
        if note["sha256"] == digest:
            return ToolFile(path, digest, str(note["url"]))
    return None


def _download(abi: str) -> ToolFile:
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
    files.write_bytes(path, data)
    digest = files.sha256(path)
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    files.write_json(_note(path), {"url": url, "sha256": digest, "bytes": len(data), "downloaded": now})
    return ToolFile(path, digest, url)


def _place(abi: str) -> Path:
    return cache_directory() / "benchmark_model" / abi / "benchmark_model"


def _note(path: Path) -> Path:
    return path.with_suffix(".json")
