"""What LiteRT's GPU accelerator says on standard error, and nowhere else.

Its interface reports success where a shader does not compile and nothing is computed. Then only the log tells:

    … Validation error: [Invalid ComputePipeline (unlabeled)] is invalid due to a previous error.

What it refuses stands there, too, one kind of operator a line, between these two:

    ERROR: Following operations are not supported by GPU delegate:
    L2_NORMALIZATION: Operation is not supported.
    21 operations will run on the GPU, and the remaining 211 operations will run on the CPU.
"""

from __future__ import annotations

import re

_ADAPTER = re.compile(r"Selected adapter: (.+?), arch=")
_NO_ADAPTER = re.compile(r"No adapters found|Couldn't load Vulkan|Failed to initialize WebGPU environment")
_INVALID = re.compile(r"Validation error: (.+)|(\[?Invalid (?:ComputePipeline|CommandBuffer|ShaderModule).*)")
_REFUSED_HEAD = "operations are not supported by GPU delegate"
_COUNTS = re.compile(r"(\d+) operations will run on the GPU, and the remaining (\d+) operations")
_NONE = re.compile(r"No operations will run on the GPU, and all (\d+) operations")
_REFUSED = re.compile(r"^([A-Z][A-Z0-9_]*)(?: .*?)?: (.+)$")
_MOST = 3  # errors of one kind follow from each other by the hundred


def adapter(log: str) -> str | None:
    """The name of the device that computes: a card's, or "SwiftShader Device (Subzero)"."""
    found = _ADAPTER.search(log)
    return found[1] if found else None


def has_no_adapter(log: str) -> bool:
    """Whether the accelerator found nothing to run on."""
    return adapter(log) is None and bool(_NO_ADAPTER.search(log))


def validation_errors(log: str) -> tuple[str, ...]:
    """The first few different shaders and commands that the accelerator itself found invalid. With one of them,
    its numbers mean nothing."""
    said = (found[1] or found[2] for line in log.splitlines() if (found := _INVALID.search(line)))
    return tuple(dict.fromkeys(" ".join(one.split()).rstrip(".") for one in said))[:_MOST]


def refused(log: str) -> dict[str, str]:
    """Operator → why the accelerator does not take it."""
    found: dict[str, str] = {}
    inside = False
    for line in log.splitlines():
        if _REFUSED_HEAD in line:
            inside = True
        elif _COUNTS.search(line) or _NONE.search(line):
            inside = False
        elif inside and (match := _REFUSED.match(line.strip())):
            found.setdefault(match[1], match[2].rstrip("."))
    return found


def operations(log: str) -> tuple[int, int] | None:
    """How many operations run on the GPU, and how many there are; None where the log does not say."""
    if found := _COUNTS.search(log):
        return int(found[1]), int(found[1]) + int(found[2])
    if found := _NONE.search(log):
        return 0, int(found[1])
    return None
