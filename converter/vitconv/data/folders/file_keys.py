"""The content's key of every picture file of a folder, read once and kept until the file changes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from vitconv.data.content import Keys, file_key
from vitconv.data.folders.listing import PictureFile
from vitconv.foundation.disk.cache import cache_directory
from vitconv.foundation.disk.files import write_json
from vitconv.foundation.errors import OutputError
from vitconv.foundation.progress import Progress

# A file that was changed as short a time ago as this may change again without a new time: clocks of file systems
# are coarse.
_SETTLED_NS = 2_000_000_000

_Known = dict[str, list[int]]  # relative path → size, time of the last change of content, of anything, key


def file_keys(root: Path, files: Sequence[PictureFile], progress: Progress | None = None) -> Keys:
    """uint64 [N]. Raises OSError where a file cannot be read."""
    kept = cache_directory() / f"files-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}.json"
    known = _read(kept)
    now = time.time_ns()
    missing = [file for file in files if known.get(file.relative, [])[:3] != _state(file)]
    found = {file.relative: known[file.relative][3] for file in files if file.relative in known}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        keys = pool.map(lambda file: file_key(file.path), missing)
        for done, (file, key) in enumerate(zip(missing, keys, strict=True), start=1):
            found[file.relative] = key
            if progress and (done % 128 == 0 or done == len(missing)):
                progress(f"reading {root.name}", done, len(missing))
    if missing:
        settled = [file for file in files if max(file.modified_ns, file.changed_ns) < now - _SETTLED_NS]
        # Without it the files are read again next time, no more.
        with suppress(OutputError):
            write_json(kept, {file.relative: [*_state(file), found[file.relative]] for file in settled})
    return np.array([found[file.relative] for file in files], np.uint64)


def _state(file: PictureFile) -> list[int]:
    return [file.size, file.modified_ns, file.changed_ns]


def _read(kept: Path) -> _Known:
    try:
        known = json.loads(kept.read_text(encoding="utf-8"))
        return {name: list(map(int, state)) for name, state in known.items() if len(state) == 4}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
