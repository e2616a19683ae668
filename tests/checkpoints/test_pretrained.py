"""Trained weights that come with the package: made by their script, found by name, exported without any data."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import converted
import shared
from commands import Call, Ended, refused, script
from vitconv import open_checkpoint
from vitconv.checkpoints import pretrained
from vitconv.checkpoints.checkpoint import Card, save
from vitconv.data.datasets import open_dataset
from vitconv.data.pictures.images import ImageSpec
from vitconv.exporting import golden
from vitconv.foundation.errors import CheckpointError
from vitconv.foundation.intervals import wilson_interval
from vitconv.models import catalogue, liveness
from vitconv.quantization import calibration
from vitconv.quantization.ranges import structure_digest
from vitconv.runtimes.litert import Runner
from vitconv.tflite.graph import Graph
from vitconv.training.first_weights import FirstWeights

LABELS = tuple("0123456789")


@pytest.fixture(scope="module")
def run_folder() -> Path:
    """An EANet checkpoint with trained-like weights, as if trained on digits. Not to be changed."""
    return shared.folder() / _trained("trained/eanet-digits")


@shared.made_once
def _trained(name: str) -> str:
    entry = catalogue.find("eanet")
    dataset = open_dataset("digits")
    card = Card(
        model="eanet",
        labels=LABELS,
        image=entry.image,
        dataset={
            "name": "digits",
            "source": "digits",
            "version": dataset.version,
            "splits": {"train": {"source": "some", "images": 1257, "digest": "0" * 64}},
        },
        recipe=entry.recipe.to_json(),
        seed=3,
        versions={"keras": version("keras")},
        results={"epoch": 2, "val_accuracy": 0.125},
    )
    folder = save(shared.new_folder(name), converted.keras_model("eanet"), card).path
    (folder / "training.safetensors").write_bytes(b"what only a resumed training needs")
    (folder / "history.csv").write_text("epoch,loss,val_accuracy\n1,2.0,0.1\n2,1.5,0.125\n")
    return name


@pytest.fixture(scope="module")
def shipped(run_folder: Path) -> Path:
    """A checkout into which `scripts/ship-checkpoint` has put that checkpoint. Not to be changed."""
    return shared.folder() / _shipped("shipped", run_folder.name)


@shared.made_once
def _shipped(name: str, run: str) -> str:
    root = str(shared.new_folder(name))
    ended = CliRunner().invoke(
        script("ship-checkpoint").ship,
        [
            str(shared.folder() / "trained" / run), "eanet", "--root", root, "--samples", "60",
            "--weakness", "Knows no letters.",
        ],
        catch_exceptions=False,
    )  # fmt: skip
    assert ended.exit_code == 0, ended.output
    return name


@pytest.fixture
def come_with_it(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """vitconv as if that checkpoint came with it, trained on MNIST, which is not on this machine."""
    folder = tmp_path / "installed" / "pretrained"
    shutil.copytree(shipped / "converter" / "vitconv" / "checkpoints" / "pretrained", folder)
    card = json.loads((folder / "eanet" / "card.json").read_text())
    card["dataset"].update(name="mnist", source="mnist", version="3.0.1")
    (folder / "eanet" / "card.json").write_text(json.dumps(card))
    monkeypatch.setattr(pretrained, "FOLDER", folder)
    monkeypatch.setattr(pretrained, "_CALIBRATIONS", (tmp_path / "nothing", shipped / "calibration"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "no-data"))
    monkeypatch.chdir(tmp_path)
    return folder / "eanet"


def document(ended: Ended) -> Any:
    assert ended.status == 0, ended
    return json.loads(ended.out)


# --- what the script ships ---


def test_the_script_ships_weights_card_and_description_without_the_training_s_state(
    shipped: Path, run_folder: Path
) -> None:
    folder = shipped / "converter" / "vitconv" / "checkpoints" / "pretrained" / "eanet"
    checkpoint = open_checkpoint(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["card.json", "README.md", "evaluation.json", "history.csv", checkpoint.weights.name]
    )
    assert checkpoint.weights.read_bytes() == open_checkpoint(run_folder).weights.read_bytes()
    text = (folder / "README.md").read_text(encoding="utf-8")
    measured = checkpoint.card.results["evaluation"]
    assert checkpoint.card.liveness is not None
    assert {part.kind for part in checkpoint.card.liveness.parts} == {"attention", "mlp", "layer"}
    low, high = measured["top1_interval"]
    assert f"{measured['top1']:.2%} (95 % confidence: {low:.1%} to {high:.1%}, Wilson)" in text
    for words in (
        "| seed | 3 |", "Knows no letters.", "CC-BY 4.0", "360 images, which chose nothing", "Keras",
        "epoch kept | 2 of 50",
    ):  # fmt: skip
        assert words.lower() in text.lower()


def test_the_evaluation_is_keras_s_on_the_held_out_split(shipped: Path, run_folder: Path) -> None:
    checkpoint = open_checkpoint(run_folder)
    test = open_dataset("digits").split("test", checkpoint.card.image)
    answers = np.asarray(checkpoint.load()(test.images.astype(np.float32), training=False)).argmax(axis=1)
    folder = shipped / "converter" / "vitconv" / "checkpoints" / "pretrained" / "eanet"
    measured = open_checkpoint(folder).card.results["evaluation"]
    assert measured["images"] == 360
    assert measured["digest"] == test.digest
    assert measured["top1"] == pytest.approx(np.mean(answers == test.labels))
    matrix = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    assert matrix["labels"] == list(LABELS)
    for right in range(10):
        for answer in range(10):
            assert matrix["confusion"][right][answer] == np.sum((test.labels == right) & (answers == answer))


def test_class_accuracy_is_none_where_a_class_has_no_images(run_folder: Path) -> None:
    checkpoint = open_checkpoint(run_folder)
    test = open_dataset("digits").split("test", checkpoint.card.image)
    few = np.flatnonzero(test.labels < 9)[:40]
    part = replace(test, images=test.images[few], labels=test.labels[few])
    shares = script("keras_evaluation.py").evaluate(checkpoint, part).class_accuracy()
    assert np.isnan(shares[9])
    assert not np.isnan(shares[:9]).any()


def test_a_name_that_is_not_the_model_s_ships_nothing(run_folder: Path, tmp_path: Path) -> None:
    ended = CliRunner().invoke(
        script("ship-checkpoint").ship, [str(run_folder), "mobilevit_xxs", "--root", str(tmp_path)]
    )
    assert ended.exit_code == 2
    assert "eanet" in ended.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fraction", "count", "low", "high"),
    # Brown, Cai and DasGupta (2001) give the formula; the values are of its exact evaluation.
    [(0.0, 10, 0.0, 0.2775), (0.5, 10, 0.2366, 0.7634), (1.0, 10, 0.7225, 1.0), (0.9, 1000, 0.8799, 0.9171)],
)
def test_wilson_s_interval(fraction: float, count: int, low: float, high: float) -> None:
    assert wilson_interval(fraction, count) == pytest.approx((low, high), abs=1e-4)


# --- found by name ---


def test_what_comes_with_this_version_is_whole() -> None:
    """Weights that fit their network, a calibration file, an evaluation, within the size that was set."""
    for name in pretrained.names():
        folder = pretrained.folder(name)
        assert folder is not None
        checkpoint = open_checkpoint(folder)
        assert checkpoint.card.model == name == checkpoint.name
        assert checkpoint.weights.stat().st_size <= 6_000_000
        assert checkpoint.card.dataset["source"] == checkpoint.card.dataset["name"]
        checkpoint.load()
        low, high = checkpoint.card.results["evaluation"]["top1_interval"]
        assert low < checkpoint.card.results["evaluation"]["top1"] < high
        file = pretrained.calibration_file(checkpoint.card.weights["sha256"])
        assert file is not None
        calibration.read(file).check_checkpoint(checkpoint)


@shared.made_once
def measured_again(name: str) -> tuple[liveness.Effect, ...]:
    checkpoint = open_checkpoint(pretrained.folder(name) or "")
    return liveness.measure(checkpoint.load(), golden.sample_photographs(checkpoint.card.image).images[::2])


# Of the effects' ranks on the data set and on four photographs of other things; 0.91 to 0.93 was measured.
SAME_ORDER = 0.85


@pytest.mark.parametrize("name", pretrained.names())
def test_the_card_of_what_comes_with_it_tells_which_layers_take_part(name: str) -> None:
    """Measured again, on photographs that are on every machine. They show none of the classes, so that some layers
    hardly move the answers there: the effects are compared by their order."""
    kept = open_checkpoint(pretrained.folder(name) or "").card.liveness
    assert kept is not None
    measured = measured_again(name)
    assert [(part.name, part.kind) for part in measured] == [(part.name, part.kind) for part in kept.parts]
    for figure in ("kl", "kl_of_mean"):
        here, there = (
            np.argsort(np.argsort([getattr(part, figure) for part in one])) for one in (measured, kept.parts)
        )
        assert np.corrcoef(here, there)[0, 1] > SAME_ORDER
        assert np.corrcoef(here, np.roll(there, 5))[0, 1] < SAME_ORDER
    assert {part.name for part in kept.silent} <= {part.name for part in liveness.silent(measured)}


@pytest.mark.parametrize("name", pretrained.names())
def test_no_layer_of_what_comes_with_it_is_without_effect(name: str) -> None:
    kept = open_checkpoint(pretrained.folder(name) or "").card.liveness
    assert kept is not None
    assert kept.silent == ()


@pytest.mark.parametrize("name", pretrained.names())
def test_the_figures_of_what_comes_with_it_are_of_images_that_chose_nothing(name: str) -> None:
    folder = pretrained.folder(name)
    assert folder is not None
    card = open_checkpoint(folder).card
    assert card.trained()["chose_epoch"] is False
    evaluation = card.results["evaluation"]
    assert card.dataset["splits"]["validation"]["digest"] != evaluation["digest"]
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{evaluation['images']} images, which chose nothing |" in text


def test_models_lists_the_trained_ones_with_their_accuracy(come_with_it: Path, call: Call) -> None:
    entries = {entry["name"]: entry for entry in document(call("models", "--json"))}
    trained = entries["eanet"]["trained"]
    results = open_checkpoint(come_with_it).card.results["evaluation"]
    assert (trained["dataset"], trained["images"], trained["top1"]) == ("mnist", 360, results["top1"])
    assert trained["top1_interval"] == results["top1_interval"]
    assert entries["mobilevit_xxs"]["trained"] is None
    text = call("models").out
    assert "eanet comes with trained weights: mnist at 32×32" in text
    assert f"top-1 {results['top1']:.1%} (" in text
    assert "which chose nothing" in text
    assert trained["chose_epoch"] is False


def test_a_name_opens_the_checkpoint_that_comes_with_vitconv(come_with_it: Path) -> None:
    checkpoint = open_checkpoint(Path("eanet"))
    assert checkpoint.path == come_with_it
    assert checkpoint.name == "eanet"
    assert FirstWeights.open(Path("eanet"), "eanet").digest == checkpoint.card.weights["sha256"]


def test_a_folder_of_the_same_name_is_not_mistaken_for_it(come_with_it: Path, run_folder: Path) -> None:
    Path("eanet").mkdir()  # an ordinary folder, nobody's checkpoint
    assert open_checkpoint(Path("eanet")).path == come_with_it
    shutil.copytree(run_folder, "eanet", dirs_exist_ok=True)
    with pytest.raises(CheckpointError, match="means two things: a checkpoint folder here, and a model") as caught:
        open_checkpoint(Path("eanet"))
    assert str(Path("eanet").resolve()) in str(caught.value)
    assert open_checkpoint(Path("eanet").resolve()).card.dataset["name"] == "digits"


def test_a_name_without_trained_weights_is_refused_with_those_that_have(come_with_it: Path, call: Call) -> None:
    ended = call("export", "--quant", "float32", "--out", "out")
    refused(
        ended, "there is no checkpoint folder mobilevit_paper_xxs", "name of a model with trained weights: eanet"
    )
    assert not Path("out").exists()


# --- exported without any data ---


def test_export_needs_no_data_set(come_with_it: Path, shipped: Path, call: Call, tmp_path: Path) -> None:
    ended = call("export", "eanet", "--quant", "float32,int8", "--out", "out", "--json")
    value = document(ended)
    assert "mnist is not on this machine" in ended.err
    assert value["checkpoint"]["name"] == "eanet"
    assert value["dataset"] == {"name": "mnist", "version": "3.0.1"}
    assert [entry["path"] for entry in value["files"]] == ["eanet-mnist-float32.tflite", "eanet-mnist-int8.tflite"]
    assert calibration.read(tmp_path / "out" / "calibration.json") == calibration.read(
        shipped / "calibration" / "eanet-digits.json"
    )
    content = json.loads((tmp_path / "out" / value["golden"]).read_text(encoding="utf-8"))
    assert content["split"] == "sample photographs"
    assert [entry["label"] for entry in content["images"]] == [None] * 8
    images, expected = golden.read(tmp_path / "out")
    with Runner(tmp_path / "out" / "eanet-mnist-float32.tflite") as runner:
        np.testing.assert_allclose(runner.probabilities(images), expected, atol=1e-4)
    # Where the data set is given after all, verify finds Keras's side by the name in the manifest.
    ended = call("verify", "out", "--dataset", "digits", "--limit", 50, "--json")
    assert json.loads(ended.out)["files"][0]["passed"]


def test_a_data_set_that_is_given_is_calibrated_on(come_with_it: Path, call: Call, tmp_path: Path) -> None:
    given = ("--dataset", "digits", "--samples", 20)
    value = document(call("export", "eanet", "--quant", "int8", *given, "--out", "out", "--json"))
    assert value["dataset"]["name"] == "digits"
    assert len(calibration.read(tmp_path / "out" / "calibration.json").images) == 20
    content = json.loads((tmp_path / "out" / value["golden"]).read_text(encoding="utf-8"))
    assert all(entry["label"] in range(10) for entry in content["images"])


def test_a_calibration_that_fits_no_longer_is_not_used(
    come_with_it: Path, shipped: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (shipped / "calibration" / "eanet-digits.json").read_text(encoding="utf-8")
    value = json.loads(text)
    for graph in value["graphs"]:
        graph["sha256"] = "0" * 64
    (tmp_path / "stale").mkdir()
    (tmp_path / "stale" / "eanet.json").write_text(json.dumps(value), encoding="utf-8")
    monkeypatch.setattr(pretrained, "_CALIBRATIONS", (tmp_path / "stale",))
    # It would have to be calibrated anew, and for that the data set is missing.
    ended = call("export", "eanet", "--quant", "int8", "--out", "out")
    assert ended.status == 2
    assert "mnist" in ended.err
    assert "Traceback" not in ended.err


# --- golden pictures where there is no data ---


@pytest.mark.parametrize("rule", ["stretch", "center_crop"])
def test_sample_photographs_are_eight_different_pictures_the_same_each_time(rule: Any) -> None:
    spec = ImageSpec(64, 64, resize=rule)
    pictures = golden.sample_photographs(spec)
    assert pictures.images.shape == (8, 64, 64, 3)
    assert pictures.images.dtype == np.uint8
    assert len({image.tobytes() for image in pictures.images}) == 8
    assert (pictures.images.std(axis=(1, 2, 3)) > 10).all()
    np.testing.assert_array_equal(pictures.images, golden.sample_photographs(spec).images)
    # The fourth is the middle of the second at twice its size.
    middle = Image.fromarray(pictures.images[1]).crop((16, 16, 48, 48)).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(middle, np.float32) - pictures.images[3]).mean() < 15


# --- a graph's structure ---


def test_the_structure_of_a_graph_is_not_its_weights() -> None:
    graph = converted.float_graph("eanet", "int8")
    model = graph.draft()
    largest = max(model.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))
    largest.data = np.array(largest.data)
    largest.data[0] ^= 1  # the last bit of a weight, as another processor may round it
    rounded = Graph(model, "rounded")
    assert rounded.data != graph.data
    assert structure_digest(rounded) == structure_digest(graph)
    model = graph.draft()
    model.subgraphs[0].tensors[int(model.subgraphs[0].operators[3].outputs[0])].name = b"another"
    assert structure_digest(Graph(model, "another")) != structure_digest(graph)
    assert structure_digest(converted.float_graph("eanet", "float32")) != structure_digest(graph)
