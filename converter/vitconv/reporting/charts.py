"""The report's figures."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from vitconv.benchmarking.android_document import CpuCounts
from vitconv.conversion.schemes import SCHEMES
from vitconv.evaluation.layer_errors import LayerError
from vitconv.exporting.cheapest.limits import Search
from vitconv.models.liveness import ALIVE, Effect
from vitconv.reporting.findings import ModelFile, Timing
from vitconv.reporting.svg import BAD, COLOURS, INK, LINE, MUTED, SURFACE, WARN, plain, short, svg
from vitconv.robustness.corruptions import STRENGTHS, TITLES
from vitconv.robustness.measuring import Robust, Robustness

_PARTS = (*COLOURS.values(), WARN, MUTED)  # of a bar


def accuracy_against_latency(
    files: Sequence[ModelFile], times: Mapping[str, Timing], reference: float, where: str
) -> Markup:
    """Top-1 with its 95 % interval over milliseconds; a mark's area is the file's megabytes."""

    def draw(axes: Any) -> None:
        axes.axhline(100 * reference, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="Keras")
        largest = max(file.bytes for file in files) or 1
        for file in files:
            assert file.verified
            low, high = (100 * value for value in file.verified.top1_interval)
            timing, colour, y = times[file.path], COLOURS[file.scheme], 100 * file.verified.top1
            axes.plot([timing.ms] * 2, [low, high], color=colour, linewidth=1.2, alpha=0.6)
            size = 24 + 300 * file.bytes / largest
            axes.scatter(
                timing.ms, y, size, color=colour, marker=SCHEMES[file.scheme].marker, edgecolor=SURFACE, zorder=3
            )
            label = f"{file.scheme}, {file.bytes / 1e6:.2f} MB"
            axes.plot([], [], color=colour, marker=SCHEMES[file.scheme].marker, linestyle="none", label=label)
        axes.set_xlabel("median milliseconds for one image")
        axes.set_ylabel("top-1 accuracy, %")
        axes.margins(x=0.12)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=9, handletextpad=0.3)

    return svg(f"accuracy against latency on {where}", draw, height=3.7)


def latency_spread(files: Sequence[ModelFile], times: Mapping[str, Timing]) -> Markup:
    """A row a file: 5th to 95th percentile as a line, the middle half as a bar, the median as a mark."""

    def draw(axes: Any) -> None:
        for row, file in enumerate(files):
            values = times[file.path].quantiles_ms
            colour = COLOURS[file.scheme]
            axes.plot([values[1], values[19]], [row, row], color=colour, linewidth=1.6, solid_capstyle="round")
            axes.plot([values[5], values[15]], [row, row], color=colour, linewidth=11, solid_capstyle="butt")
            axes.plot(values[10], row, color=SURFACE, marker="|", markersize=11, markeredgewidth=2)
        axes.set_yticks(range(len(files)), [file.scheme for file in files])
        axes.set_ylim(len(files) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("milliseconds for one image")

    return svg("spread of latency", draw, height=1.0 + 0.4 * len(files))


def dearest(counts: Iterable[CpuCounts]) -> tuple[str, ...]:
    """The operators, or where they are not known the kinds, that cost most in all of these together."""
    sums = Counter[str]()
    for one in counts:
        sums.update(_costs(one))
    return tuple(name for name, _ in sums.most_common(len(_PARTS)))


def instructions(counts: Mapping[str, CpuCounts], cpu: str, names: Sequence[str]) -> Markup:
    """A row a scheme: a bar of the operators or kinds `names`, see `dearest`, and of the others together."""
    by_scheme = {scheme: _costs(one) for scheme, one in counts.items()}
    shown = dict(zip(names, _PARTS, strict=False))

    def draw(axes: Any) -> None:
        starts = np.zeros(len(by_scheme))
        rest = {
            scheme: sum(n for name, n in costs.items() if name not in shown) for scheme, costs in by_scheme.items()
        }
        for name, colour in (*shown.items(), ("others", LINE)):
            values = [
                rest[scheme] if colour == LINE else costs.get(name, 0) for scheme, costs in by_scheme.items()
            ]
            width = np.array(values) / 1e6
            axes.barh(range(len(by_scheme)), width, 0.7, starts, color=colour, label=plain(short(name)))
            starts += width
        for row, end in enumerate(starts):
            axes.annotate(f"{end:.1f}", (end, row), (4, 0), textcoords="offset points", va="center", fontsize=9)
        axes.set_yticks(range(len(by_scheme)), list(by_scheme))
        axes.set_ylim(len(by_scheme) - 0.5, -0.5)
        axes.margins(x=0.12)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("million instructions for one image")
        axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.22), ncols=2, fontsize=8, handlelength=1)

    return svg(f"instructions on {cpu}", draw, height=2.3 + 0.4 * len(by_scheme))


def _costs(counts: CpuCounts) -> dict[str, int]:
    """Instructions by operator, XNNPACK's "Convolution (NHWC, F32) GEMM" and "… DWConv" as one, or by kind."""
    if not counts.by_operator:
        return {kind.replace("_", " "): number for kind, number in counts.by_kind.items()}
    found = Counter[str]()
    for name, operators in counts.by_operator.items():
        found[name.partition(" (")[0]] += max(0, operators.instructions)
    return found


def layers_along_the_graph(files: Sequence[ModelFile], marked: Sequence[LayerError], scheme: str) -> Markup:
    """Signal-to-noise ratio of every layer in the order of computation; `marked` are layers of `scheme`'s file."""

    def draw(axes: Any) -> None:
        for file in files:
            assert file.verified
            layers = sorted(file.verified.layers, key=lambda layer: layer.place)
            width = 1.8 if file.scheme == scheme else 1.0
            values = [min(layer.snr_db, 60) for layer in layers]
            places = [layer.place for layer in layers]
            axes.plot(places, values, color=COLOURS[file.scheme], linewidth=width, label=file.scheme)
        for layer in marked:
            axes.plot(layer.place, min(layer.snr_db, 60), "o", color=BAD, markersize=8, zorder=4)
            right = layer.place > 0.6 * max(layers[-1].place, 1)
            axes.annotate(
                plain(layer.layer), (layer.place, min(layer.snr_db, 60)), (-9 if right else 9, 9),
                textcoords="offset points", ha="right" if right else "left", color=BAD, weight="bold",
            )  # fmt: skip
        starts: dict[str, int] = {}
        for layer in layers:
            starts.setdefault(plain(layer.layer.partition(".")[0]), layer.place)
        kept = _spaced(starts, max(1, layers[-1].place // 12))
        axes.set_xticks(list(kept.values()), list(kept), rotation=40, ha="right", fontsize=8)
        axes.set_ylabel("signal to noise, dB")
        axes.margins(x=0.02, y=0.12)
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, fontsize=9)

    return svg("signal-to-noise ratio of each layer", draw, height=3.2, width=6.4)


def accuracy_against_strength(measured: Robustness) -> Markup:
    """Top-1 on bad pictures over their strength, 0 for clean ones: the mean of all corruptions."""

    def draw(axes: Any) -> None:
        for name, one in _answering(measured):
            _strength_line(axes, name, [one.at(strength) for strength in (0, *STRENGTHS)])
        axes.set_xticks((0, *STRENGTHS), ("clean", *STRENGTHS))
        axes.set_xlabel("strength of the corruption")
        axes.set_ylabel("top-1 accuracy, %")
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=9)

    return svg("accuracy on bad pictures against strength", draw, height=3.7)


def accuracy_of_each_corruption(measured: Robustness) -> Markup:
    """The same, a small chart for each corruption."""
    kinds = list(measured.reference.top1)
    columns = 4
    rows = -(-len(kinds) // columns)

    def draw(grid: Any) -> None:
        for axes, kind in zip(grid.flat, kinds, strict=False):
            for name, one in _answering(measured):
                _strength_line(axes, name, [one.clean, *one.top1[kind]])
            axes.set_title(plain(short(TITLES.get(kind, kind), 24)), fontsize=9, color=INK)
            axes.tick_params(labelsize=7, length=2)
            axes.set_xticks((0, *STRENGTHS))
            axes.set_ylim(0, 105)
        for axes in list(grid.flat)[len(kinds) :]:
            axes.axis("off")
        for axes in list(grid.flat)[len(kinds) - columns : len(kinds)]:  # the lowest of their columns
            axes.tick_params(labelbottom=True)
        lines, names = grid.flat[0].get_legend_handles_labels()
        grid.flat[-1].legend(lines, names, loc="upper left", fontsize=8) if rows * columns > len(kinds) else None

    return svg("accuracy on each kind of bad pictures", draw, 1.5 * rows + 0.3, 7.2, (rows, columns))


def _answering(measured: Robustness) -> list[tuple[str, Robust]]:
    """Keras last: its dashes are drawn over the lines that lie on it."""
    return [*((file.scheme, file) for file in measured.files), ("Keras", measured.reference)]


def _strength_line(axes: Any, name: str, shares: Sequence[float]) -> None:
    """From strength 0 on. `name`: of a scheme, or Keras."""
    style = {"color": COLOURS[name]} if name in COLOURS else {"color": INK, "linestyle": (0, (4, 3))}
    axes.plot(
        range(len(shares)), [100 * share for share in shares], linewidth=1.4, label=plain(short(name)), **style
    )


def effect_of_layers(parts: Sequence[Effect]) -> Markup:
    """A row a part, in the order of the network: how far the answers move where it is cut out (a full mark), and
    where its mean stands in its place (a hollow one); in nats, on a logarithmic axis."""

    def draw(axes: Any) -> None:
        least, most = 1e-6, max(1.0, *(max(part.kl, part.kl_of_mean) for part in parts))
        for row, part in enumerate(parts):
            colour = BAD if part.nats < ALIVE else COLOURS["float32"]
            cut, mean = (min(max(value, least), most) for value in (part.kl, part.kl_of_mean))
            axes.plot([least, min(cut, mean)], [row, row], color=colour, linewidth=3, solid_capstyle="butt")
            axes.plot([cut, mean], [row, row], color=colour, linewidth=1, alpha=0.6)
            axes.plot(mean, row, "o", color=colour, markerfacecolor=SURFACE, markersize=6, clip_on=False)
            axes.plot(cut, row, "o", color=colour, markersize=6, clip_on=False)
        axes.axvline(ALIVE, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot([], [], "o", color=MUTED, label="cut out")
        axes.plot([], [], "o", color=MUTED, markerfacecolor=SURFACE, label="its mean in its place")
        axes.set_xscale("log")
        axes.set_xlim(least, 2 * most)
        axes.set_yticks(range(len(parts)), [plain(short(part.name)) for part in parts], fontsize=8)
        axes.set_ylim(len(parts) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("nats by which the answers move")
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, fontsize=9)

    return svg("effect of each layer", draw, height=1.2 + 0.22 * len(parts), width=6.4)


def error_against_cost(search: Search) -> Markup:
    """A mark a file that a search tried: its error, on a logarithmic axis, over what it costs; a ring around the
    one that was taken."""
    fastest = search.limit.cheapest == "fastest"
    files = [one for one in search.tried if one.error is not None]
    costs = {one.name: max(one.instructions if fastest else one.bytes, 1.0) / 1e6 for one in files}
    least = min((one.error for one in files if one.error), default=1e-6) / 3

    def draw(axes: Any) -> None:
        for one in files:
            x, y = costs[one.name], max(one.error or 0.0, least)
            full = one.outcome in ("kept", "dearer")
            axes.plot(
                x, y, SCHEMES[one.scheme].marker, color=COLOURS[one.scheme], markersize=8,
                markerfacecolor=COLOURS[one.scheme] if full else SURFACE, zorder=3,
            )  # fmt: skip
            if one.name == search.chosen:
                axes.plot(x, y, "o", color=INK, markerfacecolor="none", markersize=17, markeredgewidth=1.6)
        for name in dict.fromkeys(one.scheme for one in files):
            axes.plot([], [], SCHEMES[name].marker, color=COLOURS[name], label=name)
        axes.plot([], [], "o", color=INK, markerfacecolor="none", markersize=11, label="taken")
        axes.set_yscale("log")
        axes.set_xlabel("million instructions on arm64 for one image, estimated" if fastest else "MB")
        axes.set_ylabel("mean squared error, nats²")
        axes.margins(0.12)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, fontsize=9, handletextpad=0.3)

    return svg("error against cost of the files that were tried", draw, height=3.7)


def training_curve(history: Sequence[Mapping[str, float]], key: str, name: str) -> Markup:
    """A figure of every epoch, of the training images and of the validation images."""

    def draw(axes: Any) -> None:
        epochs = [row["epoch"] for row in history]
        marker = "o" if len(epochs) < 30 else ""
        for which, column, colour in (("training", key, "float32"), ("validation", f"val_{key}", "int8")):
            if all(column in row for row in history):
                values = [row[column] for row in history]
                axes.plot(epochs, values, color=COLOURS[colour], marker=marker, markersize=3, label=which)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.legend(fontsize=9)

    return svg(f"{name} of every epoch", draw, height=2.8)


def _spaced(starts: Mapping[str, int], least: int) -> dict[str, int]:
    kept: dict[str, int] = {}
    for name, place in starts.items():
        if not kept or place - max(kept.values()) >= least:
            kept[name] = place
    return kept


def thin(values: np.ndarray) -> bytes:
    """float [rows, columns], 0 to 1 → a PNG file of one pixel each, ever less transparent: for any ground."""
    from PIL import Image

    pixels = np.zeros((*values.shape, 4), np.uint8)
    pixels[..., :3] = (37, 99, 235)
    pixels[..., 3] = np.rint(255 * np.clip(values, 0, 1))
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", optimize=True)
    return data.getvalue()
