"""What LiteRT's GPU accelerator and Android's runtime need here."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from vitconv.cli.doctor.checks import ANDROID, ARM64, COUNT, DEBIAN, GPU, Check, first_line, on_path, output


def gpu() -> Iterator[Check]:
    """Which Vulkan driver would be tried; `verify` tries it, which takes a moment longer."""
    from vitconv.runtimes.gpu.drivers import HOW_TO_GET, candidates

    name = "Vulkan driver"
    if sys.platform != "linux":
        yield Check(
            name, "", (GPU,), f"the accelerator is run on Linux only, not on {platform.system()}",
            "Use such a machine, a virtual one for example.",
        )  # fmt: skip
        return
    found = ", ".join(driver.name for driver in candidates())
    missing = None if found else "none was found"
    yield Check(name, found, (GPU,), missing, None if found else HOW_TO_GET)


def android_runtime() -> Iterator[Check]:
    from vitconv.runtimes.android.libraries import ABIS, LIBRARY_VERSION

    all_of_it = (ANDROID, ARM64, COUNT)
    machine = (sys.platform, platform.machine())
    if machine != ("linux", "x86_64"):
        yield Check(
            "x86-64 Linux", f"{platform.system()} {platform.machine()}", all_of_it,
            "Android's library runs on x86-64 Linux only", "Use such a machine, a virtual one for example.",
        )  # fmt: skip
        return
    for name, abi in ABIS.items():
        needed_for = (ARM64, COUNT) if abi.emulator else all_of_it
        yield on_path(abi.compiler, needed_for, f"{DEBIAN} {abi.compiler_packages}")
        if abi.emulator:
            emulator = on_path(abi.emulator[0], needed_for, f"{DEBIAN} {abi.emulator_packages}")
            yield emulator
            if emulator.found:
                yield _plugins(emulator.found)
            sysroot = Path(abi.emulator[-1])
            if not sysroot.is_dir():
                yield Check(
                    f"{name} libraries", "", needed_for, f"there is no {sysroot}",
                    f"{DEBIAN} {abi.compiler_packages}",
                )  # fmt: skip
    yield on_path("readelf", all_of_it, f"{DEBIAN} binutils")
    yield Check("TFLite for Android", f"{LIBRARY_VERSION}, fetched by Maven when first used")


def _plugins(emulator: str) -> Check:
    """Whether this QEMU can count instructions, as far as it says; it is tried when something is counted."""
    from vitconv.runtimes.android.libraries import HOW_TO_GET_PLUGINS, PLUGIN_INTERFACE_CHANGED

    name, said = "QEMU's plugins", output([emulator, "--help"])
    version = re.search(r"version (\d+)\.(\d+)", first_line([emulator, "--version"]))
    found = f"QEMU {version[1]}.{version[2]}" if version else ""
    if not re.search(r"^\s*-plugin\b", said, re.MULTILINE):
        return Check(name, found, (COUNT,), "it was built without them", HOW_TO_GET_PLUGINS)
    if version and int(version[1]) >= PLUGIN_INTERFACE_CHANGED:
        return Check(name, found, (COUNT,), "it has another plugin interface", HOW_TO_GET_PLUGINS)
    return Check(name, found, (COUNT,))
