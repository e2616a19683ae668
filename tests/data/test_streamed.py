"""Splits that are too large to be prepared."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from made_pictures import class_folders
from vitconv.data import streamed
from vitconv.data.datasets import Split, open_dataset
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.streamed import LIMIT, StreamedImages, to_look_at
from vitconv.foundation.errors import DatasetError, InputError
from vitconv.models.catalogue import Recipe
from vitconv.training.steps.batches import training_batches, validation_batches

SPEC = ImageSpec(12, 10)

pytestmark = pytest.mark.usefixtures("cache")


def both(monkeypatch: pytest.MonkeyPatch, name: str, split: str = "train") -> tuple[Split, Split]:
    """The split prepared, and streamed."""
    before = open_dataset(name).split(split, SPEC)
    monkeypatch.setenv(LIMIT, "0")
    after = open_dataset(name).split(split, SPEC)
    assert isinstance(after.images, StreamedImages)
    assert not isinstance(before.images, StreamedImages)
    return before, after


def test_rows_are_those_of_the_prepared_images(monkeypatch: pytest.MonkeyPatch, flowers: Path) -> None:
    before, after = both(monkeypatch, str(flowers))
    assert after.images.shape == before.images.shape
    assert (after.images.dtype, after.images.ndim, len(after)) == (np.uint8, 4, len(before))
    assert after.labels.tolist() == before.labels.tolist()
    assert after.pictures.tolist() == before.pictures.tolist()
    some = np.array([7, 0, 7, -1])
    for rows in (slice(None), slice(3, 9), slice(1, None, 3), slice(0, 0), some, [2], 5, -1):
        assert np.array_equal(after.images[rows], before.images[rows]), rows
    assert all(np.array_equal(one, other) for one, other in zip(after.images, before.images, strict=True))
    left = after.without(before.pictures[:3]).images[:]
    assert np.array_equal(left, before.without(before.pictures[:3]).images)


@pytest.mark.parametrize("config", ["train", "train-test"])
def test_pictures_of_a_tfds_split_are_found_in_its_files(
    monkeypatch: pytest.MonkeyPatch,
    tfds_folder: Path,
    config: str,
) -> None:
    before, after = both(monkeypatch, f"tiny/{config}")
    assert np.array_equal(after.images[:], before.images)
    assert after.labels.tolist() == before.labels.tolist()
    again = open_dataset(f"tiny/{config}").split("train", SPEC)  # from what was kept of the files
    assert np.array_equal(again.images[[5, 2]], before.images[[5, 2]])


def test_a_tfds_file_that_has_changed_is_named(
    monkeypatch: pytest.MonkeyPatch, tfds_folder: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "tfds"
    shutil.copytree(tfds_folder / "tiny/train", copied / "tiny/train")
    monkeypatch.setenv("TFDS_DATA_DIR", str(copied))
    _, after = both(monkeypatch, "tiny/train")
    (file,) = copied.rglob("*.tfrecord*")
    data = bytearray(file.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    file.write_bytes(data)
    with pytest.raises(DatasetError, match=r"the picture \d+ of tiny/train train: .*has changed.*Remove"):
        after.images[:]


@pytest.mark.parametrize("epoch", [0, 1])
def test_batches_are_the_same_for_the_same_seed(
    monkeypatch: pytest.MonkeyPatch, flowers: Path, epoch: int
) -> None:
    recipe = Recipe("adam", 0.001, batch_size=4, epochs=2, flip=True, contrast=0.5)
    made = []
    for split in both(monkeypatch, str(flowers)):
        batches = training_batches(split, SPEC, recipe, seed=3, classes=2)
        batches.start(epoch)
        checking = validation_batches(split, 4, classes=2)
        made.append(
            [*(batches[index] for index in range(len(batches))), *(checking[i] for i in range(len(checking)))]
        )
    assert len(made[0]) > 2
    for (images, labels), (others, other_labels) in zip(*made, strict=True):
        assert np.array_equal(images, others)
        assert np.array_equal(labels, other_labels)


def test_the_next_rows_are_decoded_beside_and_only_once(monkeypatch: pytest.MonkeyPatch, flowers: Path) -> None:
    _, after = both(monkeypatch, str(flowers))
    assert isinstance(after.images, StreamedImages)
    decoded: list[str] = []
    real = streamed.decode
    monkeypatch.setattr(
        streamed, "decode", lambda *given: decoded.append(threading.current_thread().name) or real(*given)
    )
    rows = np.array([4, 1, 3])
    streamed.soon(after.images, rows)
    taken = after.images[rows]
    assert len(decoded) == 3
    assert not {threading.main_thread().name} & set(decoded)
    assert np.array_equal(taken, after.images[rows])
    assert len(decoded) == 6
    for start in range(6):  # nobody comes for these: they do not pile up
        streamed.soon(after.images, np.array([start, start + 1]))
    assert len(after.images._ahead) == streamed._BATCHES_AHEAD


def test_the_digest_tells_other_pictures_and_sizes_apart(monkeypatch: pytest.MonkeyPatch, flowers: Path) -> None:
    _, after = both(monkeypatch, str(flowers))
    assert open_dataset(str(flowers)).split("train", SPEC).digest == after.digest
    others = {after.digest, open_dataset(str(flowers)).split("train", ImageSpec(8, 8)).digest}
    others.add(open_dataset(str(flowers)).split("validation", SPEC).digest)
    class_folders(flowers, {"tulip": 30})
    others.add(open_dataset(str(flowers)).split("train", SPEC).digest)
    assert len(others) == 4


def test_a_picture_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, flowers: Path) -> None:
    _, after = both(monkeypatch, str(flowers))
    for path in flowers.rglob("*.png"):
        path.write_bytes(b"not a picture")
    with pytest.raises(DatasetError, match=r"flowers/.*\.png is not a picture.*Remove it"):
        after.images[:2]


def test_only_what_is_larger_than_the_limit_is_streamed(
    monkeypatch: pytest.MonkeyPatch,
    flowers: Path,
    cache: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dataset = open_dataset(str(flowers))
    train = dataset.counts()["train"] * 12 * 10 * 3
    monkeypatch.setenv(LIMIT, str((train - 1) / 1e9))
    with caplog.at_level("INFO", "vitconv"):
        assert isinstance(dataset.split("train", SPEC).images, StreamedImages)
    assert f"flowers train would take {train / 1e9:.1f} GB prepared, more than the" in caplog.text
    assert not list(cache.glob("*/images.npy"))
    monkeypatch.setenv(LIMIT, str(train / 1e9))
    assert not isinstance(dataset.split("train", SPEC).images, StreamedImages)


@pytest.mark.parametrize("text", ["many", "-1", "nan"])
def test_a_limit_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, flowers: Path, text: str) -> None:
    monkeypatch.setenv(LIMIT, text)
    with pytest.raises(InputError, match=f"{LIMIT} must be a number of gigabytes, 0 or more, not '{text}'"):
        open_dataset(str(flowers)).split("train", SPEC)


def test_a_sample_stands_for_streamed_images(monkeypatch: pytest.MonkeyPatch, flowers: Path) -> None:
    before, after = both(monkeypatch, str(flowers))
    assert to_look_at(before.images) is before.images
    assert np.array_equal(to_look_at(after.images), before.images)
    monkeypatch.setattr(streamed, "_LOOKED_AT", 3)
    places = [0, len(before) // 3, 2 * len(before) // 3]
    assert np.array_equal(to_look_at(after.images), before.images[places])
