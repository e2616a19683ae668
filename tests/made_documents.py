"""Documents and folders as vitconv writes them, made by hand: no training, no TensorFlow."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

LABELS = ("daisy", "rose", "tulip")
IMAGE = {"height": 8, "width": 8, "channels": 3, "resize": "stretch"}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def search() -> dict[str, Any]:
    """How an int8 file was found for a limit."""
    shown = {
        "outcome": "kept", "agreement": 0.97, "agreement_interval": [0.96, 0.98], "top1_drop": 0.1,
        "top1_drop_interval": [-0.2, 0.4],
    }  # fmt: skip
    one = {
        "name": "int8", "scheme": "int8", "float_units": 0, "bytes": 40, "instructions": 1e6, "error": 0.01,
        "asked": 100, "outcome": "kept", "shown": shown, "why": "",
    }  # fmt: skip
    exact = {**one, "name": "float32", "scheme": "float32", "error": 0.0, "outcome": "dearer", "shown": None}
    return {
        "limit": {"max_drop": 0.5, "min_agreement": 90.0, "cheapest": "fastest"}, "images": 2000,
        "sources": ["validation (train[90%:])"], "labelled": True, "tried": [one, exact], "chosen": "int8",
    }  # fmt: skip


def export_folder(folder: Path, digests: bool = True, model: str = "eanet") -> Path:
    """An export of two files whose contents are no models; without `digests` as earlier versions wrote it."""
    folder.mkdir(parents=True)
    files = []
    for scheme in ("float32", "int8"):
        path = folder / f"{model}-flowers-{scheme}.tflite"
        path.write_bytes(scheme.encode() * 10)
        data = path.read_bytes()
        files.append({"scheme": scheme, "path": path.name, "bytes": len(data), "sha256": digest(data)})
    if digests:
        files[-1]["search"] = search()
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    (folder / "training.csv").write_text("epoch,loss\n1,0.5\n")
    if digests:
        write_json(folder / "liveness.json", liveness())
    write_json(folder / "calibration.json", calibration())
    (folder / "golden").mkdir()
    images = []
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "golden" / f"{number}.png")
        images.append({"file": f"{number}.png", "label": number, "probabilities": [0.5, 0.25, 0.25]})
    write_json(folder / "golden" / "golden.json", {"split": "test", "images": images})
    document = {
        "model": model, "checkpoint": {"name": "runs/flowers", "sha256": "c" * 64},
        "dataset": {"name": "flowers", "version": "1.0.0"}, "labels": LABELS, "image": IMAGE,
        "versions": {"vitconv": "0.1.0"},
        "calibration": {"file": "calibration.json", "sha256": digest((folder / "calibration.json").read_bytes())},
        "files": files, "golden": "golden/golden.json",
    }  # fmt: skip
    if digests:
        others = [folder / "labels.txt", folder / "training.csv", folder / "liveness.json"]
        others += [*sorted((folder / "golden").iterdir())]
        names = {path.relative_to(folder).as_posix(): digest(path.read_bytes()) for path in others}
        document["digests"] = names
    write_json(folder / "manifest.json", document)
    return folder


def calibration() -> dict[str, Any]:
    """A calibration file's document."""
    ranges = [{"name": name, "min": -1.5, "max": 2.0, "seen_min": -2.0, "seen_max": 2.5} for name in ("a", "b")]
    unit = {
        "unit": "block", "weights": False, "operations": 2, "error_added": 0.5, "instructions_added": -25e4,
        "kept_float": True,
    }  # fmt: skip
    kept = {"tensors": ["a"], "layers": ["block"], "units": [unit]}
    return {
        "format": 4, "checkpoint": "c" * 64, "dataset": "flowers 1.0.0", "split": "train[:90%]",
        "split_digest": "d" * 64, "image": IMAGE, "method": "mse", "seed": 7, "images": [5, 3, 8],
        "graphs": [
            {"scheme": "int8", "sha256": "a" * 64, "kept": None, "ranges": ranges},
            {"scheme": "int8-hybrid", "sha256": "b" * 64, "kept": kept, "ranges": ranges},
        ],
    }  # fmt: skip


def card() -> dict[str, Any]:
    """card.json of a checkpoint whose weights are four bytes."""
    weights = digest(b"four")
    return {
        "dataset": {"name": "flowers", "source": "flowers", "version": "1.0.0", "splits": {}}, "image": IMAGE,
        "labels": LABELS, "model": "eanet", "recipe": {"epochs": 3, "learning_rate": 0.002}, "seed": 0,
        "results": {"epoch": 2, "val_accuracy": 0.75, "val_loss": 0.5, "evaluation": evaluation()},
        "versions": {"keras": "3.15.1"},
        "weights": {"file": f"weights-{weights[:12]}.safetensors", "sha256": weights}, "liveness": liveness(),
    }  # fmt: skip


def evaluation() -> dict[str, Any]:
    """What a card's results say of the images that accuracy is reported on."""
    return {
        "split": "test (test)", "digest": "e" * 64, "images": 8, "top1": 0.75, "top1_interval": [0.4, 0.9],
        "top5": 1.0, "top5_interval": [0.7, 1.0], "loss": 0.5, "chose_epoch": False,
    }  # fmt: skip


def liveness() -> dict[str, Any]:
    """Which layers take part in a network's answers: one lives, one is dead though the network counts on it."""
    alive = {"name": "block0", "kind": "layer", "kl": 0.25, "changed": 0.125, "kl_of_mean": 0.125, "lost": 12.5}
    dead = {"name": "block1", "kind": "layer", "kl": 0.002, "changed": 0.0, "kl_of_mean": 1e-10, "lost": None}
    halves = [{**alive, "name": "block0.attention", "kind": "attention"}, {**dead, "name": "m", "kind": "mlp"}]
    return {"split": "validation (some)", "images": 8, "parts": [halves[0], alive, halves[1], dead]}


def checkpoint_folder(folder: Path) -> Path:
    """A checkpoint whose weights can be found, though not loaded."""
    write_json(folder / "card.json", card())
    (folder / card()["weights"]["file"]).write_bytes(b"four")
    return folder


def verification() -> dict[str, Any]:
    """results/verify.json of `export_folder`."""
    figures = {"top1": 0.75, "top5": 1.0}
    layer = {
        "layer": "block", "operator": "GELU", "snr_db": 28.0, "lost_db": 1.0, "rms_steps": 0.5, "max_steps": 3.0,
        "place": 4, "instructions": 250_000.0,
    }  # fmt: skip
    one = {"index": 3, "label": 1, "distance": 0.5, "keras": [1, 0.75], "file": [2, 0.5]}
    file = {
        "path": "eanet-flowers-int8.tflite", "scheme": "int8", "sha256": "f" * 64, **figures, "top1_drop": 0.5,
        "agreement": 0.97, "max_abs_error": 0.125, "mean_abs_error": 0.01, "psnr_db": 40.0, "kl": 0.01,
        "passed": True, "reasons": ["is off"], "layers": [layer], "confusion": [[0, 0, 5], [1, 2, 1]],
        "disagreements": [one, {**one, "file": None}],
    }  # fmt: skip
    return {
        "checkpoint": "c" * 64, "split_digest": "d" * 64, "limit": None, "max_drop": 0.5,
        "dataset": "flowers test (test)", "examples": 8,
        "reference": {**figures, "loss": 0.5, "top1_interval": [0.5, 0.9], "confusion": [[0, 0, 6]]},
        "passed": True, "files": [file], "chose_epoch": False,
    }  # fmt: skip


def robustness(digests: dict[str, str] | None = None) -> dict[str, Any]:
    """results/robustness.json of `export_folder`; `digests` are the files' by scheme."""

    def curves(least: float) -> dict[str, list[float]]:
        return {name: [0.9, 0.8, 0.7, 0.6, least] for name in ("fog", "jpeg", "shake")}

    files = [
        {
            "path": f"eanet-flowers-{scheme}.tflite", "scheme": scheme, "sha256": sha256, "clean": 0.875,
            "top1": curves(0.25), "mean_top1": 0.65, "agreement": curves(0.5), "mean_agreement": 0.7,
            "extra_loss": 1.5, "extra_loss_interval": [0.25, 2.75],
        }
        for scheme, sha256 in (digests or {"int8": "f" * 64}).items()
    ]  # fmt: skip
    return {
        "checkpoint": "c" * 64, "split_digest": "d" * 64, "dataset": "flowers test (test)", "labelled": True,
        "examples": 8, "strengths": [1, 2, 3, 4, 5],
        "reference": {"clean": 0.9375, "top1": curves(0.375), "mean_top1": 0.675}, "files": files,
    }  # fmt: skip


def explanations(sha256: str = "f" * 64, index: int = 3) -> dict[str, Any]:
    """results/explanations.json of `export_folder`; `sha256` is of its int8 file."""

    def reason(by: str, digest: str | None, alike: float | None) -> dict[str, Any]:
        drops = [[0.5, 0.25, -0.125], [0.0, 0.0, 0.0]]
        return {"by": by, "sha256": digest, "probability": 0.75, "drops": drops, "rank_correlation": alike}

    picture = {
        "index": index,
        "label": "rose",
        "reasons": [reason("Keras", None, None), reason("int8", sha256, 0.875)],
    }
    return {"checkpoint": "c" * 64, "split_digest": "d" * 64, "pictures": [picture]}


def android_costs() -> dict[str, Any]:
    """results/android.json of `export_folder`."""
    taken = {"nodes": 20, "delegated_nodes": 15, "partitions": 7}
    counts = {
        "instructions": 20, "by_kind": {"load": 12, "other": 8}, **taken, "relative": 0.5,
        "by_operator": {"SUM": {"count": 2, "instructions": 15}, "Add (ND, QS8)": {"count": 1, "instructions": 5}},
    }  # fmt: skip
    times = {
        "threads": 1, "runs": 10, "first_ms": 5.0, "p50_ms": 4.0, "p50_low_ms": 3.5, "p50_high_ms": 4.5,
        "relative": None,
    }  # fmt: skip
    file = {
        "path": "eanet-flowers-int8.tflite", "scheme": "int8", "sha256": "f" * 64, "litert": taken,
        "android": taken, "x86_64": times,
        "arm64": [{"cpu": "max", **counts}, {**counts, "cpu": "cortex-a53", "by_operator": None}],
    }  # fmt: skip
    return {"machine": "a desktop", "runtime": "TFLite for Android", "litert": "LiteRT", "files": [file]}
