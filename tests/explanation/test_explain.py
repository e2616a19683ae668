"""`vitconv explain`, from a file, a checkpoint and an export folder; and whether its maps mean anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import Call, refused
from vitconv.classifiers.own import OwnModel
from vitconv.evaluation import kept_results, reasons
from vitconv.explanation.occlusion import rank_correlation
from vitconv.explanation.reasons import explain_pixels
from vitconv.explanation.subjects import file_subject, model_subject
from vitconv.reporting.report import ReportConfig, report

INT8 = "mobilevit_xxs-digits-int8.tflite"


def pictures(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path).convert("RGB")) for path in sorted((folder / "golden").glob("*.png"))]


def test_maps_of_shuffled_weights_look_nothing_like_it_and_those_of_int8_do(
    exported_digits: Path, digits_checkpoint: Path
) -> None:
    """Adebayo et al. (2018, "Sanity checks for saliency maps"): a map that stays when the network is another one
    says nothing about the network."""
    trained, other = OwnModel.open(digits_checkpoint), OwnModel.open(digits_checkpoint)
    random = np.random.default_rng(1)
    for variable in other.load().trainable_variables:
        values = np.asarray(variable)
        variable.assign(random.permutation(values.ravel()).reshape(values.shape))
    alike: dict[str, list[float]] = {"int8": [], "shuffled": []}
    attention = []
    with file_subject(exported_digits / INT8, "int8") as int8:
        subjects = [model_subject(trained), int8, model_subject(other, "shuffled")]
        for picture in pictures(exported_digits)[:6]:
            found = explain_pixels(subjects, picture)
            for reason in found.reasons[1:]:
                assert reason.alike == rank_correlation(found.reasons[0].occlusion, reason.occlusion)
                alike[reason.by].append(reason.alike or 0.0)
            theirs = explain_pixels([subjects[2]], picture).attention
            for one, shuffled in zip(found.attention, theirs, strict=True):
                if one.values.size > 4:
                    attention.append(np.corrcoef(one.values.ravel(), shuffled.values.ravel())[0, 1])
    assert np.mean(alike["int8"]) > 0.8
    assert abs(np.mean(alike["shuffled"])) < 0.4
    assert np.mean(attention) < 0.5


def test_a_file_alone_is_enough(call: Call, exported_digits: Path, tmp_path: Path) -> None:
    golden = exported_digits / "golden"
    shutil.copy(golden / "1.png", tmp_path / "0.png")
    out = tmp_path / "out"
    ended = call("explain", exported_digits / INT8, golden / "0.png", tmp_path / "0.png", "--out", out, "--json")
    assert ended.status == 0
    first, second = json.loads(ended.out)["pictures"]
    assert (first["drawing"], second["drawing"]) == (str(out / "0-why.png"), str(out / "0-why-2.png"))
    (reason,) = first["reasons"]
    assert reason["by"] == INT8
    assert (reason["answer"], reason["answer_probability"]) == (first["label"], reason["probability"])
    assert np.array(reason["drops"]).shape == (10, 10)
    assert reason["rank_correlation"] is None
    assert first["attention"] == []
    with Image.open(out / "0-why.png") as drawing:
        assert drawing.width > drawing.height
    assert "TensorFlow" not in ended.err


def test_the_class_can_be_chosen_and_a_checkpoint_shows_its_attention(
    call: Call, exported_digits: Path, digits_checkpoint: Path, tmp_path: Path
) -> None:
    picture = exported_digits / "golden" / "0.png"
    ended = call("explain", digits_checkpoint, picture, "--class", "7", "--out", tmp_path / "out", "--json")
    assert ended.status == 0
    (found,) = json.loads(ended.out)["pictures"]
    assert found["label"] == "7"
    assert len(found["attention"]) == 3
    ended = call("explain", digits_checkpoint, picture, "--out", tmp_path / "out")
    assert "0-why.png" in ended.out


def test_an_export_s_disagreements_are_explained_kept_and_reported(
    call: Call, digits_export: Path, digits_checkpoint: Path, tmp_path: Path
) -> None:
    moved = ["--checkpoint", digits_checkpoint]
    refused(call("explain", digits_export, *moved, "--out", tmp_path / "out"), "vitconv verify", "name pictures")
    assert call("verify", digits_export, *moved, "--json").status == 0
    verified = kept_results.read_verification(digits_export, 10)
    assert verified
    changed = json.loads((digits_export / kept_results.VERIFY).read_text())
    for file in changed["files"]:
        del file["disagreements"][2:]  # two are enough
    (digits_export / kept_results.VERIFY).write_text(json.dumps(changed))
    ended = call("explain", digits_export, *moved, "--out", tmp_path / "out", "--json")
    assert ended.status == 0
    found = json.loads(ended.out)["pictures"]
    indices = [one["path"].removeprefix("image ") for one in found]
    assert 2 <= len(indices) <= 4
    assert [reason["by"] for reason in found[0]["reasons"]] == ["Keras", "int8", "int8-hybrid"]
    assert found[0]["reasons"][1]["rank_correlation"] > 0.5
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"image-{one}-why.png" for one in indices}
    kept = reasons.read_explanations(digits_export)
    assert kept
    assert [str(one.index) for one in kept.pictures] == indices
    text = report(ReportConfig(digits_export)).text
    assert text.count('class="why"') == 4  # two of each integer file
    assert 'alt="what int8 goes by"' in text


def test_an_export_lays_own_pictures_side_by_side(
    call: Call, digits_export: Path, digits_checkpoint: Path, tmp_path: Path
) -> None:
    picture, out = digits_export / "golden" / "0.png", tmp_path / "out"
    ended = call("explain", digits_export, picture, "--checkpoint", digits_checkpoint, "--out", out, "--json")
    (found,) = json.loads(ended.out)["pictures"]
    assert [reason["by"] for reason in found["reasons"]] == ["Keras", "int8", "int8-hybrid"]
    assert len({tuple(map(tuple, reason["drops"])) for reason in found["reasons"]}) == 3
    assert reasons.read_explanations(digits_export) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([INT8], ["no picture to explain"]),
        ([INT8, "absent.png"], ["there is no picture absent.png"]),
        ([INT8, "golden/0.png", "--class", "seven"], ["unknown class 'seven'"]),
        ([INT8, "golden/0.png", "--checkpoint", "x"], ["is no export folder", "--checkpoint"]),
        ([INT8, "golden/0.png", "--dataset", "digits"], ["--dataset"]),
        ([INT8, "golden/0.png", "--out", "labels.txt"], ["labels.txt"]),
        ([".", "golden/0.png", "--pixels", "0..1"], ["is an export folder", "--pixels"]),
        (["labels.txt", "golden/0.png"], ["labels.txt"]),
    ],
)
def test_what_cannot_be_explained_is_named_and_nothing_is_written(
    arguments: list[str], words: list[str], call: Call, digits_export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(digits_export)
    refused(call("explain", *arguments), *words)
    assert not Path("explained").exists()
