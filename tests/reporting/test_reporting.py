"""The report of an export folder: which file it recommends, what it leaves out, and that it stands alone."""

from __future__ import annotations

import hashlib
import html
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

import made_documents
from cli.test_texts import TIMING
from commands import Call, refused
from graphs import metadata_of, with_metadata
from made_documents import write_json
from vitconv.benchmarking.android_benchmark import AndroidBenchmark, AndroidFile, Delegation, X86Timing
from vitconv.benchmarking.benchmark import Benchmark
from vitconv.checkpoints.answers import Accuracy
from vitconv.evaluation import evidence, kept_results
from vitconv.evaluation.evidence import Answers, Evidence
from vitconv.evaluation.layer_errors import LayerError
from vitconv.evaluation.parity import FileVerification
from vitconv.evaluation.verification import Verification, VerifyConfig
from vitconv.exporting import classes
from vitconv.exporting.classes import TrainedClass
from vitconv.foundation.disk.writing import writing
from vitconv.foundation.errors import InputError, OutputError
from vitconv.phone.device.adb import Device
from vitconv.phone.device.phone_folder import Pushed
from vitconv.phone.phone_results import PhoneBenchmark, PhoneTiming
from vitconv.reporting import report as report_module
from vitconv.reporting.advice.recommendation import recommend
from vitconv.reporting.missing import missing
from vitconv.reporting.page import _templates
from vitconv.reporting.reading import read_export
from vitconv.reporting.report import Report, ReportConfig, report
from vitconv.reporting.svg import svg
from vitconv.runtimes.android.instruction_counts import KINDS, InstructionCounts, OperatorCount
from vitconv.tflite import flatbuffer
from vitconv.tflite.layer_names import layer_of

EVIL = "<script>alert(1)</script>|`x`&*"
LABELS = ["daisy", EVIL, "rose", "tulip", "日本"]
SCHEMES = ("float32", "float16", "dynamic", "int8")
CHECKPOINT = "c" * 64
VOID = {"meta", "link", "img", "br", "hr"}

Make = Callable[..., Path]


def sound_layers() -> tuple[LayerError, ...]:
    return tuple(LayerError(f"block{n}.mlp", "GELU", 28.0 - n, 1.0, 0.5, 3.0, n) for n in range(6))


def layers_broken_at(place: int, name: str = "block3.mlp") -> tuple[LayerError, ...]:
    """From `place` on nothing is right any more, though only there much is lost."""
    return tuple(
        replace(layer, layer=name, snr_db=-3.0, lost_db=28.0)
        if layer.place == place
        else replace(layer, snr_db=2.0, lost_db=-1.0)
        if layer.place > place
        else layer
        for layer in sound_layers()
    )


@pytest.fixture
def make(tmp_path: Path, tiny_tflite: dict[str, bytes]) -> Make:
    """Makes an export folder of tiny files: make("name", checkpoint=…)."""

    def folder(name: str = "export", checkpoint: str = CHECKPOINT) -> Path:
        out = tmp_path / name
        out.mkdir()
        files = []
        for scheme in SCHEMES:
            path = out / f"tiny-pets-{scheme}.tflite"
            path.write_bytes(tiny_tflite[scheme])
            digest = hashlib.sha256(tiny_tflite[scheme]).hexdigest()
            files.append({"scheme": scheme, "path": path.name, "bytes": path.stat().st_size, "sha256": digest})
        document = {
            "model": "tiny", "checkpoint": {"name": "/home/someone/runs/pets", "sha256": checkpoint},
            "dataset": {"name": "pets", "version": "1.0"}, "labels": LABELS,
            "image": {"height": 16, "width": 16, "channels": 3, "resize": "stretch"},
            "versions": {"vitconv": "0.1.0"}, "calibration": None, "files": files, "golden": "golden/golden.json",
        }  # fmt: skip
        (out / "manifest.json").write_text(json.dumps(document))
        write_labels(out)
        (out / "golden").mkdir()
        Image.new("RGB", (16, 16)).save(out / "golden" / "0.png")
        golden = {"split": "test", "images": [{"file": "0.png", "label": 0, "probabilities": [0.2] * 5}]}
        (out / "golden" / "golden.json").write_text(json.dumps(golden))
        return out

    return folder


def write_labels(folder: Path) -> None:
    """The manifest's."""
    labels = json.loads((folder / "manifest.json").read_text())["labels"]
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")


def digests(folder: Path) -> dict[str, str]:
    return {file["scheme"]: file["sha256"] for file in json.loads((folder / "manifest.json").read_text())["files"]}


def verified(folder: Path, passed: dict[str, bool] | None = None, **changes: Any) -> None:
    """Keeps a verification of 200 images in the folder; what is not in `passed` has passed."""
    labels = np.arange(200) % 5
    keras = np.full((200, 5), 0.1)
    keras[np.arange(200), labels] = 0.6
    actual = keras.copy()
    actual[7] = [0.1, 0.1, 0.1, 0.1, 0.6]
    files, answers = [], {}
    for scheme, digest in digests(folder).items():
        fine = (passed or {}).get(scheme, True)
        path = f"tiny-pets-{scheme}.tflite"
        files.append(
            FileVerification(
                path, scheme, 0.995, 1.0, 0.5, 0.995, 0.5, 0.01, 30.0, 0.01, 1, 0, (0.03, 2.8), (0.97, 1.0),
                reasons=() if fine else ("loses 0.50 points of top-1, more than 0.1",), layers=sound_layers(),
                sha256=digest,
            )
        )  # fmt: skip
        shown = evidence.disagreements(actual, keras, labels) if scheme == "int8" else ()
        answers[path] = Answers(evidence.confusion(actual, labels), shown)
    for scheme, layers in changes.pop("layers", {}).items():
        files = [replace(file, layers=layers) if file.scheme == scheme else file for file in files]
    pictures = evidence.thumbnails(np.zeros((200, 16, 16, 3), np.uint8), [7])
    found = Evidence(Answers(evidence.confusion(keras, labels)), answers, pictures)
    result = Verification(
        "pets test (test)", 200, Accuracy(1.0, 1.0, 0.5), tuple(files), None, CHECKPOINT, "d" * 64, evidence=found
    )
    kept_results.keep_verification(VerifyConfig(folder), replace(result, **changes))


def timed(folder: Path, **milliseconds: float) -> None:
    """Keeps a benchmark of this machine in the folder."""
    files = tuple(
        replace(
            TIMING, path=str(folder / f"tiny-pets-{scheme}.tflite"), scheme=scheme, sha256=digest,
            p50_ms=milliseconds[scheme], samples_ms=tuple(milliseconds[scheme] + n / 10 for n in range(9)),
        )
        for scheme, digest in digests(folder).items()
        if scheme in milliseconds
    )  # fmt: skip
    kept_results.keep_benchmark((folder,), Benchmark("A desktop, 2 cores", "LiteRT 9, XNNPACK", files).to_json())


def timed_on_phone(folder: Path, serial: str = "SERIAL", **milliseconds: float) -> None:
    files = tuple(
        PhoneTiming(
            str(folder / f"tiny-pets-{scheme}.tflite"), scheme, digest, delegate, 4, 50, 5.0, 9.0, ms, None, None,
            None, None, 12.5, 30, 30, 1, "all", ("0", "0"), (),
        )
        for scheme, digest in digests(folder).items()
        if scheme in milliseconds
        for delegate, ms in (("xnnpack", milliseconds[scheme]), ("cpu", 9 * milliseconds[scheme]))
    )  # fmt: skip
    phone = Device(serial, "Pixel 99", "16", "arm64-v8a", ("arm64-v8a",))
    result = PhoneBenchmark(
        phone, "benchmark_model", "f" * 64, "PATH", "harness", ("xnnpack",), None, 5, Pushed(), files, ()
    )
    kept_results.keep_phone_benchmark((folder,), result.to_json())


def counted(
    folder: Path, cpus: tuple[str, ...] = ("max", "cortex-a53"), operators: bool = True, **millions: float
) -> None:
    """Keeps the instructions on arm64 in the folder; the oldest processor takes twice as many for integers."""
    files = []
    for scheme, digest in digests(folder).items():
        if scheme not in millions:
            continue
        whole = round(1e6 * millions[scheme])
        counts = tuple(
            InstructionCounts(
                cpu,
                {**dict.fromkeys(KINDS, 0), "load": whole // 2, "other": (whole - whole // 2) * n}, 20, 15, 7,
                (
                    OperatorCount("SUM", 3, None, {"load": whole // 4}),
                    OperatorCount("Add (ND, QS8)", 0, 0, {"other": whole // 4}),
                ) if operators else None,
            )
            for cpu in cpus
            for n in [3 if cpu == "cortex-a53" and scheme == "int8" else 1]
        )  # fmt: skip
        taken, times = Delegation(20, 15, 7), X86Timing(1, 10, 5.0, 321.5, 321.0, 322.0, 1.0)
        path = str(folder / f"tiny-pets-{scheme}.tflite")
        files.append(
            AndroidFile(path, scheme, digest, Delegation(20, 20, 1), taken, counts, times, (1.0,) * len(cpus))
        )
    result = AndroidBenchmark("A desktop, 2 cores", "TFLite 9 for Android", "LiteRT 9", tuple(files))
    kept_results.keep_android((folder,), result.to_json())


def changed(path: Path, change: Callable[[Any], Any]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def reported(folder: Path, **options: Any) -> Report:
    return report(ReportConfig(folder, **options))


@pytest.fixture
def full(make: Make) -> Path:
    """A folder with every kind of result."""
    folder = make()
    verified(folder)
    timed(folder, float32=10, float16=9.9, dynamic=6, int8=4)
    timed_on_phone(folder, float32=8, float16=3, dynamic=2, int8=5)
    counted(folder, float32=100, float16=100, dynamic=80, int8=40)
    (folder / "training.csv").write_text(
        "epoch,accuracy,loss,val_accuracy,val_loss\n1,0.5,1.5,0.4,1.6\n2,0.7,1.0,0.6,1.1\n"
    )
    write_json(folder / "liveness.json", made_documents.liveness())
    write_json(folder / kept_results.ROBUSTNESS, made_documents.robustness(digests(folder)))
    write_json(folder / kept_results.EXPLANATIONS, made_documents.explanations(digests(folder)["int8"], 7))
    return folder


# --- the recommendation ---


@pytest.mark.parametrize(
    ("failed", "desktop", "phone", "expected"),
    [
        ([], {"float32": 10, "float16": 10, "int8": 4}, {}, "int8"),
        # The tiny dynamic file needs a newer TFLite than Android has.
        (["int8"], {"float32": 10, "float16": 9, "dynamic": 1, "int8": 4}, {}, "float16"),
        # As fast to 5 %: the smaller one, though it is not the fastest.
        (["int8"], {"float32": 10, "float16": 10.4, "int8": 4}, {}, "float16"),
        (["int8"], {"float32": 10, "float16": 10.6, "int8": 4}, {}, "float32"),
        # A phone counts more than a desktop.
        ([], {"float32": 10, "float16": 10, "int8": 4}, {"float32": 9, "float16": 2, "int8": 7}, "float16"),
        # Nothing was timed: the smallest.
        ([], {}, {}, "int8"),
    ],
)
def test_of_what_passed_the_fastest_is_recommended_and_of_equals_the_smallest(
    failed: list[str], desktop: dict[str, float], phone: dict[str, float], expected: str, make: Make
) -> None:
    folder = make()
    verified(folder, dict.fromkeys(failed, False))
    if desktop:
        timed(folder, **desktop)
    if phone:
        timed_on_phone(folder, **phone)
    found = recommend(read_export(folder))
    assert (found.verdict, found.file) == ("ship", f"tiny-pets-{expected}.tflite")
    times = phone or desktop
    if times:
        assert f"{times[expected]:.2f} ms on {'Pixel 99' if phone else 'this desktop'}" in found.reason
    assert f"the {3 - len(failed)} that passed" in found.reason
    assert any("A phone may rank the files differently" in warning for warning in found.warnings) == (
        bool(desktop) and not phone
    )


def test_without_a_phone_instructions_on_arm64_rank_the_files_and_the_desktop_does_not(make: Make) -> None:
    folder = make()
    verified(folder)
    timed(folder, float32=10, float16=9, int8=4)
    counted(folder, float32=100, float16=60, int8=90)
    found = recommend(read_export(folder))
    assert found.file == "tiny-pets-float16.tflite"
    assert (
        "the one with the fewest instructions of the 3 that passed: 60.0 million on arm64-v8a (max)"
        in found.reason
    )
    assert "on arm64-v8a it takes 1.7 times fewer instructions than float32 does (max)" in found.reason
    assert "on this desktop this file takes 9.00 ms, float32 10.00 ms" in found.reason
    warnings = " ".join(found.warnings)
    assert "Instructions are not milliseconds" in warnings
    assert "Times are this desktop's" not in warnings
    assert (
        "The order of the files is another on this desktop (int8, float16, float32) than on arm64-v8a (max) "
        "(float16, int8, float32)"
    ) in warnings
    assert (
        "is another on cortex-a53 (float16, float32, int8) than on arm64-v8a (max) (float16, int8, float32)"
    ) in warnings
    timed_on_phone(folder, float32=9, float16=5, int8=3)
    assert recommend(read_export(folder)).file == "tiny-pets-int8.tflite"


def test_files_that_keep_their_order_or_nearly_do_are_no_disagreement(make: Make) -> None:
    folder = make()
    verified(folder)
    timed(folder, float32=10, float16=10.4, int8=4)
    counted(folder, float32=100, float16=99, int8=40)
    assert not any("order of the files" in warning for warning in recommend(read_export(folder)).warnings)


def test_files_of_which_some_were_not_counted_are_ranked_by_time(make: Make) -> None:
    folder = make()
    verified(folder)
    timed(folder, float32=10, float16=9, int8=4)
    counted(folder, float32=100, float16=60)
    found = recommend(read_export(folder))
    assert found.file == "tiny-pets-int8.tflite"
    assert "4.00 ms on this desktop" in found.reason


@pytest.mark.parametrize("operators", [True, False])
def test_instructions_have_columns_a_picture_and_a_table(operators: bool, make: Make) -> None:
    folder = make()
    verified(folder)
    counted(folder, operators=operators, float32=100, float16=100, int8=40)
    result = reported(folder)
    assert '<td data-label="arm64 M">40.0 <small>cortex-a53 80.0 · 0.80</small></td>' in result.text
    assert '<td data-label="÷ float32">0.40</td>' in result.text
    for cpu in ("max", "cortex-a53"):
        title = f"instructions on {cpu}"
        assert f'aria-label="{title}"' in result.text
    assert (">XNNPACK Add</text>" in result.text) == operators
    assert (">load</text>" in result.text) == (not operators)
    assert '<td data-label="x86_64 ms">321.50</td>' in result.text
    assert '<td data-label="delegated on Android">15 of 20, 7 partitions</td>' in result.text
    assert "arm64 M (÷ float32)" in reported(folder, format="markdown").text
    assert "40.0 (0.40)" in reported(folder, format="markdown").text
    files = {file["scheme"]: file["arm64_instructions"] for file in result.to_json()["files"]}
    assert files["int8"] == {"max": 40_000_000, "cortex-a53": 80_000_000}
    assert files["dynamic"] is None
    assert "arm64" not in missing(result.export)


def test_counts_of_a_file_that_has_changed_are_left_out(make: Make) -> None:
    folder = make()
    verified(folder)
    counted(folder, float32=100, int8=40)
    changed(folder / kept_results.ANDROID, lambda document: document["files"][1].update(sha256="0" * 64))
    export = read_export(folder)
    assert [file.scheme for file in export.files if file.android] == ["float32"]
    assert any("results/android.json has figures of tiny-pets-int8.tflite" in note for note in export.notes)


def test_where_nothing_passed_nothing_is_recommended(make: Make) -> None:
    folder = make()
    verified(folder, dict.fromkeys(SCHEMES, False))
    found = recommend(read_export(folder))
    assert (found.verdict, found.file, found.sentence) == ("none", None, "Ship none of these files.")
    assert found.reason.count("loses 0.50 points of top-1") == 3
    assert "tiny-pets-dynamic.tflite: it needs TFLite 2.17.0; Android's newest is 2.16.1." in found.reason


def test_what_was_not_measured_is_named_with_the_command_that_measures_it(make: Make) -> None:
    folder = make()
    result = reported(folder)
    assert result.recommendation.verdict == "unknown"
    document = result.to_json()
    assert list(document["missing"]) == [
        "accuracy", "latency", "arm64", "phone", "layers", "classes", "disagreements", "robustness",
        "calibration", "liveness", "training",
    ]  # fmt: skip
    for command in (
        f"vitconv verify {folder}",
        f"vitconv benchmark {folder}",
        f"vitconv verify {folder} --layers",
    ):
        assert f"<code>{command}</code>" in result.text


def test_a_full_folder_lacks_only_its_calibration(full: Path) -> None:
    assert list(missing(read_export(full))) == ["calibration"]


def test_limits_of_the_user_s_own_are_told(make: Make) -> None:
    folder = make()
    verified(folder)
    changed(folder / kept_results.VERIFY, lambda document: document.update(max_drop=50.0))
    warnings = " ".join(recommend(read_export(folder)).warnings)
    assert "--max-drop 50" in warnings


def guessing(folder: Path, share: float, frequent: int = 40) -> None:
    """Makes the kept verification one of a network that gets `share` of the 200 images right, in its files, too;
    `frequent` of them are of "rose"."""

    def change(document: Any) -> None:
        counts = [80 - frequent, 40, frequent, 40, 40]
        for one in (document["reference"], *document["files"]):
            one.update(top1=share, confusion=[[row, 2, count] for row, count in enumerate(counts)])

    changed(folder / kept_results.VERIFY, change)


@pytest.mark.parametrize(
    ("share", "frequent", "words"),
    [
        (0.20, 40, "drawing lots among 5 classes gives 20.0%"),
        (0.25, 40, "drawing lots among 5 classes gives 20.0%"),  # 19.5 % to 31.4 %: nobody can tell
        (0.02, 40, "drawing lots among 5 classes gives 20.0%"),
        (0.40, 75, 'always answering "rose" gives 37.5%'),
    ],
)
def test_a_network_that_guesses_is_not_to_be_shipped(share: float, frequent: int, words: str, make: Make) -> None:
    folder = make()
    verified(folder)
    guessing(folder, share, frequent)
    found = recommend(read_export(folder))
    assert (found.verdict, found.file, found.sentence) == ("none", None, "Ship none of these files.")
    assert found.reason.startswith(f"Keras itself cannot be told from guessing: its top-1 is {share:.1%} (95 %")
    assert words in found.reason


@pytest.mark.parametrize(("share", "frequent"), [(0.30, 40), (0.46, 75)])
def test_what_is_surely_better_than_guessing_is_shipped(share: float, frequent: int, make: Make) -> None:
    folder = make()
    verified(folder)
    guessing(folder, share, frequent)
    assert recommend(read_export(folder)).verdict == "ship"


def test_too_few_images_to_tell_from_guessing(make: Make) -> None:
    folder = make()
    verified(folder)
    changed(folder / kept_results.VERIFY, lambda document: document.update(limit=3, examples=3))
    changed(
        folder / kept_results.VERIFY, lambda document: document["reference"].update(top1=1 / 3, confusion=None)
    )
    reason = recommend(read_export(folder)).reason
    assert f"Verify on more images: `vitconv verify {folder}` without --limit." in reason


def test_a_file_that_guesses_is_not_shipped_though_a_wide_limit_let_it_pass(make: Make) -> None:
    folder = make()
    verified(folder)
    changed(folder / kept_results.VERIFY, lambda document: document["files"][3].update(top1=0.2))
    assert recommend(read_export(folder)).file == "tiny-pets-float16.tflite"
    changed(folder / kept_results.VERIFY, lambda d: [file.update(top1=0.2) for file in d["files"]])
    found = recommend(read_export(folder))
    assert found.verdict == "none"
    assert "tiny-pets-int8.tflite cannot be told from guessing" in found.reason


# --- what else is in the folder ---


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda folder: (folder / "labels.txt").write_text("daisy\nrose\n"),
            "labels.txt names other classes than",
        ),
        (lambda folder: (folder / "labels.txt").unlink(), "labels.txt is not in the folder"),
        (lambda folder: (folder / "golden" / "0.png").unlink(), "0.png is missing"),
        (lambda folder: (folder / "golden" / "0.png").write_bytes(b"GIF89a"), "0.png"),
        (lambda folder: shutil.rmtree(folder / "golden"), "golden.json"),
    ],
)
def test_nothing_is_shipped_from_a_folder_whose_labels_or_golden_images_were_changed(
    change: Callable[[Path], object], words: str, make: Make
) -> None:
    folder = make()
    verified(folder)
    assert recommend(read_export(folder)).verdict == "ship"
    change(folder)
    result = reported(folder)
    found = result.recommendation
    assert (found.verdict, found.file, found.sentence) == ("none", None, "Ship nothing from this folder.")
    assert words in found.reason
    assert "Ship nothing from this folder." in result.text[: result.text.index('id="files"')]


def test_a_changed_calibration_is_left_out_and_a_changed_history_is_named(full: Path) -> None:
    (full / "calibration.json").write_text("{}")
    entry = {"file": "calibration.json", "sha256": "a" * 64}
    changed(full / "manifest.json", lambda d: d.update(calibration=entry, digests={"training.csv": "b" * 64}))
    result = reported(full)
    assert result.recommendation.verdict == "ship"
    assert result.export.calibration is None
    for name in ("training.csv", "calibration.json"):
        note = f"{name} has changed since the export (its SHA-256 is not the manifest's). Export again."
        assert note in result.recommendation.warnings


# --- the layer that breaks a file ---


def test_the_layer_that_breaks_a_file_is_named_on_top_and_first_among_the_layers(make: Make) -> None:
    folder = make()
    verified(folder, {"int8": False}, layers={"int8": layers_broken_at(3)})
    result = reported(folder)
    assert "block3.mlp breaks tiny-pets-int8.tflite" in result.recommendation.warnings[0]
    assert [file["broken_layers"] for file in result.to_json()["files"]] == [[], [], [], ["block3.mlp"]]
    section = result.text[result.text.index('<section id="layers">') :]
    first = section[: section.index("</p>")]
    assert "block3.mlp breaks tiny-pets-int8.tflite" in first
    assert "culprit" in first
    assert "block3.mlp breaks tiny-pets-int8.tflite" in reported(folder, format="markdown").text.replace("\\", "")


def test_a_layer_that_hardly_gives_anything_is_not_to_blame(make: Make) -> None:
    folder = make()
    dead = [replace(layer, snr_db=0.0, lost_db=27.0) if layer.place == 3 else layer for layer in sound_layers()]
    verified(folder, layers={"int8": tuple(dead)})
    result = reported(folder, format="markdown")
    assert not any("breaks" in warning for warning in result.recommendation.warnings)
    assert "No layer of tiny-pets-int8.tflite is broken" in result.text


# --- results of other contents ---


def test_figures_of_other_contents_are_left_out_and_that_is_said(
    full: Path, tiny_tflite: dict[str, bytes]
) -> None:
    other = tiny_tflite["int8"].replace(b"MLIR Converted.", b"MLIR converted.")
    assert other != tiny_tflite["int8"]
    (full / "tiny-pets-int8.tflite").write_bytes(other)
    digest = hashlib.sha256(other).hexdigest()
    changed(full / "manifest.json", lambda document: document["files"][3].update(sha256=digest))
    result = reported(full)
    int8 = result.to_json()["files"][3]
    assert (int8["top1"], int8["desktop_ms"], int8["phone_ms"]) == (None, None, None)
    for name in ("verify.json", "benchmark.json", "benchmark-SERIAL.json"):
        assert any(
            note.startswith(f"results/{name} has figures of tiny-pets-int8.tflite") for note in result.export.notes
        )
        assert f"results/{name} has figures of" in result.text
    assert result.recommendation.file == "tiny-pets-float16.tflite"


def test_a_file_that_is_not_the_manifest_s_is_never_recommended(full: Path, tiny_tflite: dict[str, bytes]) -> None:
    for scheme in ("dynamic", "int8"):
        (full / f"tiny-pets-{scheme}.tflite").write_bytes(tiny_tflite["float32"])
    (full / "tiny-pets-float16.tflite").unlink()
    result = reported(full)
    assert result.recommendation.file == "tiny-pets-float32.tflite"
    obstacles = [file["obstacle"] or "" for file in result.to_json()["files"]]
    assert ["its SHA-256 is not" in obstacle for obstacle in obstacles] == [False, False, True, True]
    assert "not in the folder" in obstacles[1]


def test_a_verification_of_another_checkpoint_is_left_out(make: Make) -> None:
    folder = make(checkpoint="e" * 64)
    verified(folder)
    result = reported(folder)
    assert result.recommendation.verdict == "unknown"
    assert any("another checkpoint" in note for note in result.export.notes)


# --- the page ---


class Page(HTMLParser):
    """Checks that every element is closed, and gathers what is there."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.shape: list[tuple[str, ...]] = []  # each element's name, and its attributes' names
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attributes)
        self.shape.append((tag, *sorted(values)))
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values[name] or "" for name in ("src", "href", "xlink:href") if name in values]

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else_and_every_section_is_there(full: Path) -> None:
    text = reported(full).text
    page = Page(text)
    assert "script" not in page.tags
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert not re.search(r"url\((?!#)|@import", text)
    sections = (
        "recommendation", "files", "latency", "layers", "classes", "disagreements", "robustness",
        "calibration", "liveness", "training", "graphs", "provenance",
    )  # fmt: skip
    assert [identity for identity in page.ids if identity in sections] == list(sections)
    assert len(page.ids) == len(set(page.ids))
    assert len(text) < 1_000_000
    assert "/home/someone" not in text


def test_names_out_of_files_are_text_and_nothing_else(full: Path) -> None:
    text = reported(full).text
    assert EVIL not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;|`x`&amp;*" in text
    verified(full, layers={"int8": layers_broken_at(3, "evil|<b>_x_`y`\x1b")})
    shown = reported(full, format="markdown").text
    assert r"evil\|\<b\>\_x\_" in shown
    assert "<b>" not in shown
    assert "\x1b" not in shown
    page = Page(reported(full).text)
    assert "b" not in page.tags


def everywhere(value: Any, text: str, kept: tuple[str, ...]) -> Any:
    """A JSON value with `text` at the end of each of its texts but those of the keys `kept`."""
    if isinstance(value, dict):
        return {name: one if name in kept else everywhere(one, text, kept) for name, one in value.items()}
    if isinstance(value, list):
        return [everywhere(one, text, kept) for one in value]
    return value + text if isinstance(value, str) else value


# Whatever could end a text, an attribute, an element, a formula or a template's expression, or steer a terminal.
HOSTILE = (
    '</style></title><script>alert(1)</script>" onerror="alert(1)" x="'
    "' onload='alert(1)' &lt;i&gt; &#60;b&#62;-->]]><!--{{ missing }}{% raw %}{# #}$x^2_{\\frac$"
    "\x00\x07\x1b[31m\x7f\x85\u202e\u2028\n\r\t"
)


def test_no_text_of_any_document_gets_out_of_its_place(full: Path) -> None:
    before = Page(reported(full).text).shape
    kept = (
        "model", "sha256", "checkpoint", "split_digest", "path", "scheme", "resize", "golden", "reasons", "kind",
    )  # fmt: skip
    for name in ("manifest", "liveness", "results/verify", "results/benchmark", "results/benchmark-SERIAL"):
        path = full / f"{name}.json"
        path.write_text(json.dumps(everywhere(json.loads(path.read_text()), HOSTILE, kept)))
    write_labels(full)
    shown = reported(full).text
    assert Page(shown).shape == before
    assert not [char for char in shown if not char.isprintable() and char != "\n"]
    for name in ("daisy", "2 cores", "arm64-v8a", "block3.mlp", "pets test (test)", "block0.attention"):
        assert f"{name}&lt;/style&gt;" in shown


def test_a_template_shows_only_texts() -> None:
    templates = _templates()
    assert templates.from_string("{{ x }}").render(x="<b>\x1b") == "&lt;b&gt;\ufffd"
    assert templates.from_string("{{ x|sentence }}").render(x="Run `a <b>`\n") == "Run <code>a &lt;b&gt;</code>\n"
    for value in (None, 0.25, ("a", "b")):
        with pytest.raises(TypeError, match="no text"):
            templates.from_string("{{ x }}").render(x=value)
    with pytest.raises(UndefinedError, match="'y' is undefined"):
        templates.from_string("{{ y }}").render(x=1)


def test_charts_take_the_page_s_colours_and_keep_text(full: Path) -> None:
    text = reported(full).text
    charts = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    # Accuracy against latency here and on the phone, spread, instructions twice, layers, bad pictures twice,
    # effect, two curves.
    assert len(charts) == 11
    for chart in charts:
        assert "<title>" in chart
        assert "<text" in chart
        assert set(re.findall(r"#[0-9a-f]{6}\b", chart)) <= {"#000000", "#ffffff"}
    assert "var(--s3)" in charts[0]


def test_a_chart_s_labels_stand_inside_it() -> None:
    def draw(axes: Any) -> None:  # its ticks get a decimal where the legend has made it smaller
        for low, high in ((95.3, 98.7), (95.0, 98.5), *[(97.0, 97.0)] * 4):
            axes.plot([0.3] * 2, [low, high], label="a file")
        axes.set_ylabel("accuracy")
        axes.set_xlabel("milliseconds")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=9)

    chart = svg("a chart", draw, height=3.7)
    baseline = re.search(r"rotate\(-90 ([\d.]+) [^>]*>accuracy<", chart)
    assert baseline
    assert float(baseline[1]) > 9  # letters 10 high stand left of it, turned


def test_the_same_folder_gives_the_same_page(full: Path) -> None:
    first = reported(full).text
    assert (full / "report.html").read_text(encoding="utf-8") == first == reported(full).text


def test_the_layers_that_take_part_are_drawn_and_those_that_do_not_are_named(full: Path) -> None:
    section = re.search(r'<section id="liveness">.*?</section>', reported(full).text, re.DOTALL)
    assert section
    text = section[0]
    assert "Of 2 transformer layers, 1 transformer layer has no part in the answers" in text
    assert "block1 (1e-10)" in text
    assert text.count('<strong class="failed">') == 1  # not of the half, which is no layer by itself
    assert "var(--bad)" in text
    assert [name for name in ("block0", "block1", "block0.attention") if f">{name}</text>" in text] == [
        "block0", "block1",
    ]  # fmt: skip
    assert "1 transformer layer has no part" in reported(full, format="markdown").text

    changed(full / "liveness.json", lambda value: value["parts"][3].update(kl_of_mean=0.5))
    text = reported(full).text
    assert "Each of 2 transformer layers takes part in the answers; least block1" in text
    assert "layer has no part" not in text


def test_without_such_a_record_the_report_says_how_to_get_one(full: Path) -> None:
    (full / "liveness.json").unlink()
    result = reported(full)
    assert "`vitconv train` measures it" in missing(result.export)["liveness"]
    assert "does not say which layers take part" in result.text


@pytest.mark.parametrize(
    ("chose", "words"),
    [(True, ", 200 images, which chose the epoch, so new ones will be a little harder"),
     (False, ", 200 images, which chose nothing"), (None, ", 200 images")],
)  # fmt: skip
def test_beside_an_accuracy_stands_whether_its_images_chose_the_epoch(
    full: Path, chose: bool | None, words: str
) -> None:
    def change(document: Any) -> None:
        document["chose_epoch"] = chose
        if chose is None:  # as earlier versions wrote it
            del document["chose_epoch"]

    changed(full / kept_results.VERIFY, change)
    assert f"Accuracy on pets test (test){words}." in reported(full).text
    assert words in reported(full, format="markdown").text.replace("\\", "")


def test_disagreements_show_both_answers_and_the_picture(full: Path) -> None:
    text = reported(full).text
    section = text[text.index('id="disagreements"') :]
    section = section[: section.index("</section>")]
    assert section.count('class="card"') == 1
    assert 'alt="image 7, rose"' in section
    assert "data:image/png;base64," in section
    assert re.search(r"Keras</small> <span class=\"passed\">rose</span> 60%", section)
    assert re.search(r"int8</small> <span class=\"failed\">日本</span> 60%", section)


def test_reasons_are_drawn_beside_both_answers(full: Path) -> None:
    shown = html.unescape(reported(full).text)
    assert shown.count('class="why"') == 1
    assert "Why rose?" in shown
    assert "<figcaption>int8, up to 50 points</figcaption>" in shown
    assert "rank correlation 0.88" in shown
    (full / kept_results.EXPLANATIONS).unlink()
    assert f"<code>vitconv explain {full}</code>" in reported(full).text
    write_json(full / kept_results.EXPLANATIONS, {**made_documents.explanations(), "checkpoint": "9" * 64})
    assert any("results/explanations.json is of another" in note for note in read_export(full).notes)
    assert 'class="why"' not in reported(full).text


def test_a_picture_that_is_none_is_not_taken_in(full: Path) -> None:
    (full / kept_results.DISAGREEMENTS / "7.png").write_bytes(b"<svg onload=alert(1)>")
    text = reported(full).text
    assert "no picture" in text
    assert "data:image/png" not in text


# --- two exports ---


def test_two_exports_side_by_side(make: Make) -> None:
    one, other = make("one"), make("other")
    verified(one)
    verified(other, {"int8": False})
    timed(one, float32=10, float16=10, dynamic=6, int8=4)
    timed(other, float32=10, float16=10, dynamic=6, int8=5.5)
    changed(other / "manifest.json", lambda document: document["dataset"].update(version="2.0"))
    result = reported(one, compare=other)
    document = result.to_json()["comparison"]
    assert document["differences"] == ["data set: pets 1.0 in A, pets 2.0 in B"]
    int8 = document["schemes"][3]
    assert (int8["a"]["desktop_ms"], int8["b"]["desktop_ms"]) == (4, 5.5)
    assert (int8["a"]["passed"], int8["b"]["passed"]) == (True, False)
    assert "+1.50" in result.text[: result.text.index('<section id="files">')]
    Page(result.text)
    shown = reported(one, compare=other, format="markdown").text
    assert "| int8 | desktop ms | 4.00 | 5.50 | +1.50 |" in shown
    assert "Ship tiny-pets-float16.tflite" in shown


# --- the command ---


def test_the_command_writes_the_page_and_says_what_to_ship(call: Call, full: Path, tmp_path: Path) -> None:
    ended = call("report", full)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("Ship tiny-pets-float16.tflite. ")
    assert ended.out.splitlines()[-1] == str(full / "report.html")
    ended = call("report", full, "--out", tmp_path / "x.html", "--json")
    document = json.loads(ended.out)
    assert document["report"] == str(tmp_path / "x.html")
    assert set(document) == {"report", "recommendation", "files", "missing", "notes"}
    assert (tmp_path / "x.html").read_bytes() == (full / "report.html").read_bytes()


def test_markdown_goes_to_standard_output_unless_a_file_is_named(call: Call, full: Path, tmp_path: Path) -> None:
    ended = call("report", full, "--format", "markdown")
    assert ended.status == 0
    assert ended.out.startswith("## tiny on pets\n\n**Ship tiny-pets-float16.tflite.** ")
    assert "| **float16** | passed |" in ended.out
    assert not (full / "report.html").exists()
    call("report", full, "--format", "markdown", "--out", tmp_path / "report.md")
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == ended.out


def test_what_cannot_be_written_leaves_nothing(call: Call, full: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(
        call("report", full, "--out", tmp_path / "file" / "report.html"), f"cannot write into {tmp_path / 'file'}"
    )
    refused(call("report", full, "--compare", tmp_path), "is not an export folder")
    assert not (full / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("verify.json", lambda d: d.pop("examples"), "`examples` is missing"),
        ("verify.json", lambda d: d.update(examples=0), "`examples` must be a whole number at least 1, not 0"),
        (
            "verify.json",
            lambda d: d["files"][0].update(top1=2.0),
            "`files[0].top1` must be a number at most 1.0, not 2.0",
        ),
        ("verify.json", lambda d: d["files"][0].update(top1="<b>"), "`files[0].top1` must be a number, not '<b>'"),
        ("verify.json", lambda d: d["files"][3].update(confusion=[[0, 99, 1]]), "5 classes"),
        (
            "verify.json",
            lambda d: d["files"][3]["layers"][0].update(place="first"),
            "`files[3].layers[0].place` must be a whole number, not 'first'",
        ),
        ("verify.json", lambda d: d.update(files=7), "`files` must be a list, not 7"),
        ("benchmark.json", lambda d: d["files"][0].update(p50_ms=-1), "no time above 0"),
        ("benchmark.json", lambda d: d.update(files={}), "`files` must be a list, not {}"),
        ("benchmark-SERIAL.json", lambda d: d["files"][0].pop("sha256"), "without the file's SHA-256"),
    ],
)
def test_a_result_that_is_none_is_refused_by_name(
    name: str, change: Callable[[Any], Any], words: str, full: Path
) -> None:
    changed(full / "results" / name, change)
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        reported(full)
    assert name in str(caught.value)
    assert "`vitconv " in str(caught.value)
    assert not (full / "report.html").exists()


def test_half_a_result_is_refused(call: Call, full: Path) -> None:
    path = full / kept_results.VERIFY
    path.write_bytes(path.read_bytes()[:300])
    refused(call("report", full), "it is no JSON", "verify.json")


# --- what verify and benchmark keep ---


def classes_of(folder: Path, *known: TrainedClass) -> None:
    """Puts classes.json into the folder as an export does."""
    classes.write(folder, known)
    digest = hashlib.sha256((folder / "classes.json").read_bytes()).hexdigest()
    changed(folder / "manifest.json", lambda document: document.update(digests={"classes.json": digest}))


def test_classes_that_training_or_validation_never_saw_are_named_and_the_others_have_their_accuracy(
    full: Path,
) -> None:
    one, two, three, four, five = LABELS
    known = [TrainedClass(one, True, 4, 4), TrainedClass(two, True, 8, 2), TrainedClass(three, False, 3, 0)]
    classes_of(full, *known, TrainedClass(four, False), TrainedClass(five, True, 0, 0))
    result = reported(full)
    warning = f"Training had no picture of {three}, {four}: no file can name them."
    assert warning in result.recommendation.warnings
    section = result.text[result.text.index('<section id="training">') :]
    section = section[: section.index("</section>")]
    assert f"No training picture is of {three}, {four}: no file can name them." in section
    assert f"No validation picture is of {five}: how well it was learnt is not known." in section
    rows = re.findall(r'<th scope="row">(.*?)</th><td>(\d+)</td><td>(.*?)</td>', section)
    rows = [tuple(map(html.unescape, row)) for row in rows]
    assert rows == [(three, "3", "0%"), (two, "8", "25%"), (one, "4", "100%")]  # the lowest first
    assert warning in reported(full, format="markdown").text


def test_a_report_without_classes_shows_none_and_one_without_a_history_only_them(full: Path, make: Make) -> None:
    assert "of each class" not in reported(full).text
    other = make("other")
    classes_of(other, *(TrainedClass(label, True, 2, 1) for label in LABELS))
    text = reported(other).text
    assert "Validation accuracy of each class" in text
    assert "The checkpoint has no history" in text
    (other / "classes.json").write_text("{}")  # changed since: left out, and named
    result = reported(other)
    assert "Validation accuracy of each class" not in result.text
    assert any("classes.json has changed since the export" in note for note in result.recommendation.warnings)


def test_classes_that_no_verified_image_is_of_are_named(full: Path) -> None:
    def change(document: Any) -> None:
        for one in (document["reference"], *document["files"]):
            one["confusion"] = [row for row in one["confusion"] if row[0] != 2]

    assert "No image is of" not in reported(full).text
    changed(full / kept_results.VERIFY, change)
    assert f"No image is of {LABELS[2]}: nothing is known of it here." in reported(full).text


def test_somebody_else_s_report_html_is_not_replaced_and_one_of_ours_is(call: Call, full: Path) -> None:
    assert call("report", full).status == 0
    first = (full / "report.html").read_text()
    assert call("report", full).status == 0
    assert (full / "report.html").read_text() == first
    (full / "report.html").write_text("<html><title>My thesis</title></html>")
    refused(call("report", full), f"{full / 'report.html'} is no report of vitconv's, and would be replaced")
    assert "My thesis" in (full / "report.html").read_text()
    assert call("report", full, "--out", full / "report.html").status == 0  # who names it means it
    assert (full / "report.html").read_text() == first


def test_results_and_report_wait_for_another_command_s_and_say_so_where_it_does_not_end(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(full)
    monkeypatch.setattr(kept_results, "_WAIT_S", 0.1)
    monkeypatch.setattr(report_module, "_WAIT_S", 0.1)
    with writing(full / "results"), writing(full / "report.html"):
        for write in (lambda: timed(full, int8=1.0), lambda: verified(full), lambda: reported(full)):
            with pytest.raises(OutputError, match="another vitconv is writing into"):
                write()
    assert digests(full) == before
    reported(full)


def test_an_export_that_is_written_does_not_keep_results_out(full: Path) -> None:
    """It leaves the folder's results alone, and may take minutes."""
    with writing(full):
        timed(full, int8=1.0)


def test_a_phone_s_serial_becomes_a_safe_name(make: Make) -> None:
    folder = make()
    timed_on_phone(folder, "../192.168.0.7:5555", int8=5)
    assert [path.name for path in (folder / "results").iterdir()] == ["benchmark-.._192.168.0.7_5555.json"]
    assert reported(folder).to_json()["files"][3]["phone_ms"] == 5


def test_verify_and_benchmark_keep_what_the_report_shows(call: Call, digits_export: Path) -> None:
    """A real export whose int8 file was broken in one layer: whoever sees only the report can tell which."""
    for scheme in ("float16", "dynamic", "int8-hybrid"):  # each would take its time
        (digits_export / f"mobilevit_xxs-digits-{scheme}.tflite").unlink()
    changed(digits_export / "manifest.json", lambda document: document.update(files=document["files"][::3]))
    layer = break_int8(digits_export)
    ended = call("verify", digits_export, "--layers", "--limit", 60, "--json")
    assert ended.status == 1
    kept = json.loads((digits_export / kept_results.VERIFY).read_text())
    for name, value in json.loads(ended.out).items():
        if name not in ("files", "reference"):
            assert kept[name] == value
    assert (digits_export / kept_results.VERIFY).stat().st_size < 1_000_000
    matrix = kept["reference"]["confusion"]
    assert sum(images for _, _, images in matrix) == 60
    right = sum(images for label, answer, images in matrix if label == answer)
    assert right / 60 == kept["reference"]["top1"]
    int8 = kept["files"][1]
    assert len(int8["disagreements"]) == evidence.IMAGES
    for one in int8["disagreements"]:
        assert (digits_export / kept_results.DISAGREEMENTS / f"{one['index']}.png").is_file()
    assert call("benchmark", digits_export, "--runs", 3).status == 0
    ended = call("report", digits_export, "--json")
    assert (ended.status, ended.err) == (0, "")
    document = json.loads(ended.out)
    assert document["recommendation"]["file"] == "mobilevit_xxs-digits-float32.tflite"
    assert f"{layer} breaks mobilevit_xxs-digits-int8.tflite" in " ".join(document["recommendation"]["warnings"])
    assert document["files"][1]["broken_layers"][0] == layer  # then, perhaps, what it feeds
    assert list(document["missing"]) == ["arm64", "phone", "explanations", "robustness"]
    text = (digits_export / "report.html").read_text(encoding="utf-8")
    Page(text)
    assert len(text) < 3_000_000
    assert f"{layer} breaks" in text[text.index('id="layers"') :][:400]


def break_int8(folder: Path, layer: str = "stage2.mobilevit.transformer0.mlp1") -> str:
    """Makes the steps of one layer's kernel eight times as wide as they are."""
    path = folder / "mobilevit_xxs-digits-int8.tflite"
    data = path.read_bytes()
    model = flatbuffer.parse(data, path.name)
    (graph,) = model.subgraphs
    (operator,) = (
        operator
        for operator in graph.operators
        if layer_of(flatbuffer.text(graph.tensors[int(operator.outputs[0])].name)) == layer
        and any(len(flatbuffer.tensor_shape(graph.tensors[int(i)])) > 1 and graph.tensors[int(i)].quantization
                and _constant(model, graph.tensors[int(i)]) for i in operator.inputs if i >= 0)
    )  # fmt: skip
    kernel = graph.tensors[int(operator.inputs[1])]
    kernel.quantization.scale = np.asarray(kernel.quantization.scale) * 8
    described = metadata_of(data)
    assert described
    path.write_bytes(with_metadata(flatbuffer.serialize(model), described))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    changed(folder / "manifest.json", lambda document: document["files"][-1].update(sha256=digest))
    return layer


def _constant(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def test_where_the_folder_cannot_be_written_the_result_is_shown_all_the_same(
    call: Call, digits_export: Path
) -> None:
    (digits_export / "results").write_text("a file where the folder should be")
    ended = call("benchmark", digits_export, "--runs", 1, "--json")
    assert ended.status == 0
    assert len(json.loads(ended.out)["files"]) == 5
    assert "could not be saved for `vitconv report`: cannot write" in ended.err


# --- the images on which a file and Keras disagree ---


def test_disagreements_are_ordered_and_nan_is_as_far_as_can_be() -> None:
    keras = np.array([[0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.8, 0.2], [0.7, 0.3]])
    actual = np.array([[0.6, 0.4], [0.4, 0.6], [0.6, 0.4], [np.nan, 0.5], [0.1, 0.9]])
    found = evidence.disagreements(actual, keras, np.zeros(5, int))
    assert [one.index for one in found] == [3, 4, 1, 0]  # another answer first; what is equal not at all
    assert [round(one.distance, 6) for one in found] == [1.0, 0.6, 0.2, 0.3]
    assert (found[0].file, found[1].file) == (None, evidence.Answer(1, 0.9))
    assert evidence.confusion(actual, np.zeros(5, int)).tolist() == [[2, 2], [0, 0]]


@pytest.mark.parametrize(("side", "expected"), [(256, 96), (32, 96), (28, 84), (96, 96)])
def test_thumbnails_are_small_and_not_too_small(side: int, expected: int) -> None:
    import io

    (data,) = evidence.thumbnails(np.zeros((1, side, side, 3), np.uint8), [0]).values()
    assert Image.open(io.BytesIO(data)).size == (expected, expected)
