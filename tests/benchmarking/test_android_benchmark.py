"""What files cost in Android's library: what is measured, in which order, what is kept, and what cannot be."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from commands import SECONDS, Call, processes, refused, started, wait_for_line, wait_until
from runtimes.test_android_runtime import ready
from shipped import shipped_file
from vitconv.benchmarking import android_benchmark as benchmarking
from vitconv.benchmarking import android_document
from vitconv.benchmarking.android_benchmark import AndroidBenchmarkConfig, benchmark_android
from vitconv.evaluation import kept_results
from vitconv.foundation.errors import InputError, MissingToolError, ModelFileError, UnknownNameError
from vitconv.runtimes.android import instruction_counts
from vitconv.runtimes.android.instruction_counts import KINDS, working_counter
from vitconv.runtimes.android.runner import AndroidRunner

SHORT = {"runs": 3, "warmup": 1}


@pytest.fixture
def folder(tmp_path: Path, tiny_tflite: dict[str, bytes]) -> Path:
    """Two files that Android's library takes."""
    ready("arm64-v8a")
    ready("x86_64")
    try:
        working_counter()
    except MissingToolError as error:
        pytest.skip(str(error))
    for scheme in ("float32", "int8"):
        (tmp_path / f"tiny-digits-{scheme}.tflite").write_bytes(tiny_tflite[scheme])
    return tmp_path


def test_every_file_is_counted_on_each_processor_and_timed_on_x86_64(folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    result = benchmark_android(
        AndroidBenchmarkConfig((folder,), operators=True, **SHORT), lambda *s: told.append(s)
    )
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert document["runtime"] == "TensorFlow Lite 2.16.1 for Android, XNNPACK"
    assert document["litert"].startswith("ai-edge-litert 2.")
    exact, int8 = document["files"]
    for file in (exact, int8):
        assert [counts["cpu"] for counts in file["arm64"]] == ["max", "cortex-a53"]
        for counts in file["arm64"]:
            assert set(counts["by_kind"]) == set(KINDS)
            assert counts["instructions"] == sum(counts["by_kind"].values()) > 10_000
            assert sum(one["instructions"] for one in counts["by_operator"].values()) == counts["instructions"]
        assert (file["x86_64"]["runs"], file["x86_64"]["threads"]) == (3, 1)
        assert 0 < file["x86_64"]["p50_low_ms"] <= file["x86_64"]["p50_ms"] <= file["x86_64"]["p50_high_ms"]
        for side in ("litert", "android"):
            assert set(file[side]) == {"nodes", "delegated_nodes", "partitions"}
    assert exact["arm64"][0]["relative"] == exact["x86_64"]["relative"] == 1
    assert int8["arm64"][0]["relative"] == round(
        int8["arm64"][0]["instructions"] / exact["arm64"][0]["instructions"], 4
    )
    assert told == [
        ("loading on x86_64", 1, 2), ("loading on x86_64", 2, 2), ("warming up", 1, 1),
        *(("timing", number, 3) for number in (1, 2, 3)),
        *(("counting instructions on arm64-v8a", number, 4) for number in range(5)),
    ]  # fmt: skip


def test_a_share_is_of_the_float32_file_beside_it(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (folder / "tiny-digits-int8.tflite").rename(other / "tiny-digits-int8.tflite")
    result = benchmark_android(AndroidBenchmarkConfig((folder, other), ("max",), **SHORT))
    assert [file.relative for file in result.files] == [(1.0,), (None,)]
    assert result.files[1].x86_64.relative is None


def test_ctrl_c_ends_every_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runners: list[AndroidRunner] = []

    class Noted(AndroidRunner):
        def __init__(self, *arguments: object, **more: object) -> None:
            runners.append(self)
            super().__init__(*arguments, **more)  # type: ignore[arg-type]

        def count(self) -> list[object]:  # type: ignore[override]
            raise KeyboardInterrupt

    monkeypatch.setattr(benchmarking, "AndroidRunner", Noted)
    monkeypatch.setattr(instruction_counts, "AndroidRunner", Noted)
    with pytest.raises(KeyboardInterrupt):
        benchmark_android(AndroidBenchmarkConfig((folder,), **SHORT))
    assert len(runners) >= 3
    assert all(runner._process.poll() is not None for runner in runners)


def test_a_file_that_android_refuses_is_named(folder: Path, tiny_tflite: dict[str, bytes]) -> None:
    (folder / "tiny-digits-dynamic.tflite").write_bytes(tiny_tflite["dynamic"])
    with pytest.raises(
        ModelFileError, match=r"dynamic\.tflite cannot be run by TFLite 2\.16\.1 .*FULLY_CONNECTED"
    ):
        benchmark_android(AndroidBenchmarkConfig((folder,), **SHORT))


def test_wrong_configs_are_named() -> None:
    paths = (Path("a.tflite"),)
    for values, words in (
        ({"paths": ()}, "nothing to benchmark"),
        ({"paths": paths, "cpus": ()}, "no processor was given"),
        ({"paths": paths, "threads": 0}, "threads must be 1 to 256, not 0"),
        ({"paths": paths, "runs": 0}, "runs must be 1 to 1000000, not 0"),
        ({"paths": paths, "warmup": -1}, "warmup must be 0 to 1000000, not -1"),
    ):
        with pytest.raises(InputError, match=words):
            AndroidBenchmarkConfig(**values)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match=r"Known: cortex-a53, cortex-a76, max"):
        AndroidBenchmarkConfig(paths, ("max", "cortex-m0"))


# --- the command ---


def test_the_command_shows_and_keeps_what_it_found(call: Call, folder: Path) -> None:
    (folder / "manifest.json").write_text("{}")  # makes it an export folder
    ended = call("benchmark", folder, "--runtime", "android", "--cpu", "cortex-a76", "--runs", 2, "--layers")
    assert ended.status == 0, ended
    for words in (
        "M on cortex-a76",
        "LiteRT: delegated",
        "by kind",
        "by operator",
        "Instructions are not milliseconds",
    ):
        assert words in ended.out
    assert "XNNPACK Convolution" in ended.out
    assert "cortex-a53" not in ended.out
    kept = android_document.read(folder / kept_results.ANDROID, "")
    assert [file.path for file in kept.files] == ["tiny-digits-float32.tflite", "tiny-digits-int8.tflite"]
    (counts,) = kept.files[1].arm64
    assert counts.cpu == "cortex-a76"
    assert counts.by_operator
    assert "operators" not in json.loads((folder / kept_results.ANDROID).read_text())["files"][0]["arm64"][0]

    ended = call("benchmark", folder, "--runtime", "android", "--runs", 2, "--cpu", "max,cortex-a76", "--json")
    document = json.loads(ended.out)
    assert [one["cpu"] for one in document["files"][0]["arm64"]] == ["max", "cortex-a76"]
    assert document["files"][1]["arm64"][1]["instructions"] == pytest.approx(counts.instructions, rel=1e-3)
    assert "by_operator" not in document["files"][0]["arm64"][0]


def test_ctrl_c_stops_a_count_that_would_go_on_for_long(folder: Path) -> None:
    (folder / "eanet-float32.tflite").write_bytes(shipped_file("eanet", "float32"))
    with started("benchmark", folder, "--runtime", "android", "--runs", 1) as process:
        wait_for_line(process, "counting instructions")
        time.sleep(1)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)  # to the command alone: it has to stop the others
        shown, said = process.communicate(timeout=SECONDS)
        assert (process.returncode, shown) == (130, "")
        assert said.splitlines()[-1] == "vitconv: stopped. No half-written file was left."
        assert wait_until(lambda: not processes(process.pid))
        assert time.monotonic() - begun < 60
    assert not (folder / kept_results.FOLDER).exists()


def test_without_the_emulator_the_command_says_what_to_install(
    call: Call, folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("nothing")))
    refused(call("benchmark", folder, "--runtime", "android"), "qemu-aarch64", "apt install qemu-user")
