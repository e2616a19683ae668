"""The export folder: what is in it, that it is the same each time, and that an accident leaves the old one."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import shared
from graphs import metadata_of
from vitconv import ExportConfig, ExportResult, export, open_checkpoint
from vitconv.checkpoints import liveness
from vitconv.checkpoints.checkpoint import save
from vitconv.classifiers.own import OwnModel
from vitconv.conversion import float_graph
from vitconv.conversion.schemes import SCHEMES, Scheme
from vitconv.data.datasets import Dataset, open_dataset
from vitconv.exporting import golden, gpu
from vitconv.foundation.disk.files import sha256
from vitconv.foundation.errors import CheckError, InputError, OutputError, PromiseError, UnknownNameError
from vitconv.quantization import calibration
from vitconv.tflite import metadata as metadata_module
from vitconv.tflite.graph import Graph

STAGING = ".export.tmp"


def contents(folder: Path) -> dict[str, str]:
    """Path → digest of every file in a folder."""
    return {str(path.relative_to(folder)): sha256(path) for path in folder.rglob("*") if path.is_file()}


def manifest_of(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return value


def file_of(folder: Path, scheme: str) -> Path:
    return next(folder.glob(f"*-{scheme}.tflite"))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- what is in the folder ---


def test_the_folder_holds_a_file_for_each_scheme_and_what_goes_with_them(exported_digits: Path) -> None:
    made = [name for name in contents(exported_digits) if not name.startswith("results/")]  # tests verify it, too
    assert sorted(made) == sorted([
        "manifest.json", "labels.txt", "calibration.json", "training.csv", "liveness.json", "classes.json",
        "golden/golden.json",
        *(f"golden/{number}.png" for number in range(8)),
        *(f"mobilevit_xxs-digits-{scheme}.tflite" for scheme in SCHEMES),
    ])  # fmt: skip


def test_which_layers_take_part_goes_along_and_the_manifest_names_its_digest(
    exported_digits: Path, digits_checkpoint: Path
) -> None:
    kept = liveness.read(exported_digits / "liveness.json")
    assert kept == open_checkpoint(digits_checkpoint).card.liveness
    assert kept is not None
    assert len(kept.whole) == 15
    assert manifest_of(exported_digits)["digests"]["liveness.json"] == digest(
        (exported_digits / "liveness.json").read_bytes()
    )


def test_the_manifest_says_what_is_there_and_where_it_comes_from(
    exported_digits: Path, digits_checkpoint: Path
) -> None:
    card = open_checkpoint(digits_checkpoint).card
    value = manifest_of(exported_digits)
    assert value["model"] == "mobilevit_xxs"
    assert value["checkpoint"] == {"name": str(digits_checkpoint), "sha256": card.weights["sha256"]}
    assert value["dataset"] == {"name": "digits", "version": version("scikit-learn")}
    assert value["labels"] == list("0123456789")
    assert value["image"] == card.image.to_json()
    assert value["versions"]["tensorflow"] == version("tensorflow")
    assert set(value["versions"]) == {"vitconv", "tensorflow", "keras", "ai-edge-litert", "tflite-support"}
    assert value["golden"] == "golden/golden.json"
    assert value["calibration"] == {
        "file": "calibration.json",
        "sha256": sha256(exported_digits / "calibration.json"),
    }
    assert [entry["scheme"] for entry in value["files"]] == list(SCHEMES)
    for entry in value["files"]:
        path = exported_digits / entry["path"]
        described = {
            "scheme": entry["scheme"],
            "path": path.name,
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
        }
        more = {"gpu"} | ({"keep_float", "sensitivity"} if SCHEMES[entry["scheme"]].hybrid else set())
        assert {name: value for name, value in entry.items() if name not in more} == described
        assert set(entry) == {*described, *more}
        assert set(entry["gpu"]) == {"operations", "taken", "fit", "reasons"}
        assert entry["gpu"]["fit"] == (not entry["gpu"]["reasons"])
    assert value["gpu_file"] == gpu.choose(value["files"])
    assert (exported_digits / "labels.txt").read_text() == "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_a_file_s_metadata_are_the_checkpoint_s(
    scheme: str, exported_digits: Path, digits_checkpoint: Path
) -> None:
    card = open_checkpoint(digits_checkpoint).card
    found = metadata_of(file_of(exported_digits, scheme).read_bytes())
    assert found is not None
    assert found.labels == card.labels
    assert found.image == card.image
    assert found.name == f"mobilevit_xxs digits {scheme}"
    assert f"{card.results['val_accuracy']:.1%}" in found.description


def test_golden_pictures_are_held_out_images_with_keras_s_answers(
    exported_digits: Path, digits_checkpoint: Path
) -> None:
    checkpoint = open_checkpoint(digits_checkpoint)
    dataset = open_dataset("digits")
    held_out = dataset.split(dataset.evaluation_name, checkpoint.card.image)
    label_of = {image.tobytes(): int(label) for image, label in zip(held_out.images, held_out.labels, strict=True)}
    model = checkpoint.load()
    kept = json.loads((exported_digits / "golden" / "golden.json").read_text())
    assert kept["split"] == held_out.source
    assert len(kept["images"]) == 8
    assert len({entry["label"] for entry in kept["images"]}) == 8  # ten classes, so each of another
    for entry in kept["images"]:
        with Image.open(exported_digits / "golden" / entry["file"]) as picture:
            pixels = np.asarray(picture)
        assert pixels.shape == checkpoint.card.image.shape
        assert label_of[pixels.tobytes()] == entry["label"]
        answer = model(pixels[np.newaxis].astype(np.float32), training=False).numpy()[0]
        np.testing.assert_allclose(entry["probabilities"], answer, atol=1e-6)


# --- the same each time ---


def check_the_same(again: dict[str, str], before: dict[str, str], here: Path, there: Path) -> None:
    """Of two export folders' `contents`: every file of the first is byte for byte in the second.

    But golden.json: it holds Keras's answers, and their last digits depend on the number of threads that an
    earlier test had TensorFlow compute with in this process (7e-8 seen).
    """
    del again[golden.FILE]
    assert again == {name: before[name] for name in again}
    one, other = (json.loads((folder / golden.FILE).read_text())["images"] for folder in (here, there))
    for mine, theirs in zip(one, other, strict=True):
        assert (mine["file"], mine["label"]) == (theirs["file"], theirs["label"])
        np.testing.assert_allclose(mine["probabilities"], theirs["probabilities"], atol=1e-6)


# What a hybrid file keeps in float is decided by measurement, and the same only by the calibration file that
# remembers it.
REPEATABLE = tuple(name for name, scheme in SCHEMES.items() if not scheme.hybrid)


@shared.made_once
def _exported_again(name: str, checkpoint: str) -> str:
    """By another process than the first export, with nothing that was remembered of it."""
    import remembered

    with remembered.anew():
        export(ExportConfig(Path(checkpoint), shared.new_folder(name), REPEATABLE))
    return name


def test_a_second_export_gives_the_same_bytes(exported_digits: Path, digits_checkpoint: Path) -> None:
    folder = shared.folder() / _exported_again("exported/digits-again", str(digits_checkpoint))
    again, before = contents(folder), contents(exported_digits)
    for name in ("manifest.json", "calibration.json"):
        del again[name]  # of one file less
    check_the_same(again, before, folder, exported_digits)
    assert len([name for name in again if name.endswith(".tflite")]) == len(REPEATABLE)


def test_an_export_with_the_calibration_file_needs_no_training_image_and_gives_the_same_bytes(
    exported_digits: Path,
    digits_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = Dataset.split

    def without_training_images(self: Dataset, name: str, *rest: Any) -> Any:
        assert name != "train"
        return split(self, name, *rest)

    monkeypatch.setattr(Dataset, "split", without_training_images)
    given = tmp_path / "ranges.json"
    shutil.copy(exported_digits / "calibration.json", given)
    export(ExportConfig(digits_checkpoint, tmp_path / "again", ("int8", "int8-hybrid"), calibration=given))
    again, before = contents(tmp_path / "again"), contents(exported_digits)
    del again["manifest.json"]  # names two files, not five
    check_the_same(again, before, tmp_path / "again", exported_digits)
    assert {"mobilevit_xxs-digits-int8.tflite", "mobilevit_xxs-digits-int8-hybrid.tflite"} < set(again)


def test_a_scheme_exported_later_joins_the_earlier_ones(digits_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(ExportConfig(digits_checkpoint, out, ("int8",)))
    before = contents(out)
    result = export(ExportConfig(digits_checkpoint, out, ("float32",)))
    after = contents(out)
    assert [entry["scheme"] for entry in manifest_of(out)["files"]] == ["float32", "int8"]
    assert result.to_json() == manifest_of(out)
    assert json.loads(json.dumps(result.to_json())) == result.to_json()
    for entry in manifest_of(out)["files"]:
        assert sha256(out / entry["path"]) == entry["sha256"]
    assert manifest_of(out)["calibration"]["sha256"] == after["calibration.json"] == before["calibration.json"]
    assert {name: after[name] for name in before if name != "manifest.json"} == {
        name: value for name, value in before.items() if name != "manifest.json"
    }


def test_an_earlier_file_that_was_changed_or_removed_leaves_the_manifest(
    digits_checkpoint: Path, digits_export: Path
) -> None:
    file_of(digits_export, "int8").write_bytes(b"changed")
    for scheme in ("dynamic", "int8-hybrid"):
        file_of(digits_export, scheme).unlink()
    export(ExportConfig(digits_checkpoint, digits_export, ("float32",)))
    value = manifest_of(digits_export)
    assert [entry["scheme"] for entry in value["files"]] == ["float32", "float16"]
    assert value["calibration"] is None


def test_a_file_that_another_replaces_is_removed(
    digits_checkpoint: Path, digits_export: Path, tmp_path: Path
) -> None:
    # The same classes under another name of the data set give files of another name.
    pictures = open_dataset("digits").split("test", open_checkpoint(digits_checkpoint).card.image)
    for image, label, number in zip(pictures.images[:100], pictures.labels, range(100), strict=False):
        path = tmp_path / "figures" / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    (digits_export / "notes.txt").write_text("mine")
    config = ExportConfig(digits_checkpoint, digits_export, ("float32",), dataset=str(tmp_path / "figures"))
    export(config)
    assert file_of(digits_export, "float32").name == "mobilevit_xxs-figures-float32.tflite"
    assert len(list(digits_export.glob("*.tflite"))) == len(manifest_of(digits_export)["files"]) == len(SCHEMES)
    assert (digits_export / "notes.txt").exists()


# --- accidents ---


@pytest.mark.parametrize("accident", [PromiseError("no"), KeyboardInterrupt(), MemoryError(), ValueError("odd")])
def test_an_accident_in_the_middle_leaves_the_earlier_export_as_it_was(
    accident: BaseException,
    digits_checkpoint: Path,
    digits_export: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = contents(digits_export)
    ranges = digits_export / "calibration.json"  # so that nothing is measured anew
    write = metadata_module.write
    calls = []

    def fail_at_the_third(*arguments: Any) -> bytes:
        calls.append(arguments)
        if len(calls) == 3:
            raise accident
        return write(*arguments)

    monkeypatch.setattr(metadata_module, "write", fail_at_the_third)
    with pytest.raises(type(accident)):
        export(ExportConfig(digits_checkpoint, digits_export, author="another", calibration=ranges))
    assert len(calls) == 3
    assert contents(digits_export) == before
    assert not (digits_export / STAGING).exists()


def test_a_full_disk_is_an_output_error(
    digits_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        export(ExportConfig(digits_checkpoint, tmp_path / "out", ("float32",)))
    monkeypatch.undo()
    assert contents(tmp_path / "out") == {}
    assert not (tmp_path / "out" / STAGING).exists()


def test_what_a_killed_export_left_behind_is_cleared_away(digits_checkpoint: Path, tmp_path: Path) -> None:
    leftover = tmp_path / "out" / STAGING / "golden"
    leftover.mkdir(parents=True)
    (leftover / "stale.png").write_bytes(b"")
    export(ExportConfig(digits_checkpoint, tmp_path / "out", ("float32",)))
    assert not (tmp_path / "out" / STAGING).exists()
    assert not (tmp_path / "out" / "golden" / "stale.png").exists()


def test_a_file_that_breaks_its_promise_is_not_written(
    digits_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = OwnModel.float_graphs

    def dynamic(self: OwnModel, wanted: Iterable[Scheme], progress: Any = None) -> dict[str, Graph]:
        graph = right(self, [SCHEMES["dynamic"]])["dynamic"]
        return {scheme.name: graph for scheme in wanted}

    monkeypatch.setattr(OwnModel, "float_graphs", dynamic)
    with pytest.raises(
        CheckError, match=r"digits-float32\.tflite does not keep the promises of float32: its weights are"
    ):
        export(ExportConfig(digits_checkpoint, tmp_path / "out", ("dynamic", "float32")))
    assert contents(tmp_path / "out") == {}


def test_a_file_that_gives_no_probabilities_is_refused(
    digits_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vitconv.runtimes.litert import Runner

    for value in (np.nan, 0.2):
        answer = np.full((1, 10), value, np.float32)
        monkeypatch.setattr(Runner, "probabilities", lambda self, images, answer=answer: answer)
        with pytest.raises(PromiseError, match=r"are not probabilities: they sum to (nan|2)"):
            export(ExportConfig(digits_checkpoint, tmp_path / "out", ("float32",)))


# --- refusals, before any work ---


def test_a_configuration_that_cannot_be_exported_is_refused_when_it_is_made() -> None:
    with pytest.raises(UnknownNameError, match="unknown scheme 'int4'"):
        ExportConfig(Path("checkpoint"), Path("out"), ("float32", "int4"))
    with pytest.raises(InputError, match="no scheme to export"):
        ExportConfig(Path("checkpoint"), Path("out"), ())
    with pytest.raises(InputError, match="at least 1 image, not -1"):
        ExportConfig(Path("checkpoint"), Path("out"), samples=-1)


@pytest.fixture
def other_checkpoint(digits_checkpoint: Path, tmp_path: Path) -> Path:
    """The same network with other weights."""
    checkpoint = open_checkpoint(digits_checkpoint)
    model = checkpoint.load()
    head = model.get_layer("head")
    head.bias.assign(head.bias + 0.5)
    return save(tmp_path / "other", model, checkpoint.card).path


def test_another_checkpoint_is_not_exported_into_the_folder(digits_export: Path, other_checkpoint: Path) -> None:
    before = contents(digits_export)
    with pytest.raises(InputError, match=r"holds an export of another checkpoint. Give another --out"):
        export(ExportConfig(other_checkpoint, digits_export, ("float32",)))
    assert contents(digits_export) == before


def test_a_calibration_of_another_checkpoint_is_refused_before_any_conversion(
    exported_digits: Path, other_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(float_graph, "trace")
    config = ExportConfig(
        other_checkpoint, tmp_path / "out", ("float32", "int8"), calibration=exported_digits / "calibration.json"
    )
    with pytest.raises(InputError, match="made for other weights than those of"):
        export(config)
    assert not (tmp_path / "out").exists()


def test_a_calibration_of_another_graph_is_refused(
    exported_digits: Path, digits_checkpoint: Path, tmp_path: Path
) -> None:
    right = calibration.read(exported_digits / "calibration.json")
    graphs = tuple(replace(graph, sha256="0" * 64) for graph in right.graphs)
    replace(right, graphs=graphs).save(tmp_path / "ranges.json")
    config = ExportConfig(digits_checkpoint, tmp_path / "out", ("int8",), calibration=tmp_path / "ranges.json")
    with pytest.raises(InputError, match="does not fit the graph of"):
        export(config)
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot use the manifest|cannot read"),
        ("[]", "cannot use the manifest"),
        ("{}", "`model` is missing"),
    ],
)
def test_a_folder_with_a_manifest_that_is_none_is_left_alone(
    text: str, reason: str, digits_checkpoint: Path, digits_export: Path
) -> None:
    (digits_export / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=reason):
        export(ExportConfig(digits_checkpoint, digits_export, ("float32",)))
    assert file_of(digits_export, "int8").exists()


def test_a_file_in_the_folder_s_place_is_an_output_error(digits_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="cannot write into"):
        export(ExportConfig(digits_checkpoint, tmp_path / "out", ("float32",)))


def test_the_result_is_the_folder_and_its_manifest(exported_digits: Path) -> None:
    result = ExportResult(exported_digits, manifest_of(exported_digits))
    assert json.loads(json.dumps(result.to_json())) == manifest_of(exported_digits)
