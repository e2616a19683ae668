"""What a report says of where files come from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from vitconv.reporting.sections.provenance import provenance

MANIFEST: dict[str, Any] = {
    "dataset": {"name": "photos", "version": "1"},
    "image": {"height": 32, "width": 32},
    "versions": {"vitconv": "0.1.0"},
    "checkpoint": {"name": "models/mine.keras", "sha256": "a" * 64},
    "calibration": None,
}
RULES = [
    {"rule": "layer normalisation by magnitudes", "places": 5, "error": 1e-6, "kept": True},
    {"rule": "quotients by logarithms", "places": 2, "error": 0.25, "kept": False},
]


def said(**more: Any) -> str:
    export: Any = SimpleNamespace(
        manifest={**MANIFEST, **more}, labels=("a", "b"), files=(), runtime=None, reference=None, calibration=None
    )
    return " ".join(provenance(export).sentences)


def test_of_another_tool_s_file_what_was_told_and_the_rules_are_said() -> None:
    told = {"pixels": "0..1", "softmax": True, "code": None}
    words = said(told=told, rules=RULES)
    assert "told to take pixels 0..1. A softmax was appended to its logits." in words
    assert "Its graph was rewritten: layer normalisation by magnitudes (5 places)." in words
    assert "not used: quotients by logarithms (off by 0.25)." in words


def test_of_a_checkpoint_there_is_nothing_to_say() -> None:
    assert "another tool" not in said()
