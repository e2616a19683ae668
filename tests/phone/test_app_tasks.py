"""`vitconv app`, through the real adb, with a stand-in phone and a stand-in for the app; see tests/standin."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from commands import Call, refused
from phone.conftest import Plug
from standin.app import PLACE
from standin.phone import StandInPhone
from vitconv.app import tools
from vitconv.phone import app_tasks
from vitconv.phone.device import apk

PASSED = {
    "path": "tiny-int8.tflite", "scheme": "int8", "agreement": 1.0, "max_abs_error": 0.004, "images": 8,
    "passed": True, "reasons": [],
}  # fmt: skip
FAILED = {**PASSED, "agreement": 0.5, "passed": False, "reasons": ["agrees with Keras on 50.0%, less than 80.0%"]}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """What an APK looks like from outside."""
    return write_apk(tmp_path / "it's $(touch pwned).apk", "arm64-v8a", "armeabi-v7a")


@pytest.fixture
def ready(phone: StandInPhone, models: Path) -> StandInPhone:
    """A phone with the app on it."""
    phone.system.install(b"an app")
    settings(phone, models=str(models))
    return phone


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_tasks, "_POLL_SECONDS", 0.1)


def write_apk(path: Path, *abis: str) -> Path:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("AndroidManifest.xml", b"\x03\0")
        for abi in abis:
            archive.writestr(f"lib/{abi}/libtensorflowlite_jni.so", b"\x7fELF")
    path.write_bytes(data.getvalue())
    return path


def settings(phone: StandInPhone, **values: Any) -> None:
    (phone.system.folder / "app.json").write_text(json.dumps({"mode": "ok", "selftest": [PASSED], **values}))


# --- install and run ---


def test_install_without_a_name_takes_the_smallest_that_was_built_and_fits(
    call: Call, phone: StandInPhone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = tmp_path / "target"
    monkeypatch.setattr(tools, "built_apks", lambda: built)
    refused(call("app", "install"), f"no APK {built}", "vitconv app build")
    built.mkdir()
    refused(call("app", "install"), f"no APK in {built}", "vitconv app build")
    write_apk(built / "app-debug.apk", "arm64-v8a", "armeabi-v7a", "x86_64")
    release = write_apk(built / "app-release.apk", "arm64-v8a", "armeabi-v7a")
    write_apk(built / "smallest.apk", "x86_64")
    ended = call("app", "install")
    assert ended.status == 0, ended.err
    assert (phone.system.folder / "installed").read_bytes() == release.read_bytes()


@pytest.mark.parametrize("features", [None, ("shell_v2", "cmd"), ()], ids=["abb", "cmd", "pm"])
def test_install_and_run(call: Call, plug: Plug, app: Path, features: tuple[str, ...] | None) -> None:
    phone = plug() if features is None else plug(features=features)
    refused_run = call("app", "run")
    assert refused_run.status == 1
    assert "Install it with `vitconv app install`." in refused_run.err
    ended = call("app", "install", app)
    assert ended.status == 0, ended.err
    assert ended.out == f"{phone.serial}: installed {app.name} on Stand-in Phone 1, Android 14, arm64-v8a\n"
    assert (phone.system.folder / "installed").read_bytes() == app.read_bytes()
    (phone.system.folder / "app.py").unlink()
    ended = call("app", "run", "--json")
    assert json.loads(ended.out) == {
        "phones": [{"serial": phone.serial, "done": "opened org.vitconv.demo", "problem": None}]
    }
    words = (phone.system.folder / "am.arguments").read_text().split()
    assert words == [
        "start", "-a", "android.intent.action.MAIN", "-c", "android.intent.category.LAUNCHER", "-p",
        "org.vitconv.demo",
    ]  # fmt: skip
    assert not list(phone.system.folder.rglob("pwned"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("INSTALL_FAILED_UPDATE_INCOMPATIBLE: signatures do not match", "signed with another key is there"),
        ("INSTALL_FAILED_INSUFFICIENT_STORAGE", "storage is full"),
        ("INSTALL_FAILED_USER_RESTRICTED: Install canceled by user", "unlock it, accept its question"),
        ("INSTALL_FAILED_SOMETHING_NEW: the reason", "Android says INSTALL_FAILED_SOMETHING_NEW: the reason"),
    ],
)
def test_androids_refusals_are_said_in_words(
    call: Call, phone: StandInPhone, app: Path, answer: str, words: str
) -> None:
    phone.faults.install_answer = f"Failure [{answer}]\n"
    ended = call("app", "install", app)
    assert ended.status == 1
    assert f"{phone.serial} did not install {app.name}" in ended.err
    assert words in ended.err


def test_the_apk_for_the_phones_processor_is_chosen(call: Call, phone: StandInPhone, tmp_path: Path) -> None:
    folder = tmp_path / "apks"
    folder.mkdir()
    refused(call("app", "install", folder), f"there is no APK in {folder}")
    refused(call("app", "install", folder / "x.apk"), "there is no APK", "vitconv app build")
    write_apk(folder / "a.apk", "x86_64")
    refused(call("app", "install", folder), "is arm64-v8a", "a.apk: x86_64")
    write_apk(folder / "b.apk", "armeabi-v7a")
    write_apk(folder / "c.apk", "arm64-v8a")
    assert "installed c.apk" in call("app", "install", folder).out
    (folder / "c.apk").write_bytes(b"PK no more")
    refused(call("app", "install", folder / "c.apk"), "is not an APK")


def test_every_refusal_that_is_explained_is_explained() -> None:
    for code in apk._REFUSALS:
        assert code in apk.refusal(f"adb: failed to install x.apk: Failure [{code}: whatever]")
    assert apk.refusal("") == "Android says: nothing"


# --- tasks ---


def test_a_selftest_that_passes(call: Call, ready: StandInPhone) -> None:
    ended = call("app", "selftest", "--json")
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)
    assert (document["task"], document["passed"], document["files"]) == ("selftest", True, [PASSED])
    assert document["device"]["serial"] == ready.serial
    assert document["device"]["android"] == "14"
    assert list((ready.system.folder / PLACE).iterdir()) == [], "the result is taken away"


def test_a_selftest_that_fails_is_exit_status_1(call: Call, ready: StandInPhone) -> None:
    settings(ready, selftest=[PASSED, FAILED])
    ended = call("app", "selftest")
    assert ended.status == 1
    assert "FAILED" in ended.out
    assert "agrees with Keras on 50.0%, less than 80.0%" in ended.out


def test_the_apps_benchmark_is_shown_like_the_others(call: Call, ready: StandInPhone, models: Path) -> None:
    how = ("app", "benchmark", "--runs", "3", "--threads", "2", "--delegate", "xnnpack,gpu")
    ended = call(*how, "--model", sorted(path.name for path in models.iterdir())[0], "--json")
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)
    assert [(one["delegate"], one["threads"], one["runs"]) for one in document["files"]] == [
        ("xnnpack", 2, 3), ("gpu", 2, 3),
    ]  # fmt: skip
    assert document["delegate"] == ["xnnpack", "gpu"]
    assert document["device"]["serial"] == ready.serial
    assert not list(ready.system.folder.rglob("pwned"))
    text = call(*how, "--delegate", "xnnpack").out
    assert text.startswith(f"{ready.serial}: ")
    assert text.count(".tflite") == 2


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("fail", "could not do the selftest: there is no model of that name in the app"),
        ("die", "died: java.lang.OutOfMemoryError: Failed to allocate"),
        ("hang", "was not done within 2 s, and was stopped"),
        ("no-file", "reported that the selftest is done, but wrote no result"),
        ("broken", "cannot be read"),
    ],
)
def test_a_task_that_goes_wrong(call: Call, ready: StandInPhone, mode: str, words: str) -> None:
    settings(ready, mode=mode)
    start = time.monotonic()
    ended = call("app", "selftest", "--timeout", "2" if mode == "hang" else "30")
    assert time.monotonic() - start < 20
    assert ended.status == 1
    assert words in ended.err
    assert "Traceback" not in ended.err
    if mode == "hang":
        assert any("am force-stop org.vitconv.demo" in command for command in ready.seen.commands)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ({}, "`files[0].path` is missing"),
        ({**PASSED, "passed": "yes"}, "`files[0].passed` must be true or false, not 'yes'"),
        ({**PASSED, "agreement": None}, "`files[0].agreement` must be a number, not null"),
        ({**PASSED, "images": True}, "`files[0].images` must be a whole number, not true"),
        ({**PASSED, "reasons": [7]}, "`files[0].reasons[0]` must be a text, not 7"),
        ("text", "`files[0]` must be a JSON object, not 'text'"),
        (None, "`files[0]` must be a JSON object, not null"),
    ],
)
def test_a_result_of_another_version_is_named(call: Call, ready: StandInPhone, file: Any, words: str) -> None:
    settings(ready, selftest=[file])
    ended = call("app", "selftest")
    assert ended.status == 1
    assert f"not as this version expects: {words}. Install this version's app." in ended.err


def test_unplugged_during_a_task(call: Call, ready: StandInPhone) -> None:
    settings(ready, mode="hang")
    ready.faults.unplug_at_command = "logcat"
    ended = call("app", "selftest", "--device", ready.serial)
    assert time.monotonic() - ready.unplugged_at < 15
    assert ended.status == 1
    assert "Connect it again" in ended.err


def test_on_all_phones(call: Call, plug: Plug, app: Path) -> None:
    first, second = plug("first"), plug("second")
    second.faults.install_answer = "Failure [INSTALL_FAILED_OLDER_SDK]\n"
    ended = call("app", "install", app, "--device", "all", "--json")
    assert ended.status == 1
    done = {one["serial"]: one["done"] for one in json.loads(ended.out)["phones"]}
    assert done[first.serial]
    assert done[second.serial] is None
    assert "older than the app needs" in ended.err
    second.system.install(b"an app")
    settings(first)
    settings(second, selftest=[FAILED])
    ended = call("app", "selftest", "--device", "all", "--json")
    assert ended.status == 1
    passed = {one["device"]["serial"]: one["passed"] for one in json.loads(ended.out)["phones"]}
    assert passed == {first.serial: True, second.serial: False}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("benchmark", "--delegate", "tpu"), "unknown delegate of the app 'tpu'"),
        (("benchmark", "--threads", "0"), "threads must be 1 to 64"),
        (("benchmark", "--threads", "65"), "threads must be 1 to 64, not 65"),
        (("benchmark", "--runs", "10001"), "runs must be 1 to 10000, not 10001"),
        (("benchmark", "--runs", "0"), "runs must be 1 to 10000"),
        (("selftest", "--timeout", "0"), "timeout must be 1 to 86400"),
    ],
)
def test_wrong_values(call: Call, arguments: tuple[str, ...], words: str) -> None:
    refused(call("app", *arguments), words)


def test_the_app_takes_as_much_as_the_command_line_lets_through() -> None:
    core = Path(__file__).resolve().parents[2] / "android-app/core/src/main/kotlin/org/vitconv/core"
    for file, name, expected in (
        ("TaskRequest.kt", "MOST_RUNS", app_tasks.MOST_RUNS),
        ("Classifier.kt", "MOST_THREADS", app_tasks.MOST_THREADS),
    ):
        found = re.findall(rf"const val {name} = ([0-9_]+)\n", (core / file).read_text(encoding="utf-8"))
        assert [int(number) for number in found] == [expected]
    ids = re.findall(r'^    [A-Z]+\("([a-z]+)"\),$', (core / "Classifier.kt").read_text(encoding="utf-8"), re.M)
    assert set(ids) == set(app_tasks.DELEGATES)
