"""Which file of an export to ship, in a sentence with its reason, and what to be careful of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from vitconv.conversion import schemes
from vitconv.evaluation.layer_errors import LayerLoss, losses
from vitconv.exporting.classes import never_trained
from vitconv.reporting.advice.chance import Chance, chance
from vitconv.reporting.advice.gpu_choice import GpuChoice, gpu_choice
from vitconv.reporting.advice.yardstick import AS_CHEAP, Yardstick, arm64_beside_float32, disagreements, yardstick
from vitconv.reporting.findings import Export, ModelFile, Reference, some
from vitconv.tflite.runtime_versions import ANDROID_RELEASE, release_name

# Half the width of a confidence interval, in points, above which more images are worth their time.
_FEW_POINTS = 2.0
_NO_LOSS_DB = 3.0  # half of the signal's power; every sound int8 file has layers that lose so much


@dataclass(frozen=True)
class Recommendation:
    """verdict: "ship" a file; "none" of them may be shipped; "unknown" where too little was measured. `file` is
    None but for "ship". `gpu`: the file for GPUs."""

    verdict: Literal["ship", "none", "unknown"]
    file: str | None
    sentence: str
    reason: str
    warnings: tuple[str, ...]
    gpu: GpuChoice | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "warnings": list(self.warnings)}


def recommend(export: Export) -> Recommendation:
    """Which file to ship, and, unless none may be shipped, which one for GPUs."""
    found = _recommend(export)
    return found if found.verdict == "none" else replace(found, gpu=gpu_choice(export))


def _recommend(export: Export) -> Recommendation:
    """Of the files that `verify` passed and Android's runtime takes: the cheapest by `yardstick`, on a phone, by
    instructions on arm64, or on this machine; of those within 5 % of it the smallest. None where the network's
    accuracy cannot be told from guessing, or where labels or golden images are not those of the export."""
    warnings = tuple(_warnings(export))
    if export.changed:
        changed = "; ".join(export.changed)
        reason = f"What an app would take from it is not as it was exported: {changed}. Export again."
        return Recommendation("none", None, "Ship nothing from this folder.", reason, warnings)
    if export.reference is None or not any(file.verified for file in export.files):
        return Recommendation(
            "unknown",
            None,
            "No file can be recommended yet.",
            f"Their accuracy was not measured. Run `vitconv verify {export.name} --layers`.",
            warnings,
        )
    guessing = chance(export, export.reference)
    if guessing.reaches(export.reference):
        reason = f"{guessing.sentence('Keras itself', export.reference)} {_learn_more(export, export.reference)}"
        return Recommendation("none", None, "Ship none of these files.", reason, warnings)
    fit = [file for file in export.files if _is_fit(file, guessing)]
    if not fit:
        return Recommendation(
            "none",
            None,
            "Ship none of these files.",
            " ".join(_failures(export, guessing)) or "None can be used.",
            warnings,
        )
    measure = yardstick(fit)
    known = [file for file in fit if file.path in measure.costs]
    cheapest = min((measure.costs[file.path] for file in known), default=math.inf)
    close = [file for file in known if measure.costs[file.path] <= AS_CHEAP * cheapest] or fit
    chosen = min(close, key=lambda file: (file.bytes, file.path))
    reason = _reason(export, chosen, fit, close, measure)
    warnings += (*_of_instructions(export.name, measure), *disagreements(fit))
    return Recommendation("ship", chosen.path, f"Ship {chosen.path}.", reason, warnings)


def _is_fit(file: ModelFile, guessing: Chance) -> bool:
    verified = file.verified
    return bool(verified and verified.passed and not guessing.reaches(verified) and not obstacle(file))


def _learn_more(export: Export, reference: Reference) -> str:
    if reference.limit is not None and reference.examples <= reference.limit:
        return f"Verify on more images: `vitconv verify {export.name}` without --limit."
    return "Look at the classes below and at the training's curves; train longer, on more images, or with --init."


def obstacle(file: ModelFile) -> str | None:
    """Why a file cannot be shipped whatever its accuracy."""
    if file.problem or file.inspection is None:
        return file.problem or "it cannot be read."
    if file.inspection.flex_ops:
        return f"it needs TensorFlow's own operators: {', '.join(file.inspection.flex_ops)}."
    if not file.inspection.loads_on(ANDROID_RELEASE):
        newest = release_name(ANDROID_RELEASE)
        return f"it needs TFLite {file.inspection.runtime_needed}; Android's newest is {newest}."
    return None


def broken_layers(file: ModelFile) -> tuple[LayerLoss, ...]:
    """The layers that do what quantization alone does not, the worst first."""
    return tuple(loss for loss in losses(file.verified.layers) if loss.broken) if file.verified else ()


def culprit_sentence(file: ModelFile) -> str | None:
    """Which layer a file's error comes from; None where layers were not compared."""
    if file.verified is None or not file.verified.layers:
        return None
    broken = broken_layers(file)
    if broken:
        first = broken[0]
        others = f" Also: {', '.join(loss.layer.layer for loss in broken[1:4])}." if len(broken) > 1 else ""
        return (
            f"{first.layer.layer} breaks {file.path}: the signal-to-noise ratio of its input is "
            f"{_db(first.before_db)}, that of its output only {first.layer.snr_db:.1f} dB "
            f"({first.layer.operator}).{others}"
        )
    first = losses(file.verified.layers)[0]
    if first.lasting_db < _NO_LOSS_DB:
        return (
            f"No layer of {file.path} is broken. None loses more than {_NO_LOSS_DB:g} dB that the next layer does "
            "not regain."
        )
    return (
        f"No layer of {file.path} is broken. Most is lost in {first.layer.layer}: the signal-to-noise ratio of "
        f"its input is {_db(first.before_db)}, and {first.after_db:.1f} dB are left behind it."
    )


def _db(value: float) -> str:
    return "200 dB or more" if value >= 200 else f"{value:.1f} dB"


def _of_instructions(name: str, measure: Yardstick) -> Iterator[str]:
    if measure.kind == "arm64":
        yield (
            f"The files are ranked by their instructions on arm64-v8a ({measure.cpu}), in the library that apps "
            f"ship. Instructions are not milliseconds. Run `vitconv benchmark {name} --device` on a phone."
        )


def _reason(
    export: Export, chosen: ModelFile, fit: list[ModelFile], close: list[ModelFile], measure: Yardstick
) -> str:
    assert chosen.verified
    assert export.reference
    parts = [
        f"It gives Keras's answer on {chosen.verified.agreement:.1%} of {export.reference.examples} images and "
        f"{_lost(chosen.verified.top1_drop)}"
    ]
    sure = all(file.verified and file.verified.verdict == "passed" for file in fit)
    passed = "passed" if sure else "did not fail"
    on_phone, alone = measure.kind == "phone", len(close) == 1
    best = chosen.phone if on_phone else chosen.desktop
    size = f"{chosen.bytes / 1e6:.2f} MB"
    if measure.kind == "arm64":
        rank = "the one with the fewest instructions of" if alone else "the smallest of those with the fewest of"
        cost = f"{measure.costs[chosen.path] / 1e6:.1f} million on arm64-v8a ({measure.cpu}) and {size}"
    elif best:
        where = f"on {best.place} ({best.setting})" if on_phone else "on this desktop"
        rank = "the fastest of" if alone else "the smallest of those as fast as the fastest of"
        cost = f"{best.ms:.2f} ms {where} and {size}"
    else:
        rank, cost = "the smallest of", size
    whole = f"{rank} the {len(fit)} that {passed}" if len(fit) > 1 else f"the only one that {passed}"
    parts.append(f"it is {whole}: {cost}")
    if beside := arm64_beside_float32(export, chosen):
        parts.append(beside)
    base = export.exact
    if base and base is not chosen and base.bytes:
        parts.append(f"float32 has {base.bytes / 1e6:.2f} MB{_beside(base, chosen, measure)}")
    return "; ".join(parts) + "."


def _lost(points: float) -> str:
    if abs(points) < 0.005:
        return "loses no accuracy"
    return f"{'loses' if points > 0 else 'gains'} {abs(points):.2f} points of top-1"


def _beside(base: ModelFile, chosen: ModelFile, measure: Yardstick) -> str:
    pair = (base.phone, chosen.phone) if measure.kind == "phone" else (base.desktop, chosen.desktop)
    if not (pair[0] and pair[1]):
        return ""
    if measure.kind == "arm64":
        return f"; on this desktop this file takes {pair[1].ms:.2f} ms, float32 {pair[0].ms:.2f} ms"
    return f" and takes {pair[0].ms:.2f} ms there"


def _failures(export: Export, guessing: Chance) -> Iterator[str]:
    for file in export.files:
        why = obstacle(file)
        if why:
            yield f"{file.path}: {why}"
        elif file.verified and not file.verified.passed:
            yield f"{file.path} {'; '.join(file.verified.reasons)}."
        elif file.verified and guessing.reaches(file.verified):
            yield guessing.sentence(file.path, file.verified)


def _warnings(export: Export) -> Iterator[str]:
    yield from export.notes
    if unknown := never_trained(export.classes or ()):
        them = "it" if len(unknown) == 1 else "them"
        yield f"Training had no picture of {some(unknown)}: no file can name {them}."
    reference = export.reference
    for file in export.files:
        if broken_layers(file):
            yield str(culprit_sentence(file))
    unverified = [file.path for file in export.files if not file.verified and not file.problem]
    if reference and unverified:
        yield f"Not verified: {', '.join(unverified)}. Run `vitconv verify {export.name} --layers`."
    for file in export.files:
        if file.problem:
            yield f"{file.path}: {file.problem}"
    if reference:
        half = 50 * (reference.top1_interval[1] - reference.top1_interval[0])
        if half > _FEW_POINTS:
            more = " Verify without --limit." if reference.limit is not None else ""
            yield (
                f"Accuracy was measured on {reference.examples} images, so it is known only to ±{half:.1f} "
                f"points.{more}"
            )
        doubtful = [file.scheme for file in export.files if file.verified and file.verified.verdict == "unsure"]
        if doubtful:
            yield (
                f"{reference.examples} images cannot tell whether {', '.join(doubtful)} keep "
                f"{'their limits' if len(doubtful) > 1 else 'its limits'}; the table below says how many would."
            )
        if reference.max_drop is not None:
            yield (
                f"verify ran with --max-drop {reference.max_drop:g}, so 'passed' refers to that limit and not to "
                f"the schemes' own ({_own_limits(export)})."
            )
    if not any(file.desktop or file.phones or file.android for file in export.files):
        yield f"No times were measured. Run `vitconv benchmark {export.name}`, and with --device on a phone."
    elif not any(file.phones or file.android for file in export.files):
        yield (
            "Times are this desktop's. A phone may rank the files differently. Run "
            f"`vitconv benchmark {export.name} --device`, or `--runtime android` without one."
        )


def _own_limits(export: Export) -> str:
    return ", ".join(f"{file.scheme} {schemes.find(file.scheme).limits.max_drop:g}" for file in export.files)
