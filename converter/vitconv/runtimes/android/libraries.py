"""TensorFlow Lite's own Android library, made loadable by an ordinary Linux process.

`folder(abi)` holds libtensorflowlite_jni.so out of the AAR that Android apps ship, untouched, and a stand-in for
the libraries of Android that it asks for: libc.so, with libm.so, libdl.so and liblog.so as other names of it.
It passes every call on to glibc, but for those few that mean something else there (bionic.c). Beside them is
`runner`, a program that runs a model with them (runner.c).

A Java virtual machine on x86-64 Linux loads the library too, with the folder in LD_LIBRARY_PATH:

    LD_LIBRARY_PATH="$(python -m vitconv.runtimes.android --abi x86_64)" java …
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from vitconv.foundation.disk.cache import cache_directory, lock_beside
from vitconv.foundation.disk.files import atomic_directory, atomic_write, sha256, writable_directory
from vitconv.foundation.errors import MissingToolError, OutputError, UnknownNameError
from vitconv.foundation.programs import output_of
from vitconv.tflite.runtime_versions import ANDROID_RELEASE, release_name

LIBRARY = "libtensorflowlite_jni.so"
LIBRARY_VERSION = release_name(ANDROID_RELEASE)
RUNNER = "runner"
COUNTER = "counter.so"
PLUGIN_INTERFACE_CHANGED = 9  # QEMU's release; counter.c is for the interface before
HOW_TO_GET_PLUGINS = "It needs QEMU 7.2 to 8.2 with TCG plugins; Debian 12's qemu-user is one."

_AAR_SHA256 = "34b065817e294e7dd3569504e8b9454938ceae453b6a459da54d5f6e45d3c94e"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
_ALIASES = ("libm.so", "libdl.so", "liblog.so")
_SOURCES = ("bionic.c", "runner.c", "counter.c", "libraries.py")
_DOWNLOAD_SECONDS = 600.0  # 6 MB, and some more of Maven's own the first time


@dataclass(frozen=True)
class Abi:
    """One of Android's machine types, and what compiles and runs its programs on x86-64 Linux.

    forward: assembler that jumps to {name} as the linker finds it, changing no argument.
    emulator: what stands before the program in a command line.
    """

    name: str
    compiler: str
    compiler_packages: str
    forward: str
    emulator: tuple[str, ...] = ()
    emulator_packages: str = ""


_ABIS = (
    Abi("x86_64", "gcc", "gcc libc6-dev", "jmp *{name}@GOTPCREL(%rip)"),
    Abi(
        "arm64-v8a",
        "aarch64-linux-gnu-gcc",
        "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
        "adrp x16, :got:{name}\n    ldr x16, [x16, :got_lo12:{name}]\n    br x16",
        ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"),
        "qemu-user",
    ),
)
ABIS = {abi.name: abi for abi in _ABIS}


def find_abi(name: str) -> Abi:
    """The ABI of that name. Raises UnknownNameError, which lists the known ones."""
    if name not in ABIS:
        raise UnknownNameError("ABI", name, ABIS)
    return ABIS[name]


def folder(abi: str) -> Path:
    """The folder with an ABI's libraries and runner; made the first time, then reused.

    Raises MissingToolError, which says what to install, where it cannot be made or its programs cannot run here;
    OutputError where the cache cannot be written.
    """
    wanted = find_abi(abi)
    _check_machine()
    if wanted.emulator:
        _find(wanted.emulator[0], f"which runs {abi} programs here", wanted.emulator_packages)
    if (made := _root() / abi).is_dir():
        return made
    compiler = _find(wanted.compiler, f"which compiles for {abi}", wanted.compiler_packages)
    return _make(made, lambda temporary: _build(temporary, wanted, compiler, _fetch_aar(_root().parent)))


def counter() -> Path:
    """The plugin that has arm64-v8a's emulator count instructions; made the first time. Raises as `folder`."""
    _check_machine()
    if not (made := _root() / "counter").is_dir():
        desktop = ABIS["x86_64"]
        compiler = _find(desktop.compiler, "which compiles the counter of instructions", desktop.compiler_packages)
        _make(made, lambda temporary: _compile_counter(temporary, compiler))
    return made / COUNTER


def _root() -> Path:
    return cache_directory() / "android-runtime" / f"{LIBRARY_VERSION}-{_digest()}"


def _make(made: Path, build: Callable[[Path], None]) -> Path:
    """Has `build` fill the folder, unless another process has meanwhile."""
    try:
        writable_directory(made.parent)
        with lock_beside(made):
            if not made.is_dir():
                with atomic_directory(made) as temporary:
                    build(temporary)
    except OutputError as error:
        raise OutputError(f"{error} Set VITCONV_CACHE to a folder that can be written.") from error
    return made


def _check_machine() -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise MissingToolError(
            f"Android's library runs on x86-64 Linux only, not on {platform.system()} {platform.machine()}. "
            "Use such a machine, a virtual one for example."
        )


def _find(program: str, purpose: str, packages: str) -> str:
    found = shutil.which(program)
    if not found:
        raise MissingToolError(
            f"{program}, {purpose}, is not installed. On Debian and Ubuntu: apt install {packages}"
        )
    return found


def _digest() -> str:
    """Changes when the library or anything it is made ready with changes."""
    digest = hashlib.sha256(_AAR_SHA256.encode())
    for name in _SOURCES:
        digest.update(_source(name).encode())
    return digest.hexdigest()[:12]


def _source(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _fetch_aar(folder: Path) -> Path:
    """The AAR, by Maven, which keeps a copy of its own."""
    aar = folder / f"tensorflow-lite-{LIBRARY_VERSION}.aar"
    if aar.is_file() and sha256(aar) == _AAR_SHA256:
        return aar
    maven = _find("mvn", "which fetches TensorFlow Lite's Android library", "maven")
    with tempfile.TemporaryDirectory() as temporary:
        command = [maven, "--batch-mode", "--quiet", _COPY, f"-DoutputDirectory={temporary}"]
        command.append(f"-Dartifact=org.tensorflow:tensorflow-lite:{LIBRARY_VERSION}:aar")
        _run(
            command,
            f"Maven could not fetch org.tensorflow:tensorflow-lite:{LIBRARY_VERSION}",
            "It is needed once; see that Maven reaches its repository.",
            cwd=temporary,
        )
        fetched = Path(temporary) / aar.name
        if (found := sha256(fetched)) != _AAR_SHA256:
            raise MissingToolError(
                f"Maven fetched a {aar.name} whose SHA-256 ({found}) is not the published one's. "
                "Remove it from Maven's local repository, and check which repository Maven fetched it from."
            )
        with atomic_write(aar) as beside:
            shutil.copyfile(fetched, beside)
    return aar


def _build(folder: Path, abi: Abi, compiler: str, aar: Path) -> None:
    with zipfile.ZipFile(aar) as archive:
        (folder / LIBRARY).write_bytes(archive.read(f"jni/{abi.name}/{LIBRARY}"))
    with tempfile.TemporaryDirectory() as temporary:
        _compile(folder, Path(temporary), abi, compiler)
    for alias in _ALIASES:
        (folder / alias).symlink_to("libc.so")


def _compile(folder: Path, work: Path, abi: Abi, compiler: str) -> None:
    for name in _SOURCES:
        (work / name).write_text(_source(name), encoding="utf-8")
    # Android's libraries ask for these symbols in the version LIBC.
    (work / "libc.map").write_text("LIBC { global: *; };\n", encoding="utf-8")
    (work / "forward.S").write_text(_forwards(folder / LIBRARY, abi), encoding="utf-8")
    shim = ["-shared", "-fPIC", "bionic.c", "forward.S", "-o", str(folder / "libc.so"), "-lm", "-ldl", "-lpthread"]
    shim += ["-Wl,-soname,libc.so", "-Wl,--version-script=libc.map", "-Wl,-z,defs"]
    # The library is named by its path: a folder to look for it in would lead to its libc.so for the program, too.
    runner = ["runner.c", "-o", str(folder / RUNNER), str(folder / LIBRARY)]
    # The old kind of path, which holds for the libraries of the library, too.
    runner += ["-Wl,--disable-new-dtags,-rpath,$ORIGIN", "-Wl,--allow-shlib-undefined", "-ldl"]
    for arguments in (shim, runner):
        _run(
            [compiler, "-O2", *arguments],
            f"{abi.compiler} could not compile the stand-in for Android's C library",
            f"On Debian and Ubuntu: apt install {abi.compiler_packages}",
            cwd=str(work),
        )


def _compile_counter(folder: Path, compiler: str) -> None:
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "counter.c").write_text(_source("counter.c"), encoding="utf-8")
        command = [compiler, "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "counter.c"]
        _run(
            [*command, "-o", str(folder / COUNTER)],
            f"{compiler} could not compile the counter of instructions",
            f"On Debian and Ubuntu: apt install {ABIS['x86_64'].compiler_packages}",
            cwd=work,
        )


def _forwards(library: Path, abi: Abi) -> str:
    """Assembler: a jump to glibc for each symbol that the library wants and bionic.c leaves to glibc."""
    own = set(re.findall(r"STANDS_FOR\((\w+)\)", _source("bionic.c")))
    lines = [".text"]
    for name in sorted(set(_wanted_symbols(library)) - own):
        lines += [f".globl forward_{name}", f".type forward_{name}, %function", f"forward_{name}:"]
        lines += [f"    {abi.forward.format(name=name)}", f".symver forward_{name}, {name}@LIBC"]
    return "\n".join([*lines, '.section .note.GNU-stack, "", %progbits', ""])


def _wanted_symbols(library: Path) -> Iterator[str]:
    """The names that the library takes from Android's C library."""
    # readelf belongs to the same package as the linker that any gcc needs.
    readelf = _find("readelf", "which reads a library's symbols", "binutils")
    listing = _run([readelf, "--dyn-syms", "--wide", str(library)], "readelf failed", "Install binutils again.")
    for line in listing.splitlines():
        # number: value size type binding visibility section name@version (index)
        fields = line.split()
        if len(fields) >= 8 and fields[6] == "UND" and (name := fields[7].removesuffix("@LIBC")) != fields[7]:
            yield name


def _run(command: list[str], failed: str, remedy: str, cwd: str | None = None) -> str:
    try:
        done = output_of(command, _DOWNLOAD_SECONDS, cwd)
        said = "" if done.returncode == 0 else done.stderr or done.stdout
        status = done.returncode
    except subprocess.TimeoutExpired:
        said, status = f"it took more than {_DOWNLOAD_SECONDS:g} s", -1
    except OSError as error:
        said, status = str(error), -1
    if status != 0:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        reason = next((line for line in lines if re.search("error", line, re.IGNORECASE)), " ".join(lines[:1]))
        raise MissingToolError(f"{failed}: {reason[:300].rstrip('.')}. {remedy}")
    return done.stdout
