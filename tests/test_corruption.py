"""Exported files with wrong bytes in them: always a result or one message, never a traceback, a hang or a crash.

Wrong bytes among the weights change an answer, elsewhere they break the file, so each kind gets its share.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import Call, refused, run
from graphs import inspect_bytes, metadata_of, with_metadata
from vitconv.benchmarking.benchmark import BenchmarkConfig, benchmark
from vitconv.cli.benchmark import benchmark_table
from vitconv.cli.check import inspection_text
from vitconv.conversion import schemes
from vitconv.data.pictures.images import ImageSpec
from vitconv.evaluation.parity import compare
from vitconv.foundation.disk.files import sha256
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.runtimes.litert import Runner
from vitconv.tflite import flatbuffer
from vitconv.tflite.metadata import ModelMetadata

SCHEMES = ("float32", "dynamic", "int8")
FILES = 510
BENCHMARKED, VERIFIED = 80, 45  # of them, each in a process of its own
SECONDS = 30  # for one file, on a machine that is busy with other things; whole ones take a quarter of one


@dataclass(frozen=True)
class Whole:
    """A sound file, and what it takes and gives."""

    data: bytes
    scheme: str
    size: int
    classes: int


LARGE = 8  # one file in so many is of a network with hundreds of operators, the others of one with a few


@pytest.fixture(scope="module")
def whole(exported_digits: Path, tiny_tflite: dict[str, bytes]) -> list[tuple[Whole, list[int]]]:
    """The files that are corrupted, in turn, and where each has its structure."""
    labels = tuple("abcde")
    found = []
    for number in range(LARGE):
        for scheme in SCHEMES:
            if number:
                said = ModelMetadata("tiny", "A tiny one.", "1", "we", "none", labels, ImageSpec(16, 16))
                found.append(Whole(with_metadata(tiny_tflite[scheme], said), scheme, 16, len(labels)))
            else:
                data = (exported_digits / f"mobilevit_xxs-digits-{scheme}.tflite").read_bytes()
                found.append(Whole(data, scheme, 32, 10))
    places = {one.data: structure_of(one.data) for one in found}
    return [(one, places[one.data]) for one in found]


@pytest.fixture(scope="module")
def corrupt(whole: list[tuple[Whole, list[int]]]) -> list[bytes]:
    """The same files each time: a third of each scheme, cut off, with bytes missing, or with bytes changed."""
    rng = random.Random(20)
    files = []
    for number in range(FILES):
        one, places = whole[number % len(whole)]
        data = bytearray(one.data)
        kind = rng.random()
        if kind < 0.1:
            del data[rng.randrange(len(data)) :]
        elif kind < 0.15:
            start = rng.randrange(len(data))
            del data[start : start + rng.choice((1, 4, 100, 5000))]
        else:
            anywhere = kind < 0.35
            for _ in range(rng.choice((1, 1, 1, 3, 10, 100))):
                place = rng.randrange(len(data)) if anywhere else rng.choice(places)
                data[place] = rng.choice((rng.randrange(256), 0, 255, data[place] ^ 1 << rng.randrange(8)))
        files.append(bytes(data))
    return files


def structure_of(data: bytes) -> list[int]:
    """The positions of the bytes that are not weights."""
    outside = np.ones(len(data), bool)
    base = np.frombuffer(data, np.uint8).ctypes.data
    for buffer in flatbuffer.parse(data, "whole").buffers:
        if buffer.data is not None and len(buffer.data) > 64:
            start = buffer.data.ctypes.data - base
            outside[start : start + len(buffer.data)] = False
    return [int(place) for place in np.flatnonzero(outside)]


def check_document(value: Any) -> None:
    json.dumps(value, allow_nan=False)


def check_message(error: InputError, name: str) -> None:
    message = str(error)
    assert name in message
    assert "\n" not in message
    assert len(message) < 800


def outcomes(work: Callable[[int], str], numbers: range) -> list[str]:
    """Does the work for each number, two at a time, and checks that none takes long."""

    def timed(number: int) -> str:
        start = time.monotonic()
        outcome = work(number)
        assert time.monotonic() - start < SECONDS, f"file {number}"
        return outcome

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(timed, numbers))


def test_inspect_takes_any_file(corrupt: list[bytes]) -> None:
    def inspect(number: int) -> str:
        try:
            result = inspect_bytes(corrupt[number], "corrupt.tflite")
        except ModelFileError as error:
            check_message(error, "corrupt.tflite")
            return "refused"
        check_document(result.to_json())
        assert inspection_text(result, 80).startswith("corrupt.tflite")
        return "read"

    seen = outcomes(inspect, range(FILES))
    assert min(seen.count("read"), seen.count("refused")) > FILES / 5, "too weak or too strong to show anything"


def test_benchmark_takes_any_file(corrupt: list[bytes], tmp_path: Path) -> None:
    def measure(number: int) -> str:
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(corrupt[number])
        try:
            result = benchmark(BenchmarkConfig((path,), runs=1, warmup=0))
        except InputError as error:
            check_message(error, str(path))
            return "refused"
        check_document(result.to_json())
        benchmark_table(result, 80)
        return "timed"

    seen = outcomes(measure, range(BENCHMARKED))
    assert min(seen.count("timed"), seen.count("refused")) > BENCHMARKED / 5


def test_verification_takes_any_file(
    corrupt: list[bytes], whole: list[tuple[Whole, list[int]]], tmp_path: Path
) -> None:
    def verify(number: int) -> str:
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(corrupt[number])
        one, _ = whole[number % len(whole)]
        limits = schemes.find(one.scheme).limits
        pixels = np.random.default_rng(0).integers(0, 256, (2, one.size, one.size, 3)).astype(np.uint8)
        expected = np.full((2, one.classes), 1 / one.classes, np.float32)
        try:
            with Runner(path) as runner:
                answers = runner.probabilities(pixels)
            result = compare(path.name, "corrupt", answers, expected, np.array([3, 4]), limits)
        except InputError as error:
            check_message(error, path.name)
            return "refused"
        check_document({name: value for name, value in vars(result).items() if name != "reasons"})
        return "compared"

    seen = outcomes(verify, range(BENCHMARKED, BENCHMARKED + VERIFIED))
    assert min(seen.count("compared"), seen.count("refused")) > VERIFIED / 5


# --- by the command, with the manifest's digest made to fit, so that the bytes reach the runtime ---


def put(folder: Path, scheme: str, data: bytes) -> Path:
    """Makes `data` the only file of the export folder."""
    document = json.loads((folder / "manifest.json").read_text())
    (entry,) = (entry for entry in document["files"] if entry["scheme"] == scheme)
    path = folder / entry["path"]
    path.write_bytes(data)
    entry["sha256"] = sha256(path)
    (folder / "manifest.json").write_text(json.dumps({**document, "files": [entry]}))
    return path


def largest_buffers(data: bytes, count: int) -> list[slice]:
    """Where the most weights are."""
    buffers = [buffer.data for buffer in flatbuffer.parse(data, "whole").buffers if buffer.data is not None]
    first = np.frombuffer(data, np.uint8).ctypes.data
    starts = [(one.ctypes.data - first, len(one)) for one in sorted(buffers, key=len)[-count:]]
    return [slice(start, start + length) for start, length in starts]


def test_weights_that_are_no_numbers_fail_verification(call: Call, digits_export: Path) -> None:
    data = bytearray((digits_export / "mobilevit_xxs-digits-float32.tflite").read_bytes())
    (place,) = largest_buffers(bytes(data), 1)
    data[place] = b"\xff" * (place.stop - place.start)
    put(digits_export, "float32", bytes(data))
    ended = call("verify", digits_export, "--limit", "8", "--json")
    assert ended.status == 1
    (file,) = json.loads(ended.out)["files"]
    assert not file["passed"]
    assert file["reasons"]


def test_wrong_weights_fail_verification(call: Call, digits_export: Path) -> None:
    data = bytearray((digits_export / "mobilevit_xxs-digits-int8.tflite").read_bytes())
    for place in largest_buffers(bytes(data), 2):  # of one convolution, which is written as a sum of two
        data[place] = random.Random(3).randbytes(place.stop - place.start)
    put(digits_export, "int8", bytes(data))
    ended = call("verify", digits_export, "--limit", "60", "--json")
    assert ended.status == 1
    (file,) = json.loads(ended.out)["files"]
    assert any("top-1" in reason for reason in file["reasons"])


@pytest.mark.parametrize("damage", ["cut", "operator", "metadata"])
def test_a_broken_file_with_the_right_digest_is_refused_by_name(
    damage: str, call: Call, digits_export: Path
) -> None:
    data = (digits_export / "mobilevit_xxs-digits-int8.tflite").read_bytes()
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "operator":
        model = flatbuffer.parse(data, "whole")
        operators = model.subgraphs[0].operators
        other = next(one.opcodeIndex for one in operators if one.opcodeIndex != operators[0].opcodeIndex)
        operators[0].opcodeIndex = other
        described = metadata_of(data)
        assert described
        data = with_metadata(flatbuffer.serialize(model), described)
    else:
        data = data.replace(b"PK\x01\x02", b"PK\xff\x02")
    path = put(digits_export, "int8", data)
    ended = call("verify", digits_export, "--limit", "8", "--json")
    refused(ended, path.name, "the runtime says" if damage == "operator" else "")


def test_the_real_command_refuses_corrupt_files(corrupt: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "corrupt.tflite"
    for number in range(4):
        path.write_bytes(corrupt[number])
        for command in ("inspect", "benchmark"):
            ended = run(command, path, "--json", *(("--runs", 1) if command == "benchmark" else ()))
            if ended.status == 0:
                assert json.loads(ended.out)
            else:
                refused(ended, str(path))
