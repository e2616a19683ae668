"""An APK: which processors it is for, and what Android's refusals to install it mean."""

from __future__ import annotations

import re
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from vitconv.foundation.errors import InputError
from vitconv.phone.device.adb import Device

_REFUSALS = {
    "INSTALL_FAILED_UPDATE_INCOMPATIBLE": (
        "an app of this name signed with another key is there. Remove it first, with its data: "
        "adb uninstall org.vitconv.demo"
    ),
    "INSTALL_FAILED_VERSION_DOWNGRADE": (
        "a newer version is there. Remove it first, with its data: adb uninstall org.vitconv.demo"
    ),
    "INSTALL_FAILED_INSUFFICIENT_STORAGE": "the phone's storage is full. Free some space on it",
    "INSTALL_FAILED_NO_MATCHING_ABIS": "the APK holds no libraries for the phone's processor. Build one that does",
    "INSTALL_FAILED_CPU_ABI_INCOMPATIBLE": "the APK is for another processor. Build one for this phone's",
    "INSTALL_FAILED_OLDER_SDK": "the phone's Android is older than the app needs",
    "INSTALL_FAILED_USER_RESTRICTED": (
        "the phone does not allow it: unlock it, accept its question, and in its developer options allow "
        "'Install via USB'"
    ),
    "INSTALL_FAILED_TEST_ONLY": "the APK is marked as for tests only. Build an ordinary one",
    "INSTALL_FAILED_VERIFICATION_FAILURE": "Play Protect or another verifier refused it. Allow it on the phone",
    "INSTALL_FAILED_ABORTED": "it was refused on the phone. Accept its question",
    "INSTALL_PARSE_FAILED_NO_CERTIFICATES": "the APK is not signed. Build it again",
    "INSTALL_PARSE_FAILED_NOT_APK": "the file is no APK, or is cut short. Build it again",
    "INSTALL_FAILED_INVALID_APK": "the APK is broken. Build it again",
}


def abis(apk: Path) -> set[str]:
    """The processors whose native libraries it holds; none where it has no native libraries and runs on all."""
    try:
        with ZipFile(apk) as archive:
            names = archive.namelist()
    except FileNotFoundError:
        raise InputError(f"there is no APK {apk}. `vitconv app build` makes one.") from None
    except (OSError, BadZipFile) as error:
        raise InputError(f"{apk} is not an APK: {error}. `vitconv app build` makes one.") from error
    if "AndroidManifest.xml" not in names:
        raise InputError(f"{apk} is not an APK: it has no AndroidManifest.xml. `vitconv app build` makes one.")
    return {name.split("/")[1] for name in names if name.startswith("lib/") and name.count("/") == 2}


def choose(path: Path, device: Device) -> Path:
    """The APK at `path`, or the smallest in that folder, that runs on the phone; InputError where none does."""
    apks = sorted(path.glob("*.apk"), key=lambda apk: apk.stat().st_size) if path.is_dir() else [path]
    if not apks:
        raise InputError(f"there is no APK in {path}. `vitconv app build` makes one.")
    found = {apk: abis(apk) for apk in apks}
    for abi in device.abis:  # the phone's own first
        for apk, known in found.items():
            if not known or abi in known:
                return apk
    has = "; ".join(f"{apk.name}: {', '.join(sorted(known))}" for apk, known in found.items())
    raise InputError(
        f"the processor of {device.serial} is {', '.join(device.abis)}, and no APK is built for it ({has}). "
        "Build one for that processor."
    )


def refusal(said: str) -> str:
    """What Android said when it did not install an app, in words."""
    found = re.search(r"\b(INSTALL_[A-Z_]+)(?:: ([^\]\n]*))?", said)
    if found is None:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return f"Android says: {lines[-1] if lines else 'nothing'}"
    code, detail = found[1], (found[2] or "").strip()
    if code in _REFUSALS:
        return f"{_REFUSALS[code]} ({code})"
    return f"Android says {code}{f': {detail}' if detail else ''}"
