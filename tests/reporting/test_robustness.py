"""What a report shows of bad pictures."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

import made_documents as made
from gpu_files import classifier, unary
from vitconv.evaluation import kept_results
from vitconv.foundation.errors import InputError
from vitconv.reporting.missing import missing
from vitconv.reporting.reading import read_export
from vitconv.reporting.report import ReportConfig, report


def digests(folder: Path) -> dict[str, str]:
    return {file["scheme"]: file["sha256"] for file in json.loads((folder / "manifest.json").read_text())["files"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = made.export_folder(tmp_path / "export")
    document = json.loads((found / "manifest.json").read_text())
    for file, middle in zip(document["files"], ("ABS", "RELU"), strict=True):
        data = classifier(unary(middle)).data
        (found / file["path"]).write_bytes(data)
        file.update(bytes=len(data), sha256=made.digest(data))
    made.write_json(found / "manifest.json", document)
    made.write_json(found / kept_results.ROBUSTNESS, made.robustness(digests(found)))
    return found


def section(text: str) -> str:
    found = re.search(r'<section id="robustness">.*?</section>', text, re.DOTALL)
    assert found
    return html.unescape(found[0])


def test_it_draws_each_corruption_and_says_which_file_breaks_earlier(folder: Path) -> None:
    shown = section(report(ReportConfig(folder)).text)
    assert "8 images of flowers test (test), each made worse in 3 ways at 5 strengths." in shown
    sentence = "int8 breaks earlier than Keras: on bad pictures it loses 1.50 points more than Keras loses"
    assert sentence in shown
    assert shown.count("<svg") == 2
    for title in ("fog", "JPEG", "camera shake"):
        assert re.search(rf"<text[^>]*>{title}</text>", shown)
    assert '<td data-label="clean">93.8%</td>' in shown
    assert '<td data-label="points lost beyond Keras (95 %)">+1.50 (0.25 to 2.75)</td>' in shown
    assert sentence in report(ReportConfig(folder, format="markdown")).text


def test_without_one_the_report_says_how_to_get_it(folder: Path) -> None:
    (folder / kept_results.ROBUSTNESS).unlink()
    result = report(ReportConfig(folder))
    assert f"<code>vitconv verify {folder} --robustness</code>" in section(result.text)
    assert "robustness" in missing(result.export)


def test_figures_of_other_files_and_of_another_checkpoint_are_left_out(folder: Path) -> None:
    document = made.robustness({**digests(folder), "int8": "0" * 64})
    made.write_json(folder / kept_results.ROBUSTNESS, document)
    export = read_export(folder)
    assert export.robustness
    assert [file.scheme for file in export.robustness.files] == ["float32"]
    assert any("results/robustness.json has figures of eanet-flowers-int8.tflite" in note for note in export.notes)
    made.write_json(folder / kept_results.ROBUSTNESS, {**document, "checkpoint": "9" * 64})
    export = read_export(folder)
    assert export.robustness is None
    assert any("results/robustness.json is of another checkpoint" in note for note in export.notes)


def test_figures_that_cannot_be_are_named(folder: Path) -> None:
    document = made.robustness(digests(folder))
    del document["files"][0]["top1"]["fog"]
    made.write_json(folder / kept_results.ROBUSTNESS, document)
    with pytest.raises(InputError, match=r"robustness\.json: eanet-flowers-float32\.tflite was given other bad"):
        read_export(folder)
    document = made.robustness(digests(folder))
    document["reference"]["top1"]["fog"] = [0.5] * 4
    made.write_json(folder / kept_results.ROBUSTNESS, document)
    with pytest.raises(InputError, match="5"):
        read_export(folder)


def test_what_confidence_is_worth_is_shown_of_files_that_have_some(folder: Path) -> None:
    assert 'id="confidence"' not in report(ReportConfig(folder)).text
    document = made.verification()
    document["files"][0]["sha256"] = digests(folder)["int8"]
    promises = [
        {"error_rate": 0.05, "answered": 0.75, "wrong": 0.03125},
        {"error_rate": 0.1, "answered": 0, "wrong": None},
    ]
    document["confidence"] = [
        {
            "path": name, "scheme": "int8", "temperature": 1.25, "error_before": 0.0625, "error_after": 0.01,
            "promises": promises, "fitted_here": True,
        }
        for name in ("eanet-flowers-int8.tflite", "gone.tflite")
    ]  # fmt: skip
    made.write_json(folder / kept_results.VERIFY, document)
    text = report(ReportConfig(folder)).text
    shown = text[text.index('id="confidence"') :]
    assert shown.count('<td data-label="temperature">1.250</td>') == 1
    assert '<td data-label="at 5%">75%, 3.1% wrong</td>' in shown
    assert "on which the temperature was fitted" in shown
