"""Which tool a file is, which flags it gets, where it comes from, and what is read from its profile."""

from __future__ import annotations

import hashlib
import http.server
import json
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vitconv.foundation.errors import DeviceRunError, InputError, MissingToolError
from vitconv.phone import conditions, profile
from vitconv.phone.benchmark_model import Tool, arguments, check_mask, identify, profile_arguments
from vitconv.phone.device import tool_file
from vitconv.phone.device.adb import Device

TFLITE = """usage: /data/local/tmp/benchmark_model <flags>
Flags:
\t--num_runs=50               \tint32\toptional\texpected number of runs
\t--min_secs=1                \tfloat\toptional\tminimum number of seconds
\t--max_secs=150              \tfloat\toptional
\t--graph=                    \tstring\trequired\tgraph file name
\t--num_threads=-1            \tint32\toptional
\t--use_xnnpack=false         \tbool\toptional
\t--use_gpu=false             \tbool\toptional
\t--use_nnapi=false           \tbool\toptional
\t--enable_op_profiling=false \tbool\toptional
"""
LITERT = TFLITE.replace("--use_xnnpack", "--use_cpu").replace("--use_nnapi", "--use_npu")
PHONE = Device("R58M12", "Pixel", "14", "arm64-v8a", ("arm64-v8a", "armeabi-v7a"))
PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 183) + bytes(1000)


def test_each_tool_gets_its_own_flags() -> None:
    tflite, litert = identify(TFLITE), identify(LITERT)
    assert (tflite.kind, litert.kind) == ("tflite", "litert")
    common = ["--graph=m.tflite", "--num_threads=4", "--num_runs=17", "--min_secs=0", "--max_secs=150"]
    for tool, delegate, flag in (
        (tflite, "xnnpack", "--use_xnnpack=true"),
        (tflite, "cpu", "--use_xnnpack=false"),
        (tflite, "gpu", "--use_gpu=true"),
        (tflite, "nnapi", "--use_nnapi=true"),
        (litert, "xnnpack", "--use_cpu=true"),
        (litert, "gpu", "--use_gpu=true"),
        (litert, "npu", "--use_npu=true"),
    ):
        assert arguments(tool, "m.tflite", 4, 17, 150, delegate) == [*common, flag]
    for tool, delegate in ((tflite, "npu"), (litert, "cpu"), (litert, "nnapi")):
        with pytest.raises(InputError, match=f"has no delegate '{delegate}'"):
            arguments(tool, "m.tflite", 4, 17, 150, delegate)


def test_a_flag_that_the_build_does_not_have_is_not_given() -> None:
    with pytest.raises(InputError, match="has no --op_profiling_output_mode"):
        profile_arguments(identify(TFLITE), "p.csv")
    old = Tool("tflite", identify(TFLITE).flags - {"use_xnnpack"})
    with pytest.raises(InputError, match="has no --use_xnnpack, which is needed here"):
        arguments(old, "m.tflite", 1, 1, 1, "cpu")


@pytest.mark.parametrize("text", ["", "sh: not found", "--graph=x", "usage: ls"])
def test_what_is_no_such_tool(text: str) -> None:
    with pytest.raises(DeviceRunError, match="is not benchmark_model"):
        identify(text)


@pytest.mark.parametrize("mask", ["", "0", "00", "0xf0", "f0;reboot", "g", "f0 ", "-1", "f" * 17])
def test_a_mask_that_is_none(mask: str) -> None:
    with pytest.raises(InputError, match="--cpu-mask must be hexadecimal"):
        check_mask(mask)


def test_big_cores_are_all_but_the_slowest() -> None:
    assert conditions.mask_of_big({0: 18, 1: 18, 2: 24, 3: 30}) == "c"
    assert conditions.mask_of_big({0: 18, 1: 18}) == "3"


# --- where it comes from ---


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder that a server on this machine gives out, in the place of the real one; and an empty cache."""
    folder = tmp_path / "builds"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            pass

    monkeypatch.setenv("VITCONV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        url = f"http://127.0.0.1:{server.server_port}/tool"
        monkeypatch.setattr(tool_file, "PREBUILT", {"arm64-v8a": url})
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder
        server.shutdown()


def test_a_download_is_kept_with_its_checksum(builds: Path) -> None:
    (builds / "tool").write_bytes(PROGRAM)
    first = tool_file.find(None, PHONE)
    assert first.path.read_bytes() == PROGRAM
    note = json.loads(first.path.with_suffix(".json").read_text())
    assert note["sha256"] == first.sha256
    assert note["url"] == first.source
    (builds / "tool").unlink()
    assert tool_file.find(None, PHONE) == first, "the kept one needs no network"
    first.path.write_bytes(PROGRAM + b"changed")
    with pytest.raises(MissingToolError, match="could not be downloaded"):
        tool_file.find(None, PHONE)


OTHER = PROGRAM + b" of the next night"


def test_another_program_at_the_same_address_is_refused_until_it_is_accepted(
    builds: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (builds / "tool").write_bytes(PROGRAM)
    first = tool_file.find(None, PHONE)
    assert first.sha256 in caplog.text, "shown when it is first used"
    assert first.source in caplog.text
    first.path.unlink()
    (builds / "tool").write_bytes(OTHER)
    with pytest.raises(InputError, match=r"has changed.*--yes.*--benchmark-binary FILE") as caught:
        tool_file.find(None, PHONE)
    assert first.sha256 in str(caught.value)
    assert hashlib.sha256(OTHER).hexdigest() in str(caught.value)
    assert not first.path.exists(), "what was refused is not there to be run"
    second = tool_file.find(None, PHONE, accept_changed=True)
    assert second.path.read_bytes() == OTHER
    assert tool_file.find(None, PHONE) == second, "accepted once, remembered"
    second.path.unlink()
    assert tool_file.find(None, PHONE) == second
    second.path.unlink()
    (builds / "tool").write_bytes(PROGRAM)
    with pytest.raises(InputError, match="has changed"):
        tool_file.find(None, PHONE)


def test_a_kept_program_that_was_changed_is_fetched_again_and_held_to_what_is_remembered(builds: Path) -> None:
    (builds / "tool").write_bytes(PROGRAM)
    first = tool_file.find(None, PHONE)
    first.path.write_bytes(PROGRAM + b"changed here")
    assert tool_file.find(None, PHONE) == first
    assert first.path.read_bytes() == PROGRAM
    first.path.write_bytes(PROGRAM + b"changed here")
    (builds / "tool").write_bytes(OTHER)
    with pytest.raises(InputError, match="has changed"):
        tool_file.find(None, PHONE)


def test_each_address_and_processor_has_a_memory_of_its_own(builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = Device("R5", "Pixel", "14", "armeabi-v7a", ("armeabi-v7a",))
    url = tool_file.PREBUILT["arm64-v8a"]
    monkeypatch.setitem(tool_file.PREBUILT, "armeabi-v7a", f"{url}-arm")  # type: ignore[arg-type]
    (builds / "tool").write_bytes(PROGRAM)
    (builds / "tool-arm").write_bytes(PROGRAM.replace(b"\xb7", b"\x28"))
    first, second = tool_file.find(None, PHONE), tool_file.find(None, arm)
    assert first.sha256 != second.sha256
    # The address moves with a version of vitconv, and back.
    (builds / "moved").write_bytes(OTHER)
    monkeypatch.setitem(tool_file.PREBUILT, "arm64-v8a", url.replace("/tool", "/moved"))  # type: ignore[arg-type]
    first.path.unlink()
    assert tool_file.find(None, PHONE).path.read_bytes() == OTHER
    monkeypatch.setitem(tool_file.PREBUILT, "arm64-v8a", url)  # type: ignore[arg-type]
    first.path.unlink()
    (builds / "tool").write_bytes(OTHER)
    with pytest.raises(InputError, match="has changed"):
        tool_file.find(None, PHONE)


def test_a_note_of_an_earlier_version_counts(builds: Path) -> None:
    (builds / "tool").write_bytes(PROGRAM)
    first = tool_file.find(None, PHONE)
    note = first.path.with_suffix(".json")
    old = {name: value for name, value in json.loads(note.read_text()).items() if name != "trusted"}
    note.write_text(json.dumps(old))
    assert tool_file.find(None, PHONE) == first
    first.path.unlink()
    (builds / "tool").write_bytes(OTHER)
    with pytest.raises(InputError, match="has changed"):
        tool_file.find(None, PHONE)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"trusted": 3}', '{"trusted": {"x": 1}}', "[" * 5000])
def test_a_note_that_is_rubbish_is_none(builds: Path, text: str) -> None:
    (builds / "tool").write_bytes(PROGRAM)
    first = tool_file.find(None, PHONE)
    first.path.with_suffix(".json").write_text(text)
    assert tool_file.find(None, PHONE) == first


def test_phones_that_ask_at_the_same_time_get_the_same_program(builds: Path) -> None:
    (builds / "tool").write_bytes(PROGRAM)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: tool_file.find(None, PHONE), range(8)))
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (126, "sh: ./benchmark_model: not executable: 64-bit ELF file"),
        (127, "sh: ./benchmark_model: inaccessible or not found"),
        (1, 'CANNOT LINK EXECUTABLE "./benchmark_model": library "libEGL.so" not found'),
        (132, "Illegal instruction"),
        (139, ""),
        (1, "chmod: benchmark_model: Operation not permitted"),
        (2, "benchmark_model: 1: Exec format error"),
    ],
)
def test_what_cannot_start_is_not_called_another_program(status: int, text: str) -> None:
    with pytest.raises(DeviceRunError, match=r"the benchmark binary (cannot be started|died of SIG)"):
        identify(text, status)


@pytest.mark.parametrize("data", [b"", b"<html>Sign in to this network</html>", PROGRAM.replace(b"\xb7", b"\x3e")])
def test_what_is_no_program_for_the_phone_is_not_kept(builds: Path, data: bytes) -> None:
    (builds / "tool").write_bytes(data)
    with pytest.raises(MissingToolError, match="is not a whole program for arm64-v8a"):
        tool_file.find(None, PHONE)
    assert not list(builds.parent.glob("cache/**/benchmark_model"))


def test_without_a_network_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{probe.getsockname()[1]}/tool"
    monkeypatch.setenv("VITCONV_CACHE", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(tool_file, "PREBUILT", {"arm64-v8a": closed})
    with pytest.raises(MissingToolError, match=r"could not be downloaded.*--benchmark-binary FILE"):
        tool_file.find(None, PHONE)
    other = Device("emulator-5554", "sdk", "14", "x86_64", ("x86_64",))
    with pytest.raises(MissingToolError, match=r"no prebuilt benchmark_model for x86_64.*--benchmark-binary"):
        tool_file.find(None, other)
    with pytest.raises(InputError, match="there is no benchmark binary"):
        tool_file.find(tmp_path / "absent", PHONE)


# --- profiles ---


def test_the_profile_of_the_timed_runs_is_read_not_that_of_the_start() -> None:
    header = "node type, start, first, avg_ms, %, cdf%, mem KB, times called, name"
    title = "============================== Run Order =============================="
    text = f"""Profiling Info for Benchmark Initialization:
{title}
{header}
AllocateTensors, 0, 9, 9, 100%, 100%, 0, 1, AllocateTensors/0

Operator-wise Profiling Info for Regular Benchmark Runs:
{title}
{header}
Convolution (NHWC, QU8) IGEMM, 0, 0.3, 0.25, 71%, 71%, 0, 1, Delegate/Convolution (NHWC\t QU8) IGEMM:0
SOFTMAX, 0.3, 0.1, 0.1, 29%, 100%, 0, 1, [probabilities]:7
SOFTMAX, 0.3, 0.1, 0.2, 29%, 100%, 0, 1, [probabilities]:8

============================== Top by Computation Time ==============================
{header}
SOFTMAX, 0.3, 0.1, 0.1, 29%, 100%, 0, 1, [probabilities]:7
"""
    operators = profile.parse(text)
    assert operators == [
        profile.Operator("Convolution (NHWC, QU8) IGEMM", "Delegate/Convolution (NHWC, QU8) IGEMM:0", 0.25),
        profile.Operator("SOFTMAX", "[probabilities]:7", 0.1),
        profile.Operator("SOFTMAX", "[probabilities]:8", 0.2),
    ]
    assert profile.by_type(operators) == pytest.approx({"SOFTMAX": 0.3, "Convolution (NHWC, QU8) IGEMM": 0.25})


@pytest.mark.parametrize("text", ["", "nothing", "=== Run Order ===", "=== Run Order ===\nnode type, avg_ms"])
def test_what_is_no_profile(text: str) -> None:
    assert profile.parse(text) == []
