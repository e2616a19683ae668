"""Why models say what they say about one picture, laid side by side and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitconv.explanation.attention import AttentionMap, as_document, attention_maps
from vitconv.explanation.drawing import Panel, attention_scaled, row_of_panels, scaled
from vitconv.explanation.occlusion import Occlusion, occlusion, rank_correlation
from vitconv.explanation.subjects import Subject
from vitconv.foundation.progress import Progress


@dataclass(frozen=True, eq=False)
class Reason:
    """One subject's first answer, and what its probability of the class that is asked about rests on. alike: rank
    correlation of its map with the first subject's; None for that one itself."""

    by: str
    answer: str
    answer_probability: float
    occlusion: Occlusion
    alike: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "by": self.by,
            "answer": self.answer,
            "answer_probability": self.answer_probability,
            "probability": self.occlusion.probability,
            "drops": np.round(self.occlusion.drops, 6).tolist(),
            "rank_correlation": self.alike,
        }


@dataclass(frozen=True, eq=False)
class Explanation:
    """Of one picture: each subject's reason for the same class `label`, and what the first looks at where it is a
    network of ours. picture: uint8 [H, W, 3] as they take it."""

    label: str
    reasons: tuple[Reason, ...]
    attention: tuple[AttentionMap, ...]
    picture: NDArray[np.uint8]

    @property
    def largest(self) -> float:
        """The largest drop or rise of any subject, by which all maps are scaled, so that they can be compared."""
        return max(float(np.abs(reason.occlusion.spread).max()) for reason in self.reasons)

    def drawn(self) -> bytes:
        """A PNG file: the picture, the subjects' occlusion maps, and the attention maps."""
        first = self.reasons[0]
        panels = [Panel((f"{first.answer}, {first.answer_probability:.1%}", f"says {first.by}"))]
        for reason in self.reasons:
            drops = reason.occlusion.drops
            alike = "" if reason.alike is None else f"rank correlation with {first.by}: {reason.alike:.2f}"
            words = (
                f"why {self.label}, {reason.occlusion.probability:.1%}",
                f"of {reason.by}",
                f"covered, it loses up to {100 * max(drops.max(), 0):.1f} points",
                alike,
            )
            panels.append(Panel(words, scaled(reason.occlusion.spread, self.largest)))
        panels += [Panel((f"attention: {one.name}",), attention_scaled(one.values)) for one in self.attention]
        return row_of_panels(self.picture, panels)

    def to_json(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "reasons": [reason.to_json() for reason in self.reasons],
            "attention": as_document(self.attention),
        }


def explain_pixels(
    subjects: Sequence[Subject],
    picture: NDArray[np.uint8],
    asked: int | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """subjects: one or more, of the same classes and image. picture: uint8 [H, W, 3] as they take it. asked: the
    index of the class to ask about; None: the first subject's first answer."""
    answers = [np.nan_to_num(subject.answer(picture[np.newaxis])[0].astype(np.float64)) for subject in subjects]
    index = int(answers[0].argmax()) if asked is None else asked
    maps = [
        occlusion(subject.answer, picture, index, progress, f"covering parts for {subject.name}")
        for subject in subjects
    ]
    labels = subjects[0].labels
    reasons = tuple(
        Reason(
            subject.name,
            labels[int(given.argmax())],
            float(given.max()),
            found,
            None if found is maps[0] else rank_correlation(maps[0], found),
        )
        for subject, given, found in zip(subjects, answers, maps, strict=True)
    )
    network = subjects[0].network
    attention = () if network is None else attention_maps(network, picture)
    return Explanation(labels[index], reasons, attention, picture)
