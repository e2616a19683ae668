"""A picture's split depends on its content alone, and each class is in every split that it has pictures for."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitconv.data.content import divide, picture_key, splits_to_cut, under_two_labels
from vitconv.data.datasets import Dataset, open_dataset
from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.errors import DatasetError, UnknownNameError

SPEC = ImageSpec(6, 6)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VITCONV_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)).save(path)
    return path


def folder(root: Path, counts: dict[str, int]) -> Path:
    for number, (name, count) in enumerate(counts.items()):
        for index in range(count):
            picture(root / name / f"{index:03}.png", 100_000 * number + index)
    return root


def sides(data: Dataset) -> dict[int, str]:
    return {key: split for split, (keys, _) in data.pictures().items() for key in keys.tolist()}


def u(path: Path) -> float:
    return int.from_bytes(hashlib.sha256(path.read_bytes()).digest()[:8], "big") / 2**64


# --- the rule ---


def test_the_key_decides_as_it_is_written_down(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", {"a": 60, "b": 60})
    data = open_dataset(str(root))
    assert (data.split_names, data.cut) == (("train", "validation", "test"), "three-way")
    found = sides(data)
    for path in root.rglob("*.png"):
        wanted = "test" if u(path) < 0.1 else "validation" if u(path) < 0.2 else "train"
        assert found[picture_key(path.read_bytes())] == wanted


def test_pictures_come_in_the_order_of_their_keys(tmp_path: Path) -> None:
    data = open_dataset(str(folder(tmp_path / "photos", {"a": 40, "b": 40})))
    for split in data.split_names:
        keys = data.split(split, SPEC).pictures
        assert (np.diff(keys.astype(np.float64)) > 0).all()
        np.testing.assert_array_equal(keys, data.pictures()[split][0])


@pytest.mark.parametrize("change", ["at the front", "at the end", "renamed", "moved elsewhere", "half removed"])
def test_no_picture_changes_its_side_when_others_come_or_go(tmp_path: Path, change: str) -> None:
    root = folder(tmp_path / "photos", {"a": 60, "b": 60})
    before = sides(open_dataset(str(root)))
    if change == "at the front":
        for index in range(5):
            picture(root / "a" / f"!{index}.png", 900_000 + index)
    elif change == "at the end":
        picture(root / "b" / "zzz.png", 900_000)
    elif change == "renamed":
        for index, path in enumerate(sorted(root.rglob("*.png"))):
            path.rename(path.with_name(f"{(index * 7919) % 1000}-{path.name}"))
    elif change == "moved elsewhere":
        root = shutil.copytree(root, tmp_path / "other" / "name")
    else:
        for path in sorted(root.rglob("*.png"))[::2]:
            path.unlink()
    after = sides(open_dataset(str(root)))
    assert {key: side for key, side in after.items() if key in before and before[key] != side} == {}


def test_going_from_two_way_to_three_way_moves_no_picture_of_validation(tmp_path: Path) -> None:
    for counts in ({"a": 60, "b": 40}, {"a": 3, "b": 2, "c": 7}):
        root = folder(tmp_path / f"photos{len(counts)}", counts)
        two = open_dataset(str(root), "two-way").pictures()
        three = open_dataset(str(root), "three-way").pictures()
        np.testing.assert_array_equal(two["validation"][0], three["validation"][0])
        assert set(three["train"][0].tolist()) < set(two["train"][0].tolist())


def test_a_hundred_classes_of_five_pictures_are_all_in_both_splits(tmp_path: Path) -> None:
    data = open_dataset(str(folder(tmp_path / "many", {f"class {n:03}": 5 for n in range(100)})))
    for split in ("train", "validation"):
        assert len(set(data.pictures()[split][1].tolist())) == 100


@pytest.mark.parametrize(("fewest", "cut"), [(29, "two-way"), (30, "three-way")])
def test_a_test_split_is_cut_from_thirty_pictures_a_class_upwards(tmp_path: Path, fewest: int, cut: str) -> None:
    root = folder(tmp_path / "photos", {"a": 50, "b": fewest})
    shutil.copy(root / "b" / "000.png", root / "b" / "copy.png")  # counts once
    assert open_dataset(str(root)).cut == cut


def test_a_class_of_one_picture_is_in_train_and_one_of_two_in_both(tmp_path: Path) -> None:
    data = open_dataset(str(folder(tmp_path / "few", {"one": 1, "two": 2, "more": 9})))
    train, validation = (data.pictures()[split][1].tolist() for split in ("train", "validation"))
    assert data.labels == ("more", "one", "two")
    assert train.count(1) == 1
    assert 1 not in validation
    assert (train.count(2), validation.count(2)) == (1, 1)


def test_each_class_gives_what_it_has_whatever_its_keys_are() -> None:
    """All of a class's keys may lie on one side, and must not all go there."""
    random = np.random.default_rng(0)
    for low, high in ((0.0, 0.1), (0.1, 0.2), (0.2, 1.0), (0.0, 0.2), (0.05, 0.25)):
        for count in range(1, 8):
            keys = (random.uniform(low, high, count) * 2.0**64).astype(np.uint64)
            labels = np.zeros(count, np.int64)
            two = divide(keys, labels, {"validation"})
            three = divide(keys, labels, {"validation", "test"})
            np.testing.assert_array_equal(two["validation"], three["validation"])
            assert len(two["validation"]) == (count > 1) or (low < 0.2 and len(two["validation"]) > 0)
            assert (len(three["test"]) > 0) == (count - len(two["validation"]) > 1)
            assert len(three["train"]) > 0
            everything = np.concatenate(list(three.values()))
            assert sorted(everything.tolist()) == list(range(count))


def test_exact_copies_go_together_in_train_validation_and_test() -> None:
    random = np.random.default_rng(1)
    keys = np.repeat(random.integers(0, 2**63, 90, np.uint64) * 2, 3)
    labels = np.repeat(np.arange(90) % 3, 3)
    for indices in divide(keys, labels, {"validation", "test"}).values():
        assert len(indices) % 3 == 0
        assert len(indices) == 3 * len(np.unique(keys[indices]))


def test_own_splits_stay_and_only_what_is_missing_is_cut(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    folder(root / "train", {"a": 60, "b": 60})
    for number, name in enumerate("ab"):
        for index in range(4):
            picture(root / "val" / name / f"{index}.png", 5_000_000 + 100 * number + index)
    data = open_dataset(str(root))
    assert [data.split(name, SPEC).source.partition(" (")[0] for name in data.split_names] == [
        f"{data.counts()['train']} of 120 in train/",
        "val/ folder",
        f"{data.counts()['test']} of 120 in train/",
    ]
    assert all(key / 2**64 < 0.1 for key in data.pictures()["test"][0].tolist())
    assert set(open_dataset(str(root), "two-way").counts()) == {"train", "validation"}


def test_which_splits_are_cut() -> None:
    keys, labels = np.arange(100, dtype=np.uint64), np.repeat([0, 1], 50)
    assert splits_to_cut((), None, keys, labels) == {"validation", "test"}
    assert splits_to_cut(("test",), None, keys, labels) == {"validation"}
    assert splits_to_cut(("validation",), None, keys, labels) == {"test"}
    assert splits_to_cut(("validation", "test"), None, keys, labels) == frozenset()
    assert splits_to_cut((), "two-way", keys, labels) == {"validation"}
    assert splits_to_cut((), None, keys, np.repeat([0, 1], [80, 20])) == {"validation"}


def test_an_unknown_cut_is_named_and_the_article_s_is_no_folder_s(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", {"a": 4, "b": 4})
    with pytest.raises(UnknownNameError, match=r"unknown cut 'threeway'.*'three-way'"):
        open_dataset(str(root), "threeway")
    with pytest.raises(DatasetError, match="'article' is of TensorFlow's data sets"):
        open_dataset(str(root), "article")
    with pytest.raises(DatasetError, match="digits has splits of its own"):
        open_dataset("digits", "two-way")


# --- one picture under two classes ---


def test_a_picture_in_two_classes_is_left_out_of_both_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = folder(tmp_path / "photos", {"a": 8, "b": 8})
    shutil.copy(root / "a" / "003.png", root / "b" / "the same.png")
    data = open_dataset(str(root))
    assert sum(data.counts().values()) == 15
    assert picture_key((root / "a" / "003.png").read_bytes()) not in sides(data)
    assert "a/003.png" in caplog.text
    assert "b/the same.png" in caplog.text


def test_two_classes_of_the_same_pictures_are_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", {"a": 4})
    shutil.copytree(root / "a", root / "b")
    with pytest.raises(DatasetError, match=r"no picture is left of a, b.*copies of them are in another class"):
        open_dataset(str(root))


def test_which_pictures_are_under_two_labels() -> None:
    keys = np.array([5, 7, 5, 9, 9, 7], np.uint64)
    labels = np.array([0, 1, 1, 2, 2, 1])
    assert under_two_labels(keys, labels).tolist() == [True, False, True, False, False, False]


# --- what is kept of it ---


def test_bytes_are_read_once_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from vitconv.data.folders import file_keys

    root = folder(tmp_path / "photos", {"a": 5, "b": 5})
    for path in root.rglob("*.png"):
        os.utime(path, ns=(10**18, 10**18))
    read: list[Path] = []
    real = file_keys.file_key
    monkeypatch.setattr(file_keys, "file_key", lambda path: (read.append(path), real(path))[1])
    monkeypatch.setattr(file_keys, "_SETTLED_NS", -(10**12))  # the files were made just now
    first = open_dataset(str(root)).pictures()
    assert len(read) == 10
    again = open_dataset(str(root)).pictures()
    assert len(read) == 10
    for split in first:
        np.testing.assert_array_equal(first[split][0], again[split][0])
    changed = root / "a" / "002.png"
    before = changed.read_bytes()
    picture(changed, 77)
    changed.write_bytes(changed.read_bytes().ljust(len(before), b"\0")[: len(before)])
    os.utime(changed, ns=(10**18, 10**18))  # the same size and time: only the time of the change of it tells
    open_dataset(str(root))
    assert read[10:] == [changed]


def test_a_file_that_has_just_changed_is_read_again(tmp_path: Path) -> None:
    root = folder(tmp_path / "photos", {"a": 5, "b": 5})
    open_dataset(str(root))
    open_dataset(str(root))
    (kept,) = (tmp_path / "cache").glob("files-*.json")
    assert kept.read_text().strip() == "{}"


def test_an_edit_prepares_only_what_is_new_and_leaves_one_entry_a_split(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vitconv.data.folders import labelled as folders

    root = folder(tmp_path / "photos", {"a": 20, "b": 20})
    for split in ("train", "validation"):
        open_dataset(str(root)).split(split, SPEC)
    opened: list[str] = []
    real = folders.open_picture
    monkeypatch.setattr(folders, "open_picture", lambda path: (opened.append(path.name), real(path))[1])
    picture(root / "a" / "new.png", 9_999)
    data = open_dataset(str(root))
    splits = [data.split(split, SPEC) for split in ("train", "validation")]
    assert opened == ["new.png"]
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 2
    pixels = {}
    for path in root.rglob("*.png"):
        with Image.open(path) as shown:
            pixels[picture_key(path.read_bytes())] = SPEC.prepare(shown)
    for split in splits:
        for key, image in zip(split.pictures.tolist(), split.images, strict=True):
            np.testing.assert_array_equal(image, pixels[key])


def test_a_copy_of_a_folder_elsewhere_needs_no_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitconv.data.folders import labelled as folders

    root = folder(tmp_path / "photos", {"a": 10, "b": 10})
    digest = open_dataset(str(root)).split("train", SPEC).digest
    copy = shutil.copytree(root, tmp_path / "elsewhere" / "photos")
    monkeypatch.setattr(folders, "open_picture", lambda path: pytest.fail(f"{path} is decoded"))
    assert open_dataset(str(copy)).split("train", SPEC).digest == digest
