"""The models by name: how each is built, for which images, and the recipes it is trained with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from vitconv.errors import InputError, UnknownNameError
from vitconv.images import ImageSpec

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. Sizes and amounts are relative to the image's side where they say so.

    crop_margin: training images are made this much larger than the model's (280 for 256: 1.09375) and a random
        part of the model's size is cut out; 1 cuts nothing.
    flip: mirror half of the images left to right, where the data set's labels survive that.
    rotation: turn by up to this fraction of a full turn either way.
    zoom: scale height and width, each on its own, by up to this fraction either way.
    contrast: scale the distance from the image's mean by up to this fraction either way.
    """

    optimizer: Literal["adam", "adamw"]
    learning_rate: float
    batch_size: int
    epochs: int
    weight_decay: float = 0.0
    label_smoothing: float = 0.1
    crop_margin: float = 1.0
    flip: bool = True
    rotation: float = 0.0
    zoom: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "batch_size", "epochs"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name.replace('_', ' ')} must be above 0, not {getattr(self, name)}.")

    def to_json(self) -> dict[str, Any]:
        """As stored in a checkpoint's card."""
        return asdict(self)

    def changed(self, **values: Any) -> Recipe:
        """The recipe with those of `values` that are not None in place of its own."""
        return replace(self, **{name: value for name, value in values.items() if value is not None})


@dataclass(frozen=True)
class ModelEntry:
    """A model of the catalogue. `sizes_divide_by` is what image height and width must be a multiple of."""

    name: str
    summary: str
    image: ImageSpec
    sizes_divide_by: int
    recipe: Recipe
    _build: Callable[[ImageSpec, int], keras.Model] = field(repr=False)

    def spec(self, image_size: int | None = None) -> ImageSpec:
        """The model's images, at `image_size` pixels a side where given. Raises InputError on a size that does
        not fit the network."""
        if image_size is None:
            return self.image
        spec = replace(self.image, height=image_size, width=image_size)
        self.check(spec)
        return spec

    def check(self, spec: ImageSpec) -> None:
        """Raises InputError where the network cannot take images of that size."""
        if spec.height % self.sizes_divide_by or spec.width % self.sizes_divide_by:
            raise InputError(
                f"{self.name} takes image sizes that are multiples of {self.sizes_divide_by}, "
                f"not {spec.height}×{spec.width}."
            )

    def build(self, spec: ImageSpec, classes: int) -> keras.Model:
        """The network with fresh weights: float [B, height, width, 3] raw pixels → float [B, classes]."""
        if classes < 2:
            raise InputError(f"a classifier needs at least 2 classes, not {classes}.")
        return self._build(spec, classes)


def _mobilevit_article(spec: ImageSpec, classes: int) -> keras.Model:
    from vitconv.models import mobilevit

    return mobilevit.article(spec, classes)


def _mobilevit_paper(size: str) -> Callable[[ImageSpec, int], keras.Model]:
    def build(spec: ImageSpec, classes: int) -> keras.Model:
        from vitconv.models import mobilevit

        return mobilevit.paper(size, spec, classes)

    return build


def _eanet(attention: Literal["external", "self"]) -> Callable[[ImageSpec, int], keras.Model]:
    def build(spec: ImageSpec, classes: int) -> keras.Model:
        from vitconv.models import eanet

        return eanet.eanet(attention, spec, classes)

    return build


_MOBILEVIT_RECIPE = Recipe("adam", 0.002, batch_size=64, epochs=30, crop_margin=280 / 256)
_EANET_RECIPE = Recipe(
    "adamw", 0.001, batch_size=128, epochs=50, weight_decay=0.0001, rotation=0.1, zoom=0.2, contrast=0.1
)
_MOBILEVIT_IMAGE = ImageSpec(256, 256)
_EANET_IMAGE = ImageSpec(32, 32)

_ENTRIES = (
    ModelEntry(
        "mobilevit_xxs",
        "MobileViT-XXS as the Keras example writes it; attention over all tokens",
        _MOBILEVIT_IMAGE, 32, _MOBILEVIT_RECIPE, _mobilevit_article,
    ),
    *(
        ModelEntry(
            f"mobilevit_paper_{size}",
            f"MobileViT-{size.upper()} of the paper; attention per position inside 2×2 patches",
            ImageSpec(256, 256, resize="center_crop"), 64, _MOBILEVIT_RECIPE, _mobilevit_paper(size),
        )
        for size in ("xxs", "xs", "s")
    ),
    ModelEntry(
        "eanet",
        "EANet as the Keras example writes it; external attention",
        _EANET_IMAGE, 2, _EANET_RECIPE, _eanet("external"),
    ),
    ModelEntry(
        "eanet_self_attention",
        "EANet's frame with ordinary multi-head self-attention",
        _EANET_IMAGE, 2, _EANET_RECIPE, _eanet("self"),
    ),
)  # fmt: skip

CATALOGUE = {entry.name: entry for entry in _ENTRIES}


def find(name: str) -> ModelEntry:
    """The model of that name. Raises UnknownNameError, which lists the known ones."""
    if name not in CATALOGUE:
        raise UnknownNameError("model", name, CATALOGUE)
    return CATALOGUE[name]
