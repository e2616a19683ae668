"""The models by name: how each is built, for which images, and the recipes it is trained with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from vitconv.data.pictures.images import ImageSpec
from vitconv.foundation.errors import InputError, UnknownNameError
from vitconv.models.precisions import PRECISIONS, Precision

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. Sizes and amounts are relative to the image's side where they say so.

    crop_margin: training images are made this much larger than the model's (280 for 256: 1.09375) and a random
        part of the model's size is cut out; 1 cuts nothing.
    flip: mirror half of the images left to right, unless the data set says that this changes the label, as it
        does of digits and letters.
    rotation: turn by up to this fraction of a full turn either way.
    zoom: scale height and width, each on its own, by up to this fraction either way.
    contrast: scale the distance from the image's mean by up to this fraction either way.
    crop_area: instead of a fixed size, cut out a part of this to all of the enlarged image's area, of an aspect
        from 3:4 to 4:3, and scale it to the model's size (Szegedy et al., 2014); 1 does not.
    colour: scale brightness and saturation, each on its own, by up to this fraction either way.
    schedule: "cosine" lets the learning rate fall to zero over all epochs along half a cosine.
    warmup_epochs: over so many epochs the learning rate first rises from zero.
    average: decay a step of a moving average of the weights; the averages are evaluated and kept. 0 turns it off.
    batch_norm_momentum: of the moving statistics; None leaves the network's own, which for the article's networks
        is 0.99: too slow where an epoch has few steps.
    dropout: the rate of every dropout layer; None leaves the network's own.
    kept_tokens: fraction of an image's patches that a training step looks at, each time others (Liu et al., 2022,
        "PatchDropout"); for networks that begin with a patch embedding.
    balance: show as many images of every class in an epoch, a rare class's several times.
    fake_quantization: round normalised, activated and added values to eight bits in every step (see
        models.fake_quantization), for a network that is to be exported in int8.
    epoch_images: so many training images make an epoch, after which weights are validated and kept and from which
        a stopped training goes on; None for all of them, which on large data is long.
    gradient_clip: the length that a step's gradient over all weights is cut to where it is longer; 0 cuts nothing.
    dead_penalty: weight of a penalty that keeps the convolutions out of MobileViT's transformers from falling
        silent (see models.transformer_exit); 0 leaves them to themselves.
    shortcut_drop: share of a step's images for which the shortcut around MobileViT's transformers is cut, so that
        the network has to make use of them.
    idle_penalty: weight of a penalty on what MobileViT's transformer layers add where it hardly varies beside the
        tokens (see models.layers.transformer_exit).
    branch_gain: factor of the first weights of each transformer branch's last kernel, where a training begins with
        random ones: branches that are small beside the tokens' own path hardly come to matter.
    precision: what the layers compute in. Weights, normalisations, the loss and the optimizer stay in float32.
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
    crop_area: float = 1.0
    colour: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: float = 0.0
    average: float = 0.0
    batch_norm_momentum: float | None = None
    dropout: float | None = None
    kept_tokens: float = 1.0
    fake_quantization: bool = False
    balance: bool = False
    epoch_images: int | None = None
    gradient_clip: float = 0.0
    dead_penalty: float = 0.0
    shortcut_drop: float = 0.0
    idle_penalty: float = 0.0
    branch_gain: float = 1.0
    precision: Precision = "float32"
    name: str = "article"

    def __post_init__(self) -> None:
        for name in ("learning_rate", "batch_size", "epochs"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name.replace('_', ' ')} must be above 0, not {getattr(self, name)}.")
        if self.precision not in PRECISIONS:
            raise UnknownNameError("precision", self.precision, PRECISIONS)
        if self.epoch_images is not None and self.epoch_images <= 0:
            raise InputError(f"epoch images must be above 0, not {self.epoch_images}.")

    def to_json(self) -> dict[str, Any]:
        """As stored in a checkpoint's card."""
        return asdict(self)

    def images_an_epoch(self, images: int) -> int:
        """How many of so many training images an epoch has."""
        return images if self.epoch_images is None else min(self.epoch_images, images)

    def steps_an_epoch(self, images: int) -> int:
        """How many batches an epoch of so many training images has, the last perhaps a smaller one."""
        return math.ceil(self.images_an_epoch(images) / self.batch_size)

    def prepared(self, spec: ImageSpec) -> ImageSpec:
        """What training images are prepared to, for a part of the model's size to be cut out at random."""
        return replace(
            spec, height=round(spec.height * self.crop_margin), width=round(spec.width * self.crop_margin)
        )

    def changed(self, **values: Any) -> Recipe:
        """The recipe with those of `values` that are not None in place of its own."""
        return replace(self, **{name: value for name, value in values.items() if value is not None})


@dataclass(frozen=True)
class ModelEntry:
    """A model of the catalogue. `sizes_divide_by` is what image height and width must be a multiple of; `recipe`
    is the article's, used where no other is named; `batch_norm` is whether layers compute across a batch."""

    name: str
    summary: str
    image: ImageSpec
    sizes_divide_by: int
    recipe: Recipe
    _build: Callable[[ImageSpec, int], keras.Model] = field(repr=False)
    more_recipes: tuple[Recipe, ...] = ()
    batch_norm: bool = True

    @property
    def recipes(self) -> dict[str, Recipe]:
        """All recipes by name, the article's first."""
        return {recipe.name: recipe for recipe in (self.recipe, *self.more_recipes)}

    def find_recipe(self, name: str | None = None) -> Recipe:
        """The recipe of that name, the article's where none is given. Raises UnknownNameError."""
        if name is None:
            return self.recipe
        if name not in self.recipes:
            raise UnknownNameError(f"recipe of {self.name}", name, self.recipes)
        return self.recipes[name]

    def spec(self, image_size: int | tuple[int, int] | None = None) -> ImageSpec:
        """The model's images, at `image_size` pixels a side, or of that height and width, where given. Raises
        InputError on a size that does not fit the network."""
        if image_size is None:
            return self.image
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        spec = replace(self.image, height=height, width=width)
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


def _mobilevitv2(width: float) -> Callable[[ImageSpec, int], keras.Model]:
    def build(spec: ImageSpec, classes: int) -> keras.Model:
        from vitconv.models import mobilevitv2

        return mobilevitv2.mobilevitv2(width, spec, classes)

    return build


def _repvit_m0_9(spec: ImageSpec, classes: int) -> keras.Model:
    from vitconv.models import repvit

    return repvit.repvit_m0_9(spec, classes)


def _eanet(attention: Literal["external", "self"]) -> Callable[[ImageSpec, int], keras.Model]:
    def build(spec: ImageSpec, classes: int) -> keras.Model:
        from vitconv.models import eanet

        return eanet.eanet(attention, spec, classes)

    return build


_MOBILEVIT_RECIPE = Recipe("adam", 0.002, batch_size=64, epochs=30, crop_margin=280 / 256)
_EANET_RECIPE = Recipe(
    "adamw", 0.001, batch_size=128, epochs=50, weight_decay=0.0001, rotation=0.1, zoom=0.2, contrast=0.1
)
# Chosen so that a training takes hours on two cores. More accuracy would take much longer. "best" starts from
# nothing, "finetune" from weights of an earlier training, such as one at smaller images; "pretrain" is for tens of
# thousands of small pictures, and "best" can go on from it. Without the penalties MobileViT's transformers fall
# silent within three epochs at this learning rate, and what their last layers add varies by a fiftieth of what the
# tokens do. Without the cut shortcuts they stay open and idle. With more of both (0.35 and 1.0) weights that sleep
# wake, but the paper's network learns nothing from the beginning (see docs/training.md).
_MOBILEVIT_BEST = Recipe(
    "adamw", 0.002, batch_size=32, epochs=60, weight_decay=0.02, crop_margin=1.25, crop_area=0.35, colour=0.2,
    schedule="cosine", warmup_epochs=3, average=0.99, batch_norm_momentum=0.9, dropout=0.0, gradient_clip=1.0,
    dead_penalty=0.1, shortcut_drop=0.1, idle_penalty=0.1, branch_gain=2.5, name="best",
)  # fmt: skip
_MOBILEVIT_PRETRAIN = replace(
    _MOBILEVIT_BEST, batch_size=64, epochs=60, crop_area=0.5, warmup_epochs=5, average=0.998, epoch_images=9000,
    name="pretrain",
)  # fmt: skip
_MOBILEVIT_FINETUNE = replace(
    _MOBILEVIT_BEST,
    learning_rate=0.0006,
    epochs=10,
    crop_area=0.5,
    warmup_epochs=0.5,
    idle_penalty=2.5,
    name="finetune",
)
_MOBILEVIT_QUANTIZATION_AWARE = replace(
    _MOBILEVIT_FINETUNE, epochs=6, fake_quantization=True, name="quantization_aware"
)
_EANET_BEST = Recipe(
    "adamw", 0.002, batch_size=64, epochs=40, weight_decay=0.02, crop_area=0.6,
    schedule="cosine", warmup_epochs=0.5, average=0.998, dropout=0.0, kept_tokens=0.25, name="best",
)  # fmt: skip
_EANET_FINETUNE = replace(
    _EANET_BEST, learning_rate=0.0006, epochs=5, kept_tokens=1.0, warmup_epochs=0.2, name="finetune"
)
_EANET_QUANTIZATION_AWARE = replace(_EANET_FINETUNE, epochs=3, fake_quantization=True, name="quantization_aware")
# Nothing goes around MobileViTv2's blocks: no shortcut to cut, and no convolution that could fall silent unseen.
_MOBILEVITV2_BEST, _MOBILEVITV2_FINETUNE = (
    replace(recipe, dead_penalty=0.0, shortcut_drop=0.0, idle_penalty=0.0, branch_gain=1.0)
    for recipe in (_MOBILEVIT_BEST, _MOBILEVIT_FINETUNE)
)
# The article's, for a batch of 128 in the place of 2,048: the rate goes with the size. Left out are distillation,
# mixed and erased pictures, and random policies of augmentation.
_REPVIT_RECIPE = Recipe(
    "adamw", 0.00025, batch_size=128, epochs=300, weight_decay=0.025, crop_area=0.08, colour=0.3,
    schedule="cosine", warmup_epochs=5,
)  # fmt: skip
_REPVIT_BEST = replace(_MOBILEVITV2_BEST, weight_decay=0.025)
_REPVIT_FINETUNE = replace(_MOBILEVITV2_FINETUNE, weight_decay=0.025)
_MOBILEVIT_IMAGE = ImageSpec(256, 256)
_EANET_IMAGE = ImageSpec(32, 32)

_ENTRIES = (
    ModelEntry(
        "mobilevit_xxs",
        "MobileViT-XXS as the Keras example writes it; attention over all tokens (512×512 costs 11 times as much)",
        _MOBILEVIT_IMAGE, 32, _MOBILEVIT_RECIPE, _mobilevit_article,
        (_MOBILEVIT_BEST, _MOBILEVIT_PRETRAIN, _MOBILEVIT_FINETUNE, _MOBILEVIT_QUANTIZATION_AWARE),
    ),
    *(
        ModelEntry(
            f"mobilevit_paper_{size}",
            f"MobileViT-{size.upper()} of the paper; attention per position inside 2×2 patches, for larger images",
            ImageSpec(256, 256, resize="center_crop"), 32, _MOBILEVIT_RECIPE, _mobilevit_paper(size),
            (_MOBILEVIT_BEST, _MOBILEVIT_PRETRAIN, _MOBILEVIT_FINETUNE, _MOBILEVIT_QUANTIZATION_AWARE),
        )
        for size in ("xxs", "xs", "s")
    ),
    ModelEntry(
        "mobilevitv2_050",
        "MobileViTv2 at half width; separable attention, whose cost grows with the image's area alone",
        ImageSpec(256, 256, resize="center_crop"), 64, _MOBILEVIT_RECIPE, _mobilevitv2(0.5),
        (_MOBILEVITV2_BEST, _MOBILEVITV2_FINETUNE),
    ),
    ModelEntry(
        "repvit_m0_9",
        "RepViT-M0.9; convolutions alone, whose training branches are merged in the exported files",
        ImageSpec(224, 224, resize="center_crop"), 32, _REPVIT_RECIPE, _repvit_m0_9,
        (_REPVIT_BEST, _REPVIT_FINETUNE),
    ),
    ModelEntry(
        "eanet",
        "EANet as the Keras example writes it; external attention",
        _EANET_IMAGE, 2, _EANET_RECIPE, _eanet("external"),
        (_EANET_BEST, _EANET_FINETUNE, _EANET_QUANTIZATION_AWARE), batch_norm=False,
    ),
    ModelEntry(
        "eanet_self_attention",
        "EANet's frame with ordinary multi-head self-attention",
        _EANET_IMAGE, 2, _EANET_RECIPE, _eanet("self"),
        (_EANET_BEST, _EANET_FINETUNE, _EANET_QUANTIZATION_AWARE), batch_norm=False,
    ),
)  # fmt: skip

CATALOGUE = {entry.name: entry for entry in _ENTRIES}


def find(name: str) -> ModelEntry:
    """The model of that name. Raises UnknownNameError, which lists the known ones."""
    if name not in CATALOGUE:
        raise UnknownNameError("model", name, CATALOGUE)
    return CATALOGUE[name]
