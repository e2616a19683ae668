"""Staging export folders for the app, and driving its Maven build, with a stand-in for Maven that speaks like it.

The real build is run by scripts/test, beside these tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from commands import Call
from foundation.test_file_names import ESCAPES
from made_documents import export_folder
from vitconv.app import build, tools
from vitconv.conversion import schemes
from vitconv.foundation.disk.files import sha256
from vitconv.foundation.disk.writing import writing
from vitconv.foundation.errors import CheckError, InputError, MissingToolError, ModelFileError, OutputError

unix = pytest.mark.skipif(os.name != "posix", reason="the stand-in for Maven is a shell script")


def staged_files(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}


# --- staging ---


def test_a_staged_folder_holds_what_the_app_reads_and_nothing_of_this_machine(
    exported_digits: Path, tmp_path: Path
) -> None:
    names = build.stage((exported_digits,), tmp_path / "out")
    models = tmp_path / "out" / "models"
    assert json.loads((models / "index.json").read_text()) == ["mobilevit_xxs-digits"]
    folder = models / "mobilevit_xxs-digits"
    document = json.loads((folder / "manifest.json").read_text())
    assert [entry["path"] for entry in document["files"]] == list(names)
    for entry in document["files"]:
        limits = schemes.find(entry["scheme"]).limits
        # Two of eight that disagree are no proof of less than 96 %, one is none of 97, and one is proof of 99.8.
        least = {0.96: 0.75, 0.97: 0.875}.get(limits.min_agreement, 1.0)
        assert entry["limits"] == {"min_agreement": least, "max_error": limits.max_error or 1.0}
        assert (folder / entry["path"]).read_bytes() == (exported_digits / entry["path"]).read_bytes()
        assert entry["sha256"] == sha256(folder / entry["path"])
    assert (folder / document["golden"]).is_file()
    assert (folder / "labels.txt").read_text().splitlines()[0] == "0"
    assert "checkpoint" not in document
    assert not any("calibration" in name for name in staged_files(tmp_path / "out"))


def test_only_the_schemes_that_are_wanted_are_staged(exported_digits: Path, tmp_path: Path) -> None:
    assert build.stage((exported_digits,), tmp_path / "out", ("int8",)) == ("mobilevit_xxs-digits-int8.tflite",)
    assert sum(name.endswith(".tflite") for name in staged_files(tmp_path / "out")) == 1


def test_staging_replaces_what_was_there(exported_digits: Path, tmp_path: Path) -> None:
    build.stage((exported_digits,), tmp_path / "out")
    build.stage((exported_digits,), tmp_path / "out", ("int8",))
    assert sum(name.endswith(".tflite") for name in staged_files(tmp_path / "out")) == 1


def test_what_cannot_be_staged_is_said_and_leaves_nothing(digits_export: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="2 of the folders are exports of mobilevit_xxs-digits"):
        build.stage((digits_export, digits_export), out)
    with pytest.raises(InputError, match="not an export folder"):
        build.stage((tmp_path,), out)
    file = digits_export / "mobilevit_xxs-digits-int8.tflite"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match="has changed since its export"):
        build.stage((digits_export,), out)
    assert not out.exists()


def test_only_what_the_manifest_names_is_staged(tmp_path: Path) -> None:
    folder = export_folder(tmp_path / "export")
    for name in ("notes.txt", "golden/private.png", "spare.tflite"):
        (folder / name).write_text("nobody's business")
    build.stage((folder,), tmp_path / "out")
    assert staged_files(tmp_path / "out" / "models" / "eanet-flowers") == {
        "manifest.json", "labels.txt", "eanet-flowers-float32.tflite", "eanet-flowers-int8.tflite",
        "golden/golden.json", "golden/0.png", "golden/1.png", "golden/2.png",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["eanet-flowers-int8.tflite", "labels.txt", "golden", "golden/golden.json", "golden/1.png"]
)
def test_a_symbolic_link_in_an_export_is_not_followed_into_the_app(name: str, tmp_path: Path) -> None:
    folder = export_folder(tmp_path / "export")
    private = tmp_path / "private"
    (folder / name).rename(private)  # with the contents that the manifest names, so that nothing else is wrong
    (folder / name).symlink_to(private)
    with pytest.raises(InputError, match=rf"{name} is a symbolic link, and the app takes none.*cp -rL") as caught:
        build.stage((folder,), tmp_path / "out")
    assert str(folder) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_export_is_taken_through_a_link_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(export_folder(tmp_path / "export"))
    assert len(build.stage((tmp_path / "link",), tmp_path / "out")) == 2


@pytest.mark.parametrize("digests", [True, False])
@pytest.mark.parametrize(
    ("name", "contents", "reason"),
    [
        ("labels.txt", b"rose\ndaisy\ntulip\n", "labels.txt"),
        ("labels.txt", None, "labels.txt is missing"),
        ("golden/1.png", b"no picture", "1.png"),
        ("golden/1.png", None, "golden/1.png is missing"),
        ("golden/golden.json", b"{}", "golden.json"),
        ("golden/golden.json", None, "golden.json"),
    ],
)
def test_an_export_with_changed_labels_or_golden_images_is_not_staged(
    digests: bool, name: str, contents: bytes | None, reason: str, tmp_path: Path
) -> None:
    folder = export_folder(tmp_path / "export", digests)
    (folder / name).unlink()
    if contents is not None:
        (folder / name).write_bytes(contents)
    with pytest.raises(InputError, match=re.escape(reason)) as caught:
        build.stage((folder,), tmp_path / "out")
    assert "Export" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_what_the_app_does_not_take_may_be_missing(tmp_path: Path) -> None:
    folder = export_folder(tmp_path / "export")
    (folder / "calibration.json").unlink()
    (folder / "training.csv").unlink()
    assert len(build.stage((folder,), tmp_path / "out")) == 2


@pytest.mark.parametrize("name", ESCAPES, ids=[ascii(name)[:30] for name in ESCAPES])
def test_no_name_leads_out_of_the_staging_folder(name: str, tmp_path: Path) -> None:
    """The model's name is a part of a folder's in the app's assets; so is the data set's, which is made safe."""
    folder, out = export_folder(tmp_path / "place" / "export"), tmp_path / "place" / "out"
    document = json.loads((folder / "manifest.json").read_text())
    before = staged_files(tmp_path)
    for change in ({"model": name}, {"dataset": {"name": name}}):
        (folder / "manifest.json").write_text(json.dumps({**document, **change}))
        if "model" in change or len(name) > 80 or name == "a\ud800":
            with pytest.raises(InputError):
                build.stage((folder,), out)
        else:
            build.stage((folder,), out)
            (staged,) = (path for path in (out / "models").iterdir() if path.is_dir())
            assert staged.name.startswith("eanet-")
            shutil.rmtree(out)
        assert staged_files(tmp_path) == before


def test_a_scheme_that_no_folder_holds_is_said(digits_export: Path, tmp_path: Path) -> None:
    document = json.loads((digits_export / "manifest.json").read_text())
    document["files"] = [entry for entry in document["files"] if entry["scheme"] == "float32"]
    (digits_export / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="has the schemes float32, but none of int8"):
        build.stage((digits_export,), tmp_path / "out", ("int8",))


# --- the GPU's file ---

FIT = {"operations": 9, "taken": 9, "fit": True, "reasons": []}
REFUSED = {"operations": 9, "taken": 4, "fit": False, "reasons": ["the delegate refuses L2_NORMALIZATION"]}


def staged_manifest(folder: Path, out: Path, wanted: tuple[str, ...] | None = None) -> Any:
    build.stage((folder,), out, wanted)
    return json.loads((out / "models" / "eanet-flowers" / "manifest.json").read_text())


def export_with_gpu(folder: Path, gpu_file: str | None, **found: dict[str, Any]) -> Path:
    """An export whose manifest says what GPUs do with the file of each scheme."""
    export_folder(folder)
    document = json.loads((folder / "manifest.json").read_text())
    files = [{**entry, "gpu": found[entry["scheme"]]} for entry in document["files"]]
    (folder / "manifest.json").write_text(json.dumps({**document, "files": files, "gpu_file": gpu_file}))
    return folder


def test_the_app_is_told_which_file_is_for_the_gpu_and_which_is_refused_there(tmp_path: Path) -> None:
    folder = export_with_gpu(tmp_path / "export", "eanet-flowers-float32.tflite", float32=FIT, int8=REFUSED)
    document = staged_manifest(folder, tmp_path / "out")
    assert document["gpu_file"] == "eanet-flowers-float32.tflite"
    assert {entry["scheme"]: entry["gpu"] for entry in document["files"]} == {"float32": FIT, "int8": REFUSED}


def test_a_file_for_the_gpu_that_is_not_bundled_is_not_named(tmp_path: Path) -> None:
    folder = export_with_gpu(tmp_path / "export", "eanet-flowers-float32.tflite", float32=FIT, int8=REFUSED)
    assert staged_manifest(folder, tmp_path / "out", ("int8",))["gpu_file"] is None


def test_where_the_exports_file_for_the_gpu_is_gone_the_best_of_the_others_is_taken(tmp_path: Path) -> None:
    folder = export_with_gpu(tmp_path / "export", "eanet-flowers-float16.tflite", float32=FIT, int8=REFUSED)
    assert staged_manifest(folder, tmp_path / "out")["gpu_file"] == "eanet-flowers-float32.tflite"


def test_an_export_that_was_not_checked_for_gpus_says_nothing_of_them(tmp_path: Path) -> None:
    document = staged_manifest(export_folder(tmp_path / "export"), tmp_path / "out")
    assert document["gpu_file"] is None
    assert not any("gpu" in entry for entry in document["files"])


# --- building ---


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder android-app of its own, whose build the stand-in for Maven does."""
    folder = tmp_path / "clone" / "android-app"
    folder.mkdir(parents=True)
    (folder / "pom.xml").write_text("<project/>")
    monkeypatch.setattr(tools, "find_source", lambda: folder)
    return folder


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str, java: str = "17.0.15") -> None:
    """Puts programs named mvn and java before all others on PATH."""
    programs = folder / "bin"
    programs.mkdir()
    for name, body in (("mvn", script), ("java", f"echo 'openjdk version \"{java}\" 2025-04-15' >&2")):
        program = programs / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.delenv("JAVA_HOME", raising=False)


BUILDS = """
echo "[INFO] --- maven-dependency-plugin:3.8.1:copy (copy-aars) @ android-libraries ---"
echo "[INFO] --- kotlin-maven-plugin:2.1.21:compile (compile) @ android-core ---"
echo "[INFO] --- maven-antrun-plugin:3.1.0:run (apk) @ vitconv-demo ---"
"""


# Puts the APKs that the test has made where the build is told to.
PACKAGES = """
for argument; do case "$argument" in -Dapks=*) apks="${argument#-Dapks=}" ;; esac; done
mkdir -p "$apks"
"""


def packing(made: Path) -> str:
    """The end of a build: two packages, put where the build is told to."""
    for variant in ("release", "debug"):
        apk(made / f"vitconv-demo-{variant}.apk")
    return f'{PACKAGES}\ncp {made}/*.apk "$apks"\n'


def apk(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("classes.dex", bytes(10))
        archive.writestr("lib/arm64-v8a/libx.so", bytes(20))
        archive.writestr("assets/models/m/m.tflite", bytes(30))
        archive.writestr("assets/models/m/labels.txt", bytes(5))
        archive.writestr("resources.arsc", bytes(7))


@unix
def test_a_build_is_followed_and_its_packages_are_weighed(
    source: Path, exported_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, f'{BUILDS}\necho "$@" > {tmp_path}/arguments\n{packing(tmp_path / "made")}')
    told: list[str] = []
    monkeypatch.delenv("VITCONV_KEYSTORE", raising=False)
    result = build.build(build.BuildConfig((exported_digits,)), lambda what, done, total: told.append(what))
    assert [package.variant for package in result.packages] == ["release", "debug"]
    assert result.packages[0].parts == {
        "code": 10, "golden images and labels": 5, "lib/arm64-v8a": 20, "models": 30, "resources": 7,
    }  # fmt: skip
    assert told == [
        "building the app: looking for LiteRT",
        "building the app: fetching libraries",
        "building the app: compiling the logic",
        "building the app: packaging and signing",
        "building the app",
    ]
    arguments = (tmp_path / "arguments").read_text().split()
    assert "verify" in arguments
    assert f"-Dmodels={source / 'target' / 'models'}" in arguments
    assert "apk" in (source / "target" / "build.log").read_text()
    # Not where Maven alone leaves its packages, which hold no models.
    assert result.packages[0].path.parent == tools.built_apks() == source / "target" / "apks"


KEY = {"VITCONV_KEYSTORE": "my.keystore", "VITCONV_KEYSTORE_PASSWORD": "x", "VITCONV_KEY_ALIAS": "me"}
# A Maven that reaches Google's repository where `reached` is true, and keeps what it was asked for.
FETCHES = 'echo "$@" >> {arguments}\ncase "$*" in *generate-resources*) {reached}; exit ;; esac\n'


@unix
@pytest.mark.parametrize(("reached", "runtime"), [("true", "litert"), ("false", "tflite")])
def test_litert_is_taken_where_it_can_be_fetched_and_the_command_says_so(
    reached: str, runtime: str, source: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "arguments"
    fetches = FETCHES.format(arguments=asked, reached=reached)
    stand_in(tmp_path, monkeypatch, fetches + packing(tmp_path / "made"))
    folder = export_folder(tmp_path / "export")
    text = " ".join(call("app", "build", folder).out.split())
    assert ("Google Play does not take this package" in text) is (runtime == "tflite")
    assert json.loads(call("app", "build", folder, "--json").out)["runtime"] == runtime
    looked, built = asked.read_text().splitlines()[:2]
    assert "-Druntime=litert" in looked
    assert str(source / "libraries" / "pom.xml") in looked
    assert f"-Druntime={runtime}" in built.split()
    asked.unlink()
    assert json.loads(call("app", "build", folder, "--runtime", "tflite", "--json").out)["runtime"] == "tflite"
    assert "generate-resources" not in asked.read_text()


@unix
def test_what_a_store_knows_the_app_by_goes_to_the_build(
    source: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "arguments"
    packs = packing(tmp_path / "made") + 'touch "$apks/vitconv-demo-release.aab"\n'
    stand_in(tmp_path, monkeypatch, FETCHES.format(arguments=asked, reached="true") + packs)
    for name, value in KEY.items():
        monkeypatch.setenv(name, value)
    folder = export_folder(tmp_path / "export")
    store = ("--application-id", "com.example.flowers", "--version-code", "7", "--bundle")
    ended = call("app", "build", folder, *store, "--json")
    assert json.loads(ended.out)["bundle"] == str(tools.built_apks() / "vitconv-demo-release.aab")
    given = asked.read_text().splitlines()[-1].split()
    assert {"-Dapplication.id=com.example.flowers", "-Dversion.code=7", "-Dbundle=true"} <= set(given)
    call("app", "build", folder)
    given = asked.read_text().splitlines()[-1].split()
    assert {"-Dapplication.id=org.vitconv.demo", "-Dversion.code=1"} <= set(given)
    assert "-Dbundle=true" not in given


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--application-id", "flowers"), "'flowers' is no application ID"),
        (("--application-id", "com.1flower"), "'com.1flower' is no application ID"),
        (("--application-id", "com.example -Dx"), "is no application ID"),
        (("--version-code", "0"), "the version code must be 1 to 2100000000"),
        (("--version-code", "2100000001"), "the version code must be 1 to 2100000000"),
        (("--bundle",), "which takes no debug key: set VITCONV_KEYSTORE_PASSWORD, VITCONV_KEY_ALIAS for a key"),
    ],
)
def test_what_no_store_takes_is_refused_before_anything_is_built(
    arguments: tuple[str, ...], reason: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITCONV_KEYSTORE", "my.keystore")
    for name in ("VITCONV_KEYSTORE_PASSWORD", "VITCONV_KEY_ALIAS"):
        monkeypatch.delenv(name, raising=False)
    ended = call("app", "build", tmp_path, *arguments)
    assert ended.status == 2
    assert reason in " ".join(ended.err.split())


@unix
def test_what_was_built_before_stays_where_a_build_fails(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = source / "target" / "apks" / "vitconv-demo-release.apk"
    before.parent.mkdir(parents=True)
    before.write_text("of the build before")
    failing = f"{packing(tmp_path / 'made')}\necho '[ERROR] a check of the packages'\nexit 1"
    stand_in(tmp_path, monkeypatch, failing)
    with pytest.raises(CheckError, match="a check of the packages"):
        build.build(build.BuildConfig((export_folder(tmp_path / "export"),)))
    assert [path.read_text() for path in (source / "target" / "apks").iterdir()] == ["of the build before"]


@unix
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[ERROR] Failed to execute goal x: Compilation failure", "Failed to execute goal x: Compilation failure"),
        ('Exception in thread "main" java.io.IOException: aapt2 was not found.', "aapt2 was not found"),
        ("[INFO] nothing special", "Maven ended with status 1"),
    ],
)
def test_a_build_that_fails_says_why_and_where_the_rest_is(
    source: Path, exported_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, reason: str
) -> None:
    stand_in(tmp_path, monkeypatch, f"echo '{line}'\nexit 1")
    with pytest.raises(CheckError, match=f"the app's build failed: {reason}. Maven's whole output is in"):
        build.build(build.BuildConfig((exported_digits,)))
    assert line in (source / "target" / "build.log").read_text()


@unix
def test_a_second_build_does_not_disturb_the_first(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "exit 0")
    staged = source / "target" / "models"
    staged.mkdir(parents=True)
    (staged / "of the first").touch()
    config = build.BuildConfig((export_folder(tmp_path / "export"),))
    with writing(source / "target"), pytest.raises(OutputError, match="another vitconv is writing into"):
        build.build(config)
    assert [path.name for path in staged.iterdir()] == ["of the first"]


@unix
def test_an_older_java_is_refused(
    source: Path, exported_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, "exit 0", java="1.8.0_402")
    with pytest.raises(MissingToolError, match=r"Java 17 or newer to build, but .*java is Java 8"):
        build.build(build.BuildConfig((exported_digits,)))


def test_without_maven_the_user_is_told_what_to_install(
    source: Path, call: Call, exported_digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    ended = call("app", "build", exported_digits)
    assert ended.status == 2
    assert "mvn, which builds the app, is not installed" in ended.err


def test_the_source_is_found_beside_the_package() -> None:
    assert (tools.find_source() / "app" / "src" / "main" / "AndroidManifest.xml").is_file()


@unix
@pytest.mark.parametrize("own_key", [True, False])
def test_a_release_with_the_debug_key_is_said_to_have_it(
    own_key: bool, source: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, monkeypatch, packing(tmp_path / "made"))
    if own_key:
        monkeypatch.setenv("VITCONV_KEYSTORE", "my.keystore")
    else:
        monkeypatch.delenv("VITCONV_KEYSTORE", raising=False)
    folder = export_folder(tmp_path / "export")
    assert ("debug key, which no store takes" in " ".join(call("app", "build", folder).out.split())) is not own_key
    assert json.loads(call("app", "build", folder, "--json").out)["debug_key"] is not own_key


# --- Gradle ---


def test_gradle_and_maven_use_the_same_versions() -> None:
    """Those that both builds know. Gradle always takes LiteRT, Maven does in its profile."""
    source = tools.find_source()
    text = (source / "gradle" / "libs.versions.toml").read_text(encoding="utf-8")
    catalogue = dict(re.findall(r'^([\w-]+) = "([^"]*)"$', text.partition("[libraries]")[0], re.MULTILINE))
    pom = ElementTree.parse(source / "pom.xml")
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    properties = {element.tag.split("}")[1]: element.text for element in pom.findall("m:properties/*", space)}
    shared = {
        "kotlin": "kotlin.version",
        "coroutines": "coroutines.version",
        "serialization": "serialization.version",
        "tflite-metadata": "tflite.metadata.version",
        "activity": "activity.version",
        "lifecycle": "lifecycle.version",
        "exifinterface": "exifinterface.version",
        "junit": "junit.version",
        "robolectric": "robolectric.version",
        "minSdk": "min.sdk",
        "targetSdk": "target.sdk",
        "versionCode": "version.code",
    }
    assert {name: catalogue[name] for name in shared} == {name: properties[key] for name, key in shared.items()}
    libraries = ElementTree.parse(source / "libraries" / "pom.xml")
    (litert,) = (
        profile
        for profile in libraries.findall("m:profiles/m:profile", space)
        if profile.findtext("m:id", namespaces=space) == "litert"
    )
    assert catalogue["litert"] == litert.findtext("m:properties/m:runtime.version", namespaces=space)
    assert catalogue["versionName"] == pom.findtext("m:version", namespaces=space)
