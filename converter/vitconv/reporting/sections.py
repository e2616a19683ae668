"""The sections of a page that compare the files: what to ship, the table, accuracy against latency, the layers."""

from __future__ import annotations

from collections.abc import Sequence

from vitconv.conversion import schemes
from vitconv.evaluation.layer_errors import losses
from vitconv.reporting import charts
from vitconv.reporting.findings import Export, Interval, ModelFile, Timing
from vitconv.reporting.parts import (
    Html,
    bar,
    details,
    exact,
    figure,
    join,
    long_table,
    paragraph,
    section,
    table,
    tag,
)
from vitconv.reporting.recommendation import Recommendation, broken_layers, culprit_sentence, obstacle

_GOOD_DB = 40.0  # a bar's whole length


def recommendation(export: Export, found: Recommendation) -> Html:
    broken = {culprit_sentence(file) for file in export.files if broken_layers(file)}
    warnings = join(tag("li", warning, "failed" if warning in broken else "") for warning in found.warnings)
    mark = {"ship": "Recommended", "none": "Stop", "unknown": "Not measured yet"}[found.verdict]
    return tag(
        "section",
        join([
            tag("p", mark, "mark"),
            tag("p", found.sentence, "lead"),
            paragraph(found.reason),
            tag("ul", warnings, "warnings") if warnings else "",
        ]),
        f"verdict {found.verdict}",
        id="recommendation",
    )  # fmt: skip


def files(export: Export, found: Recommendation) -> Html:
    """One row a file; Keras first."""
    header = (
        "scheme", "check", "top-1", "lost", "agrees with Keras", "desktop ms", "phone ms", "MB", "peak MB",
        "TFLite needed",
    )  # fmt: skip
    rows: list[Sequence[str]] = []
    reference = export.reference
    if reference:
        top1 = _top1(reference.top1, reference.top1_interval)
        rows.append(("Keras", "", top1, "", "", "", "", "", "", ""))
    marked = -1
    for file in export.files:
        if file.path == found.file:
            marked = len(rows)
        rows.append(_row(file))
    content: list[str] = [table(header, rows, "cards", marked)]
    if reference:
        content.append(paragraph(_measured_on(export), "note"))
    reasons = [
        join([tag("strong", file.scheme), f" {'; '.join(file.verified.reasons)}."])
        for file in export.files
        if file.verified and file.verified.reasons
    ]
    if reasons:
        content.append(tag("ul", join(tag("li", reason) for reason in reasons), "reasons"))
    return section("files", "The files", *content)


def _row(file: ModelFile) -> Sequence[str]:
    verified, desktop, phone = file.verified, file.desktop, file.phone
    blocked = obstacle(file)
    if blocked:
        check = tag("span", "cannot be used", "failed", title=blocked)
    elif verified is None:
        check = Html("not verified")
    else:
        check = tag("span", "passed" if verified.passed else "failed", "passed" if verified.passed else "failed")
    return (
        file.scheme,
        check,
        _top1(verified.top1, verified.top1_interval) if verified else "",
        f"{verified.top1_drop:+.2f}" if verified else "",
        f"{verified.agreement:.2%}" if verified else "",
        _ms(desktop),
        join([_ms(phone), " ", tag("small", phone.setting)]) if phone else "",
        f"{file.bytes / 1e6:.2f}" if file.bytes else "",
        _memory(desktop, phone),
        file.inspection.runtime_needed if file.inspection else "",
    )


def _top1(value: float, interval: Interval) -> Html:
    low, high = interval
    return join([f"{value:.2%}", " ", tag("small", f"{100 * low:.1f}–{100 * high:.1f}")])


def _ms(timing: Timing | None) -> str:
    return f"{timing.ms:.2f}" if timing else ""


def _memory(desktop: Timing | None, phone: Timing | None) -> str:
    known = [timing.memory_mb for timing in (desktop, phone) if timing and timing.memory_mb is not None]
    return " / ".join(f"{value:.1f}" for value in known)


def _measured_on(export: Export) -> str:
    reference = export.reference
    assert reference
    times = f" Times: {export.machine}; {export.runtime}." if export.machine else ""
    phones = "".join(f" Phone: {place}." for place in export.phones)
    return (
        f"Accuracy on {reference.dataset}, {reference.examples} images; the small figures are the 95 % confidence "
        f"interval (Wilson). Lost: points of top-1 against Keras.{times}{phones}"
    )


def latency(export: Export, missing: dict[str, str]) -> Html:
    figures: list[str] = []
    desktop = {file.path: file.desktop for file in export.files if file.desktop}
    phone = {file.path: file.phone for file in export.files if file.phone}
    for where, times in (("this desktop", desktop), ("the phone, fastest setting", phone)):
        both = [file for file in export.files if file.path in times and file.verified]
        if both and export.reference:
            svg = charts.accuracy_against_latency(both, times, export.reference.top1, where)
            caption = (
                f"Accuracy against latency on {where}. A mark's area is the file's size; bars are 95 % confidence."
            )
            figures.append(figure(svg, caption))
    spread = [file for file in export.files if len(getattr(desktop.get(file.path), "quantiles_ms", ())) == 21]
    if spread:
        runs = desktop[spread[0].path].runs
        caption = f"Spread of {runs} runs here: the middle half as a bar, the median in it, 5 % to 95 % as a line."
        figures.append(figure(charts.latency_spread(spread, desktop), caption))
    content: list[str] = [tag("div", join(figures), "figures")] if figures else []
    content += [paragraph(missing[name], "missing") for name in ("latency", "phone") if name in missing]
    settings = [(file, timing) for file in export.files for timing in file.phones]
    if settings:
        header = ("file", "phone", "setting", "ms", "init ms", "delegate took", "nodes")
        rows = [
            (
                file.scheme, exact(timing.place), timing.setting, f"{timing.ms:.2f}", f"{timing.init_ms:.1f}",
                timing.delegated or "not said", _nodes(timing),
            )
            for file, timing in settings
        ]  # fmt: skip
        content.append(details("Every setting on the phone", table(header, rows, "cards")))
    return section("latency", "Accuracy against latency", *content)


def _nodes(timing: Timing) -> str:
    return "" if timing.nodes is None else f"{timing.delegated_nodes} of {timing.nodes}"


def layers(export: Export, missing: dict[str, str]) -> Html:
    """What each layer loses; first, and in plain words, the one that breaks a file."""
    title = "Error of each layer"
    compared = [file for file in export.files if file.verified and file.verified.layers]
    if not compared:
        return section("layers", title, paragraph(missing["layers"], "missing"))
    quantized = [file for file in compared if not schemes.find(file.scheme).exact]
    shown = sorted(quantized or compared, key=lambda file: (-len(broken_layers(file)), not _is_int8(file)))
    content: list[str] = []
    for file in shown:
        css = "culprit" if broken_layers(file) else "note"
        content.append(paragraph(culprit_sentence(file) or "", css))
    first = shown[0]
    marked = [loss.layer for loss in broken_layers(first)[:3]]
    lines = [file for file in shown if schemes.find(file.scheme).weights == "int8"] or shown
    svg = charts.layers_along_the_graph(lines, marked, first.scheme)
    caption = (
        "Signal to noise of each layer's output against the float graph, in the order of computation. "
        "Above 30 dB an error is of no account; where a line falls and stays low, a layer is broken."
    )
    content.append(figure(svg, caption))
    content += [_layer_table(file, open_=file is first) for file in shown]
    return section("layers", title, *content)


def _is_int8(file: ModelFile) -> bool:
    return schemes.find(file.scheme).integers_only


def _layer_table(file: ModelFile, open_: bool) -> Html:
    assert file.verified
    found = losses(file.verified.layers)
    header = ("layer", "operator", "in dB", "out dB", "", "lost for good", "rms error in steps")
    rows = []
    for loss in found:
        layer = loss.layer
        share = max(0.0, min(layer.snr_db, _GOOD_DB)) / _GOOD_DB
        rows.append((
            tag("strong", exact(layer.layer), "failed") if loss.broken else exact(layer.layer),
            layer.operator,
            "exact" if loss.before_db >= 200 else f"{loss.before_db:.1f}",
            "exact" if layer.snr_db >= 200 else f"{layer.snr_db:.1f}",
            bar(share, "bad" if loss.broken else "", label=f"{layer.snr_db:.1f} dB"),
            f"{max(0.0, loss.lasting_db):.1f}",
            "" if layer.rms_steps is None else f"{layer.rms_steps:.2f}",
        ))  # fmt: skip
    content = long_table(header, rows, marked=0 if found[0].broken else -1)
    summary = f"{file.scheme}: what each layer loses, the worst first"
    if open_:
        return join([tag("h3", summary), content])
    return details(summary, content)
