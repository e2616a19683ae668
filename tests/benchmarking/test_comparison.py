"""Two benchmark documents side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import Call, refused
from vitconv.benchmarking.comparison import compare

A, B = "a" * 64, "b" * 64


def entry(path: str, sha256: str | None, p50: float | None, **more: Any) -> dict[str, Any]:
    values = {"path": path, "sha256": sha256, "threads": 1, "p50_ms": p50, "mean_ms": 4.0, "peak_memory_mb": 10.0}
    return {**values, **more}


def document(*files: dict[str, Any], machine: str = "A desktop", **more: Any) -> dict[str, Any]:
    return {"machine": machine, "runtime": "a runtime", "files": list(files), **more}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(name: str, value: Any) -> Path:
        path = tmp_path / name
        text = value if isinstance(value, (str, bytes)) else json.dumps(value)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_a_desktop_and_a_phone(call: Call, write: Any) -> None:
    desktop = write("desktop.json", document(entry("x/m-int8.tflite", A, 2.0), entry("x/only.tflite", B, 1.0)))
    phone = write(
        "phone.json",
        document(
            entry("/y/m-int8.tflite", A, 5.0, delegate="xnnpack", threads=1),
            entry("/y/m-int8.tflite", A, 1.0, delegate="gpu", threads=1),
            machine="A phone",
            device={"serial": "R58M"},
        ),
    )
    ended = call("benchmark", "--compare", desktop, phone, "--json")
    assert ended.status == 0, ended.err
    result = json.loads(ended.out)
    assert result["a"] == "A desktop, a runtime"
    assert [(pair["name"], pair["statistic"], pair["ratio"]) for pair in result["pairs"]] == [
        ("m-int8.tflite", "p50_ms", 2.5)
    ]
    assert (result["only_a"], result["only_b"]) == (["only.tflite"], [])
    text = call("benchmark", "--compare", desktop, phone).out
    assert "A: A desktop, a runtime\nB: A phone, a runtime\n" in text
    assert "xnnpack, 1t  xnnpack, 1t  p50  2.00  5.00   2.50  10.0  10.0" in text
    assert "only in A: only.tflite" in text


def test_one_way_each_is_a_pair_whatever_the_settings(write: Any) -> None:
    one = write("1.json", document(entry("m.tflite", A, None)))
    other = write("2.json", document(entry("m.tflite", A, 3.0, delegate="gpu", threads=4, mean_ms=2.0)))
    (pair,) = compare(one, other).pairs
    assert (pair.a, pair.b) == ("xnnpack, 1t", "gpu, 4t")
    assert (pair.statistic, pair.a_ms, pair.b_ms, pair.ratio) == ("mean_ms", 4.0, 2.0, 0.5)


def test_a_mean_and_a_median_cannot_be_compared(call: Call, write: Any) -> None:
    mean = write("1.json", document(entry("m.tflite", A, None)))
    median = write("2.json", document(entry("m.tflite", A, 3.0, mean_ms=None)))
    refused(call("benchmark", "--compare", mean, median), "m.tflite has only a mean in one")
    (pair,) = compare(median, median).pairs
    assert (pair.statistic, pair.ratio) == ("p50_ms", 1.0)


def test_several_phones_are_paired_by_serial(write: Any) -> None:
    def phones(*serials: str) -> dict[str, Any]:
        return {
            "phones": [document(entry("m.tflite", A, float(len(one))), device={"serial": one}) for one in serials]
        }

    result = compare(write("1.json", phones("a", "bb")), write("2.json", phones("bb", "cccc")))
    (pair,) = result.pairs
    assert (pair.a, pair.b, pair.ratio) == ("bb, xnnpack, 1t", "bb, xnnpack, 1t", 1.0)


@pytest.mark.parametrize(("digest", "words"), [(B, "are different files"), (None, "may be different files")])
def test_different_models_are_not_compared_silently(
    call: Call, write: Any, digest: str | None, words: str
) -> None:
    one = write("1.json", document(entry("m.tflite", A, 2.0)))
    other = write("2.json", document(entry("m.tflite", digest, 3.0)))
    refused(call("benchmark", "--compare", one, other), "m.tflite in", words, "--force")
    ended = call("benchmark", "--compare", one, other, "--force")
    assert ended.status == 0
    assert "other contents" in ended.out
    assert not compare(one, other, force=True).pairs[0].same_model


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no JSON", "it is no JSON"),
        ("[1]", "it must be a JSON object, not [1]"),
        ({"machine": "x", "runtime": "y"}, "`files` is missing"),
        (document({"path": "m.tflite", "threads": 1, "mean_ms": 0}), "has no time above 0"),
        (document({"path": "m.tflite", "threads": 1, "mean_ms": "fast"}), "`files[0].mean_ms` must be a number"),
        (document({"path": "m.tflite", "threads": 1, "mean_ms": 4.0, "p50_ms": 0}), "has no time above 0"),
        (document({"path": "m.tflite", "threads": 1}), "has no time above 0"),
        ({"phones": [document(entry("m.tflite", A, 1.0))] * 2}, "does not say which"),
        ({"phones": 3}, "`phones` must be a list, not 3"),
        ("[" * 100_000, "nested too deep"),
        ("\ud800".encode("utf-8", "surrogatepass"), "it is no UTF-8 text"),
        (document(), "have no model in common"),
        (document(entry("other.tflite", A, 1.0)), "have no model in common. In A: m.tflite; in B: other.tflite"),
    ],
)
def test_what_cannot_be_compared(call: Call, write: Any, value: Any, words: str) -> None:
    good = write("good.json", document(entry("m.tflite", A, 2.0)))
    refused(call("benchmark", "--compare", good, write("bad.json", value)), words)


def test_a_missing_document(call: Call, tmp_path: Path) -> None:
    refused(call("benchmark", "--compare", tmp_path / "x.json", tmp_path / "y.json"), "there is no file", "x.json")
