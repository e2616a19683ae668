"""The cheapest file that keeps a limit: by stand-ins in every order, and of the digits network from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest

from commands import Call, Ended, refused
from handmade import Handmade
from vitconv.conversion import schemes
from vitconv.exporting import manifest
from vitconv.exporting.cheapest import search as searching
from vitconv.exporting.cheapest.limits import AccuracyLimit, Search, Shown
from vitconv.exporting.cheapest.pictures import Pictures
from vitconv.exporting.cheapest.search import Candidate, search
from vitconv.reporting.reading import read_export
from vitconv.tflite.graph import Graph

OUTCOMES = {"k": "kept", "b": "broken", "u": "unsure"}


def graph(operators: int, weights: int) -> Graph:
    """So many operators cost instructions, and so many weights cost bytes."""
    made = Handmade()
    tensor = made.tensor(1, 4, 4, 3, name="image")
    added = made.constant(np.zeros((1, 1, 1, max(3, 3 * weights))))
    for number in range(operators):
        other = made.tensor(1, 4, 4, 3, name=f"t{number}")
        made.operator("LOGISTIC", [tensor, added], [other])
        tensor = other
    return made.graph([tensor])


def candidate(scheme: str, operators: int, weights: int = 1, name: str = "", broken: str = "") -> Candidate:
    return Candidate(name or scheme, schemes.find(scheme), graph(operators, weights), None, broken)


class Asked:
    """Files whose outcome and error are known, by their number of operators."""

    def __init__(self, known: dict[int, tuple[str, float]]) -> None:
        self.known, self.judged = known, list[int]()

    def __call__(self, graph: Graph, pictures: Pictures, limit: AccuracyLimit) -> Asked:
        self.now = len(graph.model.subgraphs[0].operators)
        self.error, self.asked = self.known[self.now][1], 50
        return self

    def __enter__(self) -> Asked:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def judge(self) -> Shown:
        self.judged.append(self.now)
        return Shown(OUTCOMES[self.known[self.now][0]], 0.97, (0.96, 0.98), 0.1, (-0.2, 0.4))  # type: ignore[arg-type]


def searched(
    monkeypatch: pytest.MonkeyPatch,
    files: list[Candidate],
    known: dict[int, tuple[str, float]],
    limit: AccuracyLimit | None = None,
) -> tuple[str, dict[str, str], list[int]]:
    """What was taken, every file's outcome, the cheapest first, and which were judged, by their operators."""
    asked = Asked(known)
    monkeypatch.setattr(searching, "Asking", asked)
    nothing = np.zeros((0, 1, 1, 3), np.uint8)
    pictures = Pictures(nothing, np.zeros((0, 5)), np.zeros(0, np.int64), True, ("train",))
    chosen, found = search(limit or AccuracyLimit(0.5), files, pictures)
    assert found.chosen == chosen.name
    return chosen.name, {one.name: one.outcome for one in found.tried}, asked.judged


FILES = [
    candidate("float32", 9),
    candidate("int8", 1, 5),
    candidate("dynamic", 6, 2),
    candidate("int8-hybrid", 3, 6),
]


def test_the_cheapest_file_that_keeps_the_limit_is_taken_and_no_dearer_one_is_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {1: ("b", 0.3), 3: ("k", 0.2), 6: ("k", 0.1)}
    taken, outcomes, judged = searched(monkeypatch, FILES, known)
    assert taken == "int8-hybrid"
    assert list(outcomes.items()) == [
        ("int8", "broken"), ("int8-hybrid", "kept"), ("dynamic", "dearer"), ("float32", "dearer"),
    ]  # fmt: skip
    assert judged == [1, 3]


def test_the_smallest_comes_first_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {1: ("k", 0.3), 3: ("k", 0.2), 6: ("k", 0.1)}
    limit = AccuracyLimit(0.5, cheapest="smallest")
    taken, outcomes, judged = searched(monkeypatch, FILES, known, limit)
    assert taken == "int8"
    assert [one for one in outcomes if one != "float32"] == ["int8", "int8-hybrid", "dynamic"]
    assert judged == [1]


def test_where_nothing_keeps_it_float32_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, outcomes, _ = searched(monkeypatch, FILES, {1: ("u", 0.3), 3: ("b", 0.2), 6: ("u", 0.1)})
    assert (taken, outcomes["float32"]) == ("float32", "kept")


def test_what_costs_more_and_errs_more_than_a_file_that_failed_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, outcomes, judged = searched(monkeypatch, FILES, {1: ("u", 0.2), 3: ("k", 0.25), 6: ("k", 0.1)})
    assert outcomes == {"int8": "unsure", "int8-hybrid": "skipped", "dynamic": "kept", "float32": "dearer"}
    assert judged == [1, 6]


def test_a_file_that_breaks_a_promise_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [candidate("int8", 1, broken="it computes in float"), *FILES[2:], FILES[0]]
    taken, outcomes, judged = searched(monkeypatch, files, {3: ("k", 0.2), 6: ("k", 0.1)})
    assert (taken, outcomes["int8"], judged) == ("int8-hybrid", "unfit", [3])


def test_the_found_file_is_exported_with_its_limit_and_verify_and_report_know_it(
    call: Call, digits_checkpoint: Path, calibrate_command: tuple[Path, Ended], tmp_path: Path
) -> None:
    out = tmp_path / "cheap"
    ranges = ("--calibration", calibrate_command[0])
    ended = call("export", digits_checkpoint, "--max-drop", 6, "--out", out, "--json", *ranges)
    assert ended.status == 0, ended.err
    (entry,) = json.loads(ended.out)["files"]
    found = manifest.read(out).files[0].search
    assert isinstance(found, Search)
    assert (found.limit, found.labelled) == (AccuracyLimit(6.0), True)
    assert found.found.scheme == entry["scheme"]
    assert found.found.outcome == "kept"
    assert found.found.shown
    assert found.found.shown.top1_drop_interval
    assert found.found.shown.top1_drop_interval[1] <= 6
    assert {one.scheme for one in found.tried} == set(schemes.SCHEMES)
    costs = [one.instructions for one in found.tried]
    assert costs[:-1] == sorted(costs[:-1])
    assert found.sentence in " ".join(ended.err.split())
    assert [path.name for path in out.glob("*.tflite")] == [entry["path"]]
    assert not any("test" in source for source in found.sources)

    # Verify judges by this limit, and says so where it is broken.
    document = json.loads((out / "manifest.json").read_text())
    ended = call("verify", out, "--json")
    assert ended.status == 0
    assert json.loads(ended.out)["files"][0]["verdict"] == "passed"
    document["files"][0]["search"]["limit"]["max_drop"] = 0
    (out / "manifest.json").write_text(json.dumps(document))
    (file,) = json.loads(call("verify", out, "--json").out)["files"]
    assert file["verdict"] != "passed"  # that nothing at all is lost cannot be shown

    export = read_export(out)
    assert [one.chosen for one in export.searches] == [found.chosen]
    assert call("report", out).status == 0
    page = (out / "report.html").read_text()
    assert "How the file was found" in page
    assert "error against cost" in page

    # What is asked for by name stays beside it; another search takes its place.
    assert call("export", digits_checkpoint, "--quant", "float16", "--out", out).status == 0
    assert {one.scheme for one in manifest.read(out).files} == {entry["scheme"], "float16"}
    ended = call("export", digits_checkpoint, "--max-drop", 0, "--out", out, *ranges)
    assert "so float32 is given" in " ".join(ended.err.split())
    assert "taken" in ended.out
    assert {one.scheme for one in manifest.read(out).files} == {"float16", "float32"}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--max-drop 1 --quant int8", ("--max-drop", "--quant")),
        ("--max-drop 1 --keep-float x", ("--keep-float",)),
        ("--quant int8 --min-agreement 98", ("--min-agreement",)),
        ("--quant int8 --smallest", ("--smallest",)),
        ("--quant int8 --fastest", ("--fastest",)),
        ("--max-drop 101", ("101", "percentage points")),
        ("--max-drop 1 --min-agreement 150", ("150", "percent")),
        ("", ("--quant", "--max-drop")),
    ],
)
def test_what_makes_no_sense_together_is_refused(
    call: Call, tmp_path: Path, options: str, named: tuple[str, ...]
) -> None:
    refused(call("export", "mobilevit_xxs", *options.split(), "--out", tmp_path / "o"), *named)
    assert not (tmp_path / "o").exists()
