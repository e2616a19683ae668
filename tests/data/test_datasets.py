from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import commands
from made_pictures import class_folders, picture
from vitconv.data.content import picture_key
from vitconv.data.datasets import Dataset, Split, available, open_dataset
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.prepared import BATCH, digest_of
from vitconv.data.tfds import source as tfds
from vitconv.foundation.disk.cache import cache_directory
from vitconv.foundation.errors import DatasetError, OutputError, UnknownNameError

SPEC = ImageSpec(12, 10)

pytestmark = pytest.mark.usefixtures("cache")


def rows(split: Split) -> set[bytes]:
    return {image.tobytes() for image in split.images}


# --- digits ---


def test_digits_have_three_fixed_splits_of_all_1797() -> None:
    digits = open_dataset("digits")
    assert (digits.name, digits.labels) == ("digits", tuple("0123456789"))
    assert digits.split_names == ("train", "validation", "test")
    assert digits.evaluation_name == "test"
    splits = {name: digits.split(name, ImageSpec(8, 8)) for name in digits.split_names}
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 1257,
        "validation": 180,
        "test": 360,
    }
    assert splits["test"].source == "360 of 1797 (seed 0)"


def test_every_digit_is_in_one_split_with_its_own_label() -> None:
    from sklearn.datasets import load_digits

    digits = open_dataset("digits")
    splits = [digits.split(name, ImageSpec(8, 8)) for name in digits.split_names]
    images = np.concatenate([split.images for split in splits])
    labels = np.concatenate([split.labels for split in splits])
    original = load_digits()
    grey = np.round(original.images * 255 / 16).astype(np.uint8)
    expected = sorted((image.tobytes(), int(label)) for image, label in zip(grey, original.target, strict=True))
    assert sorted((i[:, :, 0].tobytes(), int(k)) for i, k in zip(images, labels, strict=True)) == expected
    assert (images[..., 0] == images[..., 1]).all()
    assert (images[..., 0] == images[..., 2]).all()
    assert (images.min(), images.max()) == (0, 255)


def test_the_order_of_digits_never_changes() -> None:
    labels = open_dataset("digits").split("test", ImageSpec(8, 8)).labels
    assert hashlib.sha256(labels.tobytes()).hexdigest()[:16] == "d6c86f9a7de5b7af"


def test_images_are_a_read_only_map_of_the_size_asked_for() -> None:
    split = open_dataset("digits").split("validation", SPEC)
    assert isinstance(split.images, np.memmap)
    assert (split.images.dtype, split.images.shape) == (np.uint8, (180, 12, 10, 3))
    assert (split.labels.dtype, split.labels.shape) == (np.int64, (180,))
    with pytest.raises(ValueError, match="read-only"):
        split.images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        split.labels[0] = 0


def test_the_digest_is_that_of_images_and_labels() -> None:
    split = open_dataset("digits").split("validation", SPEC)
    assert split.digest == digest_of(split.images, split.labels)
    assert Split("x", "y", split.images, split.labels).digest == split.digest
    assert digest_of(split.images, 9 - split.labels) != split.digest
    assert digest_of(255 - split.images, split.labels) != split.digest


def test_an_unknown_split_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown split of digits 'tests'.*'test'.*train, validation"):
        open_dataset("digits").split("tests", SPEC)


# --- folders ---


def test_a_small_flat_folder_is_cut_into_train_and_validation(
    flowers: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = open_dataset(str(flowers))
    assert (data.name, data.labels, data.cut) == ("flowers", ("daisy", "tulip"), "two-way")
    assert data.split_names == ("train", "validation")
    assert data.evaluation_name == "validation"
    train, validation = data.split("train", SPEC), data.split("validation", SPEC)
    assert len(train) + len(validation) == 25
    assert validation.source == f"{len(validation)} of 25 (by content)"
    assert not rows(train) & rows(validation)
    assert set(validation.labels.tolist()) == {0, 1}
    assert "accuracy will be of the images that chose the epoch" in caplog.text


def test_each_picture_comes_with_the_label_of_its_folder(flowers: Path) -> None:
    data = open_dataset(str(flowers))
    label_of = {}
    for path in flowers.rglob("*.png"):
        with Image.open(path) as opened:
            label_of[SPEC.prepare(opened).tobytes()] = data.labels.index(path.parent.name)
    for name in data.split_names:
        split = data.split(name, SPEC)
        assert [label_of[image.tobytes()] for image in split.images] == split.labels.tolist()


@pytest.mark.parametrize("validation", ["validation", "val", "valid"])
def test_split_folders_are_taken_as_they_are(tmp_path: Path, validation: str) -> None:
    for seed, (name, count) in enumerate({"train": 5, validation: 2, "test": 3}.items()):
        class_folders(tmp_path / "pets" / name, {"cat": count, "dog": count}, seed * 10_000)
    data = open_dataset(str(tmp_path / "pets"))
    assert data.split_names == ("train", "validation", "test")
    splits = [data.split(name, SPEC) for name in data.split_names]
    assert [len(split) for split in splits] == [10, 4, 6]
    assert [split.source for split in splits] == ["train/ folder", f"{validation}/ folder", "test/ folder"]


def test_the_first_pictures_of_a_split_folder_are_not_all_of_the_first_class(tmp_path: Path) -> None:
    for seed, name in enumerate(("train", "test")):
        class_folders(tmp_path / "pets" / name, {"cat": 20, "dog": 20}, seed * 10_000)
    test = open_dataset(str(tmp_path / "pets")).split("test", SPEC)
    assert set(test.labels[:10].tolist()) == {0, 1}


def test_validation_is_carved_from_train_where_only_test_is_given(tmp_path: Path) -> None:
    class_folders(tmp_path / "pets" / "train", {"cat": 10, "dog": 10})
    class_folders(tmp_path / "pets" / "test", {"cat": 2, "dog": 2}, 50_000)
    data = open_dataset(str(tmp_path / "pets"))
    sources = [data.split(name, SPEC).source for name in data.split_names]
    count = len(data.split("validation", SPEC))
    assert sources == [
        f"{20 - count} of 20 in train/ (by content)",
        f"{count} of 20 in train/ (by content)",
        "test/ folder",
    ]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "vehicles", {"car": 3, "train": 3})
    assert open_dataset(str(root)).labels == ("car", "train")


def test_copies_of_test_and_validation_pictures_are_left_out_of_train(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "pets"
    for seed, name in enumerate(("train", "val", "test")):
        class_folders(root / name, {"cat": 4, "dog": 4}, seed * 10_000)
    shutil.copy(root / "test/dog/000.png", root / "train/cat/stray.png")
    shutil.copy(root / "val/dog/000.png", root / "train/dog/stray.png")
    with caplog.at_level(logging.WARNING, "vitconv"):
        data = open_dataset(str(root))
    train = data.split("train", SPEC)
    assert len(train) == 8
    assert not rows(train) & (rows(data.split("test", SPEC)) | rows(data.split("validation", SPEC)))
    assert [record.name for record in caplog.records] == ["vitconv", "vitconv"]
    assert "train/cat/stray.png" in caplog.text
    assert "train/dog/stray.png" in caplog.text


def test_copies_in_a_flat_folder_never_end_in_both_splits(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "copies", {"a": 10, "b": 10})
    for path in sorted(root.rglob("*.png")):
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    data = open_dataset(str(root))
    train, validation = data.split("train", SPEC), data.split("validation", SPEC)
    assert not rows(train) & rows(validation)
    assert len(train) + len(validation) == 40


def test_hidden_and_other_files_are_ignored_and_suffixes_may_be_upper_case(tmp_path: Path) -> None:
    root = class_folders(tmp_path / ".hidden" / "photos", {"a": 2, "b": 2})
    picture(root / "a" / "UPPER.JPG", 1)
    picture(root / "a" / "deeper" / "one.webp", 2)
    picture(root / "a" / ".hidden.png", 3)
    picture(root / "a" / ".thumbnails" / "one.png", 4)
    picture(root / ".git" / "one.png", 5)
    (root / "a" / "notes.txt").write_text("not a picture")
    data = open_dataset(str(root))
    assert data.labels == ("a", "b")
    assert sum(len(data.split(name, SPEC)) for name in data.split_names) == 6


def test_the_version_of_a_folder_follows_its_listing(flowers: Path) -> None:
    before = open_dataset(str(flowers)).version
    assert open_dataset(str(flowers)).version == before
    picture(flowers / "daisy" / "new.png", 99)
    assert open_dataset(str(flowers)).version != before


def test_a_relative_path_and_its_absolute_path_are_the_same(
    flowers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(flowers.parent)
    digests = {open_dataset(name).split("train", SPEC).digest for name in ("./flowers", "flowers", str(flowers))}
    assert len(digests) == 1


def no_folder(root: Path) -> None:
    pass


def a_file(root: Path) -> None:
    root.write_text("")


def no_classes(root: Path) -> None:
    picture(root / "1.png", 1)


def one_class(root: Path) -> None:
    picture(root / "rose" / "1.png", 1)


def empty_class(root: Path) -> None:
    class_folders(root, {"rose": 2})
    (root / "tulip").mkdir()


def other_classes(root: Path) -> None:
    class_folders(root / "train", {"rose": 2, "tulip": 2})
    class_folders(root / "test", {"rose": 2, "tulips": 2}, 9_000)


def two_validations(root: Path) -> None:
    for name in ("train", "val", "valid"):
        class_folders(root / name, {"rose": 2, "tulip": 2})


def only_copies(root: Path) -> None:
    class_folders(root / "train", {"rose": 2, "tulip": 2})
    class_folders(root / "test", {"rose": 2, "tulip": 2})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_folder, "does not exist"),
        (a_file, "is a file, not a folder"),
        (no_classes, "has no class folders in it.*rose/1.jpg"),
        (one_class, "only one class, 'rose'"),
        (empty_class, "class folder .*tulip has no pictures in it.*JPEG"),
        (other_classes, r"missing: tulip; extra: tulips"),
        (two_validations, "both val/ and valid/"),
        (only_copies, "no picture is left for the train split"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    root = tmp_path / "given"
    make(root)
    with pytest.raises(DatasetError, match=message):
        open_dataset(str(root))


@pytest.mark.parametrize("content", [b"", b"not a picture", "cut"])
def test_an_unreadable_picture_is_named_and_leaves_no_cache(
    flowers: Path, cache: Path, content: bytes | str
) -> None:
    bad = flowers / "daisy" / "000.png"
    bad.write_bytes(bad.read_bytes()[:200] if isinstance(content, str) else content)
    data = open_dataset(str(flowers))
    (split,) = [name for name, (keys, _) in data.pictures().items() if picture_key(bad.read_bytes()) in keys]
    with pytest.raises(DatasetError, match=r"daisy/000\.png.*Remove it"):
        data.split(split, SPEC)
    assert not [path for path in cache.glob(".*") if path.suffix != ".lock"]


def test_all_unreadable_pictures_of_all_splits_are_listed_at_once(flowers: Path) -> None:
    bad = sorted(flowers.rglob("*.png"))[::2]
    for path in bad:
        path.write_bytes(b"not a picture " + path.name.encode() + path.parent.name.encode())
    data = open_dataset(str(flowers))
    with pytest.raises(DatasetError, match=f"{len(bad)} pictures of flowers cannot be read") as caught:
        data.split("train", SPEC)
    for path in bad:
        assert str(path) in str(caught.value)


def test_damaged_exif_data_refuse_no_picture_and_are_told_in_one_line(
    flowers: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = sorted(flowers.rglob("*.png"))[::3]
    wanted = {split: open_dataset(str(flowers)).split(split, SPEC) for split in ("train", "validation")}
    for number, path in enumerate(damaged):
        with Image.open(path) as picture:
            picture.load()
        picture.save(path, exif=(b"Exif\0\0XX", b"Exif\0\0a text", b"Exif\0\0II*\0\xff\xff\xff\xff")[number % 3])
    data = open_dataset(str(flowers))
    caplog.clear()
    for split, before in wanted.items():
        now = data.split(split, SPEC)
        assert now.images.shape[1:] == before.images.shape[1:]
    pixels = {image.tobytes() for split in wanted for image in data.split(split, SPEC).images}
    assert pixels == {image.tobytes() for before in wanted.values() for image in before.images}
    lines = [record.getMessage() for record in caplog.records if "may not be upright" in record.getMessage()]
    assert 1 <= len(lines) <= 2, "one for each split"
    told = [
        re.search(r"(\d+) of \d+ pictures may not be upright. The first: (\S+): it is taken", line)
        for line in lines
    ]
    assert sum(int(one[1]) for one in told if one) == len(damaged)
    assert {one[2] for one in told if one} <= {str(path) for path in damaged}


def test_another_format_under_a_pictures_name_is_refused(flowers: Path) -> None:
    bad = flowers / "daisy" / "000.png"
    Image.new("RGB", (9, 9)).save(bad, "PPM")
    data = open_dataset(str(flowers))
    (split,) = [name for name, (keys, _) in data.pictures().items() if picture_key(bad.read_bytes()) in keys]
    with pytest.raises(DatasetError, match=r"daisy/000\.png is not a picture that can be read"):
        data.split(split, SPEC)


# --- TensorFlow Datasets ---


@pytest.mark.parametrize(
    ("config", "sources", "counts"),
    [
        ("train-test", ["train[:90%]", "train[90%:]", "test"], [36, 4, 12]),
        ("train-validation", ["train", "validation"], [40, 8]),
        ("train-validation-test", ["train", "validation", "test"], [40, 8, 12]),
    ],
)
def test_the_splits_of_a_tfds_data_set(
    tfds_folder: Path, config: str, sources: list[str], counts: list[int]
) -> None:
    data = open_dataset(f"tiny/{config}")
    assert (data.version, data.labels) == ("1.2.3", ("cat", "dog", "owl"))
    splits = [data.split(name, ImageSpec(9, 7)) for name in data.split_names]
    assert data.split_names == ("train", "validation", "test")[: len(sources)]
    assert [split.source for split in splits] == sources
    assert [len(split) for split in splits] == counts
    assert len(set.union(*map(rows, splits))) == sum(counts)
    # At the pictures' own size nothing is resized, so the very pixels are there, each with its label.
    pixels = np.random.default_rng(0).integers(0, 256, (60, 9, 7, 3), np.uint8)
    label_of = {image.tobytes(): index % 3 for index, image in enumerate(pixels)}
    for split in splits:
        assert [label_of[image.tobytes()] for image in split.images] == split.labels.tolist()


def test_a_tfds_data_set_of_one_split_is_cut_by_content_or_as_the_article_does(tfds_folder: Path) -> None:
    data = open_dataset("tiny/train")
    counts = data.counts()
    assert (data.cut, sum(counts.values()), set(counts)) == ("two-way", 40, {"train", "validation"})
    validation = data.split("validation", ImageSpec(9, 7))
    assert validation.source == f"{len(validation)} of 40 in train (by content)"
    # The same pictures in their own order, whatever lies between.
    keys = open_dataset("tiny/train", "article").split("train", ImageSpec(9, 7)).pictures.tolist()
    kept = [key for key in data.split("train", ImageSpec(9, 7)).pictures.tolist() if key in keys]
    assert kept == [key for key in keys if key in kept]
    article = open_dataset("tiny/train", "article")
    assert article.counts() == {"train": 36, "validation": 4}
    assert [article.split(name, SPEC).source for name in article.split_names] == ["train[:90%]", "train[90%:]"]
    three = open_dataset("tiny/train", "three-way")
    assert set(three.counts()) == {"train", "validation", "test"}
    assert np.array_equal(three.split("validation", ImageSpec(9, 7)).pictures, validation.pictures)


def test_the_keys_of_a_tfds_split_are_read_once(tfds_folder: Path, cache: Path) -> None:
    open_dataset("tiny/train")
    (kept,) = cache.glob("records-*.npy")
    told: list[str] = []
    open_dataset("tiny/train", progress=lambda what, *_: told.append(what))
    assert not told
    kept.write_bytes(b"cut")
    open_dataset("tiny/train", progress=lambda what, *_: told.append(what))
    assert told == ["reading tiny/train train"]


def test_a_split_without_labels_is_left_out_and_named(tfds_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = open_dataset("tiny/train-unlabelled_test")
    assert data.split_names == ("train", "validation")
    assert "its split test has no labels" in caplog.text
    with pytest.raises(DatasetError, match=r"no split .* has labels: all are −1"):
        open_dataset("tiny/unlabelled_test")


def test_splits_of_tfds_may_be_spelt_otherwise(tfds_folder: Path) -> None:
    data = open_dataset("tiny/train-val")
    assert [data.split(name, SPEC).source for name in data.split_names] == ["train", "val"]


def test_a_tfds_data_set_of_a_test_split_alone_can_be_evaluated(tfds_folder: Path) -> None:
    assert open_dataset("tiny/test").counts() == {"test": 12}


def test_float_images_of_tfds_are_refused(tfds_folder: Path) -> None:
    with pytest.raises(DatasetError, match="float32 numbers, whose range nobody says"):
        open_dataset("tiny/float_train")


def test_a_tfds_data_set_without_labels_is_refused(tfds_folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"no feature 'label'.*id, image"):
        open_dataset("tiny/no_label")


def test_a_damaged_record_file_is_named(
    tfds_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(tfds_folder, tmp_path / "copy")
    monkeypatch.setenv("TFDS_DATA_DIR", str(copy))
    (records,) = (copy / "tiny/train/1.2.3").glob("*.tfrecord*")
    records.write_bytes(records.read_bytes()[:1000])
    with pytest.raises(DatasetError, match=r"cannot read tiny/train train.*Remove .*tiny/train/1\.2\.3"):
        open_dataset("tiny/train", "article").split("train", SPEC)


def test_reading_a_prepared_set_shows_nothing_of_tensorflow_s_own_notes(tfds_folder: Path, tmp_path: Path) -> None:
    ended = commands.run("datasets", VITCONV_CACHE=str(tmp_path / "cache"))
    assert (ended.status, ended.err) == (0, "")
    assert "tiny/train-test" in ended.out


def test_available_lists_digits_and_what_tfds_has_prepared(tfds_folder: Path) -> None:
    found = {row["name"]: row for row in available()}
    assert list(found) == [
        "digits",
        "tiny/test",
        "tiny/train",
        "tiny/train-test",
        "tiny/train-unlabelled_test",
        "tiny/train-val",
        "tiny/train-validation",
        "tiny/train-validation-test",
    ]
    assert found["digits"]["splits"] == {"train": 1257, "validation": 180, "test": 360}
    assert found["tiny/train-test"] == {
        "name": "tiny/train-test",
        "version": "1.2.3",
        "classes": 3,
        "splits": {"train": 36, "validation": 4, "test": 12},
    }


def test_available_needs_no_tfds_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    assert [row["name"] for row in available()] == ["digits"]


@pytest.mark.parametrize("name", ["tf_flower", "tf-flowers", "huggingface:tf_flower", "tf_flowers" * 40])
def test_an_unknown_name_brings_close_ones(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match=r"no folder of that name.*tf_flowers") as caught:
        open_dataset(name)
    assert len(str(caught.value)) < 300 + len(name)


def test_a_text_data_set_is_refused_before_any_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    with pytest.raises(DatasetError, match="no feature 'image'"):
        open_dataset("imdb_reviews")
    assert not (tmp_path / "none").exists()


def test_a_plain_tfds_name_is_never_a_folder(
    tfds_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "imdb_reviews", {"a": 2, "b": 2})
    with pytest.raises(DatasetError, match="no feature 'image'"):
        open_dataset("imdb_reviews")
    assert open_dataset("./imdb_reviews").labels == ("a", "b")


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def no_network(*_: object) -> None:
        raise socket.gaierror("Name or service not known")

    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    with pytest.raises(DatasetError, match=r"mnist.*storage\.googleapis\.com cannot be reached.*TFDS_DATA_DIR"):
        open_dataset("mnist")


@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="TFDS_DATA_DIR is unset: no prepared data sets")
def test_tf_flowers_is_split_by_content_or_as_in_the_article() -> None:
    if "tf_flowers" not in tfds.prepared_names():
        pytest.skip("tf_flowers is not prepared in TFDS_DATA_DIR")
    flowers = open_dataset("tf_flowers")
    assert flowers.labels == ("dandelion", "daisy", "tulips", "sunflowers", "roses")
    assert flowers.split_names == ("train", "validation", "test")
    article = open_dataset("tf_flowers", "article")
    validation = article.split("validation", ImageSpec(16, 16))
    assert validation.source == "train[90%:]"
    assert validation.labels.max() == 4


# --- cache ---


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if not path.name.startswith("."))


def validation_of_digits(size: int = 8) -> Split:
    return open_dataset("digits").split("validation", ImageSpec(size, size))


def test_progress_is_told_while_decoding_and_silent_from_the_cache() -> None:
    told: list[tuple[str, int, int]] = []
    for _ in range(2):
        open_dataset("digits").split("validation", SPEC, lambda *step: told.append(step))
    assert told == [("decoding digits validation", done, 180) for done in (BATCH, 180)]


def test_each_image_spec_has_an_entry_of_its_own(cache: Path) -> None:
    assert validation_of_digits(8).images.shape[1] == 8
    assert validation_of_digits(9).images.shape[1] == 9
    assert len(entries(cache)) == 2


def test_an_edited_picture_is_decoded_again(flowers: Path) -> None:
    before = open_dataset(str(flowers)).split("validation", SPEC).digest
    for seed, path in enumerate(flowers.rglob("*.png")):
        picture(path, 7000 + seed)
        os.utime(path, ns=(10**18, 10**18))
    assert open_dataset(str(flowers)).split("validation", SPEC).digest != before


def test_folders_of_one_name_and_listing_do_not_share_an_entry(tmp_path: Path) -> None:
    digests = set()
    for seed, place in enumerate(("here", "there")):
        root = tmp_path / place / "photos"
        for index in range(6):
            # Bitmaps of one size have files of one size.
            file = root / "ab"[index % 2] / f"{index}.bmp"
            picture(file, 100 * seed + index)
            os.utime(file, ns=(10**18, 10**18))
        digests.add(open_dataset(str(root)).split("train", SPEC).digest)
    assert len(digests) == 2


def cut_images(entry: Path) -> None:
    images = entry / "images.npy"
    os.truncate(images, images.stat().st_size - 1)


def longer_labels(entry: Path) -> None:
    with (entry / "labels.npy").open("ab") as stream:
        stream.write(b"0")


def no_card(entry: Path) -> None:
    (entry / "card.json").unlink()


def broken_card(entry: Path) -> None:
    (entry / "card.json").write_text("[]")


def other_shape(entry: Path) -> None:
    images = np.load(entry / "images.npy")
    np.save(entry / "images.npy", images.reshape(180, 4, 16, 3))


def zeroed_header(entry: Path) -> None:
    with (entry / "images.npy").open("r+b") as stream:
        stream.write(bytes(64))


def other_key(entry: Path) -> None:
    card = json.loads((entry / "card.json").read_text())
    card["key"]["source"] = "elsewhere"
    (entry / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    "damage",
    [cut_images, longer_labels, no_card, broken_card, other_shape, zeroed_header, other_key],
)
def test_a_damaged_entry_is_made_again(cache: Path, damage: Callable[[Path], None]) -> None:
    validation_of_digits()
    (entry,) = entries(cache)
    before = {path.name: path.read_bytes() for path in entry.iterdir()}
    damage(entry)
    split = validation_of_digits()
    assert split.digest == digest_of(split.images, split.labels)
    assert {path.name: path.read_bytes() for path in entry.iterdir()} == before


def test_what_a_kill_left_behind_is_removed(cache: Path) -> None:
    validation_of_digits()
    (entry,) = entries(cache)
    shutil.rmtree(entry)
    # The same process number can come again, in a container even at once.
    leftover = cache / f".{entry.name}.{os.getpid()}.tmp"
    leftover.mkdir()
    (leftover / "images.npy").write_bytes(b"half")
    assert len(validation_of_digits()) == 180
    assert not leftover.exists()


def test_two_threads_and_two_processes_can_prepare_the_same_split(cache: Path) -> None:
    script = (
        "from vitconv.data.datasets import open_dataset; from vitconv.data.pictures.images import ImageSpec;"
        "print(open_dataset('digits').split('validation', ImageSpec(40, 40)).digest)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    digests: list[str] = []
    threads = [threading.Thread(target=lambda: digests.append(validation_of_digits(40).digest)) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    digests += [process.communicate()[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(digests) == 4
    assert set(digests) == {validation_of_digits(40).digest}
    assert len(entries(cache)) == 1


def test_a_place_that_cannot_be_written_names_the_variable(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="VITCONV_CACHE"):
        validation_of_digits()


def test_a_write_that_fails_names_the_variable_and_leaves_nothing(cache: Path) -> None:
    # A limit on a file's size fails in the middle of writing, as a full disk does.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OutputError, match="VITCONV_CACHE"):
            validation_of_digits()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    assert len(validation_of_digits()) == 180


def test_too_little_room_is_said_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage("/")._replace(free=500_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    data: Dataset = open_dataset("digits")
    told: list[int] = []
    with pytest.raises(OutputError, match=r"0\.5 GB free, and 0\.6 GB are needed.*VITCONV_CACHE"):
        data.split("validation", ImageSpec(1024, 1024), lambda *step: told.append(1))
    assert not told


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("VITCONV_CACHE", "~/mine")
    assert cache_directory() == tmp_path / "mine"
    monkeypatch.delenv("VITCONV_CACHE")
    assert cache_directory() == tmp_path / "xdg" / "vitconv"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_directory() == tmp_path / ".cache" / "vitconv"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == tmp_path / ".cache" / "vitconv"


def test_importing_and_reading_from_the_cache_needs_no_tensorflow(cache: Path) -> None:
    validation_of_digits()
    script = (
        "import sys; from vitconv.data.datasets import open_dataset;"
        "from vitconv.data.pictures.images import ImageSpec;"
        "open_dataset('digits').split('validation', ImageSpec(8, 8));"
        "print([name for name in ('tensorflow', 'tensorflow_datasets', 'sklearn') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    assert run.stdout.strip() == "[]"
