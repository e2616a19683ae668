"""Every name of a file that a document holds is checked where it is read: none leads out of its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import made_documents
from foundation.test_file_names import ESCAPES
from vitconv.checkpoints.checkpoint import read_card
from vitconv.exporting import golden, manifest
from vitconv.foundation.errors import InputError

Read = Callable[[Path], object]
NAMES: dict[str, tuple[Callable[[Path], Path], str, Read, Callable[[Any, str], object]]] = {
    "a model's file": (
        made_documents.export_folder, manifest.MANIFEST, manifest.read,
        lambda document, name: document["files"][0].update(path=f"{name}.tflite" if "/" in name else name),
    ),
    "the model's name": (
        made_documents.export_folder, manifest.MANIFEST, manifest.read,
        lambda document, name: document.update(model=name),
    ),
    "the calibration file": (
        made_documents.export_folder, manifest.MANIFEST, manifest.read,
        lambda document, name: document["calibration"].update(file=name),
    ),
    "a file with a digest": (
        made_documents.export_folder, manifest.MANIFEST, manifest.read,
        lambda document, name: document["digests"].update({name: "0" * 64}),
    ),
    "a golden file with a digest": (
        made_documents.export_folder, manifest.MANIFEST, manifest.read,
        lambda document, name: document["digests"].update({f"golden/{name}": "0" * 64}),
    ),
    "the golden file": (
        made_documents.export_folder, manifest.MANIFEST, manifest.read,
        lambda document, name: document.update(golden=name),
    ),
    "a golden image": (
        made_documents.export_folder, golden.FILE, golden.read,
        lambda document, name: document["images"][1].update(file=name),
    ),
    "the weights of a checkpoint": (
        made_documents.checkpoint_folder, "card.json", read_card,
        lambda document, name: document["weights"].update(file=name),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "name", "read", "change"), NAMES.values(), ids=NAMES)
def test_a_name_that_leads_out_is_refused_before_it_is_used(
    make: Callable[[Path], Path], name: str, read: Read, change: Callable[[Any, str], object], tmp_path: Path
) -> None:
    folder = make(tmp_path / "folder")
    good = (folder / name).read_text()
    read(folder)
    for escape in ESCAPES:
        document = json.loads(good)
        change(document, escape)
        (folder / name).write_text(json.dumps(document))
        with pytest.raises(InputError, match="cannot use the"):
            read(folder)
