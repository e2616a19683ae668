"""What `scripts/zoo` found, as a table for a terminal and as one for converter/docs/export.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from marked import replaced
from vitconv.cli.tables.layout import table

BEGIN, END = "<!-- zoo: made by scripts/zoo -->\n", "<!-- end of zoo -->"
TITLE = "### Other people's networks, converted both ways\n\n"
BEHIND = "## How the graphs are made small and fast\n"
UNTRAINED = ("network", "ordinary int8, answers", "median layer", "operators", "our int8, answers", "median layer",
             "operators", "arm64 M, ordinary", "ours")  # fmt: skip
HEADER = ("network", "from", "Keras top-1", "ordinary int8", "operators", "our int8", "operators",
          "arm64 M, ordinary", "ours")  # fmt: skip
ENOUGH = 0.6  # top-1 from which a network counts as trained


def in_words(document: Mapping[str, Any], columns: int) -> str:
    shown = [table(HEADER, list(_rows(document)), columns)]
    untrained = list(_untrained_rows(document))
    return "\n\n".join([*shown, table(UNTRAINED, untrained, columns)] if untrained else shown)


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Puts the table and what it comes to between its marks in a document, or where they belong if it has none."""
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text:
        text = text.replace(BEHIND, f"{TITLE}{BEGIN}{END}\n{BEHIND}")
    lines = [*_marked(HEADER, _rows(document)), *(f"- {sentence}" for sentence in summary(document)), ""]
    untrained = list(_untrained_rows(document))
    if untrained:
        lines += [
            "PyTorch's networks, of timm, with random weights: no package has trained ones. Converted to float by "
            "litert-torch, and on to int8 by ai-edge-quantizer (ordinary) and by us. Numbers are signal-to-noise "
            "ratios in dB: of the probabilities, and the median of the layers'.",
            "",
            *_marked(UNTRAINED, untrained),
        ]
    path.write_text(replaced(text, BEGIN, END, "\n".join(lines)), encoding="utf-8")


def _marked(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """A table's lines, and an empty one."""
    cells = [header, ("---",) * len(header), *rows]
    return ["| " + " | ".join(row) + " |" for row in cells] + [""]


def summary(document: Mapping[str, Any]) -> Iterator[str]:
    """What the rows come to, in sentences."""
    networks = document["networks"]
    files = {name: row.get("files", {}) for name, row in networks.items()}
    total = len(networks)
    runs = {kind: [name for name, found in files.items() if "partitions" in found.get(kind, {})]
            for kind in ("ordinary", "float32", "int8")}  # fmt: skip
    whole = {kind: [name for name in runs[kind] if not files[name][kind]["float"]] for kind in runs}
    loads = [name for name in runs["int8"] if files[name]["int8"]["loads"]]
    yield (
        f"Of {total} networks the ordinary file runs for {len(runs['ordinary'])} and is integers only for "
        f"{len(whole['ordinary'])}; ours runs for {len(runs['int8'])}, is integers only for {len(whole['int8'])}, "
        f"and loads in TFLite 2.16.1 for {len(loads)}."
    )
    trained = [name for name in runs["int8"] if networks[name].get("top1", 0) >= ENOUGH]
    if trained:
        own = mean(files[name]["int8"]["agreement"] for name in trained)
        worst = min(trained, key=lambda name: files[name]["int8"]["agreement"])
        sure = [files[name]["int8"]["sure_agreement"] for name in trained]
        yield (
            f"Our int8 agrees with Keras on {own:.1%} of the images in the mean of the {len(trained)} networks "
            f"that reach {ENOUGH:.0%} top-1 (least: {worst}, {files[worst]['int8']['agreement']:.1%}), and on "
            f"{mean(sure):.1%} of those images of which Keras is sure by 10 points."
        )
    both = [name for name in trained if name in runs["ordinary"]]
    if both:
        gained = {
            name: 100 * (files[name]["int8"]["agreement"] - files[name]["ordinary"]["agreement"]) for name in both
        }
        most, least = max(gained, key=gained.__getitem__), min(gained, key=gained.__getitem__)
        yield (
            f"Where both run, ours agrees by {mean(gained.values()):+.1f} points more in the mean, from "
            f"{gained[least]:+.1f} ({least}) to {gained[most]:+.1f} ({most})."
        )
        fewer = [files[name]["int8"]["operators"] / files[name]["ordinary"]["operators"] for name in both]
        cheaper = [
            files[name]["int8"]["million_instructions"] / files[name]["ordinary"]["million_instructions"]
            for name in both
        ]  # fmt: skip
        yield (
            f"There it has {mean(fewer):.2f} times as many operators, and takes {mean(cheaper):.2f} times as many "
            "instructions."
        )
    compared = [name for name in runs["float32"] if "agreement" in files[name]["float32"]]
    exact = [name for name in compared if files[name]["float32"]["agreement"] == 1]
    if compared:
        largest = max(files[name]["float32"]["largest_error"] for name in compared)
        yield (
            f"Our float32 files name the class that Keras names for every image of {len(exact)} of "
            f"{len(compared)} networks; no probability is off by more than {largest:.1g}."
        )


def _rows(document: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, row in document.get("networks", {}).items():
        files = row.get("files", {})
        if _is_untrained(row):
            continue
        ordinary, own = files.get("ordinary", {}), files.get("int8", {"problem": row.get("problem", "")})
        yield (
            name, row["from"].removeprefix("keras."), f"{row['top1']:.1%}" if "top1" in row else "–",
            _said(ordinary), _operators(ordinary), _said(own), _operators(own), _cost(ordinary), _cost(own),
        )  # fmt: skip


def _is_untrained(row: Mapping[str, Any]) -> bool:
    return "timm" in row["from"]


def _untrained_rows(document: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, row in document.get("networks", {}).items():
        if _is_untrained(row):
            files = row.get("files", {})
            ordinary, own = files.get("ordinary", {}), files.get("int8", {})
            problem = str(row.get("problem", "–"))[:90]
            yield (
                name,
                *(cell for file in (ordinary, own) for cell in (*_signal(file, problem), _operators(file))),
                *(_cost(file) for file in (ordinary, own)),
            )


def _signal(file: Mapping[str, Any], problem: str) -> tuple[str, str]:
    if "answers_db" not in file:
        return str(file.get("problem", problem))[:90], "–"
    layer = file["median_layer_db"]
    loads = "" if file["loads"] else ", not on 2.16.1"
    return f"{file['answers_db']:.1f}{loads}", "–" if layer is None else f"{layer:.1f}"


def _said(file: Mapping[str, Any]) -> str:
    if "agreement" in file:
        text = f"{file['agreement']:.1%} ({-file['lost']:+.1f})"
        return text if file["loads"] else f"{text}, not on 2.16.1"
    return str(file.get("problem", "–"))[:90]


def _operators(file: Mapping[str, Any]) -> str:
    if "operators" not in file:
        return "–"
    floats = sum(file["float"].values())
    return str(file["operators"]) + (f", {floats} float" if floats else "")


def _cost(file: Mapping[str, Any]) -> str:
    if "partitions" not in file:
        return "–"
    return f"{file['million_instructions']:.1f}"
