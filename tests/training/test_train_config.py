"""What a caller gives is checked before TensorFlow is loaded, and files of first weights before a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitconv.checkpoints.checkpoint import to_safetensors
from vitconv.data.pictures.images import parse_size
from vitconv.foundation.errors import CheckpointError, InputError, UnknownNameError
from vitconv.foundation.memory import enough_memory
from vitconv.models import catalogue
from vitconv.models.catalogue import Recipe
from vitconv.training.first_weights import FirstWeights
from vitconv.training.state import Setup, TrainingState
from vitconv.training.steps.batches import epoch_order
from vitconv.training.summary import no_better_than_guessing
from vitconv.training.train import TrainConfig

# --- the config ---


def test_a_path_may_be_text_and_a_size_a_pair() -> None:
    config = TrainConfig("eanet", "digits", "runs/one", image_size=[96, 160], init="weights")  # type: ignore[arg-type]
    assert (config.out, config.image_size, config.init) == (Path("runs/one"), (96, 160), Path("weights"))
    entry = catalogue.find("eanet")
    assert entry.spec(config.image_size).shape == (96, 160, 3)
    assert entry.spec(32).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("model", Path("eanet"), "model must be a text"),
        ("dataset", Path("photos"), "dataset must be a text"),
        ("dataset", 3, "dataset must be a text, not 3"),
        ("out", None, "out must be a path, not None"),
        ("out", "", "out must be a path"),
        (
            "image_size",
            "96",
            "image_size must be a whole number or 2 of them, each a whole number or None, not '96'",
        ),
        ("image_size", (96, 96, 3), "image_size must be"),
        ("image_size", 96.0, "image_size must be"),
        ("epochs", True, "epochs must be a whole number or None, not True"),
        ("epochs", 2.5, "epochs must be a whole number"),
        ("batch_size", "64", "batch_size must be a whole number"),
        ("seed", None, "seed must be a whole number, not None"),
        ("resume", 1, "resume must be True or False, not 1"),
        ("flip", "no", "flip must be True or False or None"),
        ("learning_rate", "0.1", "learning_rate must be a number or None"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(field: str, value: object, words: str) -> None:
    given: dict[str, Any] = {"model": "eanet", "dataset": "digits", "out": "runs", field: value}
    with pytest.raises(InputError) as caught:
        TrainConfig(**given)
    assert words in str(caught.value)


def test_an_unknown_cut_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown cut 'thirds'"):
        TrainConfig("eanet", "digits", Path("out"), cut="thirds")


@pytest.mark.parametrize("rate", [0.0, -0.1, float("nan"), float("inf")])
def test_a_learning_rate_that_cannot_be_is_refused(rate: float) -> None:
    config = TrainConfig("eanet", "digits", Path("out"), learning_rate=rate)
    with pytest.raises(InputError, match="learning rate must be above 0, not"):
        config.recipe_of(catalogue.find("eanet"))


@pytest.mark.parametrize(
    ("text", "size"), [("96", 96), ("96x160", (96, 160)), ("96X160", (96, 160)), (" 8 × 10 ", (8, 10))]
)
def test_image_sizes_in_words(text: str, size: object) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "x", "96x", "x96", "96x160x3", "96,160", "-96", "9.5", "1e3", "٣", "9999999"]
)
def test_no_image_sizes(text: str) -> None:
    with pytest.raises(InputError, match="an image size is pixels a side"):
        parse_size(text)


# --- balance ---

PLAIN = Recipe("adam", 0.001, batch_size=8, epochs=3)


@pytest.mark.parametrize("counts", [[90, 9, 1], [3, 3], [1, 50], [7, 0, 5], [100, 1, 1, 1]])
def test_a_balanced_epoch_shows_as_many_of_every_class(counts: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    recipe = PLAIN.changed(balance=True)
    order = epoch_order(labels, recipe, 0, 0)
    assert len(order) == len(labels)
    shown = np.bincount(labels[order])
    shown = shown[shown > 0]
    assert shown.max() - shown.min() <= 1
    np.testing.assert_array_equal(order, epoch_order(labels, recipe, 0, 0))
    assert not np.array_equal(order, epoch_order(labels, recipe, 0, 1)) or len(labels) < 5
    for label in np.unique(labels):  # a rare class's pictures equally often
        times = np.bincount(order[labels[order] == label], minlength=len(labels))[labels == label]
        assert times.max() - times.min() <= 1


def test_without_balance_every_image_comes_once() -> None:
    order = epoch_order(np.repeat([0, 1], [90, 10]), PLAIN, 0, 0)
    assert sorted(order.tolist()) == list(range(100))


# --- epochs that are a part of a pass ---


@pytest.mark.parametrize("an_epoch", [1, 7, 25, 50])
@pytest.mark.parametrize("balance", [False, True])
def test_short_epochs_follow_each_other_through_the_passes(an_epoch: int, balance: bool) -> None:
    labels = np.repeat([0, 1], [40, 10])
    recipe = PLAIN.changed(epoch_images=an_epoch, balance=balance or None)
    epochs = [epoch_order(labels, recipe, 5, epoch) for epoch in range(-(-150 // an_epoch))]
    assert {len(order) for order in epochs} == {an_epoch}
    passes = [epoch_order(labels, recipe.changed(epoch_images=50), 5, number) for number in range(4)]
    seen = np.concatenate(epochs)
    np.testing.assert_array_equal(seen, np.concatenate(passes)[: len(seen)])


def test_whole_epochs_are_as_they_were_before_there_were_short_ones() -> None:
    """So that a training which an earlier version began goes on with the same images."""
    for epoch in range(3):
        expected = np.random.default_rng((5, epoch)).permutation(50)
        np.testing.assert_array_equal(epoch_order(np.zeros(50, np.int64), PLAIN, 5, epoch), expected)


def test_an_epoch_has_no_more_images_than_there_are() -> None:
    assert PLAIN.images_an_epoch(50) == 50
    assert PLAIN.changed(epoch_images=20).images_an_epoch(50) == 20
    assert PLAIN.changed(epoch_images=80).images_an_epoch(50) == 50
    assert [PLAIN.changed(epoch_images=n, batch_size=8).steps_an_epoch(50) for n in (8, 9, 80)] == [1, 2, 7]


@pytest.mark.parametrize("given", [0, -3])
def test_an_epoch_without_images_is_refused(given: int) -> None:
    config = TrainConfig("eanet", "digits", Path("out"), epoch_images=given)
    with pytest.raises(InputError, match=f"epoch images must be above 0, not {given}"):
        config.recipe_of(catalogue.find("eanet"))


# --- resuming ---


def test_more_epochs_are_refused_where_the_learning_rate_follows_their_number() -> None:
    def identity(epochs: int) -> dict[str, Any]:
        return {"seed": 0, "recipe": {"epochs": epochs, "batch_size": 64}}

    state = TrainingState(Setup(identity(30)), [], {})
    state.check(identity(30))
    with pytest.raises(
        InputError, match=r"recipe epochs was 30, now 60, and its learning rate falls .* would jump"
    ):
        state.check(identity(60))


def test_a_state_keeps_how_its_machine_computed_it(tmp_path: Path) -> None:
    TrainingState(Setup({"seed": 0}, parts=3, replicas=2), [], {"0000": np.zeros(1)}).write(tmp_path / "state")
    state = TrainingState.read(tmp_path / "state")
    assert state is not None
    assert (state.setup.parts, state.setup.replicas) == (3, 2)


# --- words ---


class FewImages:
    """As much of a Split as is looked at."""

    def __init__(self, labels: list[int]) -> None:
        self.labels = np.array(labels)

    def __len__(self) -> int:
        return len(self.labels)


@pytest.mark.parametrize(
    ("labels", "accuracy", "said"),
    [
        ([0, 1] * 50, 0.5, True),
        ([0, 1] * 50, 0.52, True),
        ([0, 1] * 50, 0.9, False),
        ([0] * 90 + [1] * 10, 0.9, True),
        ([0, 1, 2, 3] * 25, 0.5, False),
        ([0, 1] * 2, 1.0, False),
    ],
)
def test_an_accuracy_that_guessing_has_too_is_said(labels: list[int], accuracy: float, said: bool) -> None:
    words = no_better_than_guessing(FewImages(labels), {"val_accuracy": accuracy}, flipped=True)  # type: ignore[arg-type]
    assert (words is not None) == said
    assert words is None or "--no-flip" in words


def test_memory_that_runs_out_is_an_input_error() -> None:
    class ResourceExhaustedError(Exception):
        """TensorFlow's, by its name."""

    for error in (MemoryError(), ResourceExhaustedError("OOM when allocating tensor")):
        with pytest.raises(InputError, match=r"not enough memory for this\. Try a"), enough_memory("Try a"):
            raise error
    with pytest.raises(ValueError, match="mine"), enough_memory("Try"):
        raise ValueError("mine")


# --- first weights ---

STEM = {"stem.conv.weight": np.ones((16, 3, 3, 3), np.float32), "head.fc.bias": np.zeros(5, np.float32)}


def weights(path: Path, *prefixes: str, **more: np.ndarray) -> Path:
    path.write_bytes(
        to_safetensors({**{p + name: value for p in prefixes for name, value in STEM.items()}, **more})
    )
    return path


def test_timm_s_file_of_the_network_of_the_same_name_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"the paper's network.*mobilevit_paper_xxs.*mobilevit_xxs is another"
    ):
        FirstWeights.open(weights(tmp_path / "w", ""), "mobilevit_xxs")


@pytest.mark.parametrize(
    "prefix", ["", "module.", "model.", "_orig_mod.module.", "state_dict.", "model_ema.module."]
)
def test_a_prefix_is_recognised(tmp_path: Path, prefix: str) -> None:
    from vitconv.checkpoints.checkpoint import read_tensors
    from vitconv.training import timm_weights

    path = weights(tmp_path / "w", prefix)
    first = FirstWeights.open(path, "mobilevit_paper_xxs")
    assert first.note.get("prefix", "") == prefix
    assert set(timm_weights.without_prefix(read_tensors(path)[0])) == set(STEM)


@pytest.mark.parametrize(
    ("prefixes", "taken"),
    [
        (("model.", "model_ema."), "model_ema."),
        (("", "ema."), "ema."),
        (("state_dict.", "state_dict_ema."), "state_dict_ema."),
        (("", "teacher."), ""),
    ],
)
def test_of_several_sets_of_weights_the_averaged_one_is_taken_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, prefixes: tuple[str, ...], taken: str
) -> None:
    from vitconv.checkpoints.checkpoint import read_tensors
    from vitconv.training import timm_weights

    path = weights(tmp_path / "w", *prefixes)
    FirstWeights.open(path, "mobilevit_paper_xxs")
    assert f"those of {taken!r} are taken" in caplog.text
    assert set(timm_weights.without_prefix(read_tensors(path)[0])) == set(STEM)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused_before_training(tmp_path: Path, bad: float) -> None:
    path = weights(tmp_path / "w", "", other=np.array([1.0, bad], np.float32))
    with pytest.raises(CheckpointError, match=r"1 of the 3 tensors in .* hold NaN or infinity, such as other"):
        FirstWeights.open(path, "mobilevit_paper_xxs")


def test_a_file_of_something_else_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(to_safetensors({"encoder.layer.0.weight": np.zeros(3)}))
    with pytest.raises(
        CheckpointError, match=r"no weights of timm's MobileViT or RepViT in it, but 1 tensors, such as encoder"
    ):
        FirstWeights.open(path, "mobilevit_paper_xxs")
