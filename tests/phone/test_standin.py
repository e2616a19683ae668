"""The stand-in phone answers as Android does, where vitconv could tell the difference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import Call, wait_until
from phone.conftest import Adb
from standin import app
from standin.android import running, write_log
from standin.phone import StandInPhone
from vitconv.phone.device.adb import Adb as Reached
from vitconv.phone.device.adb_process import Finished

Shell = Callable[[str], Finished]


@pytest.fixture
def shell(adb: Adb, phone: StandInPhone) -> Shell:
    return Reached().phones(phone.serial)[0].shell


def ask(phone: StandInPhone, **values: object) -> None:
    phone.system.install(b"an app")
    settings = {"mode": "ok", "selftest": [], **values}
    (phone.system.folder / "app.json").write_text(json.dumps(settings))


# --- am ---


def test_force_stop_ends_the_app_and_no_other_program(call: Call, phone: StandInPhone) -> None:
    ask(phone, mode="hang")
    ended = call("app", "selftest", "--timeout", "2")
    assert "was not done within 2 s, and was stopped" in ended.err
    assert wait_until(lambda: running(phone.system.folder) == [])


def test_force_stop_of_another_app_leaves_this_one(shell: Shell, phone: StandInPhone) -> None:
    ask(phone, mode="hang")
    shell("am start -n org.vitconv.demo/.TaskActivity --es task selftest --es id a")
    assert wait_until(lambda: len(running(phone.system.folder)) == 1)
    ended = shell("am force-stop org.example; pidof org.vitconv.demo")
    assert (ended.status, ended.out.strip()) == (0, str(running(phone.system.folder)[0]))
    ended = shell("am force-stop org.vitconv.demo; pidof org.vitconv.demo")
    assert (ended.status, ended.out) == (1, "")


def test_a_task_that_is_asked_for_while_another_runs_waits_for_its_turn(shell: Shell, phone: StandInPhone) -> None:
    ask(phone)
    start = "am start -n org.vitconv.demo/.TaskActivity --es task selftest --es id"
    ended = shell(f"{start} first; {start} second")
    assert "Warning: Activity not started, intent has been delivered to currently running" in ended.err
    said = "logcat -d -v raw -s vitconv:V"
    assert wait_until(lambda: "done second ok" in shell(said).out)
    lines = [line for line in shell(said).out.splitlines() if line.startswith(("starting", "done f", "done s"))]
    assert lines == ["starting selftest", "done first ok", "starting selftest", "done second ok"] or lines == [
        "starting selftest", "done second ok", "starting selftest", "done first ok",
    ]  # fmt: skip


def test_an_activity_that_the_app_has_not_is_an_error(shell: Shell, phone: StandInPhone) -> None:
    ask(phone)
    ended = shell("am start -n org.vitconv.demo/.OtherActivity")
    assert ended.status == 1
    assert "Error: Activity class {org.vitconv.demo/org.vitconv.demo.OtherActivity} does not exist." in ended.out


def test_the_app_keeps_its_own_limits(shell: Shell, phone: StandInPhone) -> None:
    ask(phone)
    start = "am start -n org.vitconv.demo/.TaskActivity --es task benchmark --es id x"
    for words, reason in (
        ("--ei threads 65", "threads must be a whole number from 1 to 64"),
        ("--es runs 5", "runs must be a whole number from 1 to 10000"),
        ("--es other 5", "benchmark takes nothing but"),
    ):
        (phone.system.folder / "log").unlink(missing_ok=True)
        shell(f"{start} {words}")
        assert wait_until(lambda: "done x failed" in shell("logcat -d -v raw -s vitconv:V").out)
        assert reason in shell("logcat -d -v raw -s vitconv:V").out


@pytest.mark.parametrize("screen", ["off", "locked"])
def test_a_task_wakes_a_phone_that_sleeps(call: Call, phone: StandInPhone, screen: str) -> None:
    ask(phone)
    (phone.system.folder / "screen").write_text(screen)
    assert call("app", "selftest").status == 0
    assert (phone.system.folder / "screen").read_text() == "on\n"


def test_a_task_that_is_not_seen_fails_in_the_apps_words(call: Call, phone: StandInPhone) -> None:
    ask(phone)
    (phone.system.folder / "screen").write_text("covered")
    ended = call("app", "selftest")
    assert ended.status == 1
    assert f"could not do the selftest: {app.unseen()}" in " ".join(ended.err.split())
    assert "unlock it, and try again" in ended.err


# --- logcat ---


def log(phone: StandInPhone, *lines: tuple[str, str, str]) -> None:
    for level, tag, text in lines:
        write_log(phone.system.folder, level, tag, text, process=77)


def test_logcat_filters_by_tag_level_buffer_and_process(shell: Shell, phone: StandInPhone) -> None:
    log(phone, ("V", "tflite", "one"), ("I", "vitconv", "two"), ("E", "vitconv", "three"))
    write_log(phone.system.folder, "E", "AndroidRuntime", "four", "crash", 78)
    for words, expected in (
        ("", ["one", "two", "three", "four"]),
        ("-s vitconv:V", ["two", "three"]),
        ("-s vitconv:E tflite", ["one", "three"]),
        ("vitconv:W", ["one", "three", "four"]),
        ("*:E", ["three", "four"]),
        ("-b crash", ["four"]),
        ("-b main,crash -t 2", ["three", "four"]),
        ("--pid=78", ["four"]),
    ):
        said = [line for line in shell(f"logcat -d -v raw {words}").out.splitlines() if not line.startswith("---")]
        assert said == expected, words
    assert "I/vitconv(   77): two" in shell("logcat -d -v brief").out
    assert shell("logcat -d").out.startswith("--------- beginning of main")
    assert shell("logcat -c; logcat -d").out == ""
    assert shell("logcat -d --colour").status == 1


def test_a_phone_that_drops_quiet_lines_drops_them(shell: Shell, phone: StandInPhone) -> None:
    shell("setprop log.tag W; setprop log.tag.vitconv I")
    log(phone, ("V", "tflite", "one"), ("W", "tflite", "two"), ("I", "vitconv", "three"), ("D", "vitconv", "four"))
    assert shell("logcat -d -v raw").out.splitlines()[1:] == ["two", "three"]


def test_a_phone_whose_log_keeps_nothing_of_the_app_is_not_waited_for_in_vain(
    call: Call, phone: StandInPhone
) -> None:
    ask(phone)
    phone.system.set_property("log.tag.vitconv", "S")
    ended = call("app", "selftest", "--timeout", "20")
    assert ended.status == 1
    assert "died" in ended.err or "was not done within 20 s" in ended.err


# --- the shell and toybox ---


@pytest.mark.parametrize(
    ("command", "says", "status"),
    [
        ("nothing-of-that-name", "/system/bin/sh: nothing-of-that-name: inaccessible or not found", 127),
        (
            "cat < /data/local/tmp/gone",
            "/system/bin/sh: can't open /data/local/tmp/gone: No such file or directory",
            None,
        ),
        ("/data/local/tmp/plain", "/system/bin/sh: /data/local/tmp/plain: can't execute: Permission denied", 126),
        ("rm /data/local/tmp/gone", "rm: /data/local/tmp/gone: No such file or directory", 1),
        ("ls /data/local/tmp/gone", "ls: /data/local/tmp/gone: No such file or directory", None),
        ("chmod 755 /data/local/tmp/gone", "chmod: /data/local/tmp/gone: No such file or directory", 1),
        ("mkdir /data/local/tmp/plain", "mkdir: /data/local/tmp/plain: File exists", 1),
        ("ls /data/data", "ls: /data/data: Permission denied", None),
        (
            "cat /data/data/org.vitconv.demo/files/x",
            "cat: /data/data/org.vitconv.demo/files/x: Permission denied",
            1,
        ),
    ],
)
def test_errors_are_said_in_androids_words(
    shell: Shell, phone: StandInPhone, command: str, says: str, status: int | None
) -> None:
    phone.system.path("/data/local/tmp/plain").write_text("no program")
    ended = shell(command)
    assert ended.err.strip() == says
    assert ended.status == status if status is not None else ended.status > 0


def test_what_only_apps_may_read_is_refused_by_name(adb: Adb, phone: StandInPhone, tmp_path: Path) -> None:
    said = adb("-s", phone.serial, "pull", "/data/data/org.vitconv.demo/files/x", str(tmp_path / "x"))
    assert "Permission denied" in said or "failed to stat" in said
    assert not (tmp_path / "x").exists()
