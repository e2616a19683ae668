"""scripts/zoo at its smallest: two networks that saw digits for a second."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import commands

# Keras's own, when it saves with this NumPy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


# TensorFlow's, when its converter makes full integers.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
def test_it_trains_converts_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results, kept = tmp_path / "digits.json", tmp_path / "kept"
    words = ["zoo", "--dataset", "digits", "--seconds", "3", "--kept", str(kept), "--results", str(results),
             "--only", "mixer,bit", "--json"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", words)
    zoo = commands.script("zoo")
    zoo.main()
    document = json.loads(capsys.readouterr().out)
    assert json.loads(results.read_text()) == document
    assert set(document["networks"]) == {"mixer", "bit"}
    for row in document["networks"].values():
        files = row["files"]
        assert files["float32"]["agreement"] == 1
        assert files["float32"]["largest_error"] < 1e-4
        assert files["int8"]["float"] == {}
        assert files["int8"]["agreement"] > 0.7
        assert files["int8"]["loads"]
    # The ordinary way leaves the NEG of their normalisations in float.
    assert document["networks"]["mixer"]["files"]["ordinary"]["float"]
    assert {path.name for path in (kept / "digits").iterdir()} == {"mixer", "bit"}

    monkeypatch.setattr(zoo, "examined", lambda *given: pytest.fail("what is known was measured again"))
    zoo.main()
    assert json.loads(capsys.readouterr().out) == document


def test_the_table_says_what_the_rows_come_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "scripts")
    import zoo_table

    file = {
        "loads": True, "operators": 50, "float": {}, "agreement": 0.99, "sure_agreement": 1.0, "lost": 0.4,
        "million_instructions": 2.0, "largest_error": 2e-6, "partitions": 1,
    }  # fmt: skip
    ordinary = {**file, "operators": 100, "float": {"NEG": 4}, "agreement": 0.9, "million_instructions": 4.0}
    flex = {"loads": False, "operators": 9, "float": {}, "problem": "does not load: Flex FFT2D"}
    rows = {
        "a": {"from": "keras.applications 3", "top1": 0.8,
              "files": {"ordinary": ordinary, "float32": {**file, "agreement": 1}, "int8": file}},
        "b": {"from": "tests/reference", "top1": 0.3,
              "files": {"ordinary": flex, "float32": {**file, "agreement": 1}, "int8": file}},
    }  # fmt: skip
    random = {"loads": True, "operators": 70, "float": {}, "partitions": 9, "answers_db": 23.42,
              "median_layer_db": 27.9, "million_instructions": 8.0}  # fmt: skip
    untrained = {"from": "timm 1", "files": {"ordinary": {"problem": "no file: too hard"}, "int8": random}}
    document = {"networks": {**rows, "t": untrained}}
    page = tmp_path / "export.md"
    page.write_text(f"before\n{zoo_table.BEHIND}after\n")
    zoo_table.write(page, document)
    first = page.read_text()
    page.write_text(first.replace("80.0%", "old"))
    zoo_table.write(page, document)
    text = page.read_text()
    assert text == first
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| a | applications 3 | 80.0% | 90.0% (-0.4) | 100, 4 float | 99.0% (-0.4) | 50 | 4.0 | 2.0 |" in text
    assert "does not load: Flex FFT2D" in text
    assert "runs for 1 and is integers only for 0; ours runs for 3, is integers only for 3" in text
    assert "| t | no file: too hard | – | – | 23.4 | 27.9 | 70 | – | 8.0 |" in text
    assert "+9.0 points more in the mean" in text
    assert "0.50 times as many operators" in text
