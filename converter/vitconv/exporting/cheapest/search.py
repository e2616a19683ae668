"""The cheapest file that keeps a limit: which files there are, what they cost, and which is asked when.

The files are int8, a few hybrids between it and float (`gradation`), the hybrid that calibration chose, dynamic,
float16 and float32. The cheapest is judged first, and the first that keeps the limit is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from vitconv.conversion import schemes
from vitconv.conversion.schemes import Probabilities, Scheme
from vitconv.exporting.cheapest.asking import Asking
from vitconv.exporting.cheapest.limits import AccuracyLimit, Search, Tried
from vitconv.exporting.cheapest.pictures import Pictures
from vitconv.foundation.errors import PromiseError
from vitconv.foundation.progress import Progress
from vitconv.quantization import integers
from vitconv.quantization.bias_correction import corrected
from vitconv.quantization.calibration import Calibration, GraphRanges
from vitconv.quantization.cost_model import estimated_instructions
from vitconv.quantization.hybrid.gradation import gradation
from vitconv.quantization.hybrid.kept import Kept
from vitconv.tflite.graph import Graph
from vitconv.tflite.inspection import inspect_graph


@dataclass(frozen=True, eq=False)
class Candidate:
    """A file that may be taken. graph: what it holds, without metadata. kept: what stays float in a hybrid one.
    broken: which promise of its scheme it breaks, "" where it keeps them all."""

    name: str
    scheme: Scheme
    graph: Graph = field(repr=False)
    kept: Kept | None = None
    broken: str = ""

    @classmethod
    def quantized(
        cls, name: str, scheme: Scheme, graph: Graph, measured: GraphRanges, kept: Kept | None
    ) -> Candidate:
        """Of a scheme that needs calibration: `graph` is its float graph, of which `measured` has the ranges."""
        tensors = kept.tensors if kept else ()
        graph = corrected(graph, measured.biases, tensors)
        return cls(name, scheme, integers.quantize(graph, measured.ranges, tensors, scheme.float_output), kept)

    def tried(self) -> Tried:
        """What is known of it before it is asked."""
        exact = self.scheme.exact
        return Tried(
            name=self.name,
            scheme=self.scheme.name,
            float_units=sum(unit.kept_float for unit in self.kept.units) if self.kept else 0,
            bytes=len(self.graph.data),
            instructions=round(estimated_instructions(self.graph)),
            error=0.0 if exact else None,
            asked=0,
            outcome="unfit" if self.broken else "kept" if exact else "dearer",
            why=self.broken,
        )


def candidates(
    graphs: Mapping[str, Graph], calibration: Calibration, probabilities: Probabilities, in_blocks: bool
) -> Iterator[Candidate]:
    """Every file that may be taken. graphs: those of all schemes, as `FloatModel.float_graphs` gives them.
    in_blocks: the model's."""
    for name, graph in graphs.items():
        scheme = schemes.find(name).giving(probabilities)
        if not scheme.needs_calibration:
            yield _checked(Candidate(name, scheme, graph))
            continue
        measured = calibration.of_graph(name, graph)
        ways: list[tuple[str, Kept | None]] = [(name, measured.kept)]
        if measured.kept is not None:
            steps = gradation(graph, measured.kept, by_branches=not in_blocks)
            ways += [(f"{name} {number}/{len(steps)}", step) for number, step in enumerate(steps, 1)]
        for named, kept in ways:
            yield _checked(Candidate.quantized(named, scheme, graph, measured, kept))


def search(
    limit: AccuracyLimit, made: list[Candidate], pictures: Pictures, progress: Progress | None = None
) -> tuple[Candidate, Search]:
    """The cheapest of these files that keeps the limit, and how it was found. Where none is shown to, it is
    float32, which must be among them."""
    order = sorted(made, key=lambda one: _price(one.tried(), limit))
    tried: list[Tried] = []
    chosen: Candidate | None = None
    for done, candidate in enumerate(order):
        if progress:
            progress("looking for the cheapest file", done, len(order))
        one = candidate.tried()
        if not candidate.broken and not candidate.scheme.exact:
            failed = [other for other in tried if other.outcome in ("broken", "unsure")]
            one = _asked(one, candidate, pictures, limit, failed, wanted=chosen is None)
        if one.outcome == "kept" and chosen is None:
            chosen = candidate
        elif candidate.scheme.exact:
            one = replace(one, outcome="dearer")
        tried.append(one)
    if progress:
        progress("looking for the cheapest file", len(order), len(order))
    if chosen is None:
        raise ValueError("float32 is not among the files")
    found = Search(limit, len(pictures), pictures.sources, pictures.labelled, tuple(tried), chosen.name)
    return chosen, found


def _asked(
    one: Tried, candidate: Candidate, pictures: Pictures, limit: AccuracyLimit, failed: list[Tried], wanted: bool
) -> Tried:
    """With its error, and judged where it is wanted and no cheaper file with less error has failed."""
    with Asking(candidate.graph, pictures, limit) as asking:
        one = replace(one, error=asking.error, asked=asking.asked)
        if not wanted:
            return one
        better = next((other for other in failed if (other.error or 0.0) <= asking.error), None)
        if better is not None:
            return replace(one, outcome="skipped", why=f"{better.name} is cheaper and errs less")
        shown = asking.judge()
        return replace(one, outcome=shown.outcome, shown=shown, asked=asking.asked)


def _checked(candidate: Candidate) -> Candidate:
    """Raises PromiseError for float32: where that cannot be made, nothing is left to be given."""
    try:
        candidate.scheme.check(inspect_graph(candidate.graph))
    except PromiseError as error:
        if candidate.scheme.exact:
            raise
        return replace(candidate, broken=str(error).partition(": ")[2].rstrip("."))
    return candidate


def _price(one: Tried, limit: AccuracyLimit) -> tuple[bool, float, float]:
    """The lower, the cheaper. Float32 is the last resort, though float16 takes as many instructions."""
    costs = (one.instructions, float(one.bytes))
    first, second = costs if limit.cheapest == "fastest" else costs[::-1]
    return one.scheme == "float32", first, second
