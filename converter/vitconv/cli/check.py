"""`vitconv inspect`, `run` and `verify`: what a file holds, what it answers, and whether it is right."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vitconv.cli.tables.confidence import held_out_table
from vitconv.cli.tables.gpu import gpu_table, npu_lines, support_lines
from vitconv.cli.tables.layout import GAP, columns, padded, table, wrapped
from vitconv.cli.tables.robustness import robustness_tables
from vitconv.cli.terminal.console import keeping, print_result, warn
from vitconv.cli.terminal.options import PATH, code_option, common_options, dataset_option, images_option
from vitconv.cli.terminal.progress import ConsoleProgress, tensorflow_progress
from vitconv.foundation.text import visible

if TYPE_CHECKING:
    from vitconv.evaluation.layer_errors import LayerError
    from vitconv.evaluation.other_runtimes.android import AndroidVerification
    from vitconv.evaluation.verification import Verification
    from vitconv.runtimes.classification import Classification, Picture
    from vitconv.runtimes.npu import NpuAnswer
    from vitconv.tflite.inspection import Inspection


@click.command()
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@click.option("--npu", is_flag=True, help="Also ask the NPU compiler plugins that come with ai-edge-litert.")
@common_options
def inspect(files: tuple[Path, ...], npu: bool, as_json: bool) -> None:
    """Says what a .tflite FILE holds and which runtime can take it.

    With --json, one FILE gives one object, several give a list of them in the same order.
    """
    from vitconv.tflite.inspection import inspect as inspect_file

    results = [inspect_file(file) for file in files]
    document: Any = [result.to_json() for result in results]
    asked: list[tuple[NpuAnswer, ...]] = [()] * len(files)
    if npu:
        from vitconv.runtimes.npu import ask_npus

        asked = [ask_npus(file) for file in files]
        for one, answers in zip(document, asked, strict=True):
            one["npu"] = [answer.to_json() for answer in answers]
    print_result(
        as_json,
        document[0] if len(results) == 1 else document,
        lambda width: "\n\n".join(
            inspection_text(result, width, answers) for result, answers in zip(results, asked, strict=True)
        ),
    )


@click.command()
@click.argument("file", type=PATH)
@click.argument("images", nargs=-1, required=True, type=PATH, metavar="IMAGE...")
@click.option("--top", type=int, default=5, show_default=True, help="How many labels of each picture.")
@click.option(
    "--error-rate",
    type=float,
    metavar="PERCENT",
    help="Say 'none of these' where the file is too unsure: of the answers that it gives, at most so many may be "
    "wrong. For files of `export --confidence`.",
)
@common_options
def run(file: Path, images: tuple[Path, ...], top: int, error_rate: float | None, as_json: bool) -> None:
    """Classifies each IMAGE with a .tflite FILE that has an image classifier's metadata.

    The file may come from another tool. The picture's size, the resize rule, the pixels' range and the labels are
    read from it. A picture that cannot be read is named, with exit status 2, after the results of the others.
    """
    from vitconv.runtimes.classification import ClassifyConfig, classify

    config = ClassifyConfig(file, images, top, error_rate)
    with closing(ConsoleProgress()) as progress:
        result = classify(config, progress if len(images) > 1 else None)
    if as_json or len(result.problems) < len(images):
        print_result(as_json, result.to_json(), lambda width: classification_text(result, width))
    for message in (*result.notes, *result.problems):
        warn(message)
    if result.problems:
        sys.exit(2)


@click.command()
@click.argument("folder", type=PATH)
@dataset_option(help="Data set. Default: the one that the checkpoint was trained on.")
@click.option("--limit", type=int, metavar="N", help="Use only the first N images of the held-out split.")
@click.option(
    "--max-drop",
    type=float,
    help="Percentage points of top-1 that a file may lose. Default: its scheme's limit.",
)
@click.option("--checkpoint", type=PATH, help="The checkpoint, if it has moved since the export.")
@click.option("--layers", is_flag=True, help="Also show each layer's error against the float graph, worst first.")
@click.option(
    "--runtime",
    type=click.Choice(["litert", "android", "gpu"]),
    default="litert",
    show_default=True,
    help="android: also run the golden images through the library that Android apps ship "
    "(x86-64 Linux; Maven, gcc). gpu: also through LiteRT's GPU accelerator, on a graphics card or a software one "
    "(Linux; a Vulkan driver).",
)
@click.option(
    "--robustness",
    is_flag=True,
    help="Also answer bad pictures: noise, blur, fog, JPEG, camera shake and so on, 14 kinds at five strengths, "
    "made of 50 images or of --limit. Takes minutes.",
)
@images_option()
@code_option()
@common_options
def verify(
    folder: Path,
    dataset: str | None,
    limit: int | None,
    max_drop: float | None,
    checkpoint: Path | None,
    runtime: str,
    layers: bool,
    robustness: bool,
    images: Path | None,
    code: Path | None,
    as_json: bool,
) -> None:
    """Compares every file of an export FOLDER with Keras on held-out images; exit status 1 if one fails.

    A file fails if the images show that it breaks a limit. If they are too few to show that, or that it does not,
    verify says so, and how many would do.

    The result is also saved in FOLDER/results, for `vitconv report`.
    """
    from vitconv.evaluation import kept_results
    from vitconv.evaluation.verification import VerifyConfig
    from vitconv.evaluation.verification import verify as verify_export
    from vitconv.exporting import manifest
    from vitconv.runtimes.gpu.probe import find_driver

    config = VerifyConfig(
        folder,
        dataset,
        limit,
        max_drop,
        checkpoint,
        android=runtime == "android",
        layers=layers,
        gpu=runtime == "gpu",
        images=images,
        code=code,
        robustness=robustness,
    )
    manifest.read(folder)  # before TensorFlow is loaded
    if config.gpu:
        find_driver()  # what is missing is said now
    with tensorflow_progress() as progress:
        result = verify_export(config, progress)
    keeping(lambda: kept_results.keep_verification(config, result))
    print_result(as_json, result.to_json(), lambda width: verification_table(result, width))
    if as_json and result.doubtful:
        warn(doubtful_sentence(result))
    if not result.passed:
        sys.exit(1)


def inspection_text(file: Inspection, width: int, npus: tuple[NpuAnswer, ...] = ()) -> str:
    """`vitconv inspect`, one file."""
    lines = [f"{file.path}  {file.bytes / 1e6:.2f} MB  sha256 {file.sha256[:16]}…"]
    for what, tensors in (("input", file.inputs), ("output", file.outputs)):
        for tensor in tensors:
            shape = "×".join(map(str, tensor.shape))
            quantized = (
                f", scale {tensor.scale:.6g}, zero point {tensor.zero_point}" if tensor.scale is not None else ""
            )
            lines.append(f"  {what}: {tensor.name} {tensor.dtype} {shape}{quantized}")
    lines.append(
        f"  {file.op_count} ops, tensors of up to {file.max_rank} dimensions, needs TFLite {file.runtime_needed}"
    )
    counts = sorted(file.ops.items(), key=lambda item: -item[1]["count"])
    lines.append("  " + ", ".join(f"{info['count']} {name} v{info['version']}" for name, info in counts))
    if file.metadata:
        lines.append(f"  metadata: {file.metadata['name']}, {len(file.metadata['labels'])} labels")
    lines.extend(f"  {line}" for line in (*support_lines(file.gpu), *npu_lines(npus)))
    lines.extend(f"  problem: {problem}" for problem in file.problems)
    return "\n".join(wrapped(line, width, "    ") for line in lines)


def classification_text(result: Classification, width: int) -> str:
    """`vitconv run`: the labels of each picture with bars, as long as the score is large."""
    blocks = [_picture_text(picture, width) for picture in result.pictures if picture.problem is None]
    return "\n\n".join(blocks)


def _picture_text(picture: Picture, width: int, longest_bar: int = 40) -> str:
    probabilities = all(-0.01 <= guess.score <= 1.01 for guess in picture.labels)
    scores = [f"{guess.score:.1%}" if probabilities else f"{guess.score:.4g}" for guess in picture.labels]
    numbers = max(map(len, scores))
    labels = padded([visible(guess.label) for guess in picture.labels])
    room = width - columns(labels[0]) - numbers - 3 * len(GAP)
    bar = min(longest_bar, room) if probabilities else 0
    lines = [f"{picture.path}{': none of these' if picture.none_of_these else ''}"]
    for guess, label, score in zip(picture.labels, labels, scores, strict=True):
        line = f"{GAP}{label}{GAP}{score.rjust(numbers)}"
        # Where names leave no room for bars worth looking at, there are none.
        if bar >= 8:
            line += f"{GAP}{'#' * round(bar * min(max(guess.score, 0.0), 1.0))}"
        fits = columns(line) <= width
        lines.append(line.rstrip() if fits else wrapped(f"{guess.label} {score}", width, "    "))
    return "\n".join(lines)


def verification_table(result: Verification, width: int) -> str:
    """`vitconv verify`: accuracy and parity, and what failed."""
    from vitconv.checkpoints.answers import what_chose
    from vitconv.evaluation.parity import VERDICTS

    reference = result.reference
    rows = [("Keras", "", f"{reference.top1:.2%}", f"{reference.top5:.2%}", "", "", "", "")]
    for file in result.files:
        psnr = "∞" if file.psnr_db is None else f"{file.psnr_db:.1f}"
        rows.append((
            file.scheme, VERDICTS[file.verdict] if file.passed else "FAILED", f"{file.top1:.2%}",
            f"{file.top5:.2%}", f"{file.top1_drop:+.2f}", f"{file.agreement:.2%}",
            f"{file.max_abs_error:.1e}", psnr,
        ))  # fmt: skip
    header = ("scheme", "", "top-1", "top-5", "lost", "agreement", "max error", "PSNR dB")
    what = (
        what_chose(result.chose_epoch) if result.labelled else "without classes: Keras's own answers are the truth"
    )
    images = f"{result.dataset}, {result.examples} images, {what}"
    lines = [wrapped(images, width, "    "), table(header, rows, width)]
    lines += [
        wrapped(f"{file.path} {'; '.join(file.reasons)}.", width, "    ")
        for file in result.files
        if not file.passed
    ]
    for file in result.doubtful:
        doubts = "; nor whether it ".join(file.doubts)
        lines.append(wrapped(f"{file.scheme}: cannot tell whether it {doubts}.", width, "    "))
    if result.doubtful:
        lines.append(wrapped(doubtful_sentence(result), width, "    "))
    lines += [wrapped(f"{problem}. Export again.", width, "    ") for problem in result.folder_problems]
    for file in result.files:
        if file.layers is not None:
            lines += ["", layers_table(file.path, file.layers, width)]
    if result.android:
        lines += ["", _android_table(result.android, width)]
    if result.gpu:
        lines += ["", gpu_table(result.gpu, width)]
    if result.confidence:
        lines += ["", held_out_table(result.confidence, width)]
    if result.robustness:
        lines += ["", robustness_tables(result.robustness, width)]
    return "\n".join(lines)


def doubtful_sentence(result: Verification) -> str:
    """What to do where images are too few."""
    names = ", ".join(file.scheme for file in result.doubtful)
    known = [file.enough for file in result.doubtful if file.enough]
    more = f" Use at least {max(known)} held-out images." if known else ""
    return f"CANNOT TELL with {result.examples} images: {names}. Not failed, and not shown to be right.{more}"


def _android_table(result: AndroidVerification, width: int) -> str:
    rows = []
    for check in result.checks:
        error = "" if check.max_abs_error is None else f"{check.max_abs_error:.1e}"
        rows.append((
            check.scheme, check.abi, "XNNPACK" if check.xnnpack else "",
            "passed" if check.passed else "FAILED", error,
            "" if check.max_steps is None else str(check.max_steps),
            "" if check.nodes is None else f"{check.delegated_nodes}/{check.nodes}",
            "" if check.partitions is None else str(check.partitions),
        ))  # fmt: skip
    header = ("scheme", "ABI", "delegate", "", "max error", "steps", "delegated", "partitions")
    lines = ["Android's own runtime, golden images", table(header, rows, width)]
    for check in result.checks:
        where = f"{check.path} on {check.abi} {'with' if check.xnnpack else 'without'} XNNPACK"
        lines += [wrapped(f"{where}: {reason}.", width, "    ") for reason in check.reasons]
    lines += [wrapped(f"{abi} was skipped: {why}", width, "    ") for abi, why in result.skipped.items()]
    return "\n".join(lines)


def layers_table(path: str, layers: Sequence[LayerError], width: int, most: int = 12) -> str:
    """`vitconv verify --layers`: the layers of one file that are furthest from the float graph."""
    rows = []
    for layer in layers[:most]:
        rms = "" if layer.rms_steps is None else f"{layer.rms_steps:.2f}"
        largest = "" if layer.max_steps is None else f"{layer.max_steps:.0f}"
        snr, lost = f"{layer.snr_db:.1f}", "" if layer.lost_db is None else f"{layer.lost_db:.1f}"
        cost = "" if layer.instructions is None else f"{layer.instructions / 1e6:.2f}"
        rows.append((layer.layer, layer.operator, snr, lost, rms, largest, cost))
    header = ("layer", "operator", "SNR dB", "lost there", "rms error in steps", "largest", "arm64 M (estimated)")
    more = f"\n({len(layers) - most} better ones; --json has all)" if len(layers) > most else ""
    return f"{path}\n{table(header, rows, width)}{more}"
