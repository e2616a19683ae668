"""The runner's contract: what the interpreter says, and an error instead of a crash."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import vitconv.runtimes.litert
from shared import made_once
from vitconv.foundation.errors import InputError, MissingToolError, ModelFileError
from vitconv.runtimes.litert import Runner
from vitconv.runtimes.worker import count_delegated, receive, send

SCHEMES = ("float32", "float16", "dynamic", "int8")
LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
POSIX = pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")


@pytest.fixture
def files(tmp_path: Path, tiny_tflite: dict[str, bytes]) -> dict[str, Path]:
    """Scheme → its file."""
    paths = {scheme: tmp_path / f"tiny-digits-{scheme}.tflite" for scheme in SCHEMES}
    for scheme, path in paths.items():
        path.write_bytes(tiny_tflite[scheme])
    return paths


@pytest.fixture(scope="session")
def odd_tflite() -> dict[str, bytes]:
    """Two graphs that are no classifiers of this package's kind.

    mixed: MUL, CUMSUM, SUB, SOFTMAX on [1, 4, 4, 3]; XNNPACK takes all but CUMSUM. vector: MUL on [1, 4].
    """
    return _converted()


@made_once
def _converted() -> dict[str, bytes]:
    with warnings.catch_warnings():
        # TensorFlow warns about its own and NumPy's deprecations while it is imported and converts.
        warnings.simplefilter("ignore")
        import tensorflow as tf

        def convert(function: object, shape: tuple[int, ...]) -> bytes:
            module = tf.Module()
            module.call = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32)])
            concrete = [module.call.get_concrete_function()]
            return bytes(tf.lite.TFLiteConverter.from_concrete_functions(concrete, module).convert())

        return {
            "mixed": convert(lambda x: tf.nn.softmax(tf.cumsum(x * 0.5, axis=1) - 3.0), (1, 4, 4, 3)),
            "vector": convert(lambda x: x * 0.5, (1, 4)),
        }


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)


def interpreted(content: bytes, pictures: np.ndarray) -> np.ndarray:
    """What the interpreter gives in this process."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for picture in pictures:
        interpreter.set_tensor(source["index"], picture[None].astype(source["dtype"]))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target["index"])[0])
    return np.stack(rows)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_run_gives_exactly_what_the_interpreter_gives(
    scheme: str, files: dict[str, Path], tiny_tflite: dict[str, bytes], pictures: np.ndarray
) -> None:
    expected = interpreted(tiny_tflite[scheme], pictures)
    with Runner(files[scheme]) as runner:
        outputs = runner.run(pictures)
        again = runner.run(pictures.astype(np.float32))
    assert outputs.dtype == expected.dtype
    np.testing.assert_array_equal(outputs, expected)
    np.testing.assert_array_equal(again, expected)


def test_the_tensors_are_described(files: dict[str, Path]) -> None:
    with Runner(files["int8"]) as runner:
        (source,), (target,) = runner.inputs, runner.outputs
    assert (source.shape, source.dtype) == ((1, 16, 16, 3), "uint8")
    assert source.scale == pytest.approx(1.0, rel=1e-5)
    assert (target.shape, target.dtype) == ((1, 5), "uint8")
    assert (target.scale, target.zero_point) == (1 / 256, 0)
    with Runner(files["float32"]) as runner:
        assert (runner.inputs[0].dtype, runner.inputs[0].scale, runner.inputs[0].zero_point) == (
            "float32",
            None,
            None,
        )


def test_probabilities_are_dequantized(files: dict[str, Path], pictures: np.ndarray) -> None:
    with Runner(files["int8"]) as runner:
        raw, probabilities = runner.run(pictures), runner.probabilities(pictures)
    assert probabilities.dtype == np.float32
    np.testing.assert_array_equal(probabilities, raw.astype(np.float32) / 256)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=5 / 256)


def test_float_pixels_are_rounded_and_clipped_for_a_uint8_input(
    files: dict[str, Path], pictures: np.ndarray
) -> None:
    pixels = pictures.astype(np.float32)
    pixels[pictures == 0] = -7
    pixels[pictures == 255] = 300
    with Runner(files["int8"]) as runner:
        np.testing.assert_array_equal(runner.run(pixels + np.float32(0.4)), runner.run(pictures))


def test_no_images_give_no_rows(files: dict[str, Path]) -> None:
    with Runner(files["float32"]) as runner:
        assert runner.run(np.zeros((0, 16, 16, 3), np.uint8)).shape == (0, 5)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((1, 16, 12, 3), np.uint8), r"\[1, 16, 12, 3\] .* \[N, 16, 16, 3\]"),
        (np.zeros((16, 16, 3), np.uint8), r"\[16, 16, 3\]"),
        (np.zeros((1, 16, 16, 3), np.float64), "float64"),
    ],
)
def test_images_that_do_not_fit_are_named(files: dict[str, Path], images: np.ndarray, words: str) -> None:
    with Runner(files["float32"]) as runner, pytest.raises(InputError, match=words):
        runner.run(images)


def test_a_model_that_is_no_classifier_of_images_can_be_timed_but_not_run(
    tmp_path: Path, odd_tflite: dict[str, bytes]
) -> None:
    vector, mixed = tmp_path / "vector.tflite", tmp_path / "mixed.tflite"
    vector.write_bytes(odd_tflite["vector"])
    mixed.write_bytes(odd_tflite["mixed"])
    with Runner(vector) as runner:
        assert runner.time_ms() > 0
        with pytest.raises(ModelFileError, match=r"takes float32 \[1, 4\], not one image"):
            runner.run(np.zeros((1, 16, 16, 3), np.uint8))
    with Runner(mixed) as runner, pytest.raises(ModelFileError, match=r"gives float32 \[1, 4, 4, 3\], not"):
        runner.run(np.zeros((1, 4, 4, 3), np.uint8))


def test_times_and_memory_are_measured_in_the_worker(files: dict[str, Path]) -> None:
    with Runner(files["float32"]) as runner:
        start = time.perf_counter()
        inside = runner.time_ms()
        assert 0 < inside < (time.perf_counter() - start) * 1000
        assert runner.init_ms > 0
        memory = runner.peak_memory_mb
    # The test's own process holds TensorFlow, 500 MiB and more: none of that may be counted.
    assert memory is None or 0 < memory < 100


def test_delegated_nodes_are_counted_as_the_runtime_counts_them(
    tmp_path: Path, odd_tflite: dict[str, bytes], files: dict[str, Path]
) -> None:
    mixed = tmp_path / "mixed.tflite"
    mixed.write_bytes(odd_tflite["mixed"])
    with Runner(mixed) as runner:
        assert (runner.nodes, runner.delegated_nodes, runner.partitions) == (4, 3, 3)
    with Runner(mixed, xnnpack=False) as runner:
        assert (runner.nodes, runner.delegated_nodes, runner.partitions) == (4, 0, 1)
    with Runner(files["float32"]) as runner:
        assert runner.delegated_nodes == runner.nodes > 3
        assert runner.partitions == 1
        nodes = runner.nodes
    with Runner(files["float32"], xnnpack=False) as runner:
        assert (runner.nodes, runner.delegated_nodes) == (nodes, 0)


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ("", (0, 0, 0)),
        ("ccc", (3, 0, 1)),
        ("xxx", (3, 3, 1)),
        ("cxx", (3, 2, 2)),
        ("xxc", (3, 2, 2)),
        ("cxxcxc", (6, 3, 5)),
        ("xcxcx", (5, 3, 5)),
    ],
)
def test_partitions_count_the_parts_on_both_sides(sides: str, expected: tuple[int, int, int]) -> None:
    # A chain: node i reads tensor i and a weight, and writes tensor i + 1. x is delegated, c stays.
    weight = 1000
    ops = [{"op_name": "ADD", "inputs": [i, weight + i, -1], "outputs": [i + 1]} for i in range(len(sides))]
    starts = [i for i, side in enumerate(sides) if side == "x" and sides[i - 1 : i] != "x"]
    for start in starts:
        end = start + len(sides[start:].split("c")[0])
        weights = [weight + i for i in range(start, end)]
        ops.append({"op_name": "DELEGATE", "inputs": [start, *weights], "outputs": [end]})
    assert tuple(count_delegated(ops).values()) == expected


def test_a_hundred_corrupt_files_give_a_result_or_an_error(
    tmp_path: Path, tiny_tflite: dict[str, bytes], pictures: np.ndarray
) -> None:
    random = np.random.default_rng(11)
    path = tmp_path / "corrupt.tflite"
    refusals = []
    for number in range(100):
        content = bytearray(tiny_tflite[SCHEMES[number % len(SCHEMES)]])
        if number % 10 == 0:
            content = content[: random.integers(len(content))]
        else:
            for position in random.integers(0, len(content), (1, 1, 1, 2, 8)[number % 5]):
                content[position] = random.integers(256)
        path.write_bytes(content)
        try:
            # A file that hangs its worker is one of the cases; two seconds are twenty times a usual start.
            with Runner(path, timeout=2.0) as runner:
                outputs = runner.run(pictures[:1])
                assert outputs.shape[0] == 1
        except InputError as error:
            refusals.append(str(error))
    assert all(str(path) in refusal and "\n" not in refusal for refusal in refusals)
    assert 20 <= len(refusals) <= 95, "the corruptions are too weak or too strong to show anything"


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    empty, junk = tmp_path / "empty.tflite", tmp_path / "junk.tflite"
    empty.touch()
    junk.write_bytes(bytes(range(256)) * 8)
    for path in (tmp_path / "absent.tflite", tmp_path):
        with pytest.raises(ModelFileError, match="there is no model file"):
            Runner(path)
    for path in (empty, junk):
        with pytest.raises(ModelFileError, match=r"cannot be run: the runtime says: .* export it again"):
            Runner(path)


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_a_thread_count_out_of_range_is_named(files: dict[str, Path], threads: int) -> None:
    with pytest.raises(InputError, match=f"1 to 256, not {threads}"):
        Runner(files["float32"], threads=threads)


@POSIX
@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT"])
def test_a_worker_that_dies_is_reported_with_its_signal(
    files: dict[str, Path], pictures: np.ndarray, name: str
) -> None:
    with Runner(files["float32"]) as runner:
        runner._process.send_signal(signal.Signals[name])
        with pytest.raises(ModelFileError, match=f"worker that ran it died of {name}"):
            runner.run(pictures)
        with pytest.raises(ModelFileError, match=f"can no longer be run: its worker died of {name}"):
            runner.time_ms()


@POSIX
def test_a_worker_that_hangs_is_stopped(files: dict[str, Path]) -> None:
    with Runner(files["float32"]) as runner:
        runner._timeout = 0.5  # only now: a busy machine may need longer to start the worker
        runner._process.send_signal(signal.SIGSTOP)
        start = time.perf_counter()
        # More than a pipe holds: the write hangs, not only the read.
        with pytest.raises(
            ModelFileError,
            match=r"did not answer within 0\.5 s and was stopped\. Try again where the machine was busy",
        ):
            runner._ask({"do": "run", "dtype": "uint8"}, bytes(1 << 20))
        assert time.perf_counter() - start < 5
        assert not is_running(runner._process.pid)


def test_a_closed_runner_says_so(files: dict[str, Path], pictures: np.ndarray) -> None:
    runner = Runner(files["float32"])
    runner.close()
    runner.close()
    with pytest.raises(ModelFileError, match="was closed"):
        runner.run(pictures)


def test_a_missing_runtime_is_not_blamed_on_the_file(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "path"
    broken.mkdir()
    (broken / "ai_edge_litert.py").write_text("raise ImportError('no such wheel')")
    monkeypatch.syspath_prepend(str(broken))
    with pytest.raises(MissingToolError, match=r"no such wheel.*pip install ai-edge-litert"):
        Runner(files["float32"])


@LINUX
def test_the_worker_is_confined_and_holds_no_tensorflow(files: dict[str, Path]) -> None:
    with Runner(files["float32"]) as runner:
        process = Path(f"/proc/{runner._process.pid}")
        limits = {line[:25].strip(): line.split() for line in (process / "limits").read_text().splitlines()}
        maps = (process / "maps").read_text()
    assert str(8 << 30) in limits["Max address space"]
    assert limits["Max core file size"][4] == "0"
    assert "ai_edge_litert" in maps
    assert "/tensorflow/" not in maps


def test_the_worker_finds_its_modules_wherever_the_parent_found_them(
    files: dict[str, Path], tmp_path: Path
) -> None:
    root = Path(vitconv.runtimes.litert.__file__).parents[2]
    (tmp_path / "json.py").write_text("raise RuntimeError('the current folder is no place for modules')")
    code = (
        f"import sys; sys.path.append({str(root)!r})\n"
        "from pathlib import Path\n"
        "from vitconv.runtimes.litert import Runner\n"
        f"with Runner(Path({files['float32'].name!r})) as runner: print(runner.nodes > 0)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("True", "")


@POSIX
def test_ctrl_c_ends_the_worker_quietly(files: dict[str, Path]) -> None:
    root = Path(vitconv.runtimes.litert.__file__).parents[2]
    code = f"""
        import sys; sys.path.append({str(root)!r})
        from pathlib import Path
        from vitconv.runtimes.litert import Runner
        try:
            with Runner(Path({str(files["float32"])!r})) as runner:
                print(runner._process.pid, flush=True)
                while True:
                    runner.time_ms()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    command = [sys.executable, "-X", "dev", "-c", textwrap.dedent(code)]
    # A session of its own is what a terminal's foreground job is: Ctrl-C goes to parent and worker alike.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        time.sleep(0.1)
        os.killpg(parent.pid, signal.SIGINT)
        out, err = parent.communicate(timeout=10)
    assert (out, err) == ("interrupted\n", "")
    assert not is_running(worker)


def test_a_message_survives_the_pipe() -> None:
    stream = io.BytesIO()
    send(stream, {"name": "größe\n"}, b"\x00\xff" * 3)
    send(stream, {})
    whole = stream.getvalue()
    stream.seek(0)
    assert receive(stream) == ({"name": "größe\n"}, b"\x00\xff" * 3)
    assert receive(stream) == ({}, b"")
    assert receive(stream) is None
    assert receive(io.BytesIO(whole[:20])) is None
    for rubbish in (b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]", b"\x02\0\0\0\0\0\0\0\xff{"):
        with pytest.raises(ValueError, match=r"."):
            receive(io.BytesIO(rubbish))
