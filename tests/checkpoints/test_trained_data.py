"""The data set of a checkpoint, opened later: changes are said, and nothing that was trained on is evaluated."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitconv.checkpoints.checkpoint import Card, Checkpoint
from vitconv.checkpoints.pictures import FILE, SeenPictures
from vitconv.checkpoints.trained_data import chose_epoch, open_dataset_of
from vitconv.data.content import picture_key
from vitconv.data.datasets import Dataset, open_dataset
from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.errors import DatasetError
from vitconv.models import catalogue

SPEC = ImageSpec(8, 8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITCONV_CACHE", str(tmp_path / "cache"))


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return path


def new_in(folder: Path, side: tuple[float, float]) -> Path:
    """A new picture whose content puts it between those two numbers."""
    for seed in range(10**6, 10**6 + 1000):
        path = picture(folder / "new.png", seed)
        if side[0] <= picture_key(path.read_bytes()) / 2**64 < side[1]:
            return path
    raise AssertionError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for number, name in enumerate(("cat", "dog", "owl")):
        for index in range(40):
            picture(root / name / f"{index}.png", 1000 * number + index)
    return root


def trained_on(source: str, out: Path, cut: str | None = None) -> Checkpoint:
    """A checkpoint as if trained on it; its weights play no part here."""
    data = open_dataset(source, cut)
    out.mkdir(exist_ok=True)
    named = SeenPictures(data.pictures()).write(out)
    splits = {name: {"source": "some", "images": count} for name, count in data.counts().items() if name != "test"}
    card = Card(
        model="eanet",
        labels=data.labels,
        image=SPEC,
        dataset={
            "name": data.name, "source": data.opened_by, "version": data.version, "splits": splits,
            "cut": data.cut, "identity": data.identity, "pictures": named,
        },
        recipe=catalogue.find("eanet").recipe.to_json(),
        seed=0,
        versions={},
        results={},
        weights={"file": "weights-000000000000.safetensors", "sha256": "0" * 64},
    )  # fmt: skip
    return Checkpoint(out, card)


@pytest.fixture
def checkpoint(photos: Path, tmp_path: Path) -> Checkpoint:
    return trained_on(str(photos), tmp_path / "run")


def changed(checkpoint: Checkpoint, **values: Any) -> Checkpoint:
    return replace(checkpoint, card=replace(checkpoint.card, dataset={**checkpoint.card.dataset, **values}))


def evaluated(data: Dataset) -> set[int]:
    return {
        key for name in data.split_names if name != "train" for key in data.split(name, SPEC).pictures.tolist()
    }


def test_an_unchanged_data_set_is_opened_without_a_word(
    checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    data = open_dataset_of(checkpoint, None)
    assert not caplog.records
    seen = SeenPictures.of(checkpoint)
    assert seen is not None
    assert evaluated(data) == {key for name in ("validation", "test") for key in seen.splits[name][0].tolist()}


def test_which_images_chose_the_epoch(checkpoint: Checkpoint, photos: Path, tmp_path: Path) -> None:
    data = open_dataset_of(checkpoint, None)
    assert chose_epoch(checkpoint, data.split("validation", SPEC))
    assert not chose_epoch(checkpoint, data.split("test", SPEC))
    # What chose is known by its content: elsewhere, too, and in a test folder.
    other = tmp_path / "other"
    validation = set(data.split("validation", SPEC).pictures.tolist())
    chose = [path for path in sorted(photos.rglob("*.png")) if picture_key(path.read_bytes()) in validation]
    for path in chose:
        target = other / "test" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    assert chose_epoch(checkpoint, open_dataset_of(checkpoint, str(other)).split("test", SPEC))


def test_a_checkpoint_of_a_version_that_kept_no_keys_says_by_place_or_digest(checkpoint: Checkpoint) -> None:
    data = open_dataset_of(checkpoint, None)
    validation, test = data.split("validation", SPEC), data.split("test", SPEC)
    for known in (
        {"source": "elsewhere", "digest": validation.digest},
        {"source": validation.source, "digest": ""},
    ):
        old = changed(checkpoint, pictures=None, splits={"validation": known})
        assert chose_epoch(old, validation)
        assert not chose_epoch(old, test)
    assert not chose_epoch(changed(checkpoint, pictures=None, splits={}), validation)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: (root / "cat" / "3.png").unlink(), "gone: 1 of "),
        (lambda root: new_in(root / "dog", (0.2, 1)), "new: 1 of train"),
        (lambda root: new_in(root / "dog", (0.1, 0.2)), "new: 1 of validation"),
        (
            lambda root: (root / "cat" / "3.png").rename(root / "dog" / "moved.png"),
            "now in another class: 1 picture",
        ),
        (lambda root: [path.unlink() for path in sorted((root / "owl").iterdir())[:25]], "gone: "),
    ],
)
def test_what_has_changed_is_said(
    checkpoint: Checkpoint,
    photos: Path,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[Path], object],
    words: str,
) -> None:
    change(photos)
    open_dataset_of(checkpoint, None)
    assert "photos is not as it was when" in caplog.text
    assert words in caplog.text


def test_a_picture_that_was_trained_on_is_never_evaluated(
    checkpoint: Checkpoint, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A class whose validation and test pictures are all gone takes others, which were trained on."""
    for path in (photos / "owl").iterdir():
        if picture_key(path.read_bytes()) / 2**64 < 0.2:
            path.unlink()
    seen = SeenPictures.of(checkpoint)
    assert seen is not None
    plain = open_dataset(str(photos), "three-way")
    assert evaluated(plain) & set(seen.trained.tolist())
    data = open_dataset_of(checkpoint, None)
    assert not evaluated(data) & set(seen.trained.tolist())
    assert "was train, now validation: 1 picture" in caplog.text
    assert "was train, now test: 1 picture" in caplog.text


@pytest.mark.parametrize("as_what", ["test", "Validation"])
def test_pictures_trained_on_that_come_back_as_another_data_set_are_not_evaluated(
    checkpoint: Checkpoint, photos: Path, tmp_path: Path, as_what: str
) -> None:
    other = tmp_path / "other"
    shutil.copytree(photos, other / as_what)
    data = open_dataset_of(checkpoint, str(other))
    seen = SeenPictures.of(checkpoint)
    assert seen is not None
    assert evaluated(data) == {key for name in ("validation", "test") for key in seen.splits[name][0].tolist()}


def test_a_data_set_of_nothing_but_pictures_that_were_trained_on_is_refused(
    checkpoint: Checkpoint, photos: Path, tmp_path: Path
) -> None:
    seen = SeenPictures.of(checkpoint)
    assert seen is not None
    for path in photos.rglob("*.png"):
        if picture_key(path.read_bytes()) in seen.trained:
            target = tmp_path / "other" / "test" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    data = open_dataset_of(checkpoint, str(tmp_path / "other"))
    with pytest.raises(DatasetError, match=r"all \d+ pictures of other test .* was trained on"):
        data.split("test", SPEC)


def test_the_cut_of_the_training_is_kept_when_the_folder_grows(tmp_path: Path, photos: Path) -> None:
    """Trained without a test split, so what would be one now was trained on."""
    checkpoint = trained_on(str(photos), tmp_path / "two", "two-way")
    assert open_dataset(str(photos)).split_names == ("train", "validation", "test")
    data = open_dataset_of(checkpoint, None)
    assert (data.split_names, data.cut) == (("train", "validation"), "two-way")
    moved = photos.rename(tmp_path / "moved")
    assert open_dataset_of(checkpoint, str(moved)).split_names == ("train", "validation")


def test_a_data_set_is_found_from_any_folder_and_another_one_in_its_place_is_refused(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = trained_on("./photos", tmp_path / "run")
    assert checkpoint.card.dataset["source"] == str(photos.resolve())
    elsewhere = tmp_path / "elsewhere"
    for name in ("cat", "dog", "owl"):
        for index in range(3):
            picture(elsewhere / "photos" / name / f"{index}.png", 50_000 + index + ord(name[0]) * 100)
    monkeypatch.chdir(elsewhere)
    assert open_dataset_of(checkpoint, None).counts() == open_dataset(str(photos)).counts()
    photos.rename(tmp_path / "kept")
    with pytest.raises(DatasetError, match=r"trained on the pictures in .*photos, which is not there.*--dataset"):
        open_dataset_of(checkpoint, None)
    shutil.copytree(elsewhere / "photos", photos)
    with pytest.raises(
        DatasetError, match=r"none of the pictures that .* was trained on is in .*another data set"
    ):
        open_dataset_of(checkpoint, None)
    assert open_dataset_of(checkpoint, str(elsewhere / "photos")).labels == checkpoint.card.labels


def test_labels_in_another_order_are_mapped_by_name(tmp_path: Path, photos: Path) -> None:
    checkpoint = trained_on(str(photos), tmp_path / "run")
    own = open_dataset_of(checkpoint, None).split("test", SPEC)
    reordered = replace(checkpoint, card=replace(checkpoint.card, labels=("owl", "cat", "dog")))
    data = open_dataset_of(reordered, None)
    split = data.split("test", SPEC)
    assert data.labels == ("owl", "cat", "dog")
    assert [data.labels[label] for label in split.labels] == [("cat", "dog", "owl")[label] for label in own.labels]
    assert split.digest != own.digest


def test_a_folder_with_some_of_the_classes_is_evaluated(
    checkpoint: Checkpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for index in range(3):
        picture(tmp_path / "few" / "test" / "owl" / f"{index}.png", 70_000 + index)
        picture(tmp_path / "few" / "test" / "cat" / f"{index}.png", 80_000 + index)
    split = open_dataset_of(checkpoint, str(tmp_path / "few")).split("test", SPEC)
    assert sorted(split.labels.tolist()) == [0, 0, 0, 2, 2, 2]
    assert "few has no pictures of dog: nothing is measured of them" in caplog.text


@pytest.mark.parametrize(
    ("strange", "hint"), [("wolf", "Give the data set"), ("Cat", "its 'cat' is spelt otherwise")]
)
def test_a_class_that_the_checkpoint_does_not_know_is_refused(
    checkpoint: Checkpoint, tmp_path: Path, strange: str, hint: str
) -> None:
    for name in ("owl", strange):
        picture(tmp_path / "other" / "test" / name / "1.png", ord(name[0]) + 90_000)
    with pytest.raises(DatasetError, match=f"{strange!r} is none of those.*") as caught:
        open_dataset_of(checkpoint, str(tmp_path / "other"))
    assert hint in str(caught.value)


def test_a_card_without_its_file_of_pictures_compares_their_numbers(
    checkpoint: Checkpoint, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (checkpoint.path / FILE).write_bytes(b"cut")
    open_dataset_of(checkpoint, None)
    assert not caplog.records
    new_in(photos / "cat", (0.1, 0.2))
    open_dataset_of(checkpoint, None)
    assert "the checkpoint does not say which pictures it has seen" in caplog.text


def test_a_checkpoint_of_a_cut_by_position_is_opened_as_it_was_cut_or_refused(
    checkpoint: Checkpoint, photos: Path
) -> None:
    dataset = {name: value for name, value in checkpoint.card.dataset.items() if name not in ("cut", "pictures")}
    dataset["splits"] = {"validation": {"source": "12 of 120 (seed 0)", "images": 12}}
    old = replace(checkpoint, card=replace(checkpoint.card, dataset=dataset))
    with pytest.raises(DatasetError, match=r"divided .* by the pictures' places.*Train anew"):
        open_dataset_of(old, None)


def test_the_data_set_of_shipped_weights_is_cut_as_their_cards_say() -> None:
    from vitconv.checkpoints import pretrained, trained_data
    from vitconv.checkpoints.checkpoint import read_card

    for name in pretrained.names():
        folder = pretrained.folder(name)
        assert folder
        card = read_card(folder)
        if "[90%:]" in card.dataset["splits"]["validation"]["source"]:
            assert trained_data._cut(Checkpoint(folder, card), card.dataset["source"]) == "article"
