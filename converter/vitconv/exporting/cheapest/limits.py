"""A limit that a user names in the place of a scheme, and the trace of the search for the cheapest file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import msgspec

from vitconv.conversion.schemes import SCHEMES, Limits, Scheme
from vitconv.foundation import documents
from vitconv.foundation.configs import check_types
from vitconv.foundation.errors import InputError, UnknownNameError
from vitconv.foundation.judgement import judge_agreement, judge_lost

Cheapest = Literal["fastest", "smallest"]
"""What the cheapest file is: the one with the fewest instructions on arm64, or the one with the fewest bytes."""

Outcome = Literal["kept", "broken", "unsure", "dearer", "skipped", "unfit"]
"""Of a file that was tried: it keeps the limit; it breaks it; so many images cannot tell; it was not judged, since
a cheaper one keeps the limit; nor this, since a cheaper one with less error does not; it cannot be made."""
OUTCOMES: dict[Outcome, str] = {
    "kept": "keeps the limit",
    "broken": "breaks it",
    "unsure": "cannot tell",
    "dearer": "dearer",
    "skipped": "passed over",
    "unfit": "cannot be made",
}  # in words

# Per cent: what a file must agree on where a user names lost points alone. A file of a network that is hardly
# better than chance loses nothing even if its answers are noise.
LEAST_AGREEMENT = 90.0

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]


@dataclass(frozen=True)
class AccuracyLimit:
    """What a file may lose. max_drop: points of top-1. min_agreement: per cent of images on which file and Keras
    must name the same class. cheapest: which of the files that keep both is wanted."""

    max_drop: Percent
    min_agreement: Percent = LEAST_AGREEMENT
    cheapest: Cheapest = "fastest"

    def __post_init__(self) -> None:
        check_types(self)
        if not 0 <= self.max_drop <= 100:
            raise InputError(f"--max-drop must be between 0 and 100 percentage points, not {self.max_drop:g}.")
        if not 0 <= self.min_agreement <= 100:
            raise InputError(f"--min-agreement must be between 0 and 100 percent, not {self.min_agreement:g}.")
        if self.cheapest not in get_args(Cheapest):
            raise UnknownNameError("kind of cheapest file", self.cheapest, get_args(Cheapest))

    @property
    def words(self) -> str:
        """ "at most 0.5 points of top-1 lost, and Keras's class on at least 90 %"."""
        return (
            f"at most {self.max_drop:g} points of top-1 lost, and Keras's class on at least "
            f"{self.min_agreement:g} %"
        )

    def of_scheme(self, scheme: Scheme, labelled: bool) -> Limits:
        """What `verify` judges the file by. Nothing is rounded in float32, whose own limits stay. Without classes
        agreement stands in: who agrees on 99 % of the images cannot lose more than a point."""
        if scheme.exact:
            return scheme.limits
        return Limits(self.max_drop, self._least(labelled))

    def judge(self, images: int, lost: int, gained: int, agreeing: int, labelled: bool) -> Shown:
        """Of so many images, Keras alone is right on `lost` and the file alone on `gained`, and both name the same
        class on `agreeing`. Without classes the first two mean nothing."""
        same = judge_agreement(agreeing, images, self._least(labelled))
        if not labelled:
            return Shown(same.shown, agreeing / images, same.interval)
        fewer = judge_lost(lost, gained, images, self.max_drop / 100)
        both = {fewer.shown, same.shown}
        return Shown(
            "broken" if "broken" in both else "unsure" if "unsure" in both else "kept",
            agreeing / images,
            same.interval,
            100 * (lost - gained) / images,
            (100 * fewer.interval[0], 100 * fewer.interval[1]),
        )

    def _least(self, labelled: bool) -> float:
        least = self.min_agreement / 100
        return least if labelled else max(least, 1 - self.max_drop / 100)


@dataclass(frozen=True)
class Shown:
    """What images show of a file. agreement: a fraction. top1_drop: points, None without classes. The intervals
    hold the true figure, of all such images, in 95 % of cases."""

    outcome: Literal["kept", "broken", "unsure"]
    agreement: Share
    agreement_interval: tuple[Share, Share]
    top1_drop: float | None = None
    top1_drop_interval: tuple[float, float] | None = None

    @property
    def lost(self) -> str:
        """ "+0.20 (-0.10 to 0.50)", in points; "" without classes."""
        if self.top1_drop is None or self.top1_drop_interval is None:
            return ""
        low, high = self.top1_drop_interval
        return f"{self.top1_drop:+.2f} ({low:.2f} to {high:.2f})"

    @property
    def agreeing(self) -> str:
        """ "97.00% (95.30 to 98.20)" """
        low, high = self.agreement_interval
        return f"{self.agreement:.2%} ({100 * low:.2f} to {100 * high:.2f})"


@dataclass(frozen=True)
class Tried:
    """A file of a search. float_units: so many units of `sensitivity` stay float in it. instructions: of one image
    on arm64, estimated. error: mean squared error of log(p₁ / p₂), in nats², on the images that Keras is least
    sure of; None where it was not asked. asked: for so many answers. shown: where it was judged. why: more of the
    outcome, "" where there is none."""

    name: str
    scheme: str
    float_units: Count
    bytes: Count
    instructions: Annotated[float, msgspec.Meta(ge=0)]
    error: Annotated[float, msgspec.Meta(ge=0)] | None
    asked: Count
    outcome: Outcome
    shown: Shown | None = None
    why: str = ""

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise ValueError(f"unknown scheme {self.scheme!r}")


@dataclass(frozen=True)
class Search:
    """The search that found a file. sources: the splits of its `images`, in words. labelled: whether they have
    classes. tried: the cheapest first. chosen: the name of the one that was exported."""

    limit: AccuracyLimit
    images: Count
    sources: tuple[str, ...]
    labelled: bool
    tried: tuple[Tried, ...]
    chosen: str

    def __post_init__(self) -> None:
        if self.chosen not in {one.name for one in self.tried}:
            raise ValueError(f"`chosen` is {self.chosen!r}, which was not tried")

    @property
    def found(self) -> Tried:
        """The file that was exported."""
        return next(one for one in self.tried if one.name == self.chosen)

    @property
    def sentence(self) -> str:
        """Which file was taken, and why."""
        found, where = self.found, f"{self.images} images of {' and '.join(self.sources)}"
        if found.shown is None:
            return (
                f"No file with fewer bits is shown to keep the limit ({self.limit.words}) on {where}, so float32 "
                "is given. It rounds nothing and loses nothing."
            )
        shown = found.shown
        kind = "with the fewest instructions" if self.limit.cheapest == "fastest" else "with the fewest bytes"
        drop = ""
        if shown.top1_drop is not None:
            drop = f" {'loses' if shown.top1_drop >= 0 else 'gains'} {abs(shown.top1_drop):.2f} points and"
        return (
            f"{found.name} is the file {kind} that keeps the limit ({self.limit.words}): on {where} it{drop} "
            f"agrees with Keras on {shown.agreement:.2%}."
        )

    def to_json(self) -> dict[str, Any]:
        """As the manifest keeps it."""
        return dict(documents.to_json(self))
