"""Every JSON document that vitconv reads back, damaged in hundreds of ways: it is read, or one message names it.

Half of the damage is to bytes, half to the values of a document that is still JSON. The same inputs each time.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import made_documents as made
from vitconv.app import build
from vitconv.benchmarking import android_document
from vitconv.checkpoints import liveness
from vitconv.checkpoints.checkpoint import open_checkpoint
from vitconv.evaluation import kept_results, reasons
from vitconv.explanation.occlusion import spread_over
from vitconv.exporting import classes, folder_check, golden, manifest
from vitconv.exporting.classes import TrainedClass
from vitconv.foundation import documents
from vitconv.foundation.errors import InputError
from vitconv.quantization import calibration
from vitconv.reporting import charts, parsing
from vitconv.training.state import StateDocument

INPUTS = 320  # of each document
STRANGE: list[Any] = [
    None, True, False, 0, -1, 1.5, -0.0, 10**30, 10**400, -(10**400), 2**63, 1e308, float("nan"), float("inf"), "",
    " ", "text", "\0", "\x1b[2J", "\ud800", "../x", "/etc/passwd", "..\\x", "a" * 1000, "CON", "0" * 64, [], {},
    [[]], [1, 2], {"a": 1}, [None] * 50, {"__class__": "x"},
]  # fmt: skip


def damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    kind = rng.randrange(5)
    if kind == 0:
        del changed[rng.randrange(len(changed)) :]
    elif kind == 1:
        start = rng.randrange(len(changed))
        del changed[start : start + rng.choice((1, 2, 10, 100))]
    elif kind == 2:
        start = rng.randrange(len(changed))
        changed[start:start] = rng.choice((
            b"[" * 100_000, b'{"a":' * 1000, b"9" * 5000, b"\xff", b"\xef\xbb\xbf", b"NaN", b'"', b"\\u0000", b"-",
            b"1e999", b"}", b",", rng.randbytes(8),
        ))  # fmt: skip
    elif kind == 3:
        start, length = rng.randrange(len(changed)), rng.choice((5, 50, 500))
        changed[start:start] = changed[start : start + length]
    else:
        for _ in range(rng.choice((1, 1, 3, 20))):
            place = rng.randrange(len(changed))
            changed[place] = rng.choice((rng.randrange(256), changed[place] ^ 1 << rng.randrange(8)))
    return bytes(changed)


def damaged_values(document: Any, rng: random.Random) -> bytes:
    document = {"document": copy.deepcopy(document)}
    for _ in range(rng.choice((1, 1, 2, 4))):
        holders = [one for one in containers(document) if one]
        holder = rng.choice(holders)
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        kind = rng.randrange(6)
        if kind == 0 and holder is not document:
            del holder[key]
        elif kind == 1:
            holder[key] = copy.deepcopy(rng.choice(STRANGE))
        elif kind == 2 and isinstance(holder, dict) and holder is not document:
            holder[rng.choice(("more", "", "../x", "\ud800", "a" * 300))] = holder.pop(key)
        elif kind == 3:
            holder[key] = [holder[key]]
        elif kind == 4 and isinstance(holder, list):
            holder += copy.deepcopy(holder) * rng.choice((1, 30))
        else:
            nested: Any = copy.deepcopy(rng.choice(STRANGE))  # or it would grow from document to document
            for _ in range(rng.choice((1, 49, 200))):
                nested = rng.choice(([nested], {"a": nested}))
            holder[key] = nested
    text = json.dumps(document["document"])
    if rng.random() < 0.1:  # a key twice
        text = text.replace('{"', '{"model": 3, "model": 4, "', 1)
    return text.encode()


def containers(value: Any) -> list[Any]:
    found = []
    if isinstance(value, (dict, list)):
        found.append(value)
        for inner in value.values() if isinstance(value, dict) else value:
            found += containers(inner)
    return found


def read_checkpoint(folder: Path) -> None:
    open_checkpoint(folder).card.trained()


def read_manifest(folder: Path) -> None:
    document = manifest.read(folder)
    assert all(isinstance(one, str) for one in folder_check.problems(folder, document))
    inside(folder, document.model, *(entry.path for entry in document.files))
    json.dumps(document.to_json(), allow_nan=False)


def read_golden(folder: Path) -> None:
    images, probabilities = golden.read(folder)
    assert len(images) == len(probabilities)


def read_calibration(folder: Path) -> None:
    json.dumps(calibration.read(folder / "calibration.json").to_json(), allow_nan=False)


def read_verification(folder: Path) -> None:
    assert parsing.verification(folder, len(made.LABELS)) is not None


def read_liveness(folder: Path) -> None:
    found = liveness.read(folder / manifest.LIVENESS)
    assert found is not None
    assert found.sentence()
    json.dumps(found.to_json(), allow_nan=False)


def read_state(folder: Path) -> None:
    documents.convert(documents.parse((folder / "state.json").read_bytes()), StateDocument)


def staged(folder: Path) -> None:
    """What is made into an app's assets lies where it should, and nowhere else."""
    out = folder.parent / "staged" / "models"
    try:
        build.stage((folder,), out)
    finally:
        assert {path.name for path in folder.parent.iterdir()} <= {folder.name, "staged"}
        if out.parent.exists():
            assert {path.name for path in out.parent.iterdir()} <= {"models"}


def inside(folder: Path, *names: str) -> None:
    for name in names:
        assert (folder / name).resolve().parent == folder.resolve()


def state_folder(folder: Path) -> Path:
    state = {"identity": {"seed": 0, "recipe": {"a": 1}}, "history": [{"epoch": 1, "loss": 0.5}]}
    made.write_json(folder / "state.json", state)
    return folder


def classes_folder(folder: Path) -> Path:
    known = (TrainedClass("daisy", True, 4, 3), TrainedClass("rose", False), TrainedClass("tulip", True, 0, 0))
    folder.mkdir()
    classes.write(folder, known)
    return folder


def read_classes(folder: Path) -> None:
    for one in classes.read(folder) or ():
        assert (one.right or 0) <= (one.images or 0)


def verified_folder(folder: Path) -> Path:
    made.write_json(made.export_folder(folder) / kept_results.VERIFY, made.verification())
    return folder


def robust_folder(folder: Path) -> Path:
    made.write_json(made.export_folder(folder) / kept_results.ROBUSTNESS, made.robustness())
    return folder


def read_robustness(folder: Path) -> None:
    found = kept_results.read_robustness(folder)
    assert found is not None
    json.dumps(found.measured.to_json(), allow_nan=False)
    assert all(len(file.sentence) < 1000 for file in found.files)


def explained_folder(folder: Path) -> Path:
    made.write_json(made.export_folder(folder) / kept_results.EXPLANATIONS, made.explanations())
    return folder


def read_explanations(folder: Path) -> None:
    found = reasons.read_explanations(folder)
    assert found is not None
    for picture in found.pictures:
        for reason in picture.reasons:
            assert np.isfinite(spread_over(np.array(reason.drops), (20, 30))).all()


def counted_folder(folder: Path) -> Path:
    made.write_json(made.export_folder(folder) / kept_results.ANDROID, made.android_costs())
    return folder


def read_counts(folder: Path) -> None:
    document = android_document.read(folder / kept_results.ANDROID, "Count again.")
    cpus = android_document.common_cpus(list(document.files))
    for cost in document.files:
        assert all(cost.on(cpu) for cpu in cpus)
    if cpus:
        counts = {cost.path: one for cost in document.files if (one := cost.on(cpus[0]))}
        charts.instructions(counts, cpus[0], charts.dearest(counts.values()))


KINDS: dict[str, tuple[Callable[[Path], Path], str, Callable[[Path], None]]] = {
    "card": (made.checkpoint_folder, "card.json", read_checkpoint),
    "manifest": (made.export_folder, manifest.MANIFEST, read_manifest),
    "golden": (made.export_folder, golden.FILE, read_golden),
    "calibration": (made.export_folder, manifest.CALIBRATION, read_calibration),
    "liveness": (made.export_folder, manifest.LIVENESS, read_liveness),
    "verification": (verified_folder, kept_results.VERIFY, read_verification),
    "robustness": (robust_folder, kept_results.ROBUSTNESS, read_robustness),
    "explanations": (explained_folder, kept_results.EXPLANATIONS, read_explanations),
    "counts": (counted_folder, kept_results.ANDROID, read_counts),
    "classes": (classes_folder, classes.FILE, read_classes),
    "state": (state_folder, "state.json", read_state),
    "app from a manifest": (made.export_folder, manifest.MANIFEST, staged),
    "app from golden images": (lambda folder: made.export_folder(folder, digests=False), golden.FILE, staged),
}  # fmt: skip


@pytest.mark.parametrize(("make", "name", "read"), KINDS.values(), ids=KINDS)
def test_a_damaged_document_is_read_or_named(
    make: Callable[[Path], Path], name: str, read: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = make(tmp_path / "folder")
    good = (folder / name).read_bytes()
    read(folder)  # whole, it is taken
    rng = random.Random(name)
    messages = []
    for number in range(INPUTS):
        data = damaged_bytes(good, rng) if number % 2 else damaged_values(json.loads(good), rng)
        (folder / name).write_bytes(data)
        try:
            read(folder)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > INPUTS / 2, "too weak to show anything"
    assert not [message for message in messages if not message.isprintable() or len(message) > 1000]
