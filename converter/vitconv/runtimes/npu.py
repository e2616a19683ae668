"""What a neural processor would take of a file, as its maker's compiler plugin for LiteRT says.

The plugins come with ai-edge-litert. Each needs libraries of its maker's, from a package of their own, which is
looked for here; the dynamic linker's LD_LIBRARY_PATH may name their folder, too. Nothing is compiled, and no such
processor is needed: a plugin only says which operations it would compile.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitconv.foundation.programs import output_of

_SECONDS = 60.0
_PARTITIONED = re.compile(
    r"Partitioned subgraph<0>, selected (\d+) ops, from a total of (\d+) ops\. resulted in (\d+) partitions"
)
_RUNTIME = "ai_edge_litert"


@dataclass(frozen=True)
class Vendor:
    """A maker. folder: of its plugin. manufacturer, model: a processor of it, as the plugin calls them. package:
    what brings its libraries. module: of that package. libraries: the folder in it that they are in."""

    name: str
    folder: str
    manufacturer: str
    model: str
    package: str
    module: str
    libraries: str


_SDK = "ai-edge-litert-sdk"
VENDORS = (
    Vendor(
        "Qualcomm", "qualcomm", "Qualcomm", "SM8750", f"{_SDK}-qualcomm", "ai_edge_litert_sdk_qualcomm",
        "data/lib/x86_64-linux-clang",
    ),
    Vendor("Intel", "intel_openvino", "IntelOpenVINO", "LNL", "openvino==2026.3.1", "openvino", "libs"),
)  # fmt: skip


@dataclass(frozen=True)
class NpuAnswer:
    """What a plugin says. Of the file's `operations` it would compile `taken`, in `parts`, between which the
    processor computes the rest. All three are None where it did not say, and `problem` tells why."""

    vendor: str
    processor: str
    operations: int | None = None
    taken: int | None = None
    parts: int | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def ask_npus(path: Path) -> tuple[NpuAnswer, ...]:
    """Every known maker's plugin about a .tflite file."""
    return tuple(_ask(vendor, path.absolute()) for vendor in VENDORS)


def _ask(vendor: Vendor, path: Path) -> NpuAnswer:
    nobody = NpuAnswer(vendor.name, vendor.model)
    runtime = _folder_of(_RUNTIME)
    program = runtime / "tools" / "apply_plugin_main" if runtime else None
    plugin = runtime / "vendors" / vendor.folder / "compiler" if runtime else None
    if not (program and program.is_file() and plugin and plugin.is_dir()):
        return _without(nobody, "ai-edge-litert has no such plugin for this system")
    module = _folder_of(vendor.module)
    own = os.environ.get("LD_LIBRARY_PATH")
    places = [str(module / vendor.libraries)] if module else []
    environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join([*places, *([own] if own else [])])}
    with tempfile.TemporaryDirectory() as folder:  # plugins leave files where they are run
        command = [
            str(program), "--cmd=partition", f"--libs={plugin}", f"--model={path}",
            f"--soc_manufacturer={vendor.manufacturer}", f"--soc_model={vendor.model}", f"--o={folder}/out.tflite",
        ]  # fmt: skip
        try:
            done = output_of(command, _SECONDS, folder, environment)
        except subprocess.TimeoutExpired:
            return _without(nobody, f"its plugin did not answer within {_SECONDS:g} s")
        except OSError as error:
            return _without(nobody, f"{program} cannot be started: {error.strerror or error}")
    if found := _PARTITIONED.search(done.stdout + done.stderr):
        taken, operations, parts = map(int, found.groups())
        return NpuAnswer(vendor.name, vendor.model, operations, taken, parts)
    if module is None:
        return _without(nobody, f"its plugin needs its maker's libraries: pip install {vendor.package}")
    return _without(nobody, f"its plugin ended with status {done.returncode} and no answer")


def _without(answer: NpuAnswer, problem: str) -> NpuAnswer:
    return NpuAnswer(answer.vendor, answer.processor, problem=problem)


def _folder_of(module: str) -> Path | None:
    found = importlib.util.find_spec(module)
    places = found.submodule_search_locations if found else None
    return Path(next(iter(places))) if places else None
