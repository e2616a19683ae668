"""From somebody's Keras file and a folder of photos to the app on a phone: every command, and no file by hand."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import commands
from commands import Call
from phone.conftest import Plug
from reference.weights import pictures
from vitconv.app import tools
from vitconv.conversion import schemes
from vitconv.phone import app_tasks

# Keras's own, when it saves with this NumPy.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    pytest.mark.skipif(os.name != "posix", reason="the stand-in for Maven is a script"),
]

SIDE = 24
TINTS = {"dusk": (0.9, 0.4, 0.3), "meadow": (0.4, 0.9, 0.3), "ocean": (0.3, 0.5, 0.9)}

# Packs what it is given as Maven's build does: the staged models as the app's assets, in a release and a debug
# APK.
MAVEN = """#!{python}
import sys, zipfile
from pathlib import Path
given = dict(one[2:].split("=", 1) for one in sys.argv[1:] if one.startswith("-D") and "=" in one)
models, apks = Path(given["models"]), Path(given["apks"])
apks.mkdir(parents=True, exist_ok=True)
for variant in ("release", "debug"):
    with zipfile.ZipFile(apks / f"vitconv-demo-{{variant}}.apk", "w") as archive:
        archive.writestr("AndroidManifest.xml", b"\\x03\\0")
        archive.writestr("lib/arm64-v8a/libtensorflowlite_jni.so", b"\\x7fELF")
        for file in sorted(models.rglob("*")):
            if file.is_file():
                archive.write(file, "assets/" + file.relative_to(models).as_posix())
"""


def photos(folder: Path) -> Path:
    """Pictures of coloured squares in a folder for each class, which is told by their tint."""
    for seed, (label, tint) in enumerate(TINTS.items()):
        (folder / label).mkdir(parents=True)
        for number, image in enumerate(pictures(80, SIDE, seed)):
            tinted = np.rint(image * np.array(tint)).astype(np.uint8)
            Image.fromarray(tinted).save(folder / label / f"{number}.png")
    return folder


def network(folder: Path) -> Any:
    """Somebody's: a backbone inside a model, layer normalisation, attention, logits, pixels from 0 to 1;
    trained."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(16, 4, 4, activation="relu")(image)
    x = layers.Reshape((-1, 16))(x)
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 8)(y, y)])
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.Add()([x, layers.Dense(16)(layers.Dense(32, activation="gelu")(y))])
    backbone = keras.Model(image, layers.GlobalAveragePooling1D()(x), name="backbone")
    outer = keras.Input((SIDE, SIDE, 3))
    model = keras.Model(outer, layers.Dense(len(TINTS), name="head")(backbone(outer)), name="mine")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(5e-3), loss)
    shown = [np.asarray(Image.open(path)) for label in TINTS for path in sorted((folder / label).glob("*.png"))]
    model.fit(np.stack(shown) / 255, np.repeat(np.arange(len(TINTS)), 80), epochs=8, verbose=0)
    return model


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mine.keras and photos/, and out/, which one command has made of them."""
    folder = tmp_path_factory.mktemp("mine")
    network(photos(folder / "photos")).save(folder / "mine.keras")
    ended = commands.run(
        "export", folder / "mine.keras", "--pixels", "0..1", "--quant", "all", "--dataset", folder / "photos",
        "--out", folder / "out", "--json",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    return folder


def test_the_app_with_it_passes_its_self_test_on_the_phone(
    place: Path, tmp_path: Path, plug: Plug, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, programs = tmp_path / "android-app", tmp_path / "bin"
    for made in (source, programs):
        made.mkdir()
    (source / "pom.xml").write_text("<project/>")
    for name, text in (
        ("mvn", MAVEN.format(python=sys.executable)),
        ("java", "#!/bin/sh\necho 'openjdk version \"17.0.15\" 2025-04-15' >&2\n"),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(tools, "find_source", lambda: source)
    monkeypatch.setattr(app_tasks, "_POLL_SECONDS", 0.1)
    phone = plug()
    (phone.system.folder / "app.json").write_text(
        json.dumps({"mode": "ok", "selftest": "real", "models": str(place / "out")})
    )

    ended = call("app", "build", place / "out", "--json")
    assert ended.status == 0, ended.err
    assert len(json.loads(ended.out)["models"]) == len(schemes.SCHEMES)
    ended = call("app", "install")
    assert ended.status == 0, ended.err
    ended = call("app", "selftest", "--json")
    assert ended.status == 0, ended.err + ended.out
    files = json.loads(ended.out)["files"]
    assert {file["scheme"] for file in files} == set(schemes.SCHEMES)
    assert all(file["passed"] and file["images"] == 8 for file in files)
    ended = call("app", "benchmark", "--runs", 2, "--json")
    assert ended.status == 0, ended.err
    assert len(json.loads(ended.out)["files"]) == len(schemes.SCHEMES)


def test_every_command_takes_the_export_as_any_other(place: Path, tmp_path: Path, call: Call) -> None:
    out = place / "out"
    ended = call("verify", out, "--json")
    assert ended.status == 0, ended.err
    verified = json.loads(ended.out)
    assert "labelled" not in verified  # it is only where there are no classes
    assert verified["reference"]["top1"] > 0.9
    ended = call("verify", out, "--layers", "--json")
    assert ended.status == 0, ended.err
    ended = call("benchmark", out, "--runs", 3, "--json")
    assert ended.status == 0, ended.err
    assert len(json.loads(ended.out)["files"]) == len(schemes.SCHEMES)
    ended = call("report", out)
    assert ended.status == 0, ended.err
    assert "told to take pixels 0..1" in (out / "report.html").read_text()
    picture = next((place / "photos" / "ocean").glob("*.png"))
    ended = call("run", out / "mine-photos-int8.tflite", picture)
    assert ended.status == 0, ended.err
    assert "ocean" in ended.out


def test_it_can_be_calibrated_and_explained_before_any_export(place: Path, tmp_path: Path, call: Call) -> None:
    mine, told = place / "mine.keras", ("--pixels", "0..1", "--dataset", place / "photos")
    ended = call("calibrate", mine, *told, "--out", tmp_path / "mine.json", "--json")
    assert ended.status == 0, ended.err
    ended = call(
        "export", mine, *told, "--calibration", tmp_path / "mine.json", "--quant", "int8",
        "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    # From the calibration file the very same file is made.
    one, other = (folder / "mine-photos-int8.tflite" for folder in (tmp_path / "out", place / "out"))
    assert one.read_bytes() == other.read_bytes()
    picture = next((place / "photos" / "ocean").glob("*.png"))
    ended = call("explain", mine, picture, *told, "--out", tmp_path / "explained", "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["pictures"][0]["label"] == "ocean"


def test_the_hybrids_units_are_branches_of_the_graph(place: Path) -> None:
    manifest = json.loads((place / "out" / "manifest.json").read_text())
    hybrid = next(file for file in manifest["files"] if file["scheme"] == "int8-hybrid")
    names = {unit["unit"] for unit in hybrid["sensitivity"]}
    assert names
    # An inner model's layers are known by their own names, and what lies between two sums is one unit.
    assert all(name.startswith("backbone") or name == "head" for name in names), names
    assert "backbone" not in names
