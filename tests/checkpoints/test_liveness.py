"""Which layers take part, as a card keeps it: read back, refused where it is damaged, and put into words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import made_documents as made
from vitconv.checkpoints import liveness
from vitconv.checkpoints.checkpoint import card_from_json
from vitconv.checkpoints.liveness import Liveness
from vitconv.data.datasets import Split
from vitconv.foundation.errors import InputError
from vitconv.models.liveness import Effect


def found(*parts: Effect) -> Liveness:
    return Liveness("validation (some)", 8, parts)


def layer(name: str, nats: float, kind: str = "layer") -> Effect:
    return Effect(name, kind, nats, 0.0, nats)  # type: ignore[arg-type]


def test_a_card_keeps_it_and_is_read_without_it() -> None:
    document = made.card()
    card = card_from_json(document)
    assert card.liveness is not None
    assert card.liveness.to_json() == made.liveness()
    assert card_from_json(card.to_json()) == card
    del document["liveness"], document["results"]["evaluation"]
    old = card_from_json(document)
    assert old.liveness is None
    assert "liveness" not in old.to_json()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value.update(images="many"), "liveness.images"),
        (lambda value: value.update(parts=[]), "liveness.parts"),
        (lambda value: value["parts"][0].update(kl=-1.0), "liveness.parts[0].kl"),
        (lambda value: value["parts"][1].update(kind="spleen"), "liveness.parts[1].kind"),
        (lambda value: value["parts"][1].pop("changed"), "changed"),
    ],
)
def test_what_is_none_is_refused_with_its_place(change: Any, words: str) -> None:
    document = made.card()
    change(document["liveness"])
    with pytest.raises(InputError) as caught:
        card_from_json(document)
    assert words in str(caught.value)


@pytest.mark.parametrize("change", [{"top1": 1.5}, {"images": 0}, {"split": None}, {"chose_epoch": "no"}])
def test_an_evaluation_that_is_none_is_refused(change: dict[str, Any]) -> None:
    document = made.card()
    document["results"]["evaluation"].update(change)
    with pytest.raises(InputError, match=next(iter(change))):
        card_from_json(document)


def test_whether_the_reported_images_chose_the_epoch_is_told_of_old_cards_by_their_digest() -> None:
    document = made.card()
    for chose in (True, False):
        document["results"]["evaluation"]["chose_epoch"] = chose
        assert card_from_json(document).trained()["chose_epoch"] is chose
    del document["results"]["evaluation"]["chose_epoch"]
    for digest, chose in (("e" * 64, True), ("f" * 64, False)):
        document["dataset"]["splits"] = {"validation": {"digest": digest}}
        assert card_from_json(document).trained()["chose_epoch"] is chose


def test_the_words_name_what_is_silent_or_the_least() -> None:
    alive = found(layer("a", 0.5), layer("b", 0.004), layer("c", 0.2, "block"), layer("c.mlp", 0.0, "mlp"))
    assert alive.silent == ()
    assert alive.sentence() == (
        "Each of 2 transformer layers and 1 block takes part in the answers; least b, without which they move by "
        "0.004 nats (8 images of validation (some))."
    )
    dead = found(layer("a", 0.5), layer("b", 0.0009), layer("r", 0.3, "residual"), layer("c", 1e-12, "block"))
    assert [part.name for part in dead.silent] == ["b", "c"]
    assert dead.sentence().startswith(
        "Of 2 transformer layers, 1 block and 1 inverted residual, 1 transformer layer and 1 block have no part "
        "in the answers: cut out, or with the mean in its place, each moves them by less than 0.001 nats (8 "
    )
    assert "b (0.0009), c (1e-12)" in dead.sentence()
    assert found(layer("a.mlp", 0.0, "mlp")).sentence() == ""
    many = found(*(layer(f"layer{number}", 0.0) for number in range(40)))
    assert "and 28 more" in many.sentence()


def test_images_are_taken_from_all_of_the_split(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def measure(model: Any, images: np.ndarray, labels: np.ndarray, progress: Any) -> tuple[Effect, ...]:
        seen.append((images, labels))
        return (layer("a", 0.5),)

    monkeypatch.setattr(liveness.liveness, "measure", measure)

    def of(count: int) -> Liveness | None:
        images = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
        return liveness.measure(None, Split("validation", "some", images, np.arange(count)))  # type: ignore[arg-type]

    assert of(200) == Liveness("validation (some)", liveness.IMAGES, (layer("a", 0.5),))
    images, labels = seen[0]
    assert (labels[0], labels[-1]) == (0, 199)
    assert set(np.diff(labels).tolist()) <= {6, 7}  # files in order of their classes give some of each
    np.testing.assert_array_equal(images[:, 0, 0, 0], labels)
    few = of(3)
    assert few is not None
    assert few.images == 3
    assert of(1) is None


def test_an_export_without_it_has_none(tmp_path: Path) -> None:
    assert liveness.read(tmp_path / "liveness.json") is None
