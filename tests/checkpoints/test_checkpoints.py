"""A checkpoint opens with exactly what was saved, or says what is wrong with it."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitconv.checkpoints import checkpoint as checkpoints
from vitconv.checkpoints.checkpoint import CARD, Card, open_checkpoint, read_tensors, save, to_safetensors
from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.errors import CheckpointError, OutputError
from vitconv.models import catalogue

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.filterwarnings(
    # Raised inside TensorFlow and Keras while they are imported.
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)

A_CARD = Card(
    model="eanet",
    labels=("daisy", "rose", "tulip"),
    image=ImageSpec(8, 8),
    dataset={"name": "flowers", "source": "photos/flowers", "version": "1", "splits": {}},
    recipe=catalogue.find("eanet").recipe.to_json(),
    seed=3,
    versions={"keras": "3"},
    results={"epoch": 2, "val_accuracy": 0.5},
)


@pytest.fixture(scope="module")
def model() -> Iterator[keras.Model]:
    """A one-block EANet for A_CARD, its pixel statistics set as training sets them."""
    from vitconv.models import eanet

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eanet, "BLOCKS", 1)
        model = catalogue.find("eanet").build(A_CARD.image, 3)
        layer = model.get_layer("normalise")
        layer.adapt_mean.assign([100.0, 120.0, 140.0])
        layer.adapt_variance.assign([900.0, 1600.0, 2500.0])
        layer.finalize_state()
        yield model


@pytest.fixture
def folder(tmp_path: Path, model: keras.Model) -> Path:
    return save(tmp_path / "checkpoint", model, A_CARD).path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def probabilities(model: keras.Model) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.float32)
    return np.asarray(model(pixels))


def edit_card(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    change(card)
    (folder / CARD).write_text(json.dumps(card), encoding="utf-8")


def replace_weights(folder: Path, data: bytes) -> None:
    """Other weights with a card that vouches for them."""
    digest = hashlib.sha256(data).hexdigest()
    file = f"weights-{digest[:12]}.safetensors"
    (folder / file).write_bytes(data)
    edit_card(folder, lambda card: card.update(weights={"file": file, "sha256": digest}))


def test_what_was_saved_is_what_opens(folder: Path, model: keras.Model) -> None:
    checkpoint = open_checkpoint(folder)
    assert replace(checkpoint.card, weights={}) == A_CARD
    assert checkpoint.card.weights == {
        "file": checkpoint.weights.name,
        "sha256": hashlib.sha256(checkpoint.weights.read_bytes()).hexdigest(),
    }
    assert names(folder) == [CARD, checkpoint.weights.name]
    assert json.loads((folder / CARD).read_text(encoding="utf-8")) == checkpoint.card.to_json()
    loaded = checkpoint.load()
    for ours, theirs in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    np.testing.assert_array_equal(probabilities(loaded), probabilities(model))


def test_the_loaded_model_normalises_pixels_as_the_trained_one(folder: Path) -> None:
    pixels = np.full((1, 8, 8, 3), [130.0, 80.0, 140.0], np.float32)
    layer = open_checkpoint(folder).load().get_layer("normalise")
    np.testing.assert_allclose(np.asarray(layer(pixels))[0, 0, 0], [1, -1, 0], atol=1e-6)


def test_a_better_epoch_replaces_the_pair(folder: Path, model: keras.Model) -> None:
    old = open_checkpoint(folder)
    head = model.get_layer("head").bias
    head.assign(head + 1)
    try:
        new = save(folder, model, replace(A_CARD, results={"epoch": 5, "val_accuracy": 0.75}))
    finally:
        head.assign(head - 1)
    assert open_checkpoint(folder) == new
    assert new.card.results["epoch"] == 5
    assert new.weights != old.weights
    assert names(folder) == [CARD, new.weights.name]


class Stop(BaseException):
    """Stands for a kill: what is on the disk at that moment is the same."""


@pytest.mark.parametrize("moment", ["write_bytes", "write_json"])
def test_a_stop_while_saving_leaves_the_old_pair(
    folder: Path, model: keras.Model, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def stop(*_: Any) -> None:
        raise Stop

    old = open_checkpoint(folder)
    head = model.get_layer("head").bias
    head.assign(head + 1)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, moment, stop)
            with pytest.raises(Stop):
                save(folder, model, A_CARD)
        assert open_checkpoint(folder) == old
        new = save(folder, model, A_CARD)
    finally:
        head.assign(head - 1)
    assert names(folder) == [CARD, new.weights.name]


def test_a_full_disk_leaves_the_old_pair(folder: Path, model: keras.Model) -> None:
    old = open_checkpoint(folder)
    head = model.get_layer("head").bias
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    head.assign(head + 1)
    try:
        with pytest.raises(OutputError, match=r"cannot write .*weights-.*: File too large"):
            save(folder, model, A_CARD)
    finally:
        head.assign(head - 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert open_checkpoint(folder) == old
    assert names(folder) == [CARD, old.weights.name]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path, model: keras.Model) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save(tmp_path / "file" / "checkpoint", model, A_CARD)


@pytest.mark.parametrize("place", [0, 8, 100, 0.5, -1])
def test_one_changed_byte_of_the_weights_is_found(folder: Path, place: float) -> None:
    weights = open_checkpoint(folder).weights
    data = bytearray(weights.read_bytes())
    data[int(place * len(data)) if place == 0.5 else int(place)] ^= 1
    weights.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"is not the one in its card: .* train again"):
        open_checkpoint(folder)


def test_a_checkpoint_that_is_not_whole_says_what_is_missing(folder: Path, tmp_path: Path) -> None:
    weights = open_checkpoint(folder).weights
    data = weights.read_bytes()
    weights.write_bytes(data[:-1])
    with pytest.raises(CheckpointError, match="is not the one in its card"):
        open_checkpoint(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=rf"cannot read {weights}: No such file"):
        open_checkpoint(folder)
    weights.mkdir()
    with pytest.raises(CheckpointError, match=rf"cannot read {weights}: Is a directory"):
        open_checkpoint(folder)
    (folder / CARD).unlink()
    with pytest.raises(CheckpointError, match=rf"{folder} is not a checkpoint: it has no card.json"):
        open_checkpoint(folder)
    (folder / CARD).mkdir()
    with pytest.raises(CheckpointError, match="it is a folder"):
        open_checkpoint(folder)
    (tmp_path / "plain").write_text("")
    for path in (tmp_path / "nothing", tmp_path / "plain"):
        with pytest.raises(CheckpointError, match=rf"there is no checkpoint folder {path}\. `vitconv train`"):
            open_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"3", b'"card"', b"{}", b"\xff\xfe", b"[" * 200_000, b'{"a": ' * 200_000],
    ids=["empty", "half", "list", "null", "number", "text", "no keys", "no UTF-8", "deep list", "deep object"],
)
def test_a_card_that_is_no_card_is_refused(folder: Path, content: bytes) -> None:
    (folder / CARD).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"cannot use the card {folder / CARD}"):
        open_checkpoint(folder)


@pytest.mark.parametrize("name", sorted(A_CARD.to_json()))
def test_a_card_without_a_key_or_with_another_type_is_refused(folder: Path, name: str) -> None:
    good = (folder / CARD).read_bytes()
    right = type(json.loads(good)[name])
    for wrong in (None, True, 1.5, 3, "text", [], {}, [1], {"a": 1}):
        if type(wrong) is right and name in ("recipe", "versions", "results", "seed"):
            continue  # what these hold is for reading only
        edit_card(folder, lambda card, wrong=wrong: card.update({name: wrong}))  # type: ignore[misc]
        with pytest.raises(CheckpointError, match=r"cannot use the card .*card\.json: .*\. Copy the whole folder"):
            open_checkpoint(folder)
        (folder / CARD).write_bytes(good)
    edit_card(folder, lambda card: card.pop(name))
    with pytest.raises(CheckpointError, match=f"`{name}` is missing"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "eanett"}, "unknown model 'eanett'. Did you mean 'eanet'"),
        ({"labels": ["one"]}, r"`labels` must be a list of at least 2, not \['one'\]"),
        ({"labels": ["one", 2]}, r"`labels\[1\]` must be a text, not 2"),
        ({"labels": ["one", ""]}, r"`labels\[1\]` must be a text of at least 1, not ''"),
        ({"image": {"height": 7, "width": 8, "channels": 3, "resize": "stretch"}}, "multiples of 2, not 7×8"),
        ({"image": {"height": 10**9, "width": 8, "channels": 3, "resize": "stretch"}}, "1 to 4096 pixels"),
        ({"results": {"val_accuracy": "high"}}, "`results.val_accuracy` must be a number, not 'high'"),
        ({"results": {"val_accuracy": float("nan")}}, "`results.val_accuracy` is nan"),
        ({"dataset": {"name": "digits"}}, "`dataset.source` is missing"),
        ({"weights": {"file": "../weights.safetensors", "sha256": "0" * 64}}, r"`weights.file`: .* is a path"),
        ({"weights": {"file": "weights-/../x.safetensors", "sha256": "/../x"}}, r"`weights.file`: .* is a path"),
        ({"weights": {"file": "weights-0.safetensors", "sha256": "/../x"}}, r"`weights.sha256`: .* is no SHA-256"),
        (
            {"weights": {"file": "card.json", "sha256": "0" * 64}},
            "`file` must be 'weights-000000000000.safetensors'",
        ),
        ({"results": {"val_accuracy": 2}}, "must be a number at most 1.0, not 2"),
        ({"more": 1}, "it has the key 'more', which is not known here"),
    ],
)
def test_a_card_s_mistake_is_named(folder: Path, change: dict[str, Any], message: str) -> None:
    edit_card(folder, lambda card: card.update(change))
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(folder)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside a JSON document."""
    yield before
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*before, key))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_change_of_a_card_gives_anything_but_a_checkpoint_or_its_error(
    folder: Path, data: st.DataObject
) -> None:
    good = (folder / CARD).read_bytes()
    document = {"card": json.loads(good)}
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from([place for place in places(document) if place]))
        target: Any = document
        for key in way:
            target = target[key]
        if data.draw(st.booleans()) or isinstance(target, list):
            target[last] = data.draw(json_values)
        else:
            target[data.draw(st.text(max_size=5))] = target.pop(last)
    (folder / CARD).write_text(json.dumps(document.get("card")), encoding="utf-8")
    try:
        assert set(open_checkpoint(folder).card.to_json()) == set(A_CARD.to_json())
    except CheckpointError:
        pass
    finally:
        (folder / CARD).write_bytes(good)


def test_weights_of_another_network_are_refused_before_any_is_taken(folder: Path, model: keras.Model) -> None:
    values, _ = read_tensors(open_checkpoint(folder).weights)
    bias = next(name for name in values if name.endswith("head/bias"))
    cases = {
        rf"missing: {bias}": {name: value for name, value in values.items() if name != bias},
        r"not in the model: other": {**values, "other": values[bias]},
        rf"{bias}: float32 \[2\], not float32 \[3\]": {**values, bias: values[bias][:2]},
        rf"{bias}: int32 \[3\], not float32 \[3\]": {**values, bias: values[bias].astype(np.int32)},
        r"missing: .*; missing: .*\(and \d+ more\)": {},
    }
    for message, tensors in cases.items():
        replace_weights(folder, to_safetensors(tensors))
        checkpoint = open_checkpoint(folder)
        with pytest.raises(CheckpointError, match=message):
            checkpoint.load()
    before = [np.asarray(weight) for weight in model.weights]
    with pytest.raises(CheckpointError, match="do not fit"):
        checkpoints.assign(
            model.weights, {**{k: v + 1 for k, v in values.items()}, bias: values[bias][:2]}, folder
        )
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, np.asarray(weight))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["daisy", "rose"]}, r"head/bias: float32 \[3\], not float32 \[2\]"),
        ({"image": ImageSpec(10, 10).to_json()}, r"embed/position: float32 \[16, 64\], not float32 \[25, 64\]"),
        ({"model": "eanet_self_attention"}, r"missing: .*key_kernel"),
    ],
)
def test_weights_that_do_not_fit_their_card_are_refused(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    edit_card(folder, lambda card: card.update(change))
    checkpoint = open_checkpoint(folder)
    with pytest.raises(CheckpointError, match=rf"weights in .* do not fit: .*{message}"):
        checkpoint.load()


def test_a_file_of_weights_that_is_none_is_refused(folder: Path) -> None:
    whole = open_checkpoint(folder).weights.read_bytes()
    header = b'{"head":{"dtype":"%s","shape":[2],"data_offsets":[0,%d]}}'
    strange = [header % (dtype, 2 * size) for dtype, size in ((b"BF16", 2), (b"F8_E4M3", 1), (b"TEXT", 1))]
    for data in (
        b"",
        b"text",
        whole[:100],
        whole[:-1],
        whole + b"\0",
        b"\xff" * 8 + whole[8:],
        *(len(each).to_bytes(8, "little") + each + bytes(4) for each in strange),
        *(len(each).to_bytes(8, "little") + each + bytes(2) for each in strange),
    ):
        replace_weights(folder, data)
        checkpoint = open_checkpoint(folder)
        with pytest.raises(CheckpointError, match=r"as a safetensors file|do not fit"):
            checkpoint.load()


def test_weights_that_vanish_after_opening_are_named(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    checkpoint.weights.unlink()
    with pytest.raises(CheckpointError, match=rf"there is no file {checkpoint.weights}"):
        checkpoint.load()


def test_arrays_of_every_layout_and_notes_survive_a_file(tmp_path: Path) -> None:
    square = np.arange(12, dtype=np.float32).reshape(3, 4)
    values = {
        "scalar": np.float32(3),
        "transposed": square.T,
        "strided": square[:, ::2],
        "empty": np.zeros((0, 2), np.int64),
        "bytes": np.arange(5, dtype=np.uint32),
    }
    (tmp_path / "file").write_bytes(to_safetensors(values, {"note": "Blüte"}))
    read, notes = read_tensors(tmp_path / "file")
    assert notes == {"note": "Blüte"}
    assert read.keys() == values.keys()
    for name, value in values.items():
        assert read[name].dtype == value.dtype
        assert read[name].shape == value.shape
        np.testing.assert_array_equal(read[name], value)
