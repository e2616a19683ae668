"""What is told of the weights that a training kept: measured when it is over, and written into their card."""

from __future__ import annotations

from dataclasses import replace

from vitconv.checkpoints import checkpoint as checkpoints
from vitconv.checkpoints import liveness
from vitconv.checkpoints.answers import Evaluation, keras_probabilities
from vitconv.checkpoints.checkpoint import Checkpoint
from vitconv.data.datasets import Split
from vitconv.foundation.disk.files import write_json
from vitconv.foundation.progress import Progress
from vitconv.training.summary import class_accuracies


def described(
    checkpoint: Checkpoint, validation: Split, reporting: Split, progress: Progress | None = None
) -> Checkpoint:
    """The checkpoint with each class's validation accuracy, its accuracy on the images of `reporting`, and which
    layers take part in the answers, in its card. What was measured of these weights before is not measured again:
    test images are looked at once.

    `reporting` is `validation` where there is no test split, and the card then says that these images chose the
    epoch.
    """
    card = checkpoint.card
    if not {"classes", "evaluation"} <= set(card.results):
        answers = keras_probabilities(checkpoint, validation.images, progress, "validating")
        classes = class_accuracies(card.labels, answers, validation)
        chose = reporting is validation
        if not chose:
            answers = keras_probabilities(checkpoint, reporting.images, progress, "testing")
        evaluation = Evaluation.of(reporting, answers, chose)
        results = {"classes": [one.to_json() for one in classes], "evaluation": evaluation.to_json()}
        card = replace(card, results={**card.results, **results})
    if card.liveness is None:
        card = replace(card, liveness=liveness.measure(checkpoint.load(), validation, progress))
    if card != checkpoint.card:
        write_json(checkpoint.path / checkpoints.CARD, card.to_json())
    return replace(checkpoint, card=card)
