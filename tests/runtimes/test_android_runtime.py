"""Android's own TensorFlow Lite library on this machine: what it gives, and what must turn its check red.

Skipped, with the reason, where the library cannot be had or its programs cannot be run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from commands import Call, refused
from converted import converted, float_graph, images
from shipped import shipped_export
from vitconv.conversion import schemes
from vitconv.evaluation.other_runtimes.android import AndroidCheck, AndroidVerification, verify_android
from vitconv.exporting import golden, manifest
from vitconv.foundation.disk.files import sha256
from vitconv.foundation.errors import InputError, MissingToolError, ModelFileError, UnknownNameError
from vitconv.quantization.ranges import measure_ranges, with_ranges
from vitconv.runtimes.android import libraries
from vitconv.runtimes.android.runner import AndroidRunner
from vitconv.runtimes.litert import Runner
from vitconv.tflite import flatbuffer

ABIS = ("x86_64", "arm64-v8a")
SCHEMES = ("float32", "float16", "dynamic", "int8")


@cache
def lacking(abi: str) -> str | None:
    """Why the ABI cannot be run here. Asked once: without a network Maven takes its time to say so."""
    try:
        libraries.folder(abi)
    except MissingToolError as error:
        return str(error)
    return None


def ready(abi: str) -> Path:
    """The ABI's folder, or a skipped test."""
    if reason := lacking(abi):
        pytest.skip(reason)
    return libraries.folder(abi)


@pytest.fixture(scope="module", params=ABIS)
def abi(request: pytest.FixtureRequest) -> str:
    ready(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def eanet(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Scheme → EANet's file."""
    folder = tmp_path_factory.mktemp("eanet")
    paths = {scheme: folder / f"eanet-{scheme}.tflite" for scheme in SCHEMES}
    for scheme, path in paths.items():
        path.write_bytes(converted("eanet", scheme))
    return paths


def keep_golden(export: Path, count: int) -> None:
    """Leaves the first golden images: an emulated processor takes its time."""
    document = json.loads((export / golden.FILE).read_text())
    (export / golden.FILE).write_text(json.dumps({**document, "images": document["images"][:count]}))
    document = json.loads((export / manifest.MANIFEST).read_text())
    document["digests"][golden.FILE] = sha256(export / golden.FILE)
    (export / manifest.MANIFEST).write_text(json.dumps(document))


@pytest.fixture
def small_export(digits_export: Path) -> Path:
    keep_golden(digits_export, 2)
    return digits_export


def keep(folder: Path, scheme: str) -> Path:
    """Leaves one scheme in the manifest; its file."""
    document = json.loads((folder / "manifest.json").read_text())
    (entry,) = (file for file in document["files"] if file["scheme"] == scheme)
    path = folder / entry["path"]
    (folder / "manifest.json").write_text(
        json.dumps({**document, "files": [{**entry, "bytes": path.stat().st_size, "sha256": sha256(path)}]})
    )
    return path


def checked(folder: Path, *abis: str) -> tuple[AndroidCheck, ...]:
    return verify_android(folder, manifest.read(folder), abis or ("x86_64",))


# --- the runner ---


@pytest.mark.parametrize("xnnpack", [True, False])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_file_gives_what_litert_gives(scheme: str, xnnpack: bool, abi: str, eanet: dict[str, Path]) -> None:
    pictures = images("eanet", 1)
    with Runner(eanet[scheme], xnnpack=xnnpack) as runner:
        expected = runner.probabilities(pictures)
    with AndroidRunner(eanet[scheme], abi=abi, xnnpack=xnnpack) as android:
        assert (android.inputs, android.outputs) == (runner.inputs, runner.outputs)
        actual = android.probabilities(pictures)
        again = android.probabilities(pictures.astype(np.float32))
    np.testing.assert_array_equal(actual, again)
    # Measured: 3e-7 in float, with activations quantized on the fly 4e-4 on an EPYC with AVX2 and 1.1e-3 on a Xeon
    # with AVX-512 VNNI (a kernel whose scale is off by a fifth: 7e-3, in the median of 32), 3 steps of 1/256
    # in int8 (these weights are no trained ones, and harder).
    limit = {"float32": 1e-5, "float16": 1e-5, "dynamic": 2e-3, "int8": 4 / 256}[scheme]
    np.testing.assert_allclose(actual, expected, atol=limit, rtol=0)
    assert actual.std() > 0.02
    if xnnpack:
        assert 0 < android.delegated_nodes <= android.nodes
        assert android.partitions > 1
    else:
        assert (android.delegated_nodes, android.partitions) == (0, 1)
        assert android.nodes == runner.nodes


@pytest.mark.parametrize("keep_float", [(), ("BATCH_MATMUL", "SOFTMAX")])
def test_quantized_files_that_multiply_activations_run_with_xnnpack(
    keep_float: tuple[str, ...], abi: str, tmp_path: Path
) -> None:
    """XNNPACK of this release takes no BATCH_MATMUL, float or int8: TFLite's kernel runs between its parts."""
    from tensorflow.lite.python.convert import _types_pb2, mlir_quantize

    graph = float_graph("mobilevit_xxs", "float32")
    graph = with_ranges(graph, measure_ranges(graph, images("mobilevit_xxs", 4)))
    path = tmp_path / "matmul.tflite"
    path.write_bytes(
        mlir_quantize(
            graph.data,
            fully_quantize=False,
            inference_type=_types_pb2.QUANTIZED_INT8,
            denylisted_ops=list(keep_float),
        )
    )
    model = flatbuffer.parse(path.read_bytes(), "matmul")
    assert "BATCH_MATMUL" in {flatbuffer.operator_name(code) for code in model.operatorCodes}
    pictures = images("mobilevit_xxs", 1)
    litert = []
    for xnnpack in (True, False):
        with Runner(path, xnnpack=xnnpack) as runner:
            litert.append(runner.probabilities(pictures))
    # As the check of exports has it: these weights are no trained ones, and LiteRT's own two ways differ by 0.04.
    spread = np.abs(litert[0] - litert[1]).max()
    assert spread < 0.1
    with AndroidRunner(path, abi=abi, xnnpack=True) as android:
        assert 0 < android.delegated_nodes < android.nodes
        np.testing.assert_allclose(android.probabilities(pictures), litert[0], atol=2 * spread + 2 / 256, rtol=0)


def test_a_refusal_names_the_op_the_abi_and_the_delegate(
    abi: str, tiny_tflite: dict[str, bytes], tmp_path: Path
) -> None:
    # TensorFlow's own dynamic-range file has dense weights with a scale per channel, which 2.16.1 does not know.
    path = tmp_path / "dynamic.tflite"
    path.write_bytes(tiny_tflite["dynamic"])
    with pytest.raises(
        ModelFileError, match=rf"on {abi} without XNNPACK: the runtime says: .*'FULLY_CONNECTED' version '12'"
    ):
        AndroidRunner(path, abi=abi, xnnpack=False)


def test_a_file_that_crashes_the_runtime_is_an_error_that_names_where(
    abi: str, eanet: dict[str, Path], tmp_path: Path
) -> None:
    """Scales so far apart that TFLite's integer addition finds no multiplier: it ends the process there."""
    model = flatbuffer.parse(eanet["int8"].read_bytes(), "eanet")
    graph = model.subgraphs[0]
    names = [flatbuffer.operator_name(code) for code in model.operatorCodes]
    add = next(operator for operator in graph.operators if names[operator.opcodeIndex] == "ADD")
    graph.tensors[add.outputs[0]].quantization.scale = [1e-12]
    path = tmp_path / "crash.tflite"
    path.write_bytes(flatbuffer.serialize(model))
    with pytest.raises(ModelFileError, match=rf"on {abi} without XNNPACK: the worker that ran it died of SIGABRT"):
        AndroidRunner(path, abi=abi, xnnpack=False)


def test_corrupt_files_give_a_result_or_an_error(tiny_tflite: dict[str, bytes], tmp_path: Path) -> None:
    ready("x86_64")
    random = np.random.default_rng(5)
    path = tmp_path / "corrupt.tflite"
    refusals = []
    for number in range(40):
        content = bytearray(tiny_tflite["int8" if number % 2 else "float32"])
        if number % 10 == 0:
            content = content[: random.integers(len(content))]
        for position in random.integers(0, len(content), 4):
            content[position] = random.integers(256)
        path.write_bytes(content)
        try:
            with AndroidRunner(path, abi="x86_64", xnnpack=number % 3 == 0, timeout=5) as android:
                android.run(np.zeros((1, 16, 16, 3), np.uint8))
        except InputError as error:
            refusals.append(str(error))
    assert all(str(path) in refusal and "\n" not in refusal for refusal in refusals)
    assert 5 <= len(refusals) < 40


def test_a_hanging_process_is_stopped(eanet: dict[str, Path]) -> None:
    ready("x86_64")
    with AndroidRunner(eanet["float32"], abi="x86_64", xnnpack=True) as android:
        android._timeout = 0.5
        android._process.send_signal(signal.SIGSTOP)
        with pytest.raises(ModelFileError, match=r"on x86_64 with XNNPACK: .* did not answer within 0\.5 s"):
            android.run(images("eanet", 1))


# --- the check of an export folder ---


def test_an_export_passes_on_every_abi_with_and_without_xnnpack(tmp_path: Path) -> None:
    """The shipped EANet: what a session trains comes out otherwise on each processor, and not always as robust."""
    ready("x86_64")
    abis = tuple(abi for abi in ABIS if not lacking(abi))
    shutil.copytree(shipped_export("eanet"), tmp_path / "export")
    keep_golden(tmp_path / "export", 3)
    result = AndroidVerification(checked(tmp_path / "export", *abis), {})
    assert result.passed, [check for check in result.checks if not check.passed]
    assert len(result.checks) == len(schemes.SCHEMES) * len(abis) * 2
    document = result.to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert set(document["android"][0]) == {
        "path", "scheme", "abi", "xnnpack", "max_abs_error", "max_steps", "nodes", "delegated_nodes", "partitions",
        "passed", "reasons",
    }  # fmt: skip
    for check in result.checks:
        assert (check.max_steps is not None) == check.scheme.startswith("int8")


def test_a_float_file_with_a_dropped_layer_fails(small_export: Path) -> None:
    ready("x86_64")
    path = keep(small_export, "float32")
    path.write_bytes(drop_head(path.read_bytes()))
    for check in checked(small_export):
        assert not check.passed
        assert "in a probability, more than 0.0001" in check.reasons[0]


def drop_head(data: bytes) -> bytes:
    """The same file with a last layer of zeros."""
    model = flatbuffer.parse(data, "model")
    for tensor in model.subgraphs[0].tensors:
        buffer = model.buffers[tensor.buffer]
        if flatbuffer.tensor_shape(tensor) == (10, 320) and buffer.data is not None:
            buffer.data = flatbuffer.data_vector(bytes(len(buffer.data)))
    return flatbuffer.serialize(model)


class OtherPixels(AndroidRunner):
    """As an app would that feeds its model half the brightness."""

    def run(self, images: np.ndarray) -> np.ndarray:
        return super().run((images // 2).astype(images.dtype))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_wrong_pixels_fail_with_every_scheme(
    scheme: str, digits_export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready("x86_64")
    keep(digits_export, scheme)
    monkeypatch.setattr("vitconv.evaluation.other_runtimes.android.AndroidRunner", OtherPixels)
    for check in checked(digits_export):
        assert not check.passed
        words = "steps from LiteRT's output, more than" if scheme == "int8" else "in a probability, more than"
        assert words in check.reasons[0]


def test_a_file_that_android_refuses_fails_with_the_reason(
    small_export: Path, tiny_tflite: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready("x86_64")
    path = keep(small_export, "float32")
    path.write_bytes(tiny_tflite["dynamic"])
    pictures = np.zeros((1, 16, 16, 3), np.uint8)
    monkeypatch.setattr(golden, "read", lambda folder: (pictures, np.full((1, 5), 0.2)))
    for check in checked(small_export):
        assert not check.passed
        assert (check.max_abs_error, check.nodes) == (None, None)
        assert "FULLY_CONNECTED" in check.reasons[0]


def test_the_command_verifies_on_android_and_fails_a_broken_file(
    call: Call, small_export: Path, digits_checkpoint: Path
) -> None:
    ready("x86_64")
    keep(small_export, "float32")
    how = ("verify", small_export, "--checkpoint", digits_checkpoint, "--limit", 2, "--runtime", "android")
    ended = call(*how)
    assert ended.status == 0, ended
    assert "Android's own runtime" in ended.out
    assert "x86_64" in ended.out
    ended = call(*how, "--json")
    document = json.loads(ended.out)
    assert document["passed"] is True
    assert {check["abi"] for check in document["android"]} | set(document["android_skipped"]) == set(ABIS)
    answers = json.loads((small_export / golden.FILE).read_text())
    answers["images"][0]["probabilities"].reverse()
    (small_export / golden.FILE).write_text(json.dumps(answers))
    ended = call(*how, "--json")
    assert ended.status == 1
    assert json.loads(ended.out)["passed"] is False


# --- what is missing is named ---


def only(tmp_path: Path, *programs: str) -> str:
    """A PATH with these programs alone."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in programs:
        found = shutil.which(program)
        if not found:
            pytest.skip(f"{program} is not installed")
        (folder / program).symlink_to(found)
    return str(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="Android's library runs on Linux only")
@pytest.mark.parametrize(
    ("abi", "there", "words"),
    [
        ("x86_64", (), r"gcc, .* apt install gcc libc6-dev"),
        ("x86_64", ("gcc",), r"mvn, .* apt install maven"),
        ("arm64-v8a", ("gcc",), r"qemu-aarch64, .* apt install qemu-user"),
        ("arm64-v8a", ("qemu-aarch64",), r"aarch64-linux-gnu-gcc, .* apt install gcc-aarch64-linux-gnu"),
    ],
)
def test_a_missing_tool_is_named_with_its_package(
    abi: str, there: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", only(tmp_path, *there))
    monkeypatch.setenv("VITCONV_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingToolError, match=words):
        libraries.folder(abi)
    assert not list((tmp_path / "cache").glob("**/*.so"))


def test_another_abi_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"armeabi-v7a.*arm64-v8a, x86_64"):
        libraries.folder("armeabi-v7a")


def test_a_changed_aar_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready("x86_64")
    monkeypatch.setenv("VITCONV_CACHE", str(tmp_path))
    monkeypatch.setattr(libraries, "_AAR_SHA256", "0" * 64)
    with pytest.raises(MissingToolError, match=r"2\.16\.1\.aar whose SHA-256 .* is not the published one"):
        libraries.folder("x86_64")


def test_without_qemu_the_command_says_what_to_install_and_goes_on(
    call: Call, small_export: Path, digits_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready("x86_64")
    keep(small_export, "float32")
    monkeypatch.setenv("PATH", only(tmp_path, "gcc", "mvn"))
    ended = call("verify", small_export, "--checkpoint", digits_checkpoint, "--limit", 2, "--runtime", "android")
    assert ended.status == 0, ended
    assert "arm64-v8a was skipped: qemu-aarch64" in ended.out
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("VITCONV_CACHE", str(tmp_path / "cache"))
    refused(call("verify", small_export, "--runtime", "android"), "apt install gcc")


# --- for other programs ---


def test_the_module_prints_a_folder_that_loads_the_library() -> None:
    folder = ready("x86_64")
    printed = subprocess.run(
        [sys.executable, "-m", "vitconv.runtimes.android", "--abi", "x86_64"], capture_output=True, text=True
    )
    assert (printed.stdout, printed.stderr) == (f"{folder}\n", "")
    code = "import ctypes; l = ctypes.CDLL('libtensorflowlite_jni.so'); l.TfLiteVersion.restype = ctypes.c_char_p"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(l.TfLiteVersion().decode())"],
        env={**os.environ, "LD_LIBRARY_PATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.returncode) == ("2.16.1\n", 0), done.stderr
