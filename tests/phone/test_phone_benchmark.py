"""`vitconv benchmark --device` through the real adb, on a stand-in phone; see tests/standin."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import signal
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from commands import Call, Ended, refused, run, started, wait_until
from phone.conftest import Adb, Plug, plug_in_again
from standin.phone import StandInPhone
from vitconv.phone.device.phone_folder import FOLDER

QUICK = ("--runs", "1", "--cooldown", "0")


def settings(phone: StandInPhone, **values: Any) -> None:
    """What the stand-in's benchmark_model is to be; see standin/benchmark_model.py."""
    (phone.system.folder / "tool.json").write_text(json.dumps({"format": "new", **values}))


def document(ended: Ended, status: int = 0) -> dict[str, Any]:
    assert ended.status == status, ended.err
    assert "Traceback" not in ended.err
    result = json.loads(ended.out)
    assert isinstance(result, dict)
    return result


def left_on(phone: StandInPhone) -> list[str]:
    folder = phone.system.path(FOLDER)
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def running_on(phone: StandInPhone) -> list[str]:
    """The programs of the phone's that run, as /proc has them. The stand-in starts each in the phone's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").resolve() == phone.system.path(FOLDER):
                found.append((process / "cmdline").read_text())
    return found


def test_a_model_runs_with_every_number_of_threads_on_every_delegate(
    call: Call, phone: StandInPhone, models: Path, tool: Path
) -> None:
    how = ("--device", phone.serial, "--benchmark-binary", tool, "--json", "--cooldown", "0", "--runs", "2")
    (_, model) = sorted(models.iterdir())
    result = document(call("benchmark", model, *how, "--threads", "1,2", "--delegate", "xnnpack,gpu"))
    assert result["device"] == {
        "serial": phone.serial, "model": "Stand-in Phone 1", "android": "14", "abi": "arm64-v8a",
    }  # fmt: skip
    assert result["machine"] == "Stand-in Phone 1, Android 14, arm64-v8a"
    assert result["tool"]["name"] == "TensorFlow Lite's benchmark_model"
    assert result["tool"]["source"] == str(tool)
    assert result["problems"] == []
    assert result["pushed"]["files"] == 2
    combinations = {(one["threads"], one["delegate"]) for one in result["files"]}
    assert len(combinations) == len(result["files"]) == 2 * 2
    for one in result["files"]:
        assert one["runs"] == len(one["rounds"]) == 2
        assert one["min_ms"] <= one["mean_ms"] <= one["max_ms"]
        assert one["min_ms"] <= one["p50_ms"] <= one["p95_ms"] <= one["max_ms"]
        assert one["init_ms"] > 0
        assert one["peak_memory_mb"] == pytest.approx(one["memory_growth_mb"] + 50, abs=0.01)
        assert one["memory_growth_mb"] > 0
        assert one["notes"] == []
        assert one["p90_ms"] is None
        assert one["thermal"] == ["none", "none"]
        if one["delegate"] == "xnnpack":
            numbers = (one["delegated"], one["delegated_nodes"], one["nodes"], one["partitions"])
            assert numbers == ("part", 4, 7, 3)
        else:
            assert (one["delegated"], one["delegated_nodes"]) == ("none", None)
    started = [found[0] for found in map(re.compile("--graph=[^']+").search, phone.seen.commands) if found]
    assert len(started) == 4 * 2
    assert started[:4] != started[4:], "rounds come in different orders"
    assert sorted(started[:4]) == sorted(started[4:])
    assert left_on(phone) == []
    assert not list(phone.system.folder.rglob("pwned"))
    assert not Path("pwned").exists()


def test_the_table_names_device_tool_and_a_delegate_that_took_nothing(
    call: Call, phone: StandInPhone, models: Path, tool: Path
) -> None:
    (phone.system.folder / "thermal").write_text("Thermal Status: 2\n")
    ended = call("benchmark", models, "--device", "--benchmark-binary", tool, *QUICK, "--delegate", "gpu")
    assert ended.status == 0, ended.err
    assert ended.out.startswith(
        f"{phone.serial}: Stand-in Phone 1, Android 14, arm64-v8a; TensorFlow Lite's benchmark_model; vitconv "
    )
    assert "gpu TOOK NOTHING: these are the processor's times" in ended.out
    assert "thermal status moderate" in ended.out


def test_what_a_gpu_took_is_not_mixed_up_with_the_rest_that_xnnpack_took(
    call: Call, phone: StandInPhone, models: Path, tool: Path
) -> None:
    settings(phone, pretend_gpu=True)
    how = ("--device", "--benchmark-binary", tool, *QUICK, "--delegate", "gpu", "--json")
    for one in document(call("benchmark", models, *how))["files"]:
        assert (one["delegated"], one["delegated_nodes"], one["nodes"], one["partitions"]) == ("part", 2, 7, 3)


@pytest.mark.parametrize("kind", ["old", "litert"])
def test_the_other_formats(call: Call, phone: StandInPhone, models: Path, tool: Path, kind: str) -> None:
    settings(phone, format=kind)
    how = ("--device", "--benchmark-binary", tool, "--runs", "7", "--cooldown", "0", "--json")
    result = document(call("benchmark", sorted(models.iterdir())[1], *how))
    assert result["tool"]["name"].startswith("LiteRT" if kind == "litert" else "TensorFlow Lite")
    for one in result["files"]:
        assert one["runs"] == 9, "three a round, so that at least seven are timed"
        assert one["min_ms"] <= one["mean_ms"] <= one["max_ms"]
        assert (one["p50_ms"] is None) == (kind == "old"), "old builds print no median, and none is made up"
        assert (one["nodes"] is None) == (kind == "old")
        assert one["delegated_nodes"] == 4
        assert one["memory_growth_mb"] > 0
        assert (one["peak_memory_mb"] is None) == (kind == "old"), "what it has grown by is no peak"


def test_a_delegate_that_the_tool_does_not_have_is_refused_before_anything_runs(
    call: Call, phone: StandInPhone, models: Path, tool: Path
) -> None:
    settings(phone, format="litert")
    ended = call("benchmark", models, "--device", "--benchmark-binary", tool, "--delegate", "xnnpack,nnapi")
    refused(ended, "LiteRT's benchmark_model has no delegate 'nnapi'", "xnnpack, gpu, npu")
    assert not any("--graph" in command for command in phone.seen.commands)
    assert left_on(phone) == []


def test_an_unchanged_folder_is_not_sent_again(call: Call, phone: StandInPhone, models: Path, tool: Path) -> None:
    how = ("--device", phone.serial, "--benchmark-binary", tool, *QUICK, "--json", "--keep")
    first = document(call("benchmark", models, *how))
    assert first["pushed"] == {"files": 3, "bytes": sum(path.stat().st_size for path in (*models.iterdir(), tool))}
    sent, kept = phone.seen.pushed_bytes, left_on(phone)
    assert len(kept) == 3
    second = document(call("benchmark", models, *how))
    assert second["pushed"] == {"files": 0, "bytes": 0}
    assert (phone.seen.pushed_bytes, left_on(phone)) == (sent, kept)
    # A file that is damaged there, and one that is new here, are sent; the others are not.
    damaged = next(name for name in kept if name.endswith(".tflite"))
    phone.system.path(f"{FOLDER}/{damaged}").write_bytes(b"half")
    assert document(call("benchmark", models, *how))["pushed"]["files"] == 1


def test_profiles_are_tables_and_pictures(
    call: Call, phone: StandInPhone, models: Path, tool: Path, tmp_path: Path
) -> None:
    (model, _) = sorted(models.iterdir())
    how = ("--device", "--benchmark-binary", tool, *QUICK, "--json", "--profile", tmp_path / "profiles")
    result = document(call("benchmark", model, *how))
    table, picture = sorted((tmp_path / "profiles").iterdir())
    assert picture.read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["node_type"] for row in rows] == [
        "Convolution (NHWC, F32) IGEMM", "Fully Connected (NC, F32) GEMM", "SOFTMAX",
    ]  # fmt: skip
    assert rows[0]["name"] == "Convolution (NHWC, F32) IGEMM:0"
    assert all(float(row["avg_ms"]) >= 0 for row in rows)
    assert result["problems"] == []


def test_cores_are_chosen_by_mask_or_by_speed(call: Call, phone: StandInPhone, models: Path, tool: Path) -> None:
    (model, _) = sorted(models.iterdir())
    how = ("--device", "--benchmark-binary", tool, *QUICK, "--json")
    assert document(call("benchmark", model, *how, "--cpu-mask", "F0"))["cpu_mask"] == "f0"
    for core in range(8):
        place = phone.system.path(f"/sys/devices/system/cpu/cpu{core}/cpufreq")
        place.mkdir(parents=True)
        (place / "cpuinfo_max_freq").write_text("1800000\n" if core < 4 else f"{2400000 + core * 1000}\n")
    assert document(call("benchmark", model, *how, "--cpu-mask", "big"))["cpu_mask"] == "f0"
    assert (phone.system.folder / "taskset.log").read_text().split() == ["f0", "f0"]


# --- what goes wrong ---


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("crash", "died of SIGSEGV: INFO: Created TensorFlow Lite delegate for GPU."),
        ("hang", "did not finish `adb shell` within 10 s"),
        ("garbage", "gave no result that can be read"),
        ("endless", "printed more than 32 MiB"),
    ],
)
def test_a_run_that_fails_is_reported_and_the_others_go_on(
    call: Call, phone: StandInPhone, models: Path, tool: Path, fault: str, words: str
) -> None:
    settings(phone, fault=fault, fault_at=2)
    seconds = "10" if fault == "hang" else "60"
    how = ("--device", "--benchmark-binary", tool, *QUICK, "--timeout", seconds, "--json")
    ended = call("benchmark", models, *how)
    result = document(ended, status=1)
    assert len(result["files"]) == 1
    (problem,) = result["problems"]
    assert words in problem["reason"]
    assert problem["path"] != result["files"][0]["path"]
    assert words in ended.err
    assert "\x1b" not in ended.err
    assert left_on(phone) == []
    assert running_on(phone) == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("late crash", "died of SIGSEGV"),
        ("late exit", "died of SIGSEGV"),
        ("late hang", "did not end by itself"),
    ],
)
def test_a_complete_result_is_kept_though_the_tool_then_fails(
    call: Call, phone: StandInPhone, models: Path, tool: Path, fault: str, words: str
) -> None:
    settings(phone, fault=fault, fault_at=2)
    seconds = "10" if fault == "late hang" else "60"
    how = ("--device", "--benchmark-binary", tool, *QUICK, "--timeout", seconds)
    result = document(call("benchmark", models, *how, "--json"))
    assert result["problems"] == []
    well, badly = sorted(result["files"], key=lambda one: len(one["notes"]))
    assert (well["notes"], well["rounds"][0]["note"]) == ([], None)
    assert badly["notes"] == [f"after a complete result, benchmark_model {words}"]
    assert badly["rounds"][0]["note"] == badly["notes"][0]
    assert badly["mean_ms"] > 0
    assert running_on(phone) == []
    (phone.system.folder / "runs").unlink()
    assert words in call("benchmark", models, *how).out


def test_flags_that_the_tool_ignores_are_an_error(
    call: Call, phone: StandInPhone, models: Path, tool: Path
) -> None:
    # Its --help names --min_secs, and it does not take it all the same.
    settings(phone, flags=["graph", "num_threads", "num_runs", "max_secs", "use_xnnpack"])
    ended = call("benchmark", models, "--device", "--benchmark-binary", tool, *QUICK, "--json")
    result = document(ended, status=1)
    assert result["files"] == []
    assert "ignored flags that it does not know: --min_secs=0" in result["problems"][0]["reason"]


def test_unplugged_while_sending(call: Call, adb: Adb, phone: StandInPhone, models: Path, tool: Path) -> None:
    phone.faults.unplug_after_bytes = 20_000
    ended = call("benchmark", models, "--device", phone.serial, "--benchmark-binary", tool, *QUICK, "--json")
    assert time.monotonic() - phone.unplugged_at < 15
    result = document(ended, status=1)
    assert result["files"] == []
    assert f"{phone.serial} is" in ended.err
    assert "could not be copied to it" in ended.err
    phone.faults.unplug_after_bytes = None
    phone.plug_in()
    plug_in_again(adb, phone)
    again = call("benchmark", models, "--device", phone.serial, "--benchmark-binary", tool, *QUICK, "--json")
    assert len(document(again)["files"]) == 2


def test_unplugged_while_running_keeps_what_was_measured(
    call: Call, adb: Adb, phone: StandInPhone, models: Path, tool: Path
) -> None:
    phone.faults.unplug_at_command = "int8"  # no name of ours ever reaches the phone: so this never happens
    how = ("--device", phone.serial, "--benchmark-binary", tool, *QUICK, "--json")
    assert document(call("benchmark", models, *how))["problems"] == []
    phone.faults.unplug_at_command = "--num_threads=2"
    ended = call("benchmark", models, *how, "--threads", "1,2")
    assert time.monotonic() - phone.unplugged_at < 15
    result = document(ended, status=1)
    assert 0 <= len(result["files"]) < 4
    assert all(one["threads"] == 1 for one in result["files"])
    assert "Connect it again" in ended.err


def test_adbs_server_is_killed_while_running(adb: Adb, phone: StandInPhone, models: Path, tool: Path) -> None:
    how = ("benchmark", models, "--device", phone.serial, "--benchmark-binary", tool, *QUICK, "--json")
    settings(phone, fault="hang", fault_at=2)

    def kill() -> None:
        while not (phone.system.folder / "runs").exists() or (phone.system.folder / "runs").read_text() != "2":
            time.sleep(0.05)
        adb("kill-server")

    killer = Thread(target=kill)
    killer.start()
    ended = run(*how)
    killer.join()
    result = document(ended, status=1)
    assert len(result["files"]) == 1, "the first run's result is kept"
    assert "adb's server was stopped" in ended.err
    settings(phone)
    plug_in_again(adb, phone)
    assert len(document(run(*how))["files"]) == 2


def test_ctrl_c_leaves_nothing_on_the_phone(phone: StandInPhone, models: Path, tool: Path) -> None:
    settings(phone, fault="hang")
    how = ("--device", phone.serial, "--benchmark-binary", tool, *QUICK, "--json")
    with started("benchmark", models, *how) as process:
        assert wait_until(lambda: bool(running_on(phone)) and (phone.system.folder / "runs").exists())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "vitconv: stopped. No half-written file was left."
    assert wait_until(lambda: not running_on(phone))
    assert left_on(phone) == []


def test_a_full_phone(call: Call, phone: StandInPhone, models: Path, tool: Path) -> None:
    phone.system.capacity = 30_000
    ended = call("benchmark", models, "--device", "--benchmark-binary", tool, *QUICK, "--json")
    result = document(ended, status=1)
    assert result["files"] == []
    assert "the storage of" in ended.err
    assert "is full" in ended.err
    assert left_on(phone) == []


@pytest.mark.parametrize(
    "refusal",
    [
        "couldn't create file: Permission denied",
        "couldn't create file: Read-only file system",
        "secure_mkdirs failed: Operation not permitted",
        "couldn't write file: Disk quota exceeded",
        "couldn't create file: Is a directory",
        "a policy of this company does not want it",
    ],
)
def test_a_push_that_the_phone_refuses_is_no_lost_connection(
    call: Call, phone: StandInPhone, models: Path, tool: Path, refusal: str
) -> None:
    phone.faults.refuse_push = refusal
    ended = call("benchmark", models, "--device", "--benchmark-binary", tool, *QUICK, "--json")
    document(ended, status=1)
    assert f"{phone.serial} did not allow it" in ended.err
    assert refusal in ended.err
    for wrong in ("connection", "broke", "Connect it again"):
        assert wrong not in ended.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\2\0\xb7\0" + bytes(100), "cannot be started"),
        (b"#!/system/bin/no-such-shell\n", "cannot be started"),
        (b"#!/bin/sh\nkill -ILL $$\n", "died of SIGILL"),
        (b"#!/bin/sh\necho 'CANNOT LINK EXECUTABLE: library \"libEGL.so\" not found' >&2; exit 1\n", "libEGL.so"),
        (b"#!/bin/sh\nexit 126\n", "cannot be started"),
    ],
)
def test_a_program_that_cannot_start_is_called_so(
    call: Call, phone: StandInPhone, models: Path, tmp_path: Path, text: bytes, words: str
) -> None:
    other = tmp_path / "other"
    other.write_bytes(text)
    ended = call("benchmark", models, "--device", "--benchmark-binary", other, *QUICK)
    assert ended.status == 1
    assert words in ended.err
    assert "the benchmark binary" in ended.err
    assert "is not benchmark_model" not in ended.err


def test_the_digest_of_the_program_is_shown(call: Call, phone: StandInPhone, models: Path, tool: Path) -> None:
    ended = call("benchmark", models, "--device", "--benchmark-binary", tool, *QUICK)
    assert hashlib.sha256(tool.read_bytes()).hexdigest() in "".join(ended.out.split())


def test_a_file_that_is_no_benchmark_tool(call: Call, phone: StandInPhone, models: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho I am a teapot\n")
    ended = call("benchmark", models, "--device", "--benchmark-binary", other, *QUICK)
    assert ended.status == 1
    assert "is not benchmark_model" in ended.err
    assert "I am a teapot" in ended.err
    other.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(11) + (62).to_bytes(2, "little") + bytes(44))
    refused(
        call("benchmark", models, "--device", "--benchmark-binary", other),
        "is made for x86_64",
        "arm64-v8a, armeabi-v7a",
    )


def test_two_phones_at_once_give_one_table(call: Call, plug: Plug, models: Path, tool: Path) -> None:
    first, second = plug("first"), plug("second")
    second.system.set_property("ro.product.model", "Phone 2")
    settings(second, format="old", fault="crash", fault_at=2)
    how = ("--benchmark-binary", tool, *QUICK)
    refused(
        call("benchmark", models, "--device", *how),
        "several phones are connected",
        f"{first.serial} (Stand-in Phone 1, Android 14, arm64-v8a)",
        f"{second.serial} (Stand-in Phone 2, Android 14, arm64-v8a)",
        "--device all",
    )
    ended = call("benchmark", models, "--device", "all", *how, "--json")
    result = document(ended, status=1)
    phones = {one["device"]["serial"]: one for one in result["phones"]}
    assert set(phones) == {first.serial, second.serial}
    assert (len(phones[first.serial]["files"]), len(phones[second.serial]["files"])) == (2, 1)
    assert "died of SIGSEGV" in ended.err
    settings(second)
    text = call("benchmark", models, "--device", "all", *how).out
    assert text.count("\nfile ") == 1
    assert text.count(first.serial) == text.count(second.serial) == 3
