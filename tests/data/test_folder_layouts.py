"""Which folders are splits and which are classes, and that nothing is left out without a word."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from vitconv.data.datasets import Dataset, open_dataset
from vitconv.data.folders import listing
from vitconv.data.pictures import picture_formats
from vitconv.data.pictures.images import ImageSpec, open_picture
from vitconv.data.spellings import has_mirrored_classes, split_kind
from vitconv.foundation.errors import DatasetError

SPEC = ImageSpec(6, 6)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITCONV_CACHE", str(tmp_path / "cache"))


_seeds = iter(range(10**9))


def picture(path: Path, form: str | None = None) -> Path:
    """Another one at every call."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(next(_seeds)).integers(0, 256, (6, 6, 3), np.uint8)).save(path, form)
    return path


def classes(folder: Path, *names: str, count: int = 3) -> Path:
    for name in names:
        for index in range(count):
            picture(folder / name / f"{index}.png")
    return folder


def total(data: Dataset) -> int:
    return sum(data.counts().values())


# --- splits in any spelling ---


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Train", "Val", "Test"),
        ("training", "validation", "testing"),
        ("TRAIN", "VALID", "TEST"),
        ("train_set", "dev_set", "test_set"),
        ("Training Images", "Validation Images", "Test Images"),
        ("trainset", "valset", "testset"),
        ("train2017", "val2017", "test2017"),
        ("ILSVRC2012_img_train", "ILSVRC2012_img_val", "ILSVRC2012_img_test"),
        ("trainImages", "devImages", "testImages"),
        ("01-train", "02-eval", "03-test"),
    ],
)
def test_splits_are_recognised_however_they_are_spelt(
    tmp_path: Path, train: str, validation: str, test: str
) -> None:
    for name, count in ((train, 5), (validation, 2), (test, 3)):
        classes(tmp_path / "pets" / name, "cat", "dog", count=count)
    data = open_dataset(str(tmp_path / "pets"))
    assert data.labels == ("cat", "dog")
    assert data.counts() == {"train": 10, "validation": 4, "test": 6}
    assert data.split("validation", SPEC).source == f"{validation}/ folder"


@pytest.mark.parametrize("inside", ["data", "archive/images", "PetImages/PetImages"])
def test_splits_are_recognised_deeper_down(tmp_path: Path, inside: str) -> None:
    for name in ("train", "test"):
        classes(tmp_path / "pets" / inside / name, "cat", "dog")
    (tmp_path / "pets" / "readme.txt").write_text("not a picture")
    data = open_dataset(str(tmp_path / "pets"))
    assert (data.labels, data.counts()["test"]) == (("cat", "dog"), 6)


@pytest.mark.parametrize("wrapped", ["{}/{}", "{}/images"])
def test_a_split_may_hold_one_folder_that_holds_the_classes(tmp_path: Path, wrapped: str) -> None:
    for name in ("seg_train", "seg_test"):
        classes(tmp_path / "scenes" / wrapped.format(name, name), "sea", "street")
    data = open_dataset(str(tmp_path / "scenes"))
    assert (data.labels, data.counts()["test"]) == (("sea", "street"), 6)


def test_classes_may_have_their_splits_inside(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        classes(tmp_path / "pets" / name, "Train", count=4)
        classes(tmp_path / "pets" / name, "Test", count=2)
    data = open_dataset(str(tmp_path / "pets"))
    assert (data.labels, data.counts()["test"]) == (("cat", "dog"), 4)
    picture(tmp_path / "pets" / "owl" / "1.png")
    with pytest.raises(DatasetError, match=r"cat/ has splits in it .*but owl/ has other pictures"):
        open_dataset(str(tmp_path / "pets"))


def test_only_a_test_folder_is_evaluated_as_it_is(tmp_path: Path) -> None:
    data = open_dataset(str(classes(tmp_path / "pets" / "Testing", "cat", "dog").parent))
    assert (data.counts(), data.cut, data.evaluation_name) == ({"test": 6}, None, "test")


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (("train", "val"), "look like splits, but have pictures directly in them"),
        (("other", "Training", "Testing"), "look like splits"),
        (("dev_set", "test_set"), "look like splits"),
        (("dog_train", "dog_test", "cat_train", "cat_test"), "are a class and a split in one name"),
        (("train-rose", "val-rose"), "are a class and a split in one name"),
        (("fold1/a", "fold1/b", "fold2/a", "fold2/b"), "look like parts of a data set"),
        (("test/a", "test/b", "train"), "train/ looks like a split beside others"),
        (("train/a", "train/b", "car"), "has train/, which looks like a split .* beside car/"),
        (("train/a", "train/b", "Training/a", "Training/b"), "has both Training/ and train/ for the train split"),
        (("train/a", "train/b", "val/a", "val/b", "valid/a", "valid/b"), "has both val/ and valid/"),
    ],
)
def test_classes_that_look_like_splits_are_refused_by_name(
    tmp_path: Path, folders: tuple[str, ...], words: str
) -> None:
    root = classes(tmp_path / "photos", *folders)
    with pytest.raises(DatasetError, match=words) as caught:
        open_dataset(str(root))
    assert folders[-1].partition("/")[0] in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [("car", "train"), ("valid", "invalid"), ("test", "control"), ("trains", "planes"), ("devil", "angel")],
)
def test_classes_may_sound_like_splits(tmp_path: Path, names: tuple[str, str]) -> None:
    assert open_dataset(str(classes(tmp_path / "photos", *names))).labels == tuple(sorted(names))


def test_words_that_only_begin_like_a_split_are_none() -> None:
    for name in ("trainer", "value", "testament", "device", "Valais", "evaluator", "restraint", ""):
        assert split_kind(name) is None
    assert split_kind("Train & Test") is None


def test_what_is_beside_the_splits_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "scenes"
    for name in ("train", "test"):
        classes(root / name, "sea", "street")
    picture(root / "pred" / "1.png")
    picture(root / "train" / "loose.png")
    data = open_dataset(str(root))
    assert data.counts()["test"] == 6
    assert "2 pictures that are in no class folder: pred/1.png, train/loose.png" in caplog.text


def test_a_class_that_a_test_folder_lacks_is_named_and_the_others_are_evaluated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classes(tmp_path / "pets" / "train", "cat", "dog", "owl")
    classes(tmp_path / "pets" / "test", "cat", "owl")
    (tmp_path / "pets" / "test" / "dog").mkdir()  # what one error once told a user to make, and the next refused
    data = open_dataset(str(tmp_path / "pets"))
    assert set(data.split("test", SPEC).labels.tolist()) == {0, 2}
    assert "test/ has no picture of dog" in caplog.text


# --- nothing is left out without a word ---


@pytest.mark.parametrize("suffix", [".jfif", ".JPE", ".jif", "", ".JPG_large", ".jpg.1"])
def test_pictures_with_other_suffixes_are_used(tmp_path: Path, suffix: str) -> None:
    root = classes(tmp_path / "photos", "a", "b")
    picture(root / "a" / f"more{suffix}", "JPEG")
    assert total(open_dataset(str(root))) == 7


@pytest.mark.parametrize("one", picture_formats.READ, ids=lambda one: one.shown)
def test_whatever_run_reads_is_used_in_a_folder_too(tmp_path: Path, one: picture_formats.PictureFormat) -> None:
    """With each of the format's suffixes, in capitals, and without one where the beginning tells."""
    root = classes(tmp_path / "photos", "a", "b")
    names = [f"more{suffix}" for suffix in (*one.suffixes, *map(str.upper, one.suffixes))]
    names += ["more"] if one.beginnings else []
    for name in names:
        picture(root / "a" / name, one.pillow)
        open_picture(root / "a" / name)
    data = open_dataset(str(root))
    assert total(data) == 6 + len(names)
    for split in data.split_names:
        data.split(split, SPEC)


@pytest.mark.parametrize("suffix", [".tif", ".TIFF", ".bmp", ".JFIF"])
def test_a_damaged_picture_of_any_format_that_is_read_is_named_and_not_left_out(
    tmp_path: Path, suffix: str
) -> None:
    root = classes(tmp_path / "photos", "a", "b")
    (root / "a" / f"damaged{suffix}").write_bytes(b"whatever")
    data = open_dataset(str(root))
    with pytest.raises(DatasetError, match=rf"damaged{suffix} is not a picture that can be read"):  # noqa: PT012
        for split in data.split_names:  # whichever it is in
            data.split(split, SPEC)


def test_a_format_that_pillow_was_built_without_is_named_as_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    spec = importlib.util.find_spec("vitconv.data.pictures.picture_formats")
    assert spec is not None
    assert spec.loader is not None
    without = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(without)
    assert "AVIF" not in without.PILLOW_NAMES
    assert "AVIF" not in without.SHOWN
    assert ".avif" in without.OTHER_SUFFIXES - without.SUFFIXES
    assert not without.begins_as_picture(b"\0\0\0 ftypavif\0\0\0\0")
    monkeypatch.setattr(listing, "picture_formats", without)
    root = classes(tmp_path / "photos", "a", "b")
    (root / "a" / "more.avif").write_bytes(b"whatever")
    assert total(open_dataset(str(root))) == 6
    assert f"1 files of a kind that is not read (save them as one of {without.SHOWN}): a/more.avif" in caplog.text


@pytest.mark.parametrize("suffix", [".heic", ".jxl", ".psd", ".SVG", ".pdf"])
def test_pictures_that_are_not_read_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str
) -> None:
    root = classes(tmp_path / "photos", "a", "b")
    (root / "a" / f"more{suffix}").write_bytes(b"whatever")
    assert total(open_dataset(str(root))) == 6
    assert f"1 files of a kind that is not read (save them as one of {picture_formats.SHOWN}): a/more{suffix}" in (
        caplog.text
    )
    for path in (root / "b").iterdir():
        path.rename(path.with_suffix(suffix))
    with pytest.raises(DatasetError, match=rf"b has no pictures in it .*Left out: b/0{suffix}"):
        open_dataset(str(root))


@pytest.mark.parametrize(
    "litter",
    ["@eaDir", "a/@eaDir", "#recycle", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"],
)
def test_folders_that_systems_leave_are_neither_classes_nor_pictures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, litter: str
) -> None:
    root = classes(tmp_path / "photos", "a", "b")
    picture(root / litter / "0.png" / "SYNOPHOTO_THUMB_M.jpg")
    picture(root / litter / "thumb.jpg")
    data = open_dataset(str(root))
    assert (data.labels, total(data)) == (("a", "b"), 6)
    assert f"folders that a system made for itself: {litter}" in caplog.text


@pytest.mark.parametrize("target", ["", "..", "a", "."])
def test_a_link_to_the_root_or_into_it_is_no_class(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, target: str
) -> None:
    root = classes(tmp_path / "photos", "a", "b")
    (root / "link").symlink_to(root / target if target else root, target_is_directory=True)
    data = open_dataset(str(root))
    assert (data.labels, total(data)) == (("a", "b"), 6)
    assert "links to folders that are looked at anyway: link" in caplog.text


def test_links_to_other_places_are_followed_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = classes(tmp_path / "photos", "a", "b")
    elsewhere = classes(tmp_path / "elsewhere", "inside").resolve()
    (elsewhere / "loop").symlink_to(elsewhere, target_is_directory=True)
    (root / "c").symlink_to(elsewhere, target_is_directory=True)
    (root / "a" / "broken.png").symlink_to(tmp_path / "nowhere.png")
    data = open_dataset(str(root))
    assert (data.labels, total(data)) == (("a", "b", "c"), 9)
    assert "c/loop" in caplog.text
    assert "a/broken.png" in caplog.text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat", "cat"),
        (unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")),
        ("hot dog", "hot_dog"),
        ("hot-dog", "Hot Dog"),
        ("rose", "rose "),
        ("STRASSE", "straße"),
    ],
)
def test_two_folders_for_one_class_are_refused(tmp_path: Path, one: str, other: str) -> None:
    root = classes(tmp_path / "photos", one, other, "unlike")
    with pytest.raises(DatasetError, match=r"(what looks like one class|differ only in how their accents)"):
        open_dataset(str(root))


def test_capital_and_small_letters_are_two_classes(tmp_path: Path) -> None:
    assert open_dataset(str(classes(tmp_path / "letters", "A", "a"))).labels == ("A", "a")


def test_labels_are_the_same_however_a_file_system_spells_accents(tmp_path: Path) -> None:
    labels = {
        form: open_dataset(str(classes(tmp_path / form, unicodedata.normalize(form, "café"), "tea"))).labels
        for form in ("NFC", "NFD")
    }
    assert labels["NFC"] == labels["NFD"]


def test_all_that_is_used_and_all_that_is_skipped_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = classes(tmp_path / "photos", "a", "b")
    for name in ("a/1.heic", "a/notes.txt", "b/list.csv", "b/Thumbs.db"):
        (root / name).write_bytes(b"x")
    picture(root / "loose.png")
    with caplog.at_level(logging.INFO, "vitconv"):
        open_dataset(str(root))
    summary, *notes = [record.getMessage() for record in caplog.records]
    assert summary.startswith(f"{root}: 2 classes; ")
    (left_out,) = [note for note in notes if "left out:" in note]
    for words in ("a/1.heic", "3 files that are no pictures: a/notes.txt, b/Thumbs.db, b/list.csv", "loose.png"):
        assert words in left_out


# --- names that no label can be ---


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (b"caf\xe9", "is not UTF-8"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"two\nlines", "cannot be a label"),
        (b"two\rlines", "cannot be a label"),
        (b"   ", "cannot be a label"),
        ("two\u2028lines".encode(), "cannot be a label"),
    ],
)
def test_class_names_that_export_would_refuse_are_refused_at_once(tmp_path: Path, name: bytes, words: str) -> None:
    root = classes(tmp_path / "photos", "a")
    shutil.copytree(os.fsencode(root / "a"), os.path.join(os.fsencode(root), name))  # noqa: PTH118
    with pytest.raises(DatasetError, match=words) as caught:
        open_dataset(str(root))
    str(caught.value).encode()


def test_a_folder_whose_path_is_not_utf8_is_refused_at_once(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    with pytest.raises(DatasetError, match="is not UTF-8, in which a checkpoint keeps it"):
        open_dataset(str(classes(root, "a", "b")))


def test_file_names_need_not_be_utf8(tmp_path: Path) -> None:
    root = classes(tmp_path / "photos", "a", "b")
    for path in (root / "a").iterdir():
        path.rename(os.fsdecode(os.fsencode(path.parent) + b"/\xe9" + os.fsencode(path.name)))
    assert total(open_dataset(str(root))) == 6


@pytest.mark.parametrize("name", ["", " ", "\t"])
def test_an_empty_name_is_no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(classes(tmp_path / "photos", "a", "b"))
    with pytest.raises(DatasetError, match="the name of the data set is empty"):
        open_dataset(name)
    assert open_dataset(".").labels == ("a", "b")


# --- mirror images ---


@pytest.mark.parametrize(
    ("labels", "mirrored"),
    [
        (("left", "right"), True),
        (("Turn left", "Turn right", "stop"), True),
        (("arrow_left", "arrow_right"), True),
        (("0", "1", "2"), True),
        (("a", "B"), True),
        (("clockwise", "counterclockwise"), True),
        (("cat", "dog"), False),
        (("left", "straight"), False),
        (("bright", "dark"), False),
    ],
)
def test_classes_whose_mirror_images_are_others(labels: tuple[str, ...], mirrored: bool) -> None:
    assert has_mirrored_classes(labels) == mirrored
