"""Everything in an export folder that the manifest names is as it was exported, or the check says what is not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from made_documents import LABELS, export_folder, write_json
from vitconv.exporting import folder_check, golden, manifest
from vitconv.foundation.errors import InputError


def problems(folder: Path, for_app: bool = False) -> tuple[str, ...]:
    return folder_check.problems(folder, manifest.read(folder), for_app)


def edited(path: Path, change: Callable[[Any], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    write_json(path, document)


def picture(path: Path, *shape: int) -> None:
    Image.fromarray(np.zeros(shape, np.uint8)).save(path, "PNG")


@pytest.mark.parametrize("digests", [True, False])
def test_a_folder_as_it_was_exported_has_no_problems(digests: bool, tmp_path: Path) -> None:
    assert problems(export_folder(tmp_path / "export", digests)) == ()


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "another label": (lambda f: (f / "labels.txt").write_text("daisy\nrose\nlily\n"), "labels.txt"),
    "another order": (lambda f: (f / "labels.txt").write_text("rose\ndaisy\ntulip\n"), "labels.txt"),
    "a label more": (lambda f: (f / "labels.txt").write_text("daisy\nrose\ntulip\nlily\n"), "labels.txt"),
    "labels that are no text": (lambda f: (f / "labels.txt").write_bytes(b"\xff\xfe"), "labels.txt"),
    "no labels": (lambda f: (f / "labels.txt").unlink(), "labels.txt"),
    "a folder of labels": (lambda f: [(f / "labels.txt").unlink(), (f / "labels.txt").mkdir()], "labels.txt"),
    "labels without end": (
        lambda f: [(f / "labels.txt").unlink(), os.mkfifo(f / "labels.txt")], "labels.txt",
    ),
    "no golden image": (lambda f: (f / "golden/1.png").unlink(), "golden/1.png"),
    "a golden image that is none": (lambda f: (f / "golden/1.png").write_bytes(b"no"), "golden/1.png"),
    "half a golden image": (
        lambda f: (f / "golden/1.png").write_bytes((f / "golden/1.png").read_bytes()[:90]), "golden/1.png",
    ),
    "a golden image of another size": (lambda f: picture(f / "golden/1.png", 9, 8, 3), "golden"),
    "a grey golden image": (lambda f: picture(f / "golden/1.png", 8, 8), "golden/1.png"),
    "a golden image of another kind": (
        lambda f: Image.new("RGB", (8, 8)).save(f / "golden/1.png", "BMP"), "golden/1.png",
    ),
    "a golden image without end": (
        lambda f: [(f / "golden/1.png").unlink(), os.mkfifo(f / "golden/1.png")], "golden/1.png",
    ),
    "no golden file": (lambda f: (f / golden.FILE).unlink(), "golden/golden.json"),
    "no golden folder": (lambda f: (f / "golden").rename(f / "elsewhere"), "golden/golden.json"),
    "a golden file that is none": (lambda f: (f / golden.FILE).write_text("{}"), "golden/golden.json"),
    "a golden file that leads out": (
        lambda f: edited(f / golden.FILE, lambda d: d["images"][0].update(file="../labels.txt")), "golden.json",
    ),
    "probabilities of two classes": (
        lambda f: edited(f / golden.FILE, lambda d: [one.update(probabilities=[0.5, 0.5]) for one in d["images"]]),
        "golden/golden.json",
    ),
    "another calibration": (
        lambda f: edited(f / "calibration.json", lambda d: d.update(seed=8)), "calibration.json",
    ),
    "no calibration": (lambda f: (f / "calibration.json").unlink(), "calibration.json"),
}  # fmt: skip


@pytest.mark.parametrize("digests", [True, False])
@pytest.mark.parametrize(("change", "name"), CHANGES.values(), ids=CHANGES)
def test_each_change_is_said_once_and_by_name(
    digests: bool, change: Callable[[Path], object], name: str, tmp_path: Path
) -> None:
    folder = export_folder(tmp_path / "export", digests)
    change(folder)
    found = problems(folder)
    assert found
    assert all(name.split("/")[0] in problem for problem in found)
    assert any(name in problem for problem in found)
    assert len(found) == 1 or name == "golden/golden.json"  # and what lies beside it
    for_app = "calibration" not in name
    assert problems(folder, for_app=True) == (found if for_app else ())


@pytest.mark.parametrize("name", ["training.csv", "golden/0.png"])
def test_with_digests_what_still_can_be_read_is_compared_too(name: str, tmp_path: Path) -> None:
    folder = export_folder(tmp_path / "export")
    if name.endswith(".png"):
        picture(folder / name, 8, 8, 3)
    else:
        (folder / name).write_text("epoch,loss\n1,0.1\n")
    assert problems(folder) == (f"{name} has changed since the export (its SHA-256 is not the manifest's)",)
    (folder / name).unlink()
    assert problems(folder) == (f"{name} is in the manifest, but not in the folder",)


def test_line_ends_of_another_system_are_no_other_labels(tmp_path: Path) -> None:
    folder = export_folder(tmp_path / "export", digests=False)
    (folder / "labels.txt").write_bytes("".join(f"{label}\r\n" for label in LABELS).encode())
    assert problems(folder) == ()


def test_what_an_export_writes_gets_its_digests(tmp_path: Path) -> None:
    folder = export_folder(tmp_path / "export")
    assert manifest.digests_of(folder) == manifest.read(folder).digests
    (folder / "training.csv").unlink()  # not every checkpoint tells of its training
    assert "training.csv" not in manifest.digests_of(folder)


def test_golden_images_are_read_with_their_answers(tmp_path: Path) -> None:
    images, probabilities = golden.read(export_folder(tmp_path / "export"))
    assert (images.shape, images.dtype) == ((3, 8, 8, 3), np.uint8)
    assert probabilities.tolist() == [[0.5, 0.25, 0.25]] * 3


def test_golden_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    folder = export_folder(tmp_path / "export")
    picture(folder / "golden/1.png", 8, 9, 3)
    with pytest.raises(InputError, match="of different sizes"):
        golden.read(folder)
