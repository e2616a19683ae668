"""What an export may replace in its folder, who may write there, and what a kill leaves. No TensorFlow."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import made_documents
from vitconv.exporting import folder as folders
from vitconv.exporting import golden, manifest
from vitconv.exporting.folder import export_folder, put_in_place
from vitconv.foundation.disk.files import sha256
from vitconv.foundation.errors import InputError, OutputError

CHECKPOINT: Any = SimpleNamespace(digest="c" * 64)
HOLD = """
import sys, time
from pathlib import Path
from vitconv.foundation.disk.writing import writing
with writing(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(600)
"""


def contents(folder: Path) -> dict[str, str]:
    """Path → digest of every file in a folder; of a link where it leads."""
    return {
        path.relative_to(folder).as_posix(): str(path.readlink()) if path.is_symlink() else sha256(path)
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """What an export writes, with another author's words in the models."""
    made = made_documents.export_folder(tmp_path / "made")
    for path in made.glob("*.tflite"):
        path.write_bytes(b"another " * 10)
    return made


def exports(out: Path, made: Path) -> None:
    """An export into `out` that writes what is in `made`."""
    out.mkdir(exist_ok=True)
    names = [path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()]
    document = json.loads((made / "manifest.json").read_text())
    names.remove("manifest.json")
    with export_folder(out, CHECKPOINT, names) as (staging, _):
        shutil.copytree(made, staging, dirs_exist_ok=True)
        put_in_place(staging, out, document)


# --- what may be replaced ---


@pytest.mark.parametrize("digests", [True, False], ids=["digests", "an earlier version's manifest"])
def test_what_an_earlier_export_wrote_is_replaced_though_it_was_edited(
    digests: bool, made: Path, tmp_path: Path
) -> None:
    out = made_documents.export_folder(tmp_path / "out", digests)
    for name in ("labels.txt", "golden/1.png", "eanet-flowers-int8.tflite", "training.csv"):
        (out / name).write_text("edited")
    (out / "mine.txt").write_text("mine")
    (out / "golden" / "mine.png").write_text("mine")
    exports(out, made)
    kept = {name: digest for name, digest in contents(out).items() if "mine" not in name}
    assert {**contents(made), "manifest.json": kept["manifest.json"]} == kept
    assert (out / "mine.txt").read_text() == (out / "golden" / "mine.png").read_text() == "mine"


def a_file(out: Path, name: str) -> None:
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text("mine")


def a_folder(out: Path, name: str) -> None:
    a_file(out, f"{name}/deep/inside.txt")


def a_link(out: Path, name: str) -> None:
    elsewhere = out.parent / "elsewhere"
    elsewhere.mkdir()
    a_file(elsewhere, "0.png")
    (out / name).symlink_to(elsewhere)


def a_link_to_nothing(out: Path, name: str) -> None:
    (out / name).symlink_to("nowhere")


@pytest.mark.parametrize("exported", [True, False], ids=["an export", "no export yet"])
@pytest.mark.parametrize(
    ("place", "name"),
    [
        (a_file, "labels.txt"),
        (a_file, "calibration.json"),
        (a_file, "training.csv"),
        (a_file, "eanet-flowers-int8.tflite"),
        (a_file, "golden/0.png"),
        (a_file, "golden/golden.json"),
        (a_file, "golden"),
        (a_folder, "labels.txt"),
        (a_folder, "golden/2.png"),
        (a_link, "golden"),
        (a_link_to_nothing, "labels.txt"),
    ],
)
def test_what_no_export_made_is_refused_by_name_and_nothing_changes(
    place: Callable[[Path, str], None], name: str, exported: bool, made: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if exported:
        out.rmdir()
        made_documents.export_folder(out)
        document = json.loads((out / "manifest.json").read_text())
        remove_from(document, name)
        (out / "manifest.json").write_text(json.dumps(document))
        if (out / name).is_dir():
            shutil.rmtree(out / name)
        else:
            (out / name).unlink()
    place(out, name)
    before = contents(out)
    with pytest.raises(InputError) as refused:
        exports(out, made)
    assert f"{out / name} would be replaced, but no export made it: {out / 'manifest.json'} does not name it" in (
        str(refused.value)
    )
    assert "Give another --out, or move what is yours away." in str(refused.value)
    assert contents(out) == before


def test_a_model_of_the_user_s_beside_an_earlier_version_s_export_is_refused(made: Path, tmp_path: Path) -> None:
    """Its manifest names no file but models and calibration."""
    out = made_documents.export_folder(tmp_path / "out", digests=False)
    document = json.loads((out / "manifest.json").read_text())
    remove_from(document, "eanet-flowers-int8.tflite")
    (out / "manifest.json").write_text(json.dumps(document))
    before = contents(out)
    with pytest.raises(InputError, match=r"eanet-flowers-int8\.tflite would be replaced, but no export made it"):
        exports(out, made)
    assert contents(out) == before


def remove_from(document: dict[str, Any], name: str) -> None:
    """Takes a file out of a manifest."""
    document.get("digests", {}).pop(name, None)
    if name == "calibration.json":
        document["calibration"] = None
    document["files"] = [file for file in document["files"] if file["path"] != name]


def test_several_are_named_and_counted(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(made, out)
    (out / "manifest.json").unlink()
    for path in out.rglob("*.*"):
        path.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"calibration\.json, .*float32\.tflite, .* and 7 more would be replaced"):
        exports(out, made)


def test_the_same_bytes_are_no_loss(made: Path, tmp_path: Path) -> None:
    """A calibration file that was made in the folder, and is given to the export."""
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(made / "calibration.json", out)
    document = json.loads((made / "manifest.json").read_text())
    with export_folder(out, CHECKPOINT, ["labels.txt"]) as (staging, _):
        shutil.copytree(made, staging, dirs_exist_ok=True)
        put_in_place(staging, out, document)
    assert contents(out).keys() == contents(made).keys()


def test_what_appeared_meanwhile_is_refused_too(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with export_folder(out, CHECKPOINT, ["labels.txt"]) as (staging, _):
        shutil.copytree(made, staging, dirs_exist_ok=True)
        (out / "labels.txt").write_text("mine")
        with pytest.raises(InputError, match=r"labels\.txt would be replaced"):
            put_in_place(staging, out, json.loads((made / "manifest.json").read_text()))
    assert list(contents(out)) == ["labels.txt"]


def test_a_manifest_that_is_not_ours_is_refused(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json").write_text('{"name": "A web app", "icons": []}')
    with pytest.raises(InputError, match=r"cannot use the manifest .* Export again into another folder"):
        exports(out, made)
    assert list(contents(out)) == ["manifest.json"]


def test_files_that_the_new_export_has_no_more_are_removed_and_may_come_back(made: Path, tmp_path: Path) -> None:
    out, smaller = tmp_path / "out", tmp_path / "smaller"
    exports(out, made)
    shutil.copytree(made, smaller)
    document = json.loads((made / "manifest.json").read_text())
    for name in ("golden/2.png", "training.csv", "calibration.json", "eanet-flowers-int8.tflite"):
        (smaller / name).unlink()
        remove_from(document, name)
    (smaller / "manifest.json").write_text(json.dumps(document))
    exports(out, smaller)
    assert contents(out).keys() == contents(smaller).keys()
    exports(out, made)
    assert contents(out).keys() == contents(made).keys()


# --- one at a time ---


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """One that has the folder."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "in\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_export_into_the_folder_ends_at_once_and_a_killed_one_leaves_it_free(
    made: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with another_process(out) as other:
        with pytest.raises(OutputError, match=f"another vitconv is writing into {out}. Wait until it has ended"):
            exports(out, made)
        assert not (out / "manifest.json").exists()
        other.kill()
        other.wait(60)
        exports(out, made)
    assert contents(out).keys() == contents(made).keys()


# --- a kill while files are moved ---


@pytest.mark.parametrize("moves", range(9))
def test_a_kill_while_files_are_moved_is_made_good_by_the_next_export(
    moves: int, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = made_documents.export_folder(tmp_path / "out")
    (out / "golden" / "9.png").write_text("superseded")
    document = json.loads((out / "manifest.json").read_text())
    document["digests"]["golden/9.png"] = sha256(out / "golden" / "9.png")
    (out / "manifest.json").write_text(json.dumps(document))
    move = Path.replace
    left = [1 + moves]  # the first is that of the whole folder

    def killed(self: Path, target: Path) -> Path:
        if ".export" in str(self) and self.suffix != ".tmp":
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        return move(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        exports(out, made)
    monkeypatch.undo()
    assert (out / folders._READY).is_dir()
    with export_folder(out, CHECKPOINT, ["labels.txt", golden.FILE]) as (_, earlier):
        assert {file["path"] for file in earlier.files} <= set(contents(made))
    after = contents(out)
    assert {**contents(made), "manifest.json": after["manifest.json"]} == after
    assert manifest.read(out).to_json()["files"] == json.loads((made / "manifest.json").read_text())["files"]


def test_a_user_s_file_in_the_way_of_what_a_kill_left_is_not_replaced(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    shutil.copytree(made, out / folders._READY)
    (out / "labels.txt").write_text("mine")
    with pytest.raises(InputError, match=r"labels\.txt would be replaced"):
        exports(out, made)
    assert (out / "labels.txt").read_text() == "mine"
    (out / "labels.txt").unlink()
    exports(out, made)
    assert not (out / folders._READY).exists()
