"""The report as one HTML file that needs nothing else: no network, no script. Its form is in templates/."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from vitconv.foundation.text import printable, visible
from vitconv.reporting.advice.recommendation import Recommendation
from vitconv.reporting.findings import Export
from vitconv.reporting.missing import missing
from vitconv.reporting.sections.answers.classes import classes
from vitconv.reporting.sections.answers.confidence import confidence
from vitconv.reporting.sections.answers.disagreements import disagreements
from vitconv.reporting.sections.answers.robustness import robustness
from vitconv.reporting.sections.files import file_table
from vitconv.reporting.sections.latency import latency
from vitconv.reporting.sections.network.activation_ranges import activation_ranges
from vitconv.reporting.sections.network.graphs import graphs
from vitconv.reporting.sections.network.layers import layers
from vitconv.reporting.sections.network.liveness import liveness
from vitconv.reporting.sections.provenance import provenance
from vitconv.reporting.sections.search import searches
from vitconv.reporting.sections.training import training
from vitconv.reporting.sections.verdict import verdict
from vitconv.reporting.two_exports import Comparison, rows

TITLE = "which file to ship"  # the end of every page's title


def page(
    export: Export,
    found: Recommendation,
    comparison: Comparison | None = None,
    other: Recommendation | None = None,
) -> str:
    """`other` is the recommendation of the export that is compared with."""
    gaps = missing(export)
    return _templates().get_template("page.html").render(
        export=export,
        title=TITLE,
        missing=gaps,
        verdict=verdict(export, found),
        comparison=comparison,
        comparison_rows=rows(comparison) if comparison else [],
        other=other,
        files=file_table(export, found),
        latency=latency(export, gaps),
        layers=layers(export),
        classes=classes(export),
        disagreements=disagreements(export),
        robustness=robustness(export),
        searches=searches(export),
        confidence=confidence(export),
        ranges=activation_ranges(export),
        liveness=liveness(export),
        training=training(export),
        graphs=graphs(export),
        provenance=provenance(export),
    )  # fmt: skip


@cache
def _templates() -> Environment:
    """A name that a template misspells is an error, and so is a value that nobody has made a text of."""
    templates = Environment(
        loader=PackageLoader("vitconv.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["sentence"] = _sentence
    return templates


def _shown(value: object) -> str:
    """What a template shows goes through here before it is escaped: control characters are replaced."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, (str, int, StrictUndefined)):
        return visible(str(value))  # raises UndefinedError for the last
    raise TypeError(f"a template shows {value!r}, which is no text")


def _sentence(text: str) -> Markup:
    """Escaped, with `commands` in backquotes as code; line ends stay."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(printable(text)))))
