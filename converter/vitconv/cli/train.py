"""`vitconv train`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vitconv.cli.tables.layout import wrapped
from vitconv.cli.terminal import completion
from vitconv.cli.terminal.console import draws_bars, print_result
from vitconv.cli.terminal.options import DATASET_HELP, PATH, common_options, dataset_option
from vitconv.cli.terminal.progress import tensorflow_progress
from vitconv.data.cuts import CUTS
from vitconv.models.precisions import PRECISIONS
from vitconv.training.distributed.distribution import STRATEGIES

if TYPE_CHECKING:
    from vitconv.training.train import TrainResult


@click.command()
@click.argument("model", shell_complete=completion.models)
@dataset_option(required=True, help=DATASET_HELP)
@click.option("--out", type=PATH, required=True, help="The checkpoint folder to make.")
@click.option("--image-size", metavar="SIZE", help="Pixels of a side, or HEIGHTxWIDTH. Default: the model's own.")
@click.option("--epochs", type=int, help="Passes over the training images. Default: the recipe's.")
@click.option(
    "--epoch-images", type=int, metavar="N", help="Let N images make an epoch. Default: all training images."
)
@click.option("--batch-size", type=int, help="Images in a step, of all replicas together. Default: the recipe's.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the images' order, augmentation and first weights.",
)
@click.option(
    "--recipe",
    shell_complete=completion.recipes,
    help="A recipe of the model; `vitconv models --json` lists them. Default: article.",
)
@click.option(
    "--init",
    type=PATH,
    help="Begin with these weights: a checkpoint, timm's .safetensors file for mobilevit_paper_*, "
    "mobilevitv2_050 or repvit_m0_9, or the .weights.h5 or .keras file of a published example for "
    "mobilevit_xxs or eanet.",
)
@click.option(
    "--teacher",
    type=PATH,
    help="Learn from this classifier's answers, too: a checkpoint, or a .keras or float .tflite file, of the same "
    "classes.",
)
@click.option(
    "--learning-rate", type=float, help="The highest learning rate of the training. Default: the recipe's."
)
@click.option(
    "--cut",
    type=click.Choice(CUTS),
    help="How to divide pictures that come in no splits: train, validation and test (three-way) or without test "
    "(two-way), by their content; or as the article does, the last tenth of a tfds data set (article).",
)
@click.option(
    "--flip/--no-flip",
    default=None,
    help="Mirror half of the images, or none; else as the recipe says, where the classes survive it.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    help="What the layers compute in: bfloat16 is faster where the processor or GPU has it. Weights stay float32. "
    "Default: float32.",
)
@click.option("--balance", is_flag=True, help="Show as many images of every class, a rare one's several times.")
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="none",
    show_default=True,
    help="tf.distribute: mirrored over this machine's GPUs, or multi-worker over the processes of TF_CONFIG.",
)
@click.option("--resume", is_flag=True, help="Continue a stopped training after its last whole epoch.")
@common_options
def train(
    model: str,
    dataset: str,
    out: Path,
    image_size: str | None,
    epochs: int | None,
    epoch_images: int | None,
    batch_size: int | None,
    seed: int,
    recipe: str | None,
    init: Path | None,
    teacher: Path | None,
    learning_rate: float | None,
    cut: str | None,
    flip: bool | None,
    precision: str | None,
    balance: bool,
    strategy: str,
    resume: bool,
    as_json: bool,
) -> None:
    """Trains MODEL (see `vitconv models`) and keeps the best epoch by validation accuracy.

    With --strategy multi-worker the same command is started on every worker, each with its own TF_CONFIG; the
    chief, or else the first worker, keeps the checkpoint.
    """
    from vitconv.data.pictures.images import parse_size
    from vitconv.models import catalogue
    from vitconv.training.distributed.cluster import Cluster
    from vitconv.training.process import prepare_process
    from vitconv.training.train import TrainConfig
    from vitconv.training.train import train as run

    size = parse_size(image_size) if image_size is not None else None
    config = TrainConfig(
        model, dataset, out, size, epochs, batch_size, seed, resume, recipe, init, strategy, cut, flip, balance,
        learning_rate, epoch_images, precision, teacher,
    )  # fmt: skip
    entry = catalogue.find(model)  # what is wrong is named before TensorFlow is loaded, which takes seconds
    entry.spec(size)
    config.recipe_of(entry)
    worker = Cluster.from_environment() if strategy == "multi-worker" else None
    # TensorFlow's faster kernels, which it leaves off where the processor has no AVX-512; a fifth less time there.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with tensorflow_progress() as progress, _fit_output():
        prepare_process(config)
        result = run(config, progress, verbose=1 if draws_bars(sys.stderr) else 2)
    place = str(out) if worker is None or worker.is_chief else f"{worker.name}, kept by the chief"
    print_result(as_json, result.to_json(), lambda width: result_text(result, place, width))


def result_text(result: TrainResult, place: str, width: int) -> str:
    """What was reached, of each class, on the test images, and whether every layer takes part."""
    from vitconv.checkpoints.answers import what_chose
    from vitconv.training.summary import table

    card = result.checkpoint.card
    results, evaluation = card.results, card.results.get("evaluation")
    text = (
        f"{place}: best epoch {results['epoch']} of {len(result.history)}, "
        f"validation accuracy {results['val_accuracy']:.2%}"
    )
    lines = [f"{text}, of each class:\n{table(result.classes)}" if result.classes else text]
    if evaluation:
        low, high = evaluation["top1_interval"]
        lines.append(
            wrapped(
                f"Accuracy to report: {evaluation['top1']:.2%} (95 % confidence: {low:.1%} to {high:.1%}) on "
                f"{evaluation['split']}, {evaluation['images']} images, {what_chose(evaluation['chose_epoch'])}.",
                width,
            )
        )
    if card.liveness is not None and not card.liveness.silent and (sentence := card.liveness.sentence()):
        lines.append(wrapped(sentence, width))
    return "\n".join(lines)


@contextmanager
def _fit_output() -> Iterator[None]:
    """Keras prints its progress bar to standard output, which is for the result: it goes to standard error."""
    saved = sys.stdout
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = saved
