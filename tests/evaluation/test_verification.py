"""Verification: its figures against known ones, and what must turn it red."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import Call
from converted import converted, images, keras_answers
from graphs import metadata_of, with_metadata
from vitconv import VerifyConfig, open_checkpoint, verify
from vitconv.checkpoints.answers import Accuracy, accuracy
from vitconv.checkpoints.checkpoint import save
from vitconv.classifiers.own import OwnModel
from vitconv.conversion import schemes
from vitconv.conversion.schemes import SCHEMES, Limits
from vitconv.evaluation import kept_results
from vitconv.evaluation.parity import FileVerification, compare
from vitconv.foundation.errors import CheckpointError, DatasetError, InputError, ModelFileError
from vitconv.quantization import calibration, integers
from vitconv.quantization.bias_correction import corrected
from vitconv.runtimes.litert import Runner
from vitconv.tflite import flatbuffer, metadata
from vitconv.tflite.graph import Graph

LOOSE = Limits(max_drop=100.0)
STRICT = Limits(max_drop=0.0, min_agreement=1.0, max_error=0.0)


# Keras's answer to each of four images, whose classes are the first, fifth, sixth and second in its order.
ROW = (0.40, 0.20, 0.15, 0.10, 0.08, 0.05, 0.02)
EXPECTED = np.tile(np.float64(ROW), (4, 1))
LABELS = np.array([0, 4, 5, 1])


def swapped_first_row() -> np.ndarray:
    """A file's answers that take the first image's two best classes for each other."""
    actual = EXPECTED.copy()
    actual[0, :2] = actual[0, 1::-1]
    return actual


def compared(actual: np.ndarray, limits: Limits = LOOSE) -> FileVerification:
    return compare("a.tflite", "float32", actual, EXPECTED, LABELS, limits)


# --- figures ---


def test_accuracy_counts_the_first_class_the_first_five_and_the_cross_entropy() -> None:
    loss = -np.log([0.40, 0.08, 0.05, 0.20]).mean()
    assert accuracy(EXPECTED, LABELS) == Accuracy(top1=0.25, top5=0.75, loss=pytest.approx(loss))


def test_top5_of_fewer_than_six_classes_is_one() -> None:
    probabilities = np.array([[0.1, 0.2, 0.3, 0.2, 0.2]])
    assert accuracy(probabilities, np.array([0])).top5 == 1


def test_a_class_of_probability_zero_costs_a_finite_loss() -> None:
    assert accuracy(np.array([[1.0, 0.0]]), np.array([1])).loss == pytest.approx(-np.log(1e-7))


def test_every_figure_of_a_comparison_is_the_known_one() -> None:
    result = compared(swapped_first_row())
    assert (result.path, result.scheme) == ("a.tflite", "float32")
    assert (result.top1, result.top5) == (0.0, 0.75)
    assert result.top1_drop == 25.0
    assert result.agreement == 0.75
    assert result.max_abs_error == pytest.approx(0.2)
    assert result.mean_abs_error == pytest.approx(2 * 0.2 / 28)
    assert result.psnr_db == pytest.approx(10 * np.log10(28 / (2 * 0.2**2)))
    assert result.kl == pytest.approx((0.4 * np.log(2) - 0.2 * np.log(2)) / 4)
    assert result.passed
    assert result.reasons == ()


def test_equal_answers_pass_the_strictest_limits_and_have_no_psnr() -> None:
    result = compared(EXPECTED, STRICT)
    assert result.passed
    assert result.psnr_db is None
    assert (result.top1_drop, result.agreement, result.max_abs_error, result.kl) == (0, 1, 0, 0)


def test_a_gain_is_a_negative_drop() -> None:
    actual = EXPECTED.copy()
    actual[3, :2] = actual[3, 1::-1]  # the fourth image is of the second class
    result = compared(actual, Limits(max_drop=0.0))
    assert (result.top1_drop, result.lost, result.gained, result.passed) == (-25.0, 0, 1, True)


def test_other_classes_than_keras_has_are_an_error_that_names_the_file() -> None:
    with pytest.raises(ModelFileError, match=r"a\.tflite gives 6 classes, the checkpoint 7"):
        compared(EXPECTED[:, :6])


# --- limits ---


def of_two_classes(images: int, lost: int = 0, gained: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A file's answers, Keras's and the labels: of some images the file alone is wrong, of some Keras alone."""
    sure, other = (0.9, 0.1), (0.1, 0.9)
    expected = np.array([*[sure] * (images - gained), *[other] * gained])
    actual = np.array([*[other] * lost, *[sure] * (images - lost)])
    return actual, expected, np.zeros(images, int)


def of_limits(limits: Limits, images: int, lost: int = 0, gained: int = 0) -> FileVerification:
    return compare("a", "int8", *of_two_classes(images, lost, gained), limits)


@pytest.mark.parametrize(
    ("limits", "kept", "broken", "reason"),
    [
        (
            Limits(2.0),
            (1000, 5),
            (1000, 40),
            "loses 4.00 points of top-1 (95 % interval 2.87 to 5.51), more than 2",
        ),
        (
            Limits(100, min_agreement=0.96),
            (1000, 5),
            (1000, 80),
            "agrees with Keras on 92.0% (95 % interval 90.1% to 93.6%), less than 96.0%",
        ),
    ],
)
def test_a_file_that_is_shown_to_keep_a_limit_passes_and_one_that_is_shown_to_break_it_fails(
    limits: Limits, kept: tuple[int, int], broken: tuple[int, int], reason: str
) -> None:
    good = of_limits(limits, *kept)
    assert (good.verdict, good.passed, good.reasons, good.doubts, good.enough) == ("passed", True, (), (), None)
    bad = of_limits(limits, *broken)
    assert (bad.verdict, bad.passed, bad.reasons) == ("failed", False, (reason,))


def test_a_largest_error_is_a_limit_of_every_single_image() -> None:
    assert compared(swapped_first_row(), Limits(100, max_error=0.2001)).passed
    (reason,) = compared(swapped_first_row(), Limits(100, max_error=0.1999)).reasons
    assert reason.startswith("is off by 0.2 in a probability")


def test_of_too_few_images_nothing_is_said_but_how_many_would_do() -> None:
    file = of_limits(Limits(0.8, min_agreement=0.96), 12, lost=1)
    assert (file.verdict, file.passed, file.reasons) == ("unsure", True, ())
    more, less = file.doubts
    assert more == "loses more than 0.8 points of top-1 (95 % interval -29.16 to 44.80); use at least 76"
    assert less.startswith("agrees with Keras on less than 96.0% (95 % interval ")
    assert file.enough
    assert (file.lost, file.gained) == (1, 0)


def test_a_file_in_which_nothing_is_rounded_may_differ_on_no_image_and_leaves_no_doubt() -> None:
    limits = SCHEMES["float32"].limits
    assert of_limits(limits, 3).verdict == "passed"
    assert of_limits(limits, 3, lost=1).verdict == "failed"
    # A gain is another answer than Keras's, too.
    assert of_limits(limits, 3, gained=1).verdict == "failed"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [(slice(None), slice(None)), (1, 3), (0, 0)])
def test_answers_that_are_not_numbers_never_pass_and_stay_valid_json(value: float, where: Any) -> None:
    actual = EXPECTED.copy()
    actual[where] = value
    rows = 4 if where[0] == slice(None) else 1
    result = compared(actual)
    assert not result.passed
    assert result.reasons == (f"gives NaN or infinity for {rows} of 4 images",)
    assert result.agreement == (4 - rows) / 4
    figures = (result.top1, result.top5, result.top1_drop, result.max_abs_error, result.mean_abs_error, result.kl)
    assert np.isfinite(figures).all()
    json.dumps([*figures, result.psnr_db], allow_nan=False)


def test_an_answer_that_is_no_number_is_wrong_even_for_the_first_class() -> None:
    actual = np.full((3, 2), np.nan)
    assert accuracy(actual, np.zeros(3, int)) == Accuracy(0.0, 0.0, pytest.approx(-np.log(1e-7)))


# --- a whole export ---


def redone(folder: Path, scheme: str, data: bytes) -> None:
    """Puts another file in a scheme's place, as if the export had made it."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (entry,) = (entry for entry in manifest["files"] if entry["scheme"] == scheme)
    (folder / entry["path"]).write_bytes(data)
    entry["sha256"] = hashlib.sha256(data).hexdigest()
    manifest["files"] = [entry]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def described(folder: Path, scheme: str) -> metadata.ModelMetadata:
    found = metadata_of(file_of(folder, scheme).read_bytes())
    assert found is not None
    return found


def file_of(folder: Path, scheme: str) -> Path:
    return next(folder.glob(f"*-{scheme}.tflite"))


def edit(folder: Path, scheme: str, change: Callable[[Any], None]) -> None:
    """Changes a scheme's file by its objects (schema.ModelT)."""
    model = flatbuffer.parse(file_of(folder, scheme).read_bytes(), scheme)
    change(model)
    redone(folder, scheme, with_metadata(flatbuffer.serialize(model), described(folder, scheme)))


def constants(model: Any, *shape: int) -> list[Any]:
    """The tensors of that shape that hold data."""
    return [
        tensor
        for tensor in model.subgraphs[0].tensors
        if flatbuffer.tensor_shape(tensor) == shape and model.buffers[tensor.buffer].data is not None
    ]


def rewrite(model: Any, tensor: Any, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Changes a constant's values; `change` takes and gives the array in the tensor's shape."""
    buffer = model.buffers[tensor.buffer]
    values = np.frombuffer(bytes(buffer.data), flatbuffer.tensor_dtype(tensor))
    changed = change(values.reshape(flatbuffer.tensor_shape(tensor)).copy())
    buffer.data = flatbuffer.data_vector(np.ascontiguousarray(changed).tobytes())


def verified(folder: Path, checkpoint: Path, **more: Any) -> FileVerification:
    """The only file that the manifest names."""
    (file,) = verify(VerifyConfig(folder, checkpoint=checkpoint, **more)).files
    return file


def test_an_export_as_it_was_made_passes_with_every_scheme(exported_digits: Path, digits_checkpoint: Path) -> None:
    calls = []
    result = verify(VerifyConfig(exported_digits), lambda *call: calls.append(call))
    assert result.passed
    assert [file.scheme for file in result.files] == list(SCHEMES)
    assert result.examples == 360
    assert result.dataset.startswith("digits test (")
    document = result.to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["passed"], document["chose_epoch"]) == (True, False)
    assert set(document) == {
        "dataset",
        "examples",
        "chose_epoch",
        "reference",
        "files",
        "folder_problems",
        "passed",
    }
    assert set(document["files"][0]) == {
        "path", "scheme", "top1", "top5", "top1_drop", "agreement", "max_abs_error", "mean_abs_error", "psnr_db",
        "kl", "passed", "reasons", "sha256", "top1_interval", "top5_interval", "verdict", "doubts", "enough",
        "lost", "gained", "top1_drop_interval", "agreement_interval",
    }  # fmt: skip
    assert result.reference.top1 > 0.8
    assert ("verifying int8", 360, 360) in calls


def test_edited_labels_and_a_missing_golden_image_fail_the_folder(
    call: Call, digits_export: Path, digits_checkpoint: Path
) -> None:
    manifest = json.loads((digits_export / "manifest.json").read_text())
    manifest["files"] = manifest["files"][:1]
    (digits_export / "manifest.json").write_text(json.dumps(manifest))
    (digits_export / "labels.txt").write_text("".join(f"{label}\n" for label in [1, 0, *range(2, 10)]))
    (digits_export / "golden" / "3.png").unlink()
    ended = call("verify", digits_export, "--limit", 4, "--checkpoint", digits_checkpoint, "--json")
    assert ended.status == 1
    document = json.loads(ended.out)
    assert [file["passed"] for file in document["files"]] == [True]
    assert document["passed"] is False
    assert document["folder_problems"] == [
        "labels.txt has changed since the export (its SHA-256 is not the manifest's)",
        "golden/3.png is in the manifest, but not in the folder",
    ]
    manifest["labels"] = [str(label) for label in [1, 0, *range(2, 10)]]
    del manifest["digests"]  # as earlier versions wrote it
    (digits_export / "manifest.json").write_text(json.dumps(manifest))
    ended = call("verify", digits_export, "--limit", 4, "--checkpoint", digits_checkpoint)
    assert ended.status == 1
    assert "3.png is missing. Export again." in " ".join(ended.out.split())
    assert "manifest.json names other classes than the checkpoint" in " ".join(ended.out.split())


def test_a_limit_takes_the_first_images(exported_digits: Path) -> None:
    result = verify(VerifyConfig(exported_digits, limit=7))
    assert result.examples == 7
    assert result.reference.top1 * 7 == pytest.approx(round(result.reference.top1 * 7))


def test_bad_pictures_are_answered_and_kept_beside_the_verification(
    call: Call, digits_export: Path, digits_checkpoint: Path
) -> None:
    document = json.loads((digits_export / "manifest.json").read_text())
    document["files"] = [file for file in document["files"] if file["scheme"] in ("float32", "int8")]
    (digits_export / "manifest.json").write_text(json.dumps(document))
    options = ["--limit", 6, "--checkpoint", digits_checkpoint]
    ended = call("verify", digits_export, *options, "--robustness", "--json")
    assert ended.status == 0
    found = json.loads(ended.out)["robustness"]
    assert (found["examples"], [file["scheme"] for file in found["files"]]) == (6, ["float32", "int8"])
    # What float32 answers is what Keras answers, to good pictures and to bad ones.
    assert found["files"][0]["top1"] == found["reference"]["top1"]
    assert found["files"][0]["mean_agreement"] == 1
    assert found["reference"]["clean"] > found["reference"]["mean_top1"]
    kept = kept_results.read_robustness(digits_export)
    assert kept
    assert kept.measured.to_json() == found
    assert kept.files[1].sha256 == document["files"][1]["sha256"]
    # It stays when the folder is verified without it.
    ended = call("verify", digits_export, *options)
    assert "bad pictures" not in ended.out
    assert kept_results.read_robustness(digits_export) == kept


def swap_classes(model: Any) -> None:
    """Outputs 0 and 1 for each other, in the head's weights, bias and scales."""
    order = [1, 0, *range(2, 10)]
    for tensor in (*constants(model, 10, 320), *constants(model, 10)):
        rewrite(model, tensor, lambda values: values[order])
        scale = None if tensor.quantization is None else tensor.quantization.scale
        if scale is not None and len(scale) == 10:
            tensor.quantization.scale = [scale[index] for index in order]


@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_a_file_with_another_class_order_fails(scheme: str, digits_export: Path, digits_checkpoint: Path) -> None:
    edit(digits_export, scheme, swap_classes)
    file = verified(digits_export, digits_checkpoint)
    assert not file.passed
    assert any("points of top-1" in reason for reason in file.reasons)


@pytest.fixture(scope="module")
def integer_graph(digits_checkpoint: Path) -> Graph:
    """The float graph that the digits' int8 file was made from."""
    return OwnModel.open(digits_checkpoint).float_graphs([schemes.find("int8")])["int8"]


def test_a_file_made_with_the_right_ranges_is_the_exported_one(
    integer_graph: Graph, exported_digits: Path
) -> None:
    measured = calibration.read(exported_digits / "calibration.json").graphs[0]
    graph = integers.quantize(corrected(integer_graph, measured.biases), measured.ranges)
    data = with_metadata(graph.data, described(exported_digits, "int8"))
    assert (
        hashlib.sha256(data).hexdigest()
        == hashlib.sha256(file_of(exported_digits, "int8").read_bytes()).hexdigest()
    )


@pytest.mark.parametrize("factor", [0.1, 20])
def test_a_file_made_with_wrong_ranges_fails(
    factor: float, integer_graph: Graph, digits_export: Path, digits_checkpoint: Path
) -> None:
    source, *others = calibration.read(digits_export / "calibration.json").graphs[0].ranges
    wrong = [replace(tensor, min=tensor.min * factor, max=tensor.max * factor) for tensor in others]
    data = integers.quantize(integer_graph, (source, *wrong)).data
    redone(digits_export, "int8", with_metadata(data, described(digits_export, "int8")))
    assert not verified(digits_export, digits_checkpoint).passed


def test_a_file_calibrated_for_pixels_from_zero_to_one_fails(
    integer_graph: Graph, digits_export: Path, digits_checkpoint: Path
) -> None:
    source, *others = calibration.read(digits_export / "calibration.json").graphs[0].ranges
    data = integers.quantize(integer_graph, (replace(source, max=1.0), *others)).data
    redone(digits_export, "int8", with_metadata(data, described(digits_export, "int8")))
    assert not verified(digits_export, digits_checkpoint).passed


def swap_colours(model: Any) -> None:
    (kernel,) = constants(model, 64, 2, 2, 3)
    rewrite(model, kernel, lambda values: values[..., ::-1])


def drop_layer(model: Any) -> None:
    """What the last attention adds is gone, but for a bias."""
    # In integers a dense layer over tokens is a convolution.
    kernels = [*constants(model, 64, 256), *constants(model, 64, 1, 1, 256)]
    rewrite(model, kernels[-1], np.zeros_like)


@pytest.fixture(scope="module")
def coloured() -> tuple[np.ndarray, np.ndarray]:
    """Pictures, and EANet's answers to them. It is the teacher: its first class is the true one.

    The digits' network would show less: they are grey, and it does without any one of its attentions. Pictures
    between two classes are left out: int8 decides 2 % of all otherwise than Keras, none of these. Of these, it
    takes 9 % for another class without its last attention.
    """
    pictures, expected = images("eanet", 300, seed=11), keras_answers("eanet", 300, seed=11)
    first, second = np.sort(expected, axis=1)[:, :-3:-1].T
    sure = first - second > 0.02
    assert sure.sum() > 200
    return pictures[sure], expected[sure]


@pytest.mark.parametrize("mutate", [swap_colours, drop_layer])
@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_a_file_with_swapped_colours_or_a_dropped_layer_fails(
    mutate: Callable[[Any], None], scheme: str, coloured: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    pictures, expected = coloured
    model = flatbuffer.parse(converted("eanet", scheme), scheme)

    def result() -> FileVerification:
        path = tmp_path / f"{scheme}.tflite"
        path.write_bytes(flatbuffer.serialize(model))
        with Runner(path) as runner:
            actual = runner.probabilities(pictures)
        return compare(path.name, scheme, actual, expected, expected.argmax(axis=1), schemes.find(scheme).limits)

    assert result().passed
    mutate(model)
    assert not result().passed


def test_a_file_that_gives_nan_fails_with_the_reason_in_valid_json(
    digits_export: Path, digits_checkpoint: Path
) -> None:
    def break_bias(model: Any) -> None:
        for tensor in constants(model, 10):
            rewrite(model, tensor, lambda values: values * np.float32(np.nan))

    edit(digits_export, "float32", break_bias)
    result = verify(VerifyConfig(digits_export, checkpoint=digits_checkpoint, limit=20))
    assert not result.passed
    assert "gives NaN or infinity for 20 of 20 images" in result.files[0].reasons
    json.dumps(result.to_json(), allow_nan=False)


# --- metadata ---


def test_a_file_that_names_its_classes_in_another_order_fails(
    digits_export: Path, digits_checkpoint: Path
) -> None:
    right = described(digits_export, "int8")
    first, second, *others = right.labels
    data = file_of(digits_export, "int8").read_bytes()
    redone(digits_export, "int8", with_metadata(data, replace(right, labels=(second, first, *others))))
    file = verified(digits_export, digits_checkpoint, limit=20)
    assert not file.passed
    assert file.reasons == ("has other classes in its metadata than the checkpoint, or the same in another order",)


def test_a_file_that_names_another_resize_rule_fails(digits_export: Path, digits_checkpoint: Path) -> None:
    right = described(digits_export, "int8")
    data = file_of(digits_export, "int8").read_bytes()
    redone(
        digits_export,
        "int8",
        with_metadata(data, replace(right, image=replace(right.image, resize="center_crop"))),
    )
    (reason,) = verified(digits_export, digits_checkpoint, limit=20).reasons
    assert "center_crop" in reason


def test_a_file_without_metadata_fails(digits_export: Path, digits_checkpoint: Path) -> None:
    model = flatbuffer.parse(file_of(digits_export, "int8").read_bytes(), "int8")
    model.metadata = [entry for entry in model.metadata if flatbuffer.text(entry.name) != "TFLITE_METADATA"]
    redone(digits_export, "int8", flatbuffer.serialize(model))
    assert verified(digits_export, digits_checkpoint, limit=20).reasons == ("has no metadata",)


# --- refusals ---


def test_a_changed_file_is_refused_by_name(digits_export: Path) -> None:
    path = file_of(digits_export, "dynamic")
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ModelFileError, match=r"digits-dynamic\.tflite has changed since its export"):
        verify(VerifyConfig(digits_export))


def test_a_missing_file_is_refused_by_name(digits_export: Path) -> None:
    file_of(digits_export, "float16").unlink()
    with pytest.raises(ModelFileError, match=r"digits-float16\.tflite, but the file is not in the folder"):
        verify(VerifyConfig(digits_export))


def test_a_file_that_the_runtime_refuses_is_named(digits_export: Path, digits_checkpoint: Path) -> None:
    def too_new(model: Any) -> None:
        for code in model.operatorCodes:
            code.version = 1000

    edit(digits_export, "float32", too_new)
    with pytest.raises(ModelFileError, match=r"digits-float32\.tflite cannot be run"):
        verify(VerifyConfig(digits_export, checkpoint=digits_checkpoint, limit=2))


def test_a_manifest_without_files_is_refused_rather_than_passed(digits_export: Path) -> None:
    manifest = json.loads((digits_export / "manifest.json").read_text())
    (digits_export / "manifest.json").write_text(json.dumps({**manifest, "files": []}))
    with pytest.raises(InputError, match="it names no files"):
        verify(VerifyConfig(digits_export))


def test_a_folder_that_is_no_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not an export folder: it has no manifest\.json"):
        verify(VerifyConfig(tmp_path))


def rename_checkpoint(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["checkpoint"]["name"] = name
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_checkpoint_s_relative_path_is_looked_for_from_the_current_folder(
    digits_export: Path, digits_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename_checkpoint(digits_export, "runs/digits")
    shutil.copytree(digits_checkpoint, tmp_path / "runs" / "digits")
    monkeypatch.chdir(tmp_path)
    assert verify(VerifyConfig(digits_export, limit=2)).examples == 2
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(
        CheckpointError, match=r"runs/digits, which does not exist \(looked up from .*elsewhere\)"
    ) as caught:
        verify(VerifyConfig(digits_export, limit=2))
    assert "--checkpoint" in str(caught.value)
    assert verify(VerifyConfig(digits_export, limit=2, checkpoint=digits_checkpoint)).examples == 2


def test_another_checkpoint_than_the_exported_one_is_refused(
    exported_digits: Path, digits_checkpoint: Path, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(digits_checkpoint)
    model = checkpoint.load()
    model.get_layer("head").bias.assign(np.zeros(10))
    other = save(tmp_path / "other", model, checkpoint.card)
    with pytest.raises(InputError, match=r"was exported from other weights than those in .*other\."):
        verify(VerifyConfig(exported_digits, checkpoint=other.path))


def test_a_checkpoint_that_gives_nan_itself_is_refused(
    digits_export: Path, digits_checkpoint: Path, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(digits_checkpoint)
    model = checkpoint.load()
    model.get_layer("head").bias.assign(np.full(10, np.nan))
    broken = save(tmp_path / "broken", model, checkpoint.card)
    manifest = json.loads((digits_export / "manifest.json").read_text())
    manifest["checkpoint"] = {"name": str(broken.path), "sha256": broken.card.weights["sha256"]}
    (digits_export / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"the checkpoint .*broken gives NaN or infinity for 5 of 5 images"):
        verify(VerifyConfig(digits_export, limit=5))


def test_a_data_set_with_other_classes_is_refused(exported_digits: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(10):
            pixels = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.png")
    with pytest.raises(DatasetError, match="the data set has 2 classes, the checkpoint 10"):
        verify(VerifyConfig(exported_digits, dataset=str(tmp_path / "pets")))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"limit": 0}, "--limit must be at least 1 image, not 0"),
        ({"max_drop": -1.0}, "--max-drop must be between 0 and 100"),
        ({"max_drop": float("nan")}, "--max-drop must be between 0 and 100"),
    ],
)
def test_a_configuration_out_of_range_is_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        VerifyConfig(Path("export"), **values)


def test_max_drop_replaces_the_schemes_own(digits_export: Path, digits_checkpoint: Path) -> None:
    edit(digits_export, "int8", swap_classes)
    assert any("points" in reason for reason in verified(digits_export, digits_checkpoint).reasons)
    generous = verified(digits_export, digits_checkpoint, max_drop=100.0)
    assert not any("points" in reason for reason in generous.reasons)
