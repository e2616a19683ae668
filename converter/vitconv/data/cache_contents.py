"""What the cache folder holds, how much, and when it was last used; and its removal."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitconv.data.prepared import CARD, EntryCard, entries
from vitconv.foundation.disk.cache import cache_directory, lock_beside
from vitconv.foundation.disk.files import writable_directory
from vitconv.foundation.errors import OutputError

_DAY = 86_400


@dataclass(frozen=True)
class Entry:
    """The prepared images of one split at one size. `days` since it was last used."""

    path: Path
    dataset: str
    split: str
    image: str
    bytes: int
    days: float

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "path": str(self.path)}


def contents() -> list[Entry]:
    """The entries, the one that was last used first; not what is kept beside them, which is small."""
    found = []
    for folder, card in entries(cache_directory()):
        with suppress(FileNotFoundError):  # another process has removed it meanwhile
            found.append(_entry(folder, card))
    return sorted(found, key=lambda entry: entry.days)


def _entry(folder: Path, card: EntryCard) -> Entry:
    key: Mapping[str, Any] = card.key
    image = key.get("image")
    height, width = (image.get("height"), image.get("width")) if isinstance(image, Mapping) else (None, None)
    return Entry(
        path=folder,
        dataset=str(card.dataset or key.get("dataset", folder.name)),
        split=str(card.split or key.get("split", "")),
        image=f"{height}×{width}",
        bytes=sum(file.stat().st_size for file in folder.iterdir()),
        days=max(0.0, (time.time() - (folder / CARD).stat().st_mtime) / _DAY),
    )


def prune(days: float = 0) -> list[Entry]:
    """Removes entries that were not used for so many days; they are made again when they are wanted. Whoever reads
    one goes on reading it, and one that another process is making stays. Raises OutputError where the cache cannot
    be written."""
    old = [entry for entry in contents() if entry.days >= days]
    if old:
        writable_directory(cache_directory())
    for entry in old:
        with suppress(OutputError), lock_beside(entry.path, wait_s=0) as lock:
            shutil.rmtree(entry.path, ignore_errors=True)
            lock.unlink(missing_ok=True)
    return [entry for entry in old if not entry.path.exists()]
