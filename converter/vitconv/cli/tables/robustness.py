"""`vitconv verify --robustness`: what is left of the accuracy on bad pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitconv.cli.tables.layout import table, wrapped

if TYPE_CHECKING:
    from vitconv.robustness.measuring import Robustness


def robustness_tables(result: Robustness, width: int) -> str:
    """By strength over all corruptions, then by corruption over all strengths, then each file's verdict."""
    from vitconv.robustness.corruptions import CORRUPTIONS, STRENGTHS

    answering = [("Keras", result.reference), *((file.scheme, file) for file in result.files)]
    agreements = ["", *(f"{file.mean_agreement:.2%}" for file in result.files)]
    by_strength = [
        (
            name,
            *(f"{one.at(strength):.1%}" for strength in (0, *STRENGTHS)),
            f"{one.mean_top1:.2%}",
            agreement,
        )
        for (name, one), agreement in zip(answering, agreements, strict=True)
    ]
    header = ("scheme", "clean", *(f"strength {strength}" for strength in STRENGTHS), "mean", "agreement")
    images = f"{result.examples} images, each made worse in {len(CORRUPTIONS)} ways at {len(STRENGTHS)} strengths"
    lines = [wrapped(f"Top-1 on bad pictures: {images}", width, "    "), table(header, by_strength, width), ""]
    by_corruption = [
        (kind.title, *(f"{sum(one.top1[kind.name]) / len(STRENGTHS):.1%}" for _, one in answering))
        for kind in CORRUPTIONS
    ]
    lines += [table(("mean of all strengths", *(name for name, _ in answering)), by_corruption, width), ""]
    lines += [wrapped(file.sentence, width, "    ") for file in result.files]
    return "\n".join(lines)
