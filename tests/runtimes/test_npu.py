"""NPU compiler plugins are asked in a process of their own; what they say is read, what is missing is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import Call
from gpu_files import classifier, unary
from vitconv.runtimes import npu
from vitconv.runtimes.npu import VENDORS, ask_npus

# As apply_plugin_main of ai-edge-litert 2.3 prints it.
SAID = "INFO: [compiler_plugin.cc:742] Partitioned subgraph<0>, selected 4 ops, from a total of 5 ops. \
resulted in 2 partitions."


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(classifier(unary("ABS")).data)
    return path


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of ai-edge-litert's, with Qualcomm's plugin only; no maker's package is installed."""
    folder = tmp_path / "ai_edge_litert"
    (folder / "tools").mkdir(parents=True)
    (folder / "vendors" / "qualcomm" / "compiler").mkdir(parents=True)
    monkeypatch.setattr(npu, "_folder_of", lambda module: folder if module == "ai_edge_litert" else None)
    return folder


def plugin(runtime: Path, script: str) -> None:
    program = runtime / "tools" / "apply_plugin_main"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_what_a_plugin_would_compile_is_read(runtime: Path, file: Path) -> None:
    plugin(runtime, f"echo '{SAID}' >&2; touch left-behind")
    qualcomm, intel = ask_npus(file)
    assert (qualcomm.vendor, qualcomm.taken, qualcomm.operations, qualcomm.parts) == ("Qualcomm", 4, 5, 2)
    assert qualcomm.problem is None
    assert intel.problem == "ai-edge-litert has no such plugin for this system"
    assert not Path("left-behind").exists()


def test_without_its_makers_libraries_the_package_is_named(runtime: Path, file: Path) -> None:
    plugin(runtime, "echo 'Loaded 0 plugins'; exit 1")
    assert ask_npus(file)[0].problem == (
        "its plugin needs its maker's libraries: pip install ai-edge-litert-sdk-qualcomm"
    )


def test_a_plugin_that_hangs_or_crashes_costs_nothing_but_its_answer(
    runtime: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npu, "_SECONDS", 0.5)
    plugin(runtime, "sleep 30")
    assert ask_npus(file)[0].problem == "its plugin did not answer within 0.5 s"
    monkeypatch.setattr(npu, "_folder_of", lambda module: runtime)
    plugin(runtime, "kill -SEGV $$")
    assert "no answer" in (ask_npus(file)[0].problem or "")


def test_the_real_plugins_answer_or_say_what_they_need(file: Path) -> None:
    for vendor, answer in zip(VENDORS, ask_npus(file), strict=True):
        if answer.problem is None:
            assert answer.operations == 5
        else:
            assert vendor.package in answer.problem


def test_inspect_shows_the_answers(runtime: Path, file: Path, call: Call) -> None:
    plugin(runtime, f"echo '{SAID}'")
    assert "NPU Qualcomm SM8750: would compile 4 of 5 ops, in 2 parts" in call("inspect", file, "--npu").out
    assert "NPU" not in call("inspect", file).out
