"""The Maven profile that puts LiteRT into the app, on a local repository that stands for Google's.

Google's is not reached from everywhere, so what it serves here is a stand-in: archives of the layout of LiteRT's,
made by this test. What Maven does with them is what it would do with the real ones.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from vitconv.app import tools

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("mvn"), reason="Maven is not installed: apt install maven"),
]
VERSION = "1.4.2"
ABIS = ("arm64-v8a", "armeabi-v7a", "x86_64")
# Artifact → a class of it, and its native library.
ARTIFACTS = {
    "litert": ("org/tensorflow/lite/InterpreterImpl.class", "libtensorflowlite_jni.so"),
    "litert-api": ("org/tensorflow/lite/InterpreterApi.class", None),
    "litert-gpu": ("org/tensorflow/lite/gpu/GpuDelegate.class", "libtensorflowlite_gpu_jni.so"),
    "litert-gpu-api": ("org/tensorflow/lite/gpu/GpuDelegateFactory.class", None),
}


def stand_in_repository(folder: Path) -> Path:
    """A Maven repository that holds nothing but LiteRT's four archives."""
    for name, (class_name, library) in ARTIFACTS.items():
        place = folder / "com/google/ai/edge/litert" / name / VERSION
        place.mkdir(parents=True)
        classes = io.BytesIO()
        with zipfile.ZipFile(classes, "w") as jar:
            jar.writestr(class_name, f"a class of {name}")
        with zipfile.ZipFile(place / f"{name}-{VERSION}.aar", "w") as aar:
            aar.writestr("AndroidManifest.xml", "<manifest/>")
            aar.writestr("classes.jar", classes.getvalue())
            for abi in ABIS if library else ():
                aar.writestr(f"jni/{abi}/{library}", f"{name} for {abi}")
        (place / f"{name}-{VERSION}.pom").write_text(
            "<project><modelVersion>4.0.0</modelVersion><groupId>com.google.ai.edge.litert</groupId>"
            f"<artifactId>{name}</artifactId><version>{VERSION}</version><packaging>aar</packaging></project>"
        )
    return folder


def local_repository(folder: Path) -> Path:
    """Maven's own, but with a place of its own for LiteRT, so that the stand-ins end with the test."""
    usual, place = Path.home() / ".m2/repository", folder
    for name in ("com", "google", "ai"):
        place.mkdir()
        for found in usual.iterdir() if usual.is_dir() else ():
            if found.name != name:
                (place / found.name).symlink_to(found)
        usual, place = usual / name, place / name
    return folder


def libraries(tmp_path: Path, *arguments: str, google: str) -> subprocess.CompletedProcess[str]:
    """Runs Maven on a copy of the module of the libraries, where `google` is what Google's repository is."""
    project = tmp_path / "android-app"
    if not project.exists():
        (project / "libraries").mkdir(parents=True)
        for name in ("pom.xml", "libraries/pom.xml"):
            shutil.copy(tools.find_source() / name, project / name)
        for module in ("core", "classifier", "app"):  # named by the parent, and not looked at
            (project / module).mkdir()
    settings = tmp_path / "settings.xml"
    mirror = f"<mirror><id>stand-in</id><mirrorOf>google</mirrorOf><url>{google}</url></mirror>"
    settings.write_text(f"<settings><mirrors>{mirror}</mirrors></settings>")
    repository = tmp_path / "repository"
    if not repository.exists():
        local_repository(repository)
    command = ["mvn", "--batch-mode", "--no-transfer-progress", f"--settings={settings}"]
    command += [f"-Dmaven.repo.local={repository}"]
    command += [f"--file={project / 'libraries' / 'pom.xml'}", "process-resources", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)


def test_the_profile_takes_litert_and_nothing_of_tensorflow_lite_stays(tmp_path: Path) -> None:
    google = stand_in_repository(tmp_path / "google").as_uri()
    target = tmp_path / "android-app" / "libraries" / "target"
    ended = libraries(tmp_path, google=google)
    assert ended.returncode == 0, ended.stdout
    tensorflow_lite = (target / "aar/runtime/jni/arm64-v8a/libtensorflowlite_jni.so").read_bytes()
    assert len(tensorflow_lite) > 1_000_000
    assert (target / "classes/org/tensorflow/lite/DataType.class").is_file()

    ended = libraries(tmp_path, "-Druntime=litert", google=google)
    assert ended.returncode == 0, ended.stdout
    for abi in ABIS:
        for folder, name in (("runtime", "litert"), ("runtime-gpu", "litert-gpu")):
            library = target / "aar" / folder / "jni" / abi / str(ARTIFACTS[name][1])
            assert library.read_text() == f"{name} for {abi}"
    for name, (class_name, _) in ARTIFACTS.items():
        assert (target / "classes" / class_name).read_text() == f"a class of {name}"
    assert not (target / "classes/org/tensorflow/lite/DataType.class").exists()
    assert (target / "aar/monitor/classes.jar").is_file()

    ended = libraries(tmp_path, google=google)
    assert ended.returncode == 0, ended.stdout
    assert (target / "aar/runtime/jni/arm64-v8a/libtensorflowlite_jni.so").read_bytes() == tensorflow_lite


def test_without_googles_repository_the_profile_fails_and_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = libraries(tmp_path, "-Druntime=litert", google=(tmp_path / "empty").as_uri())
    assert ended.returncode != 0
    assert f"com.google.ai.edge.litert:litert:aar:{VERSION}" in ended.stdout
