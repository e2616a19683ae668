"""What a benchmark measures, in which order, and what it reports."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from itertools import pairwise
from math import comb
from pathlib import Path

import numpy as np
import pytest

from vitconv.benchmarking import benchmark as benchmarking
from vitconv.benchmarking.benchmark import (
    BenchmarkConfig,
    benchmark,
    machine,
    median_interval,
    round_order,
)
from vitconv.foundation.errors import InputError, ModelFileError
from vitconv.runtimes.litert import Runner


@pytest.fixture
def folder(tmp_path: Path, tiny_tflite: dict[str, bytes]) -> Path:
    """An export folder with three files."""
    for scheme in ("float32", "dynamic", "int8"):
        (tmp_path / f"tiny-digits-{scheme}.tflite").write_bytes(tiny_tflite[scheme])
    (tmp_path / "labels.txt").write_text("tulip\n")
    return tmp_path


def test_a_folder_stands_for_its_files_and_every_field_is_filled(folder: Path) -> None:
    result = benchmark(BenchmarkConfig((folder,), threads=2, runs=8, warmup=2))
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert document["machine"] == machine()
    assert document["runtime"].startswith("ai-edge-litert 2.")
    assert document["runtime"].endswith(", XNNPACK")
    assert [Path(one["path"]).name for one in document["files"]] == [
        "tiny-digits-dynamic.tflite",
        "tiny-digits-float32.tflite",
        "tiny-digits-int8.tflite",
    ]
    assert [one["scheme"] for one in document["files"]] == ["dynamic", "float32", "int8"]
    for one, timing in zip(document["files"], result.files, strict=True):
        assert (one["threads"], one["runs"], len(timing.samples_ms)) == (2, 8, 8)
        assert "samples_ms" not in one
        assert 0 < one["min_ms"] <= one["p50_low_ms"] <= one["p50_ms"] <= one["p50_high_ms"]
        assert one["p50_ms"] <= one["p90_ms"] <= one["p95_ms"]
        assert one["init_ms"] > 0
        assert one["first_ms"] > 0
        assert one["peak_memory_mb"] is None or one["peak_memory_mb"] > 0
        assert 0 < one["delegated_nodes"] <= one["nodes"]
        assert one["partitions"] >= 1


def test_every_round_runs_every_file_once_and_the_first_run_is_kept_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    measured: list[float] = []
    real = Runner.time_ms

    def noted(self: Runner) -> float:
        order.append(self.path.name)
        measured.append(real(self))
        return measured[-1]

    monkeypatch.setattr(Runner, "time_ms", noted)
    told: list[tuple[str, int, int]] = []
    result = benchmark(BenchmarkConfig((folder,), runs=4, warmup=2), lambda *step: told.append(step))
    names = [Path(timing.path).name for timing in result.files]
    assert order[:3] == names
    rounds = [order[start : start + 3] for start in range(3, len(order), 3)]
    assert rounds == [[names[index] for index in round_order(3, number)] for number in range(6)]
    assert [timing.first_ms for timing in result.files] == measured[:3]
    for timing in result.files:
        name = Path(timing.path).name
        own = [value for at, value in zip(order, measured, strict=True) if at == name]
        assert list(timing.samples_ms) == own[3:]
    assert told == [
        *(("loading", number, 3) for number in (1, 2, 3)),
        *(("warming up", number, 2) for number in (1, 2)),
        *(("timing", number, 4) for number in (1, 2, 3, 4)),
    ]


def test_no_place_in_a_round_belongs_to_one_file() -> None:
    rounds = [round_order(4, number) for number in range(400)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in rounds)
    assert rounds == [round_order(4, number) for number in range(400)]
    places = Counter((place, index) for order in rounds for place, index in enumerate(order))
    followers = Counter(pair for order in rounds for pair in pairwise(order))
    assert min(places.values()) > 70  # 100 each would be even
    assert min(followers.values()) > 70
    assert len(followers) == 12


def test_percentiles_of_a_known_series(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first run and two warm-up rounds, then 1 … 100 in an order of no meaning.
    series = [900.0, 800.0, 700.0, *(float(1 + 37 * number % 100) for number in range(100))]
    monkeypatch.setattr(Runner, "time_ms", lambda self: series.pop(0))
    path = folder / "tiny-digits-float32.tflite"
    (timing,) = benchmark(BenchmarkConfig((path,), runs=100, warmup=2)).files
    assert timing.first_ms == 900
    assert (timing.min_ms, timing.mean_ms) == (1, 50.5)
    assert (timing.p50_ms, timing.p90_ms, timing.p95_ms) == pytest.approx((50.5, 90.1, 95.05))
    assert (timing.p50_low_ms, timing.p50_high_ms) == (40, 61)


@pytest.mark.parametrize("count", [6, 7, 10, 50, 99, 500])
def test_the_interval_of_the_median_keeps_its_promise(count: int) -> None:
    low, high = median_interval(np.arange(1, count + 1)[::-1])
    k = int(low)
    assert high == count + 1 - k
    missed = sum(comb(count, below) for below in range(k)) / 2**count
    assert 1 - 2 * missed >= 0.95
    assert k == 1 or 1 - 2 * missed < 0.985, "the interval is wider than it needs to be"


def test_the_interval_of_few_runs_is_their_extremes() -> None:
    assert median_interval(np.array([3.0])) == (3, 3)
    assert median_interval(np.array([3.0, 9.0, 1.0])) == (1, 9)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"paths": ()}, "nothing to benchmark"),
        ({"threads": 0}, "threads must be 1 to 256, not 0"),
        ({"runs": 0}, "runs must be 1 to 1000000, not 0"),
        ({"runs": 10**30}, "runs must be 1 to 1000000, not 1000"),
        ({"warmup": -1}, "warmup must be 0 to 1000000, not -1"),
    ],
)
def test_a_wrong_config_is_named(values: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        BenchmarkConfig(**{"paths": (Path("a.tflite"),), **values})


def test_what_cannot_be_benchmarked_is_named(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(InputError, match=r"no \.tflite file in"):
        benchmark(BenchmarkConfig((empty,)))
    with pytest.raises(ModelFileError, match="there is no model file"):
        benchmark(BenchmarkConfig((folder, folder / "absent.tflite")))
    (folder / "broken.tflite").write_bytes(b"no flatbuffer")
    with pytest.raises(ModelFileError, match=r"broken\.tflite cannot be run"):
        benchmark(BenchmarkConfig((folder,)))


def test_ctrl_c_closes_every_worker(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runners: list[Runner] = []

    class Noted(Runner):
        def __enter__(self) -> Runner:
            runners.append(self)
            return super().__enter__()

    def interrupt(what: str, done: int, total: int) -> None:
        if (what, done) == ("timing", 2):
            raise KeyboardInterrupt

    monkeypatch.setattr(benchmarking, "Runner", Noted)
    with pytest.raises(KeyboardInterrupt):
        benchmark(BenchmarkConfig((folder,)), interrupt)
    assert len(runners) == 3
    assert all(runner._process.poll() is not None for runner in runners)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_a_worker_that_waits_takes_no_processor_time(folder: Path) -> None:
    with Runner(folder / "tiny-digits-float32.tflite", threads=2) as runner:

        def processor_seconds() -> float:
            fields = Path(f"/proc/{runner._process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        runner.time_ms()
        before = processor_seconds()
        time.sleep(0.5)
        # One thread that spins would take 0.5 s.
        assert processor_seconds() - before < 0.1


@pytest.mark.parametrize(
    ("cpuinfo", "words"),
    [
        ("model name\t: A Chip\nflags\t\t: fpu avx2 avx512f avx512_vnni\n", "A Chip with AVX-512 VNNI, "),
        ("model name\t: A Chip\nflags\t\t: fpu sse avx2\n", "A Chip with AVX2, "),
        ("model name\t: A Chip\nflags\t\t: fpu sse\n", "A Chip, "),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp\n", " with dot product, "),
    ],
)
def test_the_machine_is_named_with_what_makes_integers_fast(
    cpuinfo: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_: cpuinfo)
    assert words in machine()
