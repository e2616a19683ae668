"""The sections of a page that explain: classes, images, calibration, training, graphs, versions and digests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vitconv.evaluation.evidence import Answer, Disagreement
from vitconv.quantization.ranges import TensorRange
from vitconv.reporting import charts
from vitconv.reporting.findings import Export, ModelFile
from vitconv.reporting.parts import (
    Html,
    bar,
    details,
    digest,
    exact,
    figure,
    join,
    long_table,
    paragraph,
    picture,
    section,
    table,
    tag,
)
from vitconv.tflite.layer_names import layer_of

_WHOLE_MATRIX = 12  # classes, up to which the matrix is shown with its numbers
_MISTAKES = 12  # that are listed
_MUCH_KEPT = 0.9  # of the span that was seen


def classes(export: Export, missing: dict[str, str]) -> Html:
    title = "Classes"
    file, reference = export.subject(), export.reference
    if file is None or file.verified is None or file.verified.confusion is None or reference is None:
        return section("classes", title, paragraph(missing.get("classes", ""), "missing"))
    mine, keras = file.verified.confusion, reference.confusion
    totals = mine.sum(axis=1) if keras is None else keras.sum(axis=1)
    lost = (np.zeros_like(totals) if keras is None else np.diag(keras)) - np.diag(mine)
    order = [int(i) for i in np.lexsort((np.arange(len(totals)), np.diag(mine) / np.maximum(totals, 1), -lost))]
    order = [index for index in order if totals[index]]
    header = ("class", "images", "Keras", file.scheme, "", "images lost")
    rows = [_class_row(export, index, int(totals[index]), mine, keras) for index in order]
    note = f"Right answers of {file.path} and of Keras; the classes that lose most first."
    content = (long_table(header, rows, "more classes"), _matrix(export, file, mine))
    return section("classes", title, paragraph(note, "note"), *content)


def _class_row(
    export: Export, index: int, images: int, mine: np.ndarray, keras: np.ndarray | None
) -> Sequence[str]:
    right = int(mine[index, index])
    before = None if keras is None else int(keras[index, index])
    return (
        exact(export.label(index)),
        str(images),
        "" if before is None else f"{before / images:.0%}",
        f"{right / images:.0%}",
        bar(right / images, label=f"{right / images:.0%} right"),
        "" if before is None else f"{before - right:+d}",
    )


def _matrix(export: Export, file: ModelFile, counts: np.ndarray) -> Html:
    rows = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    off = counts - np.diag(np.diag(counts))
    pairs = [divmod(int(place), len(counts)) for place in np.argsort(-off, axis=None, kind="stable")[:_MISTAKES]]
    taken = [
        (exact(export.label(right)), exact(export.label(given)), str(off[right, given]))
        for right, given in pairs
        if off[right, given]
    ]
    listed = table(("right class", "taken for", "images"), taken, "compact") if taken else paragraph("No mistake.")
    if len(counts) > _WHOLE_MATRIX:
        image = picture(charts.thin(rows), f"confusion matrix of {file.scheme}, {len(counts)} classes", "matrix")
        caption = "Rows: the right class, columns: the answer, in the order of the labels."
        drawn = tag("figure", join([image, tag("figcaption", caption)]))
    else:
        body = []
        for index, row in enumerate(counts):
            cells = [
                tag("td", str(value), "hit" if column == index else "", style=f"--share:{rows[index, column]:.3f}")
                for column, value in enumerate(row)
            ]
            body.append(tag("tr", join([tag("th", exact(export.label(index)), scope="row"), *cells])))
        head = join([tag("td"), *(tag("th", exact(export.label(i)), scope="col") for i in range(len(counts)))])
        drawn = tag("div", tag("table", join([tag("tr", head), *body]), "matrix"), "scroll")
    return join([tag("h3", f"What {file.scheme} takes for what"), tag("div", join([drawn, listed]), "pair")])


def disagreements(export: Export, missing: dict[str, str]) -> Html:
    title = "Where int8 and Keras disagree most"
    shown = [file for file in export.files if file.verified and file.verified.disagreements]
    if not shown:
        return section("disagreements", title, paragraph(missing["disagreements"], "missing"))
    content = []
    for number, file in enumerate(shown):
        assert file.verified
        cards = tag(
            "div", join(_card(export, file.scheme, one) for one in file.verified.disagreements), "cards-grid"
        )
        named = sum(_differ(one) for one in file.verified.disagreements)
        note = paragraph(f"{file.scheme}: {named} of these {len(file.verified.disagreements)} get another answer.")
        content.append(join([note, cards]) if number == 0 else details(f"The same of {file.scheme}", cards))
    return section("disagreements", title, *content)


def _differ(one: Disagreement) -> bool:
    return one.file is None or one.file.answer != one.keras.answer


def _card(export: Export, scheme: str, one: Disagreement) -> Html:
    data = export.thumbnails.get(one.index)
    label = export.label(one.label)
    image = picture(data, f"image {one.index}, {label}") if data else tag("div", "no picture", "nothing")
    answers = [_answer(export, "Keras", one.keras, one.label), _answer(export, scheme, one.file, one.label)]
    name = join([tag("strong", exact(label)), " ", tag("small", f"image {one.index}")])
    return tag("div", join([image, tag("div", join([tag("p", name), *answers]))]), "card")


def _answer(export: Export, who: str, answer: Answer | None, label: int) -> Html:
    if answer is None:
        return paragraph(f"{who}: NaN or infinity", "failed")
    css = "passed" if answer.answer == label else "failed"
    said = tag("span", exact(export.label(answer.answer)), css)
    return paragraph(join([tag("small", who), " ", said, f" {answer.probability:.0%}"]))


def calibration(export: Export, missing: dict[str, str]) -> Html:
    title = "Activation ranges"
    found = export.calibration
    if found is None:
        return section("calibration", title, paragraph(missing["calibration"], "missing"))
    note = (
        f"{len(found.images)} images of {found.dataset}, {found.split}; ranges by {found.method}. The bar is what "
        "was seen, the filled part what eight bits span: what lies outside is clipped."
    )
    content: list[str] = [paragraph(note, "note")]
    header = ("tensor", "seen", "", "kept", "share kept")
    for number, graph in enumerate(found.graphs):
        ordered = sorted(graph.ranges, key=lambda tensor: (_kept(tensor), tensor.name))
        clipped = sum(_kept(tensor) < _MUCH_KEPT for tensor in ordered)
        summary = f"{graph.scheme}: {clipped} of {len(ordered)} tensors are clipped by more than a tenth"
        inner = long_table(header, [_range_row(tensor) for tensor in ordered])
        content.append(join([tag("h3", summary), inner]) if number == 0 else details(summary, inner))
    return section("calibration", title, *content)


def _range_row(tensor: TensorRange) -> Sequence[str]:
    seen = max(tensor.seen_max - tensor.seen_min, 1e-30)
    start = (tensor.min - tensor.seen_min) / seen
    drawn = bar(_kept(tensor), "range", max(0.0, start), f"{_kept(tensor):.0%} of what was seen")
    operation = tensor.name.rpartition("|")[2]
    name = tag("span", exact(f"{layer_of(tensor.name)} {operation}"), title=tensor.name)
    return (
        name, f"{tensor.seen_min:.3g} … {tensor.seen_max:.3g}", drawn, f"{tensor.min:.3g} … {tensor.max:.3g}",
        f"{_kept(tensor):.1%}",
    )  # fmt: skip


def _kept(tensor: TensorRange) -> float:
    seen = tensor.seen_max - tensor.seen_min
    if seen <= 0:
        return 1.0
    return max(0.0, min(tensor.max, tensor.seen_max) - max(tensor.min, tensor.seen_min)) / seen


def training(export: Export, missing: dict[str, str]) -> Html:
    title = "Training"
    if not export.history:
        return section("training", title, paragraph(missing["training"], "missing"))
    curves = [
        figure(charts.training_curve(export.history, key, name), f"{name.capitalize()} of every epoch.")
        for key, name in (("accuracy", "accuracy"), ("loss", "loss"))
        if all(key in row for row in export.history)
    ]
    best = max(export.history, key=lambda row: row.get("val_accuracy", 0.0))
    note = f"{len(export.history)} epochs; the best by validation accuracy is epoch {best['epoch']:.0f}"
    if "val_accuracy" in best:
        note += f", {best['val_accuracy']:.2%}"
    return section("training", title, paragraph(f"{note}.", "note"), tag("div", join(curves), "figures"))


def graphs(export: Export) -> Html:
    header = ("file", "operators", "in float", "delegated", "partitions", "largest rank", "input → output")
    rows, more = [], []
    for file in export.files:
        inspection, timing = file.inspection, file.desktop
        if inspection is None:
            continue
        delegated = f"{timing.delegated_nodes} of {timing.nodes}" if timing else ""
        kinds = " → ".join(t.dtype for t in (*inspection.inputs[:1], *inspection.outputs[:1]))
        rows.append((
            file.scheme, str(inspection.op_count), str(sum(inspection.float_ops.values())), delegated,
            str(timing.partitions) if timing else "", str(inspection.max_rank), kinds,
        ))  # fmt: skip
        ops = sorted(inspection.ops.items(), key=lambda op: (-op[1]["count"], op[0]))
        lines = [
            (exact(name), str(op["count"]), str(op["version"]), str(inspection.float_ops.get(name, 0)))
            for name, op in ops
        ]
        inner: list[str] = [paragraph(problem) for problem in inspection.problems]
        if file.keep_float:
            inner.append(paragraph(join(["Kept in float: ", exact(", ".join(file.keep_float))])))
        inner.append(table(("operator", "count", "version", "in float"), lines, "compact"))
        more.append(details(f"Operators of {file.scheme}", join(inner)))
    return section("graphs", "Graphs", table(header, rows, "cards"), *more)


def provenance(export: Export) -> Html:
    document = export.manifest
    rows: list[Sequence[str]] = [
        (exact(file.path), f"{file.bytes} bytes" if file.bytes else "missing", digest(file.sha256))
        for file in export.files
    ]
    checkpoint = str(document["checkpoint"]["name"]).replace("\\", "/").rstrip("/").rpartition("/")[2]
    rows.append(("checkpoint", exact(checkpoint), digest(str(document["checkpoint"]["sha256"]))))
    if isinstance(document["calibration"], dict):
        rows.append((
            "calibration", exact(str(document["calibration"].get("file"))),
            digest(str(document["calibration"].get("sha256"))),
        ))  # fmt: skip
    if export.reference:
        images = f"{export.reference.dataset}, first {export.reference.examples} images"
        rows.append(("images verified on", exact(images), digest(export.reference.split_digest)))
    if export.calibration:
        split = f"{export.calibration.dataset} {export.calibration.split}"
        rows.append(("calibration images", exact(split), digest(export.calibration.split_digest)))
    versions = document["versions"] if isinstance(document["versions"], dict) else {}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    dataset, image = document["dataset"], document["image"]
    made = [
        f"Data set: {dataset['name']} {dataset.get('version') or ''}".rstrip() + ".",
        f"Image: {image.get('height')}×{image.get('width')}, {len(export.labels)} classes.",
        f"Exported by {listed}.",
    ]
    if export.runtime:
        made.append(f"Timed by {export.runtime}.")
    return section(
        "provenance",
        "Versions and digests",
        paragraph(" ".join(made)),
        table(("what", "", "SHA-256"), rows, "compact"),
    )
