"""Each operator's time, as benchmark_model writes it: read, kept as a table, and drawn.

Its file is not quite comma-separated values: sections with titles, a header each, and names that hold commas, so
that a line is read from its right end:

    Operator-wise Profiling Info for Regular Benchmark Runs:
    ============================== Run Order ==============================
    node type, first, avg_ms, %, cdf%, mem KB, times called, name
    Convolution (NHWC, F32) IGEMM, 0.267, 0.278, 3.783%, 3.783%, 0, 1, Delegate/Convolution (NHWC\t F32) IGEMM:0
"""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitconv.foundation.disk.files import atomic_write, write_text
from vitconv.phone.device.phone_folder import FOLDER

REMOTE = f"{FOLDER}/profile.csv"
_RUNS = "Operator-wise Profiling Info for Regular Benchmark Runs"
_TITLE = re.compile(r"=+ Run Order =+")
_MOST_BARS = 20


@dataclass(frozen=True)
class Operator:
    """One node of the graph, in the order they ran; `avg_ms` is its mean over the runs."""

    node_type: str
    name: str
    avg_ms: float


def parse(text: str) -> list[Operator]:
    """The operators of the timed runs, not of the initialization; none where the text is no such profile."""
    start = text.find(_RUNS)
    titles = list(_TITLE.finditer(text, max(start, 0)))
    if not titles:
        return []
    lines = text[titles[0].end() :].splitlines()[1:]
    if not lines:
        return []
    header = [word.strip() for word in lines[0].split(",")]
    if not {"node type", "avg_ms", "name"} <= set(header):
        return []
    operators = []
    for line in lines[1:]:
        cells = line.rsplit(",", len(header) - 1)
        if len(cells) < len(header):
            break
        row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        try:
            average = float(row["avg_ms"])
        except ValueError:
            break
        operators.append(Operator(row["node type"], row["name"].replace("\t", ","), average))
    return operators


def write(folder: Path, name: str, where: str, operators: Sequence[Operator]) -> None:
    """`name`.csv and `name`.png in the folder; `where` says what ran on what."""
    name = re.sub(r"[^\w.-]+", "-", name)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("node_type", "name", "avg_ms"))
    writer.writerows((one.node_type, one.name, one.avg_ms) for one in operators)
    write_text(folder / f"{name}.csv", table.getvalue())
    _draw(folder / f"{name}.png", f"{name}\n{where}", operators)


def by_type(operators: Sequence[Operator]) -> dict[str, float]:
    """Node type → milliseconds of all nodes of it, the slowest first."""
    totals: dict[str, float] = defaultdict(float)
    for one in operators:
        totals[one.node_type] += one.avg_ms
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def _draw(path: Path, title: str, operators: Sequence[Operator]) -> None:
    from matplotlib.figure import Figure

    totals = list(by_type(operators).items())[:_MOST_BARS][::-1]
    figure = Figure(figsize=(9, 1.2 + 0.32 * len(totals)), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh([kind for kind, _ in totals], [total for _, total in totals])
    axes.bar_label(bars, fmt="%.3f", padding=3)
    axes.set_xlabel("ms for one image, by type of operator")
    axes.set_title(title, fontsize=10)
    axes.margins(x=0.12)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
