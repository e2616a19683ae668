"""Every picture below a folder, and what else there is and why it is no picture of the data set."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from vitconv.data.pictures import picture_formats
from vitconv.data.spellings import is_litter

# Not worth a look: there may be one beside every picture.
_NO_PICTURES = frozenset(
    {
        ".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".md", ".html", ".db", ".ini", ".npy", ".mat",
        ".py", ".zip", ".tar", ".gz", ".log", ".pkl", ".h5",
    }
)  # fmt: skip

Parts = tuple[str, ...]


@dataclass(frozen=True)
class PictureFile:
    """A file that looks like a picture. `parts` lead to it from the data set's root."""

    path: Path
    parts: Parts
    size: int
    modified_ns: int
    changed_ns: int

    @property
    def relative(self) -> str:
        return "/".join(self.parts)


@dataclass
class Skipped:
    """What was left out, and why: reason → how many, and the first few of them."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str, count: int = 1) -> None:
        self.counts[reason] += count
        known = self.examples.setdefault(reason, [])
        if len(known) < 3:
            known.append(name)

    def sentences(self) -> list[str]:
        """One for each reason, "3 files …: a, b, c"."""
        return [
            f"{count} {reason}: {named(self.examples[reason], count)}" for reason, count in self.counts.items()
        ]


@dataclass
class Listing:
    """All pictures below `root`, sorted by path; `folders` has each visible folder with the names in it."""

    root: Path
    pictures: list[PictureFile] = field(default_factory=list)
    folders: dict[Parts, list[str]] = field(default_factory=dict)
    skipped: Skipped = field(default_factory=Skipped)
    below: Counter[Parts] = field(default_factory=Counter)  # pictures at any depth
    directly: Counter[Parts] = field(default_factory=Counter)

    def count(self) -> None:
        for picture in self.pictures:
            self.directly[picture.parts[:-1]] += 1
            for depth in range(len(picture.parts)):
                self.below[picture.parts[:depth]] += 1


def named(names: Iterable[str], count: int) -> str:
    """The names, and that there are more where there are."""
    shown = list(names)
    return ", ".join(shown) + (f" and {count - len(shown)} more" if count > len(shown) else "")


def list_pictures(root: Path) -> Listing:
    """Looks at every name below `root`; opens only files that have a suffix nobody knows. Raises OSError."""
    found = Listing(root)
    _walk(root, (), found, {os.path.realpath(root)})
    found.count()
    return found


def _walk(folder: Path, parts: Parts, found: Listing, linked: set[str]) -> None:
    with os.scandir(folder) as scanned:
        entries = sorted(scanned, key=lambda entry: entry.name)
    found.folders[parts] = []
    for entry in entries:
        inside = (*parts, entry.name)
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if is_litter(entry.name):
                found.skipped.add("folders that a system made for itself", "/".join(inside))
            elif entry.is_symlink() and not _leads_elsewhere(entry, found.root, linked):
                found.skipped.add("links to folders that are looked at anyway", "/".join(inside))
            else:
                found.folders[parts].append(entry.name)
                _walk(Path(entry.path), inside, found, linked)
        elif not entry.is_file():
            found.skipped.add("links that lead nowhere, or other things that are no files", "/".join(inside))
        elif _is_picture(entry):
            state = entry.stat()
            found.pictures.append(
                PictureFile(Path(entry.path), inside, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
            )
        else:
            found.skipped.add(_why_not(entry.name), "/".join(inside))


def _leads_elsewhere(entry: os.DirEntry[str], root: Path, linked: set[str]) -> bool:
    """Whether a link leads to a folder that is not above, inside, or among those that are looked at."""
    real, own = os.path.realpath(entry.path), os.path.realpath(root)
    if real in linked or os.path.commonpath([real, own]) in (real, own):
        return False
    linked.add(real)
    return True


def _is_picture(entry: os.DirEntry[str]) -> bool:
    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122  of a name, in a loop over 100,000 of them
    if suffix in picture_formats.SUFFIXES:
        return True
    if suffix in _NO_PICTURES or suffix in picture_formats.OTHER_SUFFIXES:
        return False
    # A file of another name is a picture where it begins as one: many data sets have no suffixes.
    with open(entry.path, "rb") as stream:  # noqa: PTH123
        return picture_formats.begins_as_picture(stream.read(picture_formats.BEGINNING))


def _why_not(name: str) -> str:
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if suffix in picture_formats.OTHER_SUFFIXES:
        return f"files of a kind that is not read (save them as one of {picture_formats.SHOWN})"
    return "files that are no pictures"
