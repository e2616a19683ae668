"""Results in words: every number is there, whatever the terminal's width."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from graphs import inspect_bytes
from vitconv.benchmarking.benchmark import Benchmark, FileTiming
from vitconv.checkpoints.answers import Accuracy
from vitconv.cli import benchmark, check
from vitconv.cli.tables.confidence import held_out_table
from vitconv.cli.tables.robustness import robustness_tables
from vitconv.evaluation.confidence import FileConfidence, Promise
from vitconv.evaluation.parity import FileVerification
from vitconv.evaluation.verification import Verification
from vitconv.foundation.text import printable
from vitconv.robustness.corruptions import TITLES
from vitconv.robustness.measuring import Robust, RobustFile, Robustness

WIDE = 10_000

FAILED = FileVerification(
    path="eanet-digits-int8.tflite",
    scheme="int8",
    top1=0.4321,
    top5=0.8765,
    top1_drop=12.34,
    agreement=0.5432,
    max_abs_error=0.0123,
    mean_abs_error=0.001,
    psnr_db=31.26,
    kl=0.2,
    lost=44,
    gained=0,
    top1_drop_interval=(9.2, 16.1),
    agreement_interval=(0.49, 0.59),
    reasons=("loses 12.34 points of top-1, more than 1", "agrees with Keras on 54.3%, less than 90.0%"),
)
SAME = replace(FAILED, path="eanet-digits-float32.tflite", scheme="float32", psnr_db=None, reasons=())
UNSURE = replace(
    FAILED,
    path="eanet-digits-dynamic.tflite",
    scheme="dynamic",
    reasons=(),
    doubts=(
        "loses more than 0.5 points of top-1 (95 % interval -1.25 to 2.75); use at least 1700",
        "agrees with Keras on less than 97.0% (95 % interval 96.5% to 99.5%); use at least 430",
    ),
    enough=1700,
)
VERIFICATION = Verification("digits test (all)", 360, Accuracy(0.5555, 0.9999, 1.0), (SAME, UNSURE, FAILED))

TIMING = FileTiming(
    path="export/flowers/mobilevit_xxs-tf_flowers-float32.tflite",
    scheme="float32",
    sha256="0" * 64,
    threads=1,
    runs=50,
    init_ms=123.4,
    first_ms=34.56,
    mean_ms=23.4,
    min_ms=20.0,
    p50_ms=23.11,
    p50_low_ms=22.0,
    p50_high_ms=24.0,
    p90_ms=25.67,
    p95_ms=1234.89,
    peak_memory_mb=45.6,
    nodes=539,
    delegated_nodes=528,
    partitions=17,
    samples_ms=(23.0,),
)
OTHER = replace(
    TIMING, path="export/flowers/mobilevit_xxs-tf_flowers-int8.tflite", p50_ms=9.5, peak_memory_mb=None
)
BENCHMARK = Benchmark("A processor, 2 cores, Linux 6.1 x86_64", "ai-edge-litert 2.3.0, XNNPACK", (TIMING, OTHER))

_CURVES = dict.fromkeys(TITLES, (0.91, 0.82, 0.73, 0.64, 0.55))
ROBUSTNESS = Robustness(
    50,
    Robust(0.9123, _CURVES),
    (
        RobustFile(0.9, _CURVES, "a-float32.tflite", "float32", "f" * 64, _CURVES, 0.0, (-0.5, 0.5)),
        RobustFile(0.89, _CURVES, "a-int8-hybrid.tflite", "int8-hybrid", "e" * 64, _CURVES, 2.34, (1.1, 3.6)),
    ),
)
_KEPT = (Promise(0.02, 0.4321, 0.0123), Promise(0.1, 0.87, None))
CONFIDENCE = (
    FileConfidence("a", "float32", 1.234, 0.0567, 0.0123, _KEPT, True),
    FileConfidence("b", "int8", 1.345, 0.0678, 0.0234, _KEPT[1:], True),
)


def numbers(text: str) -> set[str]:
    return set(re.findall(r"[+-]?\d[\d.e+-]*", text))


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 100, 200])
def test_no_number_is_lost_at_any_width(width: int, tiny_tflite: dict[str, bytes]) -> None:
    inspection = inspect_bytes(tiny_tflite["int8"], "tiny.tflite")
    for show in (
        lambda columns: check.verification_table(VERIFICATION, columns),
        lambda columns: benchmark.benchmark_table(BENCHMARK, columns),
        lambda columns: robustness_tables(ROBUSTNESS, columns),
        lambda columns: held_out_table(CONFIDENCE, columns),
        lambda columns: check.inspection_text(inspection, columns),
    ):
        assert numbers(show(width)) == numbers(show(WIDE))


@pytest.mark.parametrize("width", [60, 80, 100])
def test_lines_fit_the_terminal(width: int, tiny_tflite: dict[str, bytes]) -> None:
    inspection = inspect_bytes(tiny_tflite["int8"], "tiny.tflite")
    for text in (
        check.verification_table(VERIFICATION, width),
        benchmark.benchmark_table(BENCHMARK, width),
        robustness_tables(ROBUSTNESS, width),
        held_out_table(CONFIDENCE, width),
        check.inspection_text(inspection, width),
    ):
        assert max(map(len, text.splitlines())) <= width
        assert all(line == line.rstrip() for line in text.splitlines())


def test_a_verification_says_what_failed_and_why() -> None:
    text = check.verification_table(VERIFICATION, WIDE)
    title, header, _, keras, same, unsure, failed, why, doubt, few = text.splitlines()
    assert title == "digits test (all), 360 images, which chose nothing"
    assert header.split("  ")[0] == "scheme"
    assert keras.split() == ["Keras", "55.55%", "99.99%"]
    assert same.split()[:2] == ["float32", "passed"]
    assert same.split()[-1] == "∞"
    assert failed.split() == ["int8", "FAILED", "43.21%", "87.65%", "+12.34", "54.32%", "1.2e-02", "31.3"]
    assert why == f"eanet-digits-int8.tflite {'; '.join(FAILED.reasons)}."
    assert unsure.split()[:3] == ["dynamic", "cannot", "tell"]
    assert doubt == f"dynamic: cannot tell whether it {'; nor whether it '.join(UNSURE.doubts)}."
    assert few.startswith("CANNOT TELL with 360 images: dynamic.")
    assert few.endswith("Use at least 1700 held-out images.")


def test_a_benchmark_names_one_folder_once_and_each_of_several() -> None:
    text = benchmark.benchmark_table(BENCHMARK, WIDE)
    assert text.count("export/flowers") == 1
    assert "\nmobilevit_xxs-tf_flowers-int8.tflite " in text
    elsewhere = replace(OTHER, path="other/model.tflite")
    text = benchmark.benchmark_table(replace(BENCHMARK, files=(TIMING, elsewhere)), WIDE)
    assert "\nexport/flowers/mobilevit_xxs-tf_flowers-float32.tflite " in text
    assert "\nother/model.tflite " in text


def test_nothing_that_steers_a_terminal_is_printed() -> None:
    assert printable("a\x1b[2Jb\rc\x07\x9b\udcff\u202e\nd é 日 ×") == "a�[2Jb�c����\nd é 日 ×"
