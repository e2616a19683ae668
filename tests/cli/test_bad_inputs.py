"""What every command says to inputs it cannot use: one message that names them, exit status 2, nothing written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import Call, Ended, executable, refused, run
from vitconv.cli.main import cli
from vitconv.exporting import manifest

INT8 = "mobilevit_xxs-digits-int8.tflite"


@pytest.fixture
def place(tmp_path: Path, digits_checkpoint: Path, exported_digits: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the commands run, with good things and bad ones."""
    folder = tmp_path / "place"
    folder.mkdir()
    folder.joinpath("checkpoint").symlink_to(digits_checkpoint)
    folder.joinpath("export").symlink_to(exported_digits)
    folder.joinpath("no-folder").write_text("a file where a folder should be")
    folder.joinpath("empty").write_bytes(b"")
    folder.joinpath("empty-folder").mkdir()
    folder.joinpath("text.tflite").write_text("This is not a model, however long it goes on about itself.\n")
    # As ONNX files begin: a protobuf with ir_version and producer_name.
    folder.joinpath("model.onnx").write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.5.1:" + bytes(range(256)) * 20)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "photo.jpg")
    folder.joinpath("half.tflite").write_bytes((exported_digits / INT8).read_bytes()[:100_000])
    for first, label in enumerate(("cat", "dog")):
        folder.joinpath("pets", label).mkdir(parents=True)
        for number in range(12):
            picture = np.full((9, 9, 3), first + number * 20, np.uint8)
            Image.fromarray(picture).save(folder / "pets" / label / f"{number}.png")
    folder.joinpath("one-class", "cat").mkdir(parents=True)
    shutil.copy(folder / "pets/cat/0.png", folder / "one-class/cat")
    monkeypatch.chdir(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file in the folder with its bytes, and every folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


CASES: list[tuple[str, list[str]]] = [
    # --- files ---
    ("inspect absent.tflite", ["there is no model file absent.tflite"]),
    ("cache --older-than 3", ["--older-than is for --prune"]),
    ("cache --prune --older-than -1", ["'--older-than'", "-1"]),
    ("inspect empty", ["empty is empty"]),
    ("inspect empty-folder", ["empty-folder is a folder"]),
    ("inspect no-folder/model.tflite", ["no-folder/model.tflite"]),
    ("inspect text.tflite", ["text.tflite is not a .tflite file"]),
    ("inspect model.onnx", ["model.onnx is not a .tflite file"]),
    ("inspect photo.jpg", ["photo.jpg is not a .tflite file"]),
    ("inspect half.tflite", ["half.tflite is corrupt"]),
    ("inspect /dev/zero", ["/dev/zero is a pipe or a device"]),
    (f"inspect export/{INT8} photo.jpg", ["photo.jpg is not a .tflite file"]),
    (f"inspect {'a' * 300}.tflite", ["aaa.tflite", "too long"]),
    ("benchmark absent.tflite", ["there is no model file absent.tflite"]),
    ("benchmark empty", ["empty cannot be run"]),
    ("benchmark empty-folder", ["no .tflite file in empty-folder"]),
    ("benchmark text.tflite", ["text.tflite cannot be run"]),
    ("benchmark model.onnx", ["model.onnx cannot be run"]),
    ("benchmark photo.jpg", ["photo.jpg cannot be run"]),
    ("benchmark half.tflite", ["half.tflite cannot be run"]),
    ("benchmark /dev/zero", ["no model file /dev/zero"]),
    ("benchmark export photo.jpg", ["photo.jpg cannot be run"]),
    (f"benchmark {'a' * 300}.tflite", ["aaa.tflite", "too long"]),
    ("report absent", ["absent is not an export folder"]),
    ("report pets", ["pets is not an export folder"]),
    ("report export --compare pets", ["pets is not an export folder"]),
    ("report export --format pdf", ["'pdf'", "markdown"]),
    ("run absent.tflite photo.jpg", ["there is no model file absent.tflite"]),
    ("run export photo.jpg", ["export is a folder", "Name a .tflite file in it"]),
    ("run photo.jpg photo.jpg", ["photo.jpg is not a .tflite file"]),
    ("run half.tflite photo.jpg", ["half.tflite is corrupt"]),
    (f"run export/{INT8} absent.jpg", ["there is no picture absent.jpg"]),
    (f"run export/{INT8} empty", ["empty is not a picture"]),
    (f"run export/{INT8} pets", ["pets is a folder, not a picture"]),
    (f"run export/{INT8} --top 0 photo.jpg", ["at least 1 label, not 0"]),
    ("explain absent.tflite photo.jpg", ["there is no file absent.tflite"]),
    ("explain half.tflite photo.jpg", ["half.tflite is corrupt"]),
    (f"explain export/{INT8}", ["no picture to explain"]),
    (f"explain export/{INT8} empty", ["empty is not a picture"]),
    (f"explain export/{INT8} photo.jpg --class cat", ["unknown class 'cat'"]),
    (f"explain export/{INT8} photo.jpg --out no-folder", ["no-folder"]),
    ("explain pets photo.jpg", ["pets is not a checkpoint"]),
    # --- folders ---
    ("verify absent", ["absent is not an export folder"]),
    ("verify no-folder", ["no-folder is not an export folder"]),
    ("verify empty-folder", ["empty-folder is not an export folder"]),
    ("verify checkpoint", ["checkpoint is not an export folder"]),
    (f"verify export/{INT8}", [f"{INT8} is not an export folder"]),
    ("verify export --checkpoint absent", ["there is no checkpoint folder absent"]),
    ("verify export --checkpoint pets", ["pets is not a checkpoint"]),
    ("calibrate absent --out ranges.json", ["there is no checkpoint folder absent"]),
    ("calibrate photo.jpg --out ranges.json", ["photo.jpg is no model", "checkpoint folder", ".keras"]),
    ("calibrate pets --out ranges.json", ["pets is not a checkpoint: it has no card.json"]),
    ("export absent --quant all --out out", ["there is no checkpoint folder absent"]),
    ("export empty --quant all --out out", ["empty is no model"]),
    ("export export --quant all --out out", ["export is not a checkpoint: it has no card.json"]),
    # --- names ---
    (
        "train mobilvit_xxs --dataset digits --out out",
        ["'mobilvit_xxs'", "Did you mean 'mobilevit_xxs'?", "eanet"],
    ),
    ("train eanet --dataset digitz --out out", ["'digitz'", "digits", "tf_flowers"]),
    ("train eanet --dataset ./absent --out out", ["absent"]),
    ("train eanet --dataset ./empty-folder --out out", ["empty-folder"]),
    ("train eanet --dataset ./photo.jpg --out out", ["photo.jpg"]),
    ("train eanet --dataset ./one-class --out out", ["one-class"]),
    ("export checkpoint --quant int9 --out out", ["'int9'", "Did you mean 'int8'?", "float16"]),
    ("export checkpoint --quant float32,int4 --out out", ["'int4'", "Known:"]),
    ("export checkpoint --quant  --out out", ["''", "Known:"]),
    (
        "calibrate checkpoint --dataset ./pets --out ranges.json",
        ["labels of pets", "2 classes", "checkpoint 10", "digits"],
    ),
    (
        "export checkpoint --quant int8 --dataset ./pets --out out",
        ["labels of pets", "2 classes", "checkpoint 10"],
    ),
    ("verify export --dataset ./pets", ["labels of pets", "2 classes", "checkpoint 10"]),
    ("verify export --dataset digitz", ["'digitz'", "digits"]),
    # --- numbers ---
    ("train eanet --dataset digits --image-size 0 --out out", ["1 to 4096", "not 0"]),
    ("train eanet --dataset digits --image-size -32 --out out", ["256", "96x160", "not '-32'"]),
    ("train mobilevit_xxs --dataset digits --image-size 33 --out out", ["multiples of 32", "not 33"]),
    ("train eanet --dataset digits --image-size 1000000 --out out", ["1000000"]),
    ("train eanet --dataset digits --image-size 2.5 --out out", ["256", "96x160", "not '2.5'"]),
    ("train eanet --dataset digits --epochs 0 --out out", ["epochs must be above 0, not 0"]),
    ("train eanet --dataset digits --epochs -3 --out out", ["epochs must be above 0, not -3"]),
    ("train eanet --dataset digits --batch-size 0 --out out", ["batch size must be above 0, not 0"]),
    ("train eanet --dataset digits --seed -1 --out out", ["'--seed'", "-1"]),
    (
        "train eanet --dataset digits --seed 99999999999999999999 --out out",
        ["seed must be", "not 99999999999999999999"],
    ),
    ("calibrate checkpoint --samples 0 --out ranges.json", ["at least 1 image, not 0"]),
    ("calibrate checkpoint --samples -1 --out ranges.json", ["at least 1 image, not -1"]),
    ("calibrate checkpoint --seed -1 --out ranges.json", ["'--seed'", "-1"]),
    ("export checkpoint --quant int8 --samples 0 --out out", ["at least 1 image, not 0"]),
    ("export checkpoint --quant int8 --samples many --out out", ["'--samples'", "'many'"]),
    ("verify export --limit 0", ["--limit must be at least 1 image, not 0"]),
    ("verify export --limit -5", ["--limit must be at least 1 image, not -5"]),
    ("verify export --max-drop -0.1", ["between 0 and 100 percentage points, not -0.1"]),
    ("verify export --max-drop 101", ["between 0 and 100 percentage points, not 101"]),
    ("verify export --max-drop nan", ["between 0 and 100 percentage points, not nan"]),
    ("benchmark export --threads 0", ["threads must be 1 to 256, not 0"]),
    ("benchmark export --threads -2", ["threads must be 1 to 256, not -2"]),
    ("benchmark export --threads 1000000", ["threads must be 1 to 256, not 1000000"]),
    ("benchmark export --runs 0", ["runs must be 1 to", "not 0"]),
    ("benchmark export --runs -1", ["runs must be 1 to", "not -1"]),
    ("benchmark export --runs 99999999999999999999", ["runs must be 1 to", "not 99999999999999999999"]),
    ("benchmark export --threads four", ["--threads must be a whole number", "not 'four'"]),
    ("benchmark export --threads 1,4", ["several numbers of threads are for phones"]),
    ("benchmark export --cpu max", ["--cpu counts instructions: add --runtime android"]),
    ("benchmark export --layers", ["--layers counts instructions: add --runtime android"]),
    ("benchmark export --runtime android --cpu m1", ["unknown processor 'm1'", "cortex-a53, cortex-a76, max"]),
    ("benchmark export --runtime android --cpu ,", ["unknown processor ''"]),
    ("benchmark export --runtime android --runs 0", ["runs must be 1 to", "not 0"]),
    ("benchmark export --runtime android --threads 1,4", ["several numbers of threads are for phones"]),
    ("benchmark export --runtime android --device", ["--runtime android", "does not go with --device"]),
    ("benchmark export --runtime android --delegate gpu", ["--delegate is for phones: add --device"]),
    ("benchmark --runtime android --compare a.json b.json", ["--runtime android", "does not go with --compare"]),
    ("benchmark export --runtime tflite", ["tflite", "litert", "android"]),
    ("benchmark --runtime android", ["nothing to benchmark"]),
    ("benchmark absent.tflite --runtime android", ["there is no model file absent.tflite"]),
    ("benchmark export --delegate gpu", ["--delegate is for phones: add --device"]),
    ("benchmark export --cooldown 0", ["--cooldown is for phones: add --device"]),
    ("benchmark export --keep", ["--keep is for phones: add --device"]),
    ("benchmark --device export", ["--device export is a path, not a phone", "vitconv benchmark export --device"]),
    ("benchmark export --device --threads 1,0", ["threads must be 1 to 256, not 0"]),
    ("benchmark export --device --delegate tpu", ["unknown delegate 'tpu'", "gpu, nnapi"]),
    ("benchmark export --device --delegate ", ["unknown delegate ''"]),
    ("benchmark export --device --cpu-mask f0$(id)", ["--cpu-mask must be hexadecimal", "f0$(id)"]),
    ("benchmark export --device --cooldown -1", ["cooldown must be 0 to 3600, not -1"]),
    ("benchmark export --device --timeout nan", ["timeout must be 2 to 86400, not nan"]),
    ("app install absent.apk", ["there is no APK absent.apk"]),
    ("app install photo.jpg", ["photo.jpg is not an APK"]),
    ("app benchmark --delegate tpu", ["unknown delegate of the app 'tpu'"]),
    ("app selftest --timeout 0", ["timeout must be 1 to 86400, not 0"]),
    # --- what was left out, or is no option ---
    ("train eanet --dataset digits", ["'--out'"]),
    ("train eanet --out out", ["'--dataset'"]),
    ("export checkpoint --out out", ["--quant", "--max-drop 0.5"]),
    ("export checkpoint --max-drop 1 --quant int8 --out out", ["Leave --quant out"]),
    ("export checkpoint --max-drop -1 --out out", ["--max-drop", "-1"]),
    ("inspect", ["'FILE...'"]),
    (f"run export/{INT8}", ["'IMAGE...'"]),
    ("benchmark", ["nothing to benchmark"]),
    ("benchmark --device", ["nothing to benchmark"]),
    ("verify", ["'FOLDER'"]),
    ("verify export extra", ["extra"]),
    ("inspct empty", ["'inspct'"]),
    ("models --jsn", ["'--jsn'", "--json"]),
    ("datasets now", ["now"]),
    ("doctor now", ["now"]),
    ("completion csh", ["'csh'", "'fish'"]),
]


@pytest.mark.parametrize(("line", "words"), CASES, ids=[line[:70] for line, _ in CASES])
def test_one_message_names_what_is_wrong(line: str, words: list[str], call: Call, place: Path) -> None:
    before = contents(place)
    refused(call(*line.split(" ")), *words)
    left = contents(place)
    left.pop("out", None)  # the empty folder of an export that found nothing to do
    assert left == before


def test_a_file_larger_than_any_model_is_not_read(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "huge.tflite"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # takes no room on the disk
    refused(call("inspect", path), "huge.tflite", str(1 << 40))


def test_every_command_has_its_bad_inputs() -> None:
    assert {line.split()[0] for line, _ in CASES} >= set(cli.commands)


# --- places that cannot be written ---


@pytest.mark.parametrize("out", ["no-folder", "no-folder/x", "/dev/null/x", "/proc/x"])
@pytest.mark.parametrize(
    "line",
    [
        "train mobilevit_xxs --image-size 32 --dataset digits --out",
        "calibrate checkpoint --samples 1 --out",
        "export checkpoint --quant float32 --out",
    ],
)
def test_an_output_that_cannot_be_written_is_named(line: str, out: str, call: Call, place: Path) -> None:
    if line.startswith("calibrate") and out == "no-folder":
        out = "empty-folder"  # a calibration file is a file
    before = contents(place)
    refused(
        call(*line.split(), out), "cannot write", str(Path(out).parent) if line.startswith("calibrate") else out
    )
    assert contents(place) == before


def test_a_folder_without_permission_is_named(call: Call, place: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read and write everything")
    closed = place / "closed"
    closed.mkdir()
    shutil.copy(place / "export" / INT8, closed / "model.tflite")
    (closed / "model.tflite").chmod(0)
    refused(call("inspect", "closed/model.tflite"), "closed/model.tflite", "Permission denied")
    refused(call("benchmark", "closed/model.tflite"), "closed/model.tflite")
    closed.chmod(0)
    try:
        for line in (
            "inspect closed/model.tflite",
            "benchmark closed",
            "verify closed",
            "calibrate closed --out x",
        ):
            refused(call(*line.split()), "closed")
        refused(call("export", "checkpoint", "--quant", "float32", "--out", "closed/x"), "closed/x")
    finally:
        closed.chmod(0o700)


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("calibrate tiny.keras {told} --samples 1000 --out full/x", "4k"),
        ("export checkpoint --quant float32 --out full/x", "64k"),
    ],
)
def test_a_full_disk_is_named_and_left_clean(
    line: str, size: str, place: Path, tiny_keras: tuple[Path, tuple[object, ...]]
) -> None:
    """On a small file system of its own, in a mount namespace that ends with the command."""
    (place / "full").mkdir()
    network, told = tiny_keras
    (place / "tiny.keras").symlink_to(network)
    line = line.format(told=" ".join(map(str, told)))
    script = (
        f"mount -t tmpfs -o size={size} tmpfs full || exit 99\n'{executable()}' {line}\n"
        "status=$?\nls -A full full/x >&2\nexit $status"
    )
    try:
        done = subprocess.run(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", script], capture_output=True, text=True
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if done.returncode == 99 or done.stderr.startswith("unshare:"):
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    said, _, listing = done.stderr.partition("No space left on device.\n")
    refused(Ended(done.returncode, done.stdout, f"{said}No space left on device."), "cannot write", "full/x")
    assert ".tmp" not in listing


# --- export folders that are broken ---


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / "manifest.json").read_text())
    change(document)
    (folder / "manifest.json").write_text(json.dumps(document))


BROKEN_MANIFESTS: dict[str, tuple[str | Callable[[dict[str, Any]], object], list[str]]] = {
    "empty": ("", []),
    "text": ("hello", []),
    "half": ('{"model": "mobilevit_xxs", ', []),
    "no UTF-8": ("\udcff", []),
    "a list": ("[]", ["JSON object"]),
    "null": ("null", ["JSON object"]),
    "nested without end": ("[" * 100_000, []),
    "without files": (lambda value: value.pop("files"), ["files"]),
    "no files": (lambda value: value["files"].clear(), ["no files"]),
    "files that are a number": (lambda value: value.update(files=3), []),
    "an unknown scheme": (lambda value: value["files"][0].update(scheme="int3"), ["'int3'", "float16"]),
    "a path that leads out": (lambda value: value["files"][0].update(path="../passwd"), ["../passwd"]),
    "an absolute path": (lambda value: value["files"][0].update(path="/etc/passwd"), ["/etc/passwd"]),
    "the folder itself as a path": (lambda value: value["files"][0].update(path=".."), [".."]),
    "a path that is no text": (lambda value: value["files"][0].update(path=7), ["7"]),
    "a file that isn't there": (lambda value: value["files"][0].update(path="gone.tflite"), ["gone.tflite"]),
    "no digest": (lambda value: value["files"][0].pop("sha256"), ["sha256"]),
    "another digest": (lambda value: value["files"][0].update(sha256="0" * 64), ["float32.tflite", "SHA-256"]),
    "a checkpoint that moved": (
        lambda value: value["checkpoint"].update(name="/moved/away"),
        ["/moved/away", "--checkpoint"],
    ),
    "another checkpoint": (lambda value: value["checkpoint"].update(sha256="0" * 64), ["from other weights"]),
}  # fmt: skip


@pytest.mark.parametrize(("broken", "words"), BROKEN_MANIFESTS.values(), ids=BROKEN_MANIFESTS)
def test_a_broken_manifest_is_named(
    broken: str | Callable[[dict[str, Any]], object], words: list[str], call: Call, digits_export: Path
) -> None:
    if isinstance(broken, str):
        (digits_export / "manifest.json").write_bytes(broken.encode(errors="surrogateescape"))
        words = [*words, "manifest.json"]
    else:
        edit(digits_export, broken)
    refused(call("verify", digits_export, "--limit", "1"), str(digits_export)[:20], *words)


def test_a_changed_or_missing_file_is_named(call: Call, digits_export: Path) -> None:
    path = digits_export / INT8
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    refused(
        call("verify", digits_export, "--limit", "1"), INT8, "its SHA-256 is not the manifest's", "Export again"
    )
    path.unlink()
    refused(call("verify", digits_export, "--limit", "1"), INT8, "not in the folder")


def test_a_checkpoint_that_moved_is_found_again(call: Call, digits_export: Path, digits_checkpoint: Path) -> None:
    edit(digits_export, lambda value: value["checkpoint"].update(name="/moved/away"))
    edit(digits_export, lambda value: value.update(files=value["files"][:1]))
    assert call("verify", digits_export, "--limit", "4", "--checkpoint", digits_checkpoint).status == 0


def test_an_export_over_another_checkpoints_export_is_refused(
    call: Call, digits_checkpoint: Path, digits_export: Path
) -> None:
    edit(digits_export, lambda value: value["checkpoint"].update(sha256="0" * 64))
    before = contents(digits_export)
    ended = call("export", digits_checkpoint, "--quant", "float32", "--out", digits_export)
    refused(ended, str(digits_export), "another checkpoint")
    assert contents(digits_export) == before


# --- checkpoints that are broken ---


def broken_card(folder: Path, **values: object) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **values}))


BROKEN_CHECKPOINTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "an empty card": (lambda folder: (folder / "card.json").write_text(""), ["card.json"]),
    "a card that is a list": (lambda folder: (folder / "card.json").write_text("[]"), ["card.json"]),
    "a card nested without end": (lambda folder: (folder / "card.json").write_text("[" * 100_000), ["card.json"]),
    "an unknown model": (lambda folder: broken_card(folder, model="resnet50"), ["'resnet50'", "eanet"]),
    "a model that is no text": (lambda folder: broken_card(folder, model=["x"]), ["card.json"]),
    "an impossible size": (
        lambda folder: broken_card(folder, image={"height": 31, "width": 31, "channels": 3, "resize": "stretch"}),
        ["31"],
    ),
    "no labels": (lambda folder: broken_card(folder, labels=[]), ["card.json"]),
    "labels of another number": (lambda folder: broken_card(folder, labels=["a", "b"]), []),
    "labels that are a text": (lambda folder: broken_card(folder, labels="0123456789"), ["labels"]),
    "weights that lead out": (
        lambda folder: broken_card(folder, weights={"file": "../weights", "sha256": "0" * 64}), ["card.json"],
    ),
    "a data set that is a number": (lambda folder: broken_card(folder, dataset=3), ["card.json"]),
    "results that are a list": (lambda folder: broken_card(folder, results=[]), ["card.json"]),
    "an unknown key": (lambda folder: broken_card(folder, colour="red"), ["card.json"]),
    "half the weights": (
        lambda folder: [path.write_bytes(path.read_bytes()[:1000]) for path in folder.glob("*.safetensors")],
        ["weights-", "SHA-256"],
    ),
    "no weights": (lambda folder: [path.unlink() for path in folder.glob("*.safetensors")], ["weights-"]),
}  # fmt: skip


@pytest.mark.parametrize("line", ["calibrate {} --samples 1 --out out", "export {} --quant float32 --out out"])
@pytest.mark.parametrize(("broken", "words"), BROKEN_CHECKPOINTS.values(), ids=BROKEN_CHECKPOINTS)
def test_a_broken_checkpoint_is_named(
    broken: Callable[[Path], object], words: list[str], line: str, call: Call, digits_checkpoint: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    shutil.copytree(digits_checkpoint, "broken")
    broken(Path("broken"))
    before = contents(tmp_path)
    refused(call(*line.format("broken").split()), *words)
    left = contents(tmp_path)
    left.pop("out", None)
    assert left == before


def test_a_folder_that_holds_a_checkpoint_is_not_trained_over(call: Call, digits_checkpoint: Path) -> None:
    before = contents(digits_checkpoint)
    how = ("mobilevit_xxs", "--dataset", "digits", "--image-size", "32", "--out", digits_checkpoint)
    refused(call("train", *how), str(digits_checkpoint), "--resume")
    refused(call("train", *how, "--epochs", "8", "--batch-size", "8", "--resume"), "batch_size")
    refused(call("train", "eanet", *how[1:], "--epochs", "8", "--batch-size", "16", "--resume"), "mobilevit_xxs")
    assert contents(digits_checkpoint) == before


# --- calibration files that are broken, or another's ---


def ranges_in(document: dict[str, Any]) -> Any:
    """Of the integer file's graph."""
    return document["graphs"][0]["ranges"]


BROKEN_CALIBRATIONS: dict[str, tuple[str | Callable[[dict[str, Any]], object], list[str]]] = {
    "empty": ("", ["ranges.json"]),
    "text": ("hello", ["ranges.json"]),
    "a list": ("[]", ["ranges.json"]),
    "nested without end": ("[" * 100_000, ["ranges.json"]),
    "another format": (lambda value: value.update(format=99), ["ranges.json", "format"]),
    "another checkpoint": (lambda value: value.update(checkpoint="0" * 64), ["other weights"]),
    "another graph": (lambda value: value["graphs"][0].update(sha256="0" * 64), ["does not fit the graph"]),
    "without graphs": (lambda value: value.pop("graphs"), ["graphs"]),
    "without ranges": (lambda value: value["graphs"][0].pop("ranges"), ["ranges"]),
    "an unknown key": (lambda value: value.update(colour="red"), ["colour"]),
    "ranges that are no numbers": (lambda value: ranges_in(value)[3].update(min="low"), ["ranges.json"]),
    "a range upside down": (lambda value: ranges_in(value)[3].update(min=2.0, max=1.0), ["ranges.json"]),
    "an endless range": (lambda value: ranges_in(value)[3].update(max=1e999), ["ranges.json"]),
    "a range too few": (lambda value: ranges_in(value).pop(), ["ranges"]),
    "ranges of other tensors": (lambda value: ranges_in(value)[3].update(name="nowhere"), ["activations"]),
}  # fmt: skip


@pytest.mark.parametrize(("broken", "words"), BROKEN_CALIBRATIONS.values(), ids=BROKEN_CALIBRATIONS)
def test_a_broken_calibration_file_is_named(
    broken: str | Callable[[dict[str, Any]], object], words: list[str], call: Call, digits_checkpoint: Path,
    exported_digits: Path, tmp_path: Path,
) -> None:  # fmt: skip
    path = tmp_path / "ranges.json"
    if isinstance(broken, str):
        path.write_text(broken)
    else:
        document = json.loads((exported_digits / manifest.CALIBRATION).read_text())
        broken(document)
        path.write_text(json.dumps(document))
    out = tmp_path / "out"
    refused(call("export", digits_checkpoint, "--quant", "int8", "--calibration", path, "--out", out), *words)
    assert not out.exists() or list(out.iterdir()) == []


def test_a_calibration_file_that_is_missing_is_named(call: Call, place: Path) -> None:
    line = ["export", "checkpoint", "--quant", "int8", "--out", "out", "--calibration"]
    refused(call(*line, "absent.json"), "no calibration file absent.json", "vitconv calibrate")
    refused(call(*line, "pets"), "pets")
    refused(call(*line, "photo.jpg"), "photo.jpg")


# --- by the real command, as a user meets it ---


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("inspect half.tflite", ["half.tflite is corrupt"]),
        ("benchmark half.tflite", ["half.tflite cannot be run"]),
        ("verify pets", ["pets is not an export folder"]),
        ("export absent --quant all --out out", ["there is no checkpoint folder absent"]),
        ("train nosuch --dataset digits --out out", ["'nosuch'"]),
    ],
)
def test_the_real_command_refuses_at_once(line: str, words: list[str], place: Path) -> None:
    ended = run(*line.split())
    refused(ended, *words)
    assert "loading TensorFlow" not in ended.err
