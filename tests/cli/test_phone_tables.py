"""Results from phones as text: every number is there at any width, and what must not be overlooked is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from cli.test_texts import WIDE, numbers
from vitconv.benchmarking.comparison import Comparison, Pair
from vitconv.cli.benchmark import comparison_text
from vitconv.cli.tables.phone import documents_table, phones_table, selftest_text
from vitconv.phone.device.adb import Device
from vitconv.phone.device.phone_folder import Pushed
from vitconv.phone.phone_results import PhoneBenchmark, PhoneTiming

TIMING = PhoneTiming(
    path="export/flowers/mobilevit_xxs-tf_flowers-float32.tflite",
    scheme="float32",
    sha256="0" * 64,
    delegate="gpu",
    threads=4,
    runs=51,
    init_ms=123.4,
    first_ms=34.56,
    mean_ms=23.41,
    min_ms=20.02,
    max_ms=99.13,
    p50_ms=23.11,
    p95_ms=27.95,
    peak_memory_mb=45.6,
    nodes=539,
    delegated_nodes=528,
    partitions=17,
    delegated="part",
    thermal=("none", "none"),
    rounds=(),
    memory_growth_mb=38.7,
)
PHONE = PhoneBenchmark(
    device=Device("R58M12ABC", "Pixel 7", "14", "arm64-v8a", ("arm64-v8a",)),
    tool="TensorFlow Lite's benchmark_model",
    tool_sha256="0" * 64,
    tool_source="a file",
    harness="vitconv 0.1.0, 3 interleaved rounds of benchmark_model over adb",
    delegates=("gpu",),
    cpu_mask=None,
    cooldown_s=5,
    pushed=Pushed(),
    files=(TIMING,),
    problems=(),
)
OTHER = replace(PHONE, device=replace(PHONE.device, serial="192.168.178.101:5555"))
SELFTEST = {
    "device": {"serial": "R58M12ABC", "model": "Pixel 7", "android": "14", "abi": "arm64-v8a"},
    "files": [{
        "path": "mobilevit_xxs-tf_flowers-int8.tflite", "passed": False, "images": 8, "agreement": 0.625,
        "max_abs_error": 0.125, "reasons": ["agrees with Keras on 62.5%, less than 80.0%"],
    }],
}  # fmt: skip
IN_APP = {
    "device": SELFTEST["device"],
    "machine": "Google Pixel 7, Android 14",
    "runtime": "TensorFlow Lite 2.16.1",
    "files": [{
        "path": "mobilevit_xxs-tf_flowers-int8.tflite", "delegate": "xnnpack", "threads": 4, "mean_ms": 12.25,
        "p50_ms": 12.5, "p95_ms": 13.75, "init_ms": 101.5, "first_ms": 20.25, "peak_memory_mb": None,
        "nodes": 439, "delegated_nodes": 438,
        "note": "a-int8.tflite ran on the CPU, because on the GPU the delegate refuses L2_NORMALIZATION 9 times",
    }],
}  # fmt: skip
COMPARED = Comparison(
    "An AMD EPYC, 2 cores, ai-edge-litert 2.3.0, XNNPACK",
    "Google Pixel 7, Android 14, arm64-v8a, TensorFlow Lite's benchmark_model",
    (
        Pair(
            "mobilevit_xxs-tf_flowers-int8.tflite",
            True,
            "xnnpack, 1t",
            "gpu, 4t",
            "p50_ms",
            12.5,
            25,
            2,
            45.5,
            None,
        ),
    ),
    ("only.tflite",),
    (),
)
SHOWN: list[Callable[[int], str]] = [
    lambda width: phones_table([PHONE, OTHER], width),
    lambda width: selftest_text([SELFTEST], width),
    lambda width: documents_table([IN_APP], width),
    partial(comparison_text, COMPARED),
]


@pytest.mark.parametrize("show", SHOWN)
@pytest.mark.parametrize("width", [1, 30, 60, 80, 100, 200])
def test_no_number_is_lost_at_any_width(show: Callable[[int], str], width: int) -> None:
    assert numbers(show(width)) == numbers(show(WIDE))


@pytest.mark.parametrize("show", SHOWN)
@pytest.mark.parametrize("width", [80, 100])
def test_lines_fit_the_terminal(show: Callable[[int], str], width: int) -> None:
    text = show(width)
    assert max(map(len, text.splitlines())) <= width
    assert all(line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize(
    ("changes", "shown", "note"),
    [
        ({}, "528/539", None),
        ({"nodes": None}, "528/?", None),
        ({"delegated_nodes": None, "nodes": None, "delegated": "all"}, "all", None),
        (
            {"delegated_nodes": None, "delegated": "none"},
            "none",
            "gpu TOOK NOTHING: these are the processor's times",
        ),
        ({"delegated_nodes": 0, "delegated": "none"}, "0/539", "gpu TOOK NOTHING"),
        ({"delegated_nodes": None, "delegated": None}, "?", "gpu: the tool did not say what the delegate took"),
        ({"delegate": "cpu"}, "528/539", "cpu: a delegate took part all the same"),
        ({"delegate": "cpu", "delegated_nodes": None, "delegated": None}, "", None),
        ({"thermal": ("none", "severe")}, "528/539", "gpu: the phone was hot, thermal status severe"),
    ],
)
def test_what_a_delegate_took_is_never_left_open(changes: dict[str, Any], shown: str, note: str | None) -> None:
    text = phones_table([replace(PHONE, files=(replace(TIMING, **changes),))], WIDE)
    _, _, _, row, *notes = text.splitlines()
    assert (shown in row.split()) == bool(shown)
    assert bool(notes) == (note is not None)
    assert note is None or notes[0].startswith(note)
    assert note is None or notes[0].endswith("(mobilevit_xxs-tf_flowers-float32.tflite)")


def test_the_app_says_what_ran_elsewhere_than_asked() -> None:
    assert documents_table([IN_APP], WIDE).endswith(
        ": a-int8.tflite ran on the CPU, because on the GPU the delegate refuses L2_NORMALIZATION 9 times."
    )
