"""Which pictures a checkpoint was trained and chosen on: a key of eight bytes for each, beside its card.

    pictures.safetensors   SPLIT: uint64 [N], the keys; SPLIT labels: int32 [N]; for train, validation and test

With it `verify`, `calibrate`, `export` and `--resume` can say which pictures are gone, new, or now on the other
side, and never measure accuracy on one that was trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitconv.checkpoints.checkpoint import Checkpoint, read_tensors, to_safetensors
from vitconv.foundation.disk.files import write_bytes
from vitconv.foundation.errors import CheckpointError

FILE = "pictures.safetensors"

Keys = NDArray[np.uint64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SeenPictures:
    """split → the keys, uint64 [N], and the labels, int [N], of its pictures; labels are of the checkpoint's."""

    splits: Mapping[str, tuple[Keys, Labels]]

    @property
    def trained(self) -> Keys:
        """The pictures that the weights were fitted to."""
        return self.splits["train"][0] if "train" in self.splits else np.zeros(0, np.uint64)

    @property
    def chose(self) -> Keys:
        """The pictures that the epoch was chosen on."""
        return self.splits["validation"][0] if "validation" in self.splits else np.zeros(0, np.uint64)

    def write(self, folder: Path) -> dict[str, str]:
        """Writes the file; what the card says of it: its name and SHA-256. Raises OutputError."""
        arrays: dict[str, np.ndarray] = {}
        for split, (keys, labels) in self.splits.items():
            arrays |= {split: keys.astype(np.uint64), f"{split} labels": labels.astype(np.int32)}
        data = to_safetensors(arrays)
        write_bytes(folder / FILE, data)
        return {"file": FILE, "sha256": hashlib.sha256(data).hexdigest()}

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> SeenPictures | None:
        """Those of a checkpoint; None where its card names none, or the file is not there or another one."""
        named = checkpoint.card.dataset.get("pictures")
        if not isinstance(named, Mapping):
            return None
        return cls.read(checkpoint.path / FILE, str(named.get("sha256")))

    @classmethod
    def read(cls, file: Path, digest: str | None = None) -> SeenPictures | None:
        """None where there is no such file, or where its SHA-256 is another than `digest`."""
        try:
            if digest is not None and hashlib.sha256(file.read_bytes()).hexdigest() != digest:
                return None
            arrays, _ = read_tensors(file)
        except (OSError, CheckpointError):
            return None
        splits = {}
        for split in ("train", "validation", "test"):
            keys, labels = arrays.get(split), arrays.get(f"{split} labels")
            if keys is not None and labels is not None and keys.dtype == np.uint64 and len(keys) == len(labels):
                splits[split] = (keys, labels.astype(np.int64))
        return cls(splits)

    def has_any_of(self, now: Mapping[str, tuple[Keys, Labels]]) -> bool:
        """Whether any of these pictures is still there."""
        return bool(np.isin(_all(self.splits), _all(now)).any())

    def changes(self, now: Mapping[str, tuple[Keys, Labels]]) -> list[str]:
        """What has become of the pictures, a sentence's part for each kind of change; `now` has labels of the same
        numbering."""
        before, after = _all(self.splits), _all(now)
        found = []
        if gone := _counted({split: ~np.isin(keys, after) for split, (keys, _) in self.splits.items()}):
            found.append(f"gone: {gone}")
        if new := _counted({split: ~np.isin(keys, before) for split, (keys, _) in now.items()}):
            found.append(f"new: {new}")
        for here, there in (
            ("train", "validation"),
            ("train", "test"),
            ("validation", "train"),
            ("test", "train"),
        ):
            if here in self.splits and there in now:
                keys = now[there][0]
                moved = np.isin(keys, self.splits[here][0])
                if there in self.splits:
                    moved &= ~np.isin(keys, self.splits[there][0])
                if count := int(moved.sum()):
                    found.append(f"was {here}, now {there}: {_pictures(count)}")
        if count := self._relabelled(now):
            found.append(f"now in another class: {_pictures(count)}")
        return found

    def _relabelled(self, now: Mapping[str, tuple[Keys, Labels]]) -> int:
        before = {key: label for keys, labels in self.splits.values() for key, label in _pairs(keys, labels)}
        after = {key: label for keys, labels in now.values() for key, label in _pairs(keys, labels)}
        return sum(before[key] != label for key, label in after.items() if key in before)


def _pairs(keys: Keys, labels: Labels) -> list[tuple[int, int]]:
    return list(zip(keys.tolist(), labels.tolist(), strict=True))


def _all(splits: Mapping[str, tuple[Keys, Labels]]) -> Keys:
    return np.concatenate([np.zeros(0, np.uint64), *(keys for keys, _ in splits.values())])


def _counted(chosen: Mapping[str, NDArray[np.bool_]]) -> str:
    counts = {split: int(which.sum()) for split, which in chosen.items()}
    return ", ".join(f"{count} of {split}" for split, count in counts.items() if count)


def _pictures(count: int) -> str:
    return f"{count} picture{'' if count == 1 else 's'}"
