"""Training keeps its best epoch, and stops and goes on as if it had never stopped.

EANet with one block, on 8×8 digits, is the smallest network of the catalogue; only its depth is changed for these
tests. MobileViT's training is checked through the checkpoint that all tests share.
"""

from __future__ import annotations

import csv
import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import shared
from vitconv.checkpoints import pictures
from vitconv.checkpoints.checkpoint import CARD, Checkpoint, open_checkpoint, read_tensors, save
from vitconv.data.datasets import Split, open_dataset
from vitconv.data.pictures.images import ImageSpec
from vitconv.data.pictures.pixels import Pixels
from vitconv.foundation.disk.files import sha256
from vitconv.foundation.errors import CheckpointError, DatasetError, InputError, OutputError, UnknownNameError
from vitconv.models import catalogue
from vitconv.models.catalogue import Recipe
from vitconv.training import described, keeper
from vitconv.training import train as training
from vitconv.training.first_weights import FirstWeights
from vitconv.training.keeper import CURVES, HISTORY
from vitconv.training.network import new_model
from vitconv.training.state import STATE, Setup, TrainingState
from vitconv.training.steps import batches
from vitconv.training.summary import classes_of
from vitconv.training.teacher import SHARE
from vitconv.training.train import TrainConfig, TrainResult, train

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.filterwarnings(
    # Raised inside TensorFlow, Keras and matplotlib while they are imported.
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)

EPOCHS = 3
BATCHES = 20  # of 64 images, in 1,257

# Two runs were equal to the last bit on one machine, whether they were stopped or not. Without the optimizer's
# state, the random states or the epoch's own order, the loss differs by 0.001 and more.
NOISE = 1e-5

# The real command, but for the depth of the network, which sends itself a signal at one moment: when it makes its
# N-th batch, or when a file gets its name for the N-th time.
COMMAND = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background, it is ignored
name, nth, sent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
del sys.argv[1:4]
def count(happened):
    global nth
    nth -= happened
    if happened and nth == 0:
        os.kill(os.getpid(), sent)
if name == "batch":
    from vitconv.training.steps import batches
    make = batches.augment
    batches.augment = lambda *given: (count(True), make(*given))[1]
else:
    sys.addaudithook(lambda event, given: count(event == "os.rename" and os.path.basename(given[1]) == name))
from vitconv.foundation.quiet import import_tensorflow
import_tensorflow()
from vitconv.models import eanet
eanet.BLOCKS = 1
from vitconv.cli.main import main
main()
"""


@pytest.fixture(scope="module", autouse=True)
def one_block() -> Iterator[None]:
    from vitconv.models import eanet

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eanet, "BLOCKS", 1)
        yield


def config(out: Path, epochs: int = EPOCHS, **changes: Any) -> TrainConfig:
    return replace(
        TrainConfig("eanet", "digits", out, image_size=8, epochs=epochs, batch_size=64, seed=3), **changes
    )


@shared.made_once
def trained(name: str, **changes: Any) -> TrainResult:
    """A training in the shared folder that was never stopped. Not to be changed."""
    from vitconv.models import eanet

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eanet, "BLOCKS", 1)
        return train(config(shared.new_folder(f"trained/{name}"), **changes))


@pytest.fixture(scope="module")
def whole() -> TrainResult:
    """A training that was never stopped."""
    return trained("whole")


@pytest.fixture(scope="module")
def trained_once() -> Path:
    """The folder of the same training after its first epoch."""
    return trained("once", epochs=1).checkpoint.path


@pytest.fixture
def once(trained_once: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(trained_once, tmp_path / "once")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def accuracy(checkpoint: Checkpoint, name: str = "validation") -> float:
    """Of the loaded model on that split, counted here."""
    split = open_dataset("digits").split(name, checkpoint.card.image)
    model = checkpoint.load()
    probabilities = np.concatenate(
        [np.asarray(model(split.images[i : i + 60].astype(np.float32))) for i in range(0, len(split), 60)]
    )
    return float(np.mean(probabilities.argmax(axis=1) == split.labels))


def assert_same_training(folder: Path, whole: TrainResult) -> None:
    """The files of `folder` are those of a training that was never stopped."""
    checkpoint = open_checkpoint(folder)
    assert names(folder) == [CARD, CURVES, HISTORY, pictures.FILE, STATE, checkpoint.weights.name]
    ours, theirs = (json.loads(json.dumps(one.card.results)) for one in (checkpoint, whole.checkpoint))
    assert ours.pop("classes") == theirs.pop("classes")
    evaluated, other = ours.pop("evaluation"), theirs.pop("evaluation")
    assert evaluated.pop("loss") == pytest.approx(other.pop("loss"), abs=NOISE)
    assert evaluated == other
    assert ours == pytest.approx(theirs, abs=NOISE)
    with (folder / HISTORY).open() as own, (whole.checkpoint.path / HISTORY).open() as others:
        for row, other in zip(csv.DictReader(own), csv.DictReader(others), strict=True):
            assert {k: float(v) for k, v in row.items()} == pytest.approx(
                {k: float(v) for k, v in other.items()}, abs=NOISE
            )
    for file, other_file in (
        (checkpoint.weights, whole.checkpoint.weights),
        (folder / STATE, whole.checkpoint.path / STATE),
    ):
        values, expected = read_tensors(file)[0], read_tensors(other_file)[0]
        assert values.keys() == expected.keys()
        for name, value in values.items():
            np.testing.assert_allclose(value, expected[name], atol=NOISE, err_msg=name)


# --- a training from beginning to end ---


def test_the_folder_holds_what_was_trained_and_how(whole: TrainResult) -> None:
    checkpoint = open_checkpoint(whole.checkpoint.path)
    assert checkpoint == whole.checkpoint
    card = checkpoint.card
    assert (card.model, card.labels, card.seed) == ("eanet", tuple("0123456789"), 3)
    assert card.image == ImageSpec(8, 8)
    wanted = catalogue.find("eanet").recipe.changed(epochs=EPOCHS, batch_size=64, flip=False)
    assert Recipe(**card.recipe) == wanted  # a mirrored digit is none
    digits = open_dataset("digits")
    assert card.dataset == {
        "name": "digits",
        "source": "digits",
        "version": digits.version,
        "splits": {
            name: {"source": split.source, "images": len(split), "digest": split.digest, "use": use}
            for name, use in (("train", "trains"), ("validation", "chooses the epoch"), ("test", "reports"))
            for split in (digits.split(name, card.image),)
        },
        "cut": None,
        "identity": digits.identity,
        "pictures": {"file": pictures.FILE, "sha256": sha256(checkpoint.path / pictures.FILE)},
    }
    assert card.pixels == Pixels.of(digits.split("train", card.image).images).to_json()
    assert set(card.versions) == {"python", "tensorflow", "keras", "numpy", "pillow"}
    json.dumps(whole.to_json(), allow_nan=False)


def test_the_history_has_every_epoch_and_the_curves_are_a_picture(whole: TrainResult) -> None:
    with (whole.checkpoint.path / HISTORY).open() as stream:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]
    assert rows == list(whole.history)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert {"loss", "accuracy", "top5", "val_loss", "val_accuracy", "val_top5"} < set(row)
    assert rows[-1]["loss"] < rows[0]["loss"]
    with Image.open(whole.checkpoint.path / CURVES) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width > 800


def test_the_card_s_figures_are_those_of_the_weights_and_of_the_best_epoch(whole: TrainResult) -> None:
    best = max(whole.history, key=lambda row: row["val_accuracy"])
    wanted = {name: value for name, value in best.items() if name == "epoch" or name.startswith("val_")}
    results = dict(whole.checkpoint.card.results)
    found, reported = results.pop("classes"), results.pop("evaluation")
    assert results == wanted
    test = open_dataset("digits").split("test", ImageSpec(8, 8))
    assert reported["split"] == f"test ({test.source})"
    assert (reported["images"], reported["digest"], reported["chose_epoch"]) == (360, test.digest, False)
    assert reported["top1"] == pytest.approx(accuracy(whole.checkpoint, "test"), abs=1e-6)
    labels = open_dataset("digits").split("validation", ImageSpec(8, 8)).labels
    assert [(one["label"], one["images"]) for one in found] == [
        (str(digit), int(np.sum(labels == digit))) for digit in range(10)
    ]
    assert sum(one["right"] for one in found) / 180 == pytest.approx(best["val_accuracy"], abs=1e-6)
    assert [one.to_json() for one in whole.classes] == found
    assert accuracy(whole.checkpoint) == pytest.approx(best["val_accuracy"], abs=1e-6)


def test_the_card_says_which_layers_take_part(whole: TrainResult) -> None:
    found = open_checkpoint(whole.checkpoint.path).card.liveness
    assert found == whole.checkpoint.card.liveness
    assert found is not None
    assert (found.split, found.images) == ("validation (180 of 1797 (seed 0))", 32)
    assert [(part.name, part.kind) for part in found.parts] == [
        ("block0.attention", "attention"), ("block0.mlp", "mlp"), ("block0", "layer"),
    ]  # fmt: skip
    assert all(part.nats > 0 and part.lost is not None for part in found.parts)


def test_test_images_are_looked_at_once_and_what_a_card_lacks_is_added(
    once: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []
    ask = described.keras_probabilities

    def counted(checkpoint: Checkpoint, images: np.ndarray, progress: Any, what: str) -> np.ndarray:
        asked.append(what)
        return ask(checkpoint, images, progress, what)

    monkeypatch.setattr(described, "keras_probabilities", counted)
    before = open_checkpoint(once).card
    finished = train(config(once, epochs=1, resume=True))
    assert (asked, finished.checkpoint.card) == ([], before)
    assert finished.classes == classes_of(before)

    # As an earlier version left it, with a layer that does nothing: its last weights are 0.
    model = open_checkpoint(once).load()
    for name in ("attention", "mlp2"):
        for weight in model.get_layer(f"block0.{name}").weights[-2:]:
            weight.assign(np.zeros(weight.shape))
    results = {name: value for name, value in before.results.items() if name not in ("classes", "evaluation")}
    save(once, model, replace(before, results=results, liveness=None))
    with caplog.at_level("WARNING", logger="vitconv"):
        card = train(config(once, epochs=1, resume=True)).checkpoint.card
    assert asked == ["validating", "testing"]
    assert card.liveness is not None
    assert [part.name for part in card.liveness.silent] == ["block0"]
    assert "Of 1 transformer layer, 1 transformer layer has no part in the answers" in caplog.text
    assert card.results["evaluation"]["images"] == 360
    assert open_checkpoint(once).card == card


def test_without_test_images_accuracy_is_of_those_that_chose_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos(tmp_path / "photos")
    card = train(config(tmp_path / "run", 1, dataset=str(tmp_path / "photos"), batch_size=8)).checkpoint.card
    reported = card.results["evaluation"]
    assert reported["chose_epoch"] is True
    assert reported["top1"] == pytest.approx(card.results["val_accuracy"], abs=1e-6)
    assert {name: split["use"] for name, split in card.dataset["splits"].items()} == {
        "train": "trains", "validation": "chooses the epoch and reports",
    }  # fmt: skip
    assert "accuracy will be of the images that chose the epoch" in caplog.text


def test_a_test_picture_that_cannot_be_read_stops_a_training_before_it_begins(tmp_path: Path) -> None:
    photos(tmp_path / "photos" / "train")
    photos(tmp_path / "photos" / "test", seed=100)
    broken = tmp_path / "photos" / "test" / "cat" / "0.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(DatasetError, match=r"test.cat.0\.png"):
        train(config(tmp_path / "run", 1, dataset=str(tmp_path / "photos"), batch_size=8))
    assert not (tmp_path / "run" / CARD).exists()


def photos(root: Path, seed: int = 0) -> None:
    """A folder of ten pictures of each of two classes."""
    for label, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for index in range(10):
            pixels = np.random.default_rng((seed, label, index)).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")


def test_a_short_epoch_has_so_many_images(tmp_path: Path) -> None:
    card = train(config(tmp_path / "run", 1, epoch_images=130)).checkpoint.card
    assert card.recipe["epoch_images"] == 130
    state = TrainingState.read(tmp_path / "run" / STATE)
    assert state is not None
    counts = [int(array) for array in state.arrays.values() if array.shape == () and array.dtype.kind == "i"]
    assert 3 in counts  # the optimizer's steps, of 64 images


def test_a_trained_mobilevit_loads_with_the_accuracy_of_its_card(digits_checkpoint: Path) -> None:
    checkpoint = open_checkpoint(digits_checkpoint)
    assert accuracy(checkpoint) == pytest.approx(checkpoint.card.results["val_accuracy"], abs=1e-6)


def test_a_worse_epoch_after_the_best_changes_neither_weights_nor_card(
    once: Path, tmp_path: Path, whole: TrainResult
) -> None:
    """The callback of a training, given epochs whose figures are chosen."""
    from vitconv.training.steps.averaging import WeightAverage
    from vitconv.training.steps.optimization import compile_model

    model = open_checkpoint(once).load()
    compile_model(model, catalogue.find("eanet").recipe, 1)
    history: list[dict[str, float]] = []
    keeps = keeper.keeper(
        model, WeightAverage(model, 0.0), history, tmp_path / "out", Setup({}), whole.checkpoint.card
    )
    bias = model.get_layer("head").bias
    for epoch, (validated, loss) in enumerate(((0.5, 1.0), (0.7, 1.0), (0.6, 0.5), (0.7, 1.0), (0.7, 0.9))):
        bias.assign(np.full(10, epoch, np.float32))
        logs = {"loss": 1.0, "accuracy": 0.9, "val_loss": loss, "val_accuracy": validated}
        keeps.on_epoch_end(epoch, logs)
    checkpoint = open_checkpoint(tmp_path / "out")
    # Of three equal accuracies the one of the lowest loss.
    assert checkpoint.card.results == {"epoch": 5, "val_loss": 0.9, "val_accuracy": 0.7}
    np.testing.assert_array_equal(read_tensors(checkpoint.weights)[0][bias.path], np.full(10, 4))
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]


def test_the_pixel_statistics_are_numpy_s() -> None:
    images = np.random.default_rng(0).integers(0, 256, (150, 5, 7, 3), np.uint8)
    images[0] = np.maximum(images[0], 3)
    pixels = Pixels.of(images[:, :, :, :])
    np.testing.assert_allclose(pixels.mean, images.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(pixels.std, images.std(axis=(0, 1, 2)))
    assert pixels.min == tuple(images.min(axis=(0, 1, 2)))
    assert pixels.max == tuple(images.max(axis=(0, 1, 2)))
    json.dumps(pixels.to_json())


# --- the order of the images ---


def numbered(count: int) -> Split:
    """Images that say which they are."""
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 2, 2, 3))
    return Split("train", "numbered", images, np.arange(count) % 2)


NO_CHANGES = Recipe("adam", 0.001, batch_size=8, epochs=3, flip=False)


def test_each_epoch_sees_every_image_once_in_an_order_of_its_own() -> None:
    def orders(first: int, count: int, seed: int = 0) -> list[list[float]]:
        shown = batches.training_batches(numbered(50), ImageSpec(2, 2), NO_CHANGES, seed, 2)
        assert len(shown) == 7
        found = []
        for epoch in range(first, first + count):
            shown.start(epoch)
            made = [shown[index] for index in range(len(shown))]
            for images, labels in made:
                np.testing.assert_array_equal(labels, np.eye(2)[images[:, 0, 0, 0].astype(int) % 2])
            found.append(np.concatenate([images[:, 0, 0, 0] for images, _ in made]).tolist())
        return found

    first, second, third = orders(0, 3)
    assert sorted(first) == sorted(second) == sorted(third) == list(range(50))
    assert first != second != third != first
    assert orders(2, 1) == [third]
    assert orders(0, 1, seed=1) != [first]


def test_an_image_is_changed_in_another_way_in_every_epoch_and_in_the_same_way_again() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1, 12, 12, 3), np.uint8)
    split = Split("train", "one picture", noise, np.zeros(1, np.int64))
    shown = batches.training_batches(split, ImageSpec(8, 8), replace(NO_CHANGES, contrast=0.5), 0, 2)
    made = []
    for epoch in (0, 1, 0):
        shown.start(epoch)
        made.append(shown[0][0])
    assert not np.array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])


def test_training_sees_the_orders_of_its_epochs_and_so_does_a_resumed_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What Keras asks for ahead of time, in a thread of its own, must still be of the right epoch."""
    import keras

    make, seen = batches.augment, []

    def record(images: np.ndarray, *given: Any) -> np.ndarray:
        seen.extend(images[:, 0, 0, 0].tolist())
        return make(images, *given)

    def order_of(first: int, last: int) -> list[list[int]]:
        """Of the epochs from `first` to `last` as a real training asks for them."""
        inputs = keras.Input((2, 2, 3))
        model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
        model.compile("sgd", "mse")
        shown = batches.training_batches(numbered(50), ImageSpec(2, 2), NO_CHANGES, 0, 2)
        seen.clear()
        model.fit(
            shown,
            initial_epoch=first,
            epochs=last,
            validation_data=batches.validation_batches(numbered(30), 8, 2),
            callbacks=[batches.starter(shown)],
            verbose=0,
            shuffle=False,
        )
        epochs = seen[-50 * (last - first) :]  # before it, Keras looks at two batches for their shapes
        return [epochs[start : start + 50] for start in range(0, len(epochs), 50)]

    monkeypatch.setattr(batches, "augment", record)
    wanted = [np.random.default_rng((0, epoch)).permutation(50).tolist() for epoch in range(4)]
    assert order_of(0, 4) == wanted
    assert order_of(2, 4) == wanted[2:]


# --- the network that a training begins with ---


@pytest.mark.parametrize(("from_weights", "factor"), [(False, 3.0), (True, 1.0)])
def test_random_first_weights_of_branches_are_widened_and_given_ones_are_not(
    from_weights: bool, factor: float, trained_once: Path
) -> None:
    entry, split = catalogue.find("eanet"), numbered(50)
    init = FirstWeights.open(trained_once, "eanet") if from_weights else None

    def weights(gain: float) -> dict[str, np.ndarray]:
        recipe = replace(NO_CHANGES, branch_gain=gain)
        model = new_model(entry, ImageSpec(8, 8), 10, split, Pixels.of(split.images), recipe, 0, init)
        return {weight.path: weight.numpy() for weight in model.weights}

    plain, widened = weights(1.0), weights(3.0)
    for name, values in plain.items():
        leads_out = name in ("block0.attention/project_kernel", "block0.mlp2/kernel")
        np.testing.assert_allclose(widened[name], values * (factor if leads_out else 1.0), err_msg=name)


def test_a_gradient_is_clipped_to_the_recipe_s_length() -> None:
    from vitconv.training.steps.optimization import compile_model

    entry = catalogue.find("eanet")
    for clip in (0.0, 1.5):
        model = entry.build(ImageSpec(8, 8), 10)
        compile_model(model, replace(NO_CHANGES, gradient_clip=clip), 5)
        assert model.optimizer.global_clipnorm == (clip or None)


# --- stopped and resumed ---


def run_until(moment: tuple[str, int, signal.Signals], out: Path) -> subprocess.CompletedProcess[str]:
    """`vitconv train … --resume`, until it sends itself that signal."""
    name, nth, sent = moment
    arguments = ["train", "eanet", "--dataset", "digits", "--image-size", "8", "--epochs", str(EPOCHS)]
    arguments += ["--batch-size", "64", "--seed", "3", "--resume", "--out", str(out)]
    return subprocess.run(
        [sys.executable, "-c", COMMAND, name, str(nth), str(sent.value), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


MOMENTS = (
    # Killed in the first epoch, when its checkpoint is kept, and neither the history nor the state to go on from.
    (HISTORY, 1, signal.SIGKILL),
    # Ctrl-C in the middle of the second epoch.
    ("batch", BATCHES * 3 // 2, signal.SIGINT),
    # Killed at the same moment of the last epoch, where nothing that comes later can make up for it.
    (HISTORY, 2, signal.SIGKILL),
)


@shared.made_once
def stopped_at(moments: tuple[tuple[str, int, signal.Signals], ...]) -> list[subprocess.CompletedProcess[str]]:
    """A training in the shared folder that is stopped at each of the moments and goes on; how each run of it
    ended. stopped/N is what the one before left, and stopped/end what came out of going on once more."""
    folder, ended = shared.new_folder("trained/stopped"), []
    for number, moment in enumerate(moments):
        ended.append(run_until(moment, folder / "end"))
        assert ended[-1].returncode == (130 if moment[2] == signal.SIGINT else -moment[2]), ended[-1].stderr
        shutil.copytree(folder / "end", folder / str(number))
    train(config(folder / "end", resume=True))
    return ended


def test_a_training_that_is_stopped_again_and_again_ends_as_if_it_had_not_been(whole: TrainResult) -> None:
    _, stopped, _ = stopped_at(MOMENTS)
    after_kill, after_stop, after_last, out = (
        shared.folder() / "trained" / "stopped" / name for name in ("0", "1", "2", "end")
    )
    assert open_checkpoint(after_kill).card.results["epoch"] == 1
    assert not (after_kill / HISTORY).exists()

    assert stopped.stdout == ""
    assert "Traceback" not in stopped.stderr
    notes = ("vitconv: images are not mirrored",)  # on what a user may not expect of the pictures
    lines = [line for line in stopped.stderr.splitlines() if not line.startswith(notes)]
    assert [line for line in lines if line.startswith("vitconv")] == [stopped.stderr.splitlines()[-1]]
    assert open_checkpoint(after_stop).card.results["epoch"] == 1

    assert open_checkpoint(after_last).card.results["epoch"] == EPOCHS
    assert len((after_last / HISTORY).read_text().splitlines()) == EPOCHS

    assert_same_training(out, whole)


def test_a_finished_training_goes_on_with_more_epochs_as_if_they_had_been_asked_for_at_first(
    once: Path, whole: TrainResult
) -> None:
    train(config(once, resume=True))
    assert_same_training(once, whole)


def test_a_finished_training_is_finished_at_once(once: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_wanted(*_: Any) -> keras.Model:
        pytest.fail("there is nothing left to train")

    monkeypatch.setattr(training, "new_model", not_wanted)
    before = {path.name: path.read_bytes() for path in once.iterdir()}
    result = train(config(once, epochs=1, resume=True))
    assert [row["epoch"] for row in result.history] == [1]
    assert result.checkpoint == open_checkpoint(once)
    assert {path.name: path.read_bytes() for path in once.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "seed was 3, now 4"),
        ({"model": "eanet_self_attention"}, "model was eanet, now eanet_self_attention"),
        ({"batch_size": 32}, "recipe batch_size was 64, now 32"),
        ({"image_size": 10}, "image height was 8, now 10; image width was 8, now 10; dataset digest was"),
        ({"dataset": "folder"}, "dataset name was digits, now folder"),
    ],
)
def test_another_training_cannot_be_resumed(
    once: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    if "dataset" in change:
        for name in ("one", "two"):
            for index in range(20):
                place = tmp_path / "folder" / name / f"{index}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.random.default_rng(index + 100 * ord(name[0])).integers(0, 256, (8, 8, 3), np.uint8)
                Image.fromarray(pixels).save(place)
        change = {"dataset": str(tmp_path / "folder")}
    before = {path.name: path.read_bytes() for path in once.iterdir()}
    with pytest.raises(InputError, match=rf"cannot resume this training: {message}.* another --out\.") as caught:
        train(config(once, resume=True, **change))
    assert caught.value.exit_status == 2
    assert {path.name: path.read_bytes() for path in once.iterdir()} == before


def test_the_card_names_the_teacher_and_the_training_goes_on_with_no_other(
    trained_once: Path, once: Path, tmp_path: Path
) -> None:
    result = train(config(tmp_path / "taught", epochs=1, teacher=trained_once))
    digest = open_checkpoint(trained_once).digest
    note = {"model": "eanet", "sha256": digest, "share": SHARE}
    assert result.checkpoint.card.to_json()["teacher"] == note
    assert open_checkpoint(tmp_path / "taught").card.teacher == note
    with pytest.raises(InputError, match=f"teacher was {digest}, now None"):
        train(config(tmp_path / "taught", epochs=2, resume=True))
    with pytest.raises(InputError, match=f"teacher was None, now {digest}"):
        train(config(once, epochs=2, resume=True, teacher=trained_once))
    assert len(train(config(tmp_path / "taught", epochs=2, resume=True, teacher=trained_once)).history) == 2


def test_a_corrupt_state_is_an_error(once: Path) -> None:
    good = (once / STATE).read_bytes()
    middle = len(good) // 2
    flipped = good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
    renamed = good.replace(b'\\"seed\\": 3', b'\\"seed\\": 4')
    assert renamed != good
    for data in (
        b"",
        b"text",
        good[:-1],
        good[:100],
        flipped,
        renamed,
        open_checkpoint(once).weights.read_bytes(),
    ):
        (once / STATE).write_bytes(data)
        with pytest.raises(CheckpointError, match=r"corrupt. Train again|as a safetensors file"):
            train(config(once, resume=True))


def test_a_checkpoint_is_not_trained_over(once: Path) -> None:
    with pytest.raises(InputError, match=r"already holds a checkpoint\. Give another --out, or --resume"):
        train(config(once))
    (once / STATE).unlink()
    with pytest.raises(InputError, match=rf"no {STATE} to resume from. Give another --out"):
        train(config(once, resume=True))
    open_checkpoint(once)


# --- recipes and first weights ---


@pytest.fixture(scope="module")
def best() -> TrainResult:
    """A training with a schedule, averaged weights and some of the patches, that was never stopped."""
    return trained("best", epochs=2, recipe="best")


def test_the_best_recipe_is_recorded_and_its_averaged_weights_are_the_checkpoint(best: TrainResult) -> None:
    card = best.checkpoint.card
    assert (card.recipe["name"], card.recipe["average"]) == ("best", 0.998)
    assert accuracy(best.checkpoint) == pytest.approx(card.results["val_accuracy"], abs=1e-6)
    state = training.TrainingState.read(best.checkpoint.path / STATE)
    kept = read_tensors(best.checkpoint.weights)[0]["embed/kernel"]
    same = [name for name, value in state.arrays.items() if value.shape == kept.shape and (value == kept).all()]
    # Among the averages, which come last, and not among the weights that training goes on with.
    assert same == [] or min(same) > f"{len(state.arrays) // 2:04}"


def test_the_best_recipe_resumes_as_if_it_had_not_been_stopped(best: TrainResult, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(*_: Any) -> None:
        raise StopError

    out = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        count = iter(range(10))
        draw = keeper._draw_curves
        patch.setattr(keeper, "_draw_curves", lambda *given: stop() if next(count) else draw(*given))
        with pytest.raises(StopError):
            train(config(out, epochs=2, recipe="best"))
    train(config(out, epochs=2, recipe="best", resume=True))
    assert_same_training(out, best)


def test_a_training_begins_with_the_weights_of_another(once: Path, tmp_path: Path) -> None:
    result = train(config(tmp_path / "next", epochs=1, recipe="finetune", init=once))
    card, before = result.checkpoint.card, open_checkpoint(once).card
    assert card.init is not None
    assert card.init["weights"] == dict(before.weights)
    assert card == open_checkpoint(tmp_path / "next").card
    # One epoch from random weights stays far below.
    assert card.results["val_accuracy"] > before.results["val_accuracy"]
    with pytest.raises(InputError, match=r"cannot resume this training: init was .*, now None"):
        train(config(tmp_path / "next", epochs=1, recipe="finetune", resume=True))


def test_weights_of_another_network_are_no_beginning(once: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"do not fit: .*position"):
        train(config(tmp_path / "out", image_size=10, init=once))
    with pytest.raises(CheckpointError, match=r"there is no .*nothing\. Give a checkpoint folder"):
        train(config(tmp_path / "out", init=tmp_path / "nothing"))


def test_an_unknown_recipe_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown recipe of eanet 'bets'. Did you mean 'best'\? Known: art"
    ):
        train(config(tmp_path / "out", recipe="bets"))
    assert not (tmp_path / "out").exists()


# --- what cannot be trained ---


def test_a_full_disk_is_an_error_and_the_training_goes_on_when_there_is_room(
    once: Path, whole: TrainResult
) -> None:
    before = {path.name: path.read_bytes() for path in once.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match=rf"cannot write {once}/.*: File too large"):
            train(config(once, resume=True))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in once.iterdir()} == before


def test_a_place_that_cannot_be_written_is_an_error_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write into .*: Not a directory\. Give another folder"):
        train(config(tmp_path / "file" / "out"))


@pytest.mark.parametrize("rate", [1e9, 1e38])
def test_a_training_that_diverges_is_an_error_that_says_when(
    once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    entry = catalogue.find("eanet")
    wild = replace(entry, recipe=replace(entry.recipe, learning_rate=rate, optimizer="adam"))
    monkeypatch.setitem(catalogue.CATALOGUE, "eanet", wild)
    with pytest.raises(InputError, match=r"diverged in epoch \d: .*loss became (nan|inf).* another seed"):
        train(config(tmp_path / "out"))
    # Nothing half-done is left, and nothing that is not a number.
    assert not [name for name in names(tmp_path / "out") if name.endswith("tmp")]


def test_names_and_numbers_that_cannot_be_are_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for change in ({"model": "eanett"}, {"dataset": "digitss"}):
        with pytest.raises(UnknownNameError, match="Did you mean"):
            train(config(out, **change))
    for change, message in (
        ({"image_size": 7}, "multiples of 2, not 7×7"),
        ({"epochs": 0}, "epochs must be above 0"),
        ({"batch_size": -1}, "batch size must be above 0"),
        ({"seed": -1}, "seed must be from 0 to 4294967295, not -1"),
        ({"seed": 2**32}, "not 4294967296"),
    ):
        with pytest.raises(InputError, match=message):
            train(config(out, **change))  # type: ignore[arg-type]
    assert not out.exists()
