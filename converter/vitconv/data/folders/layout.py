"""Which folders of a data set are splits, which are classes, and which pictures are in them.

photos/rose/1.jpg            class folders
photos/train/rose/1.jpg      splits with class folders in them, in any usual spelling, perhaps deeper down
photos/rose/train/1.jpg      classes with splits in them
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vitconv.data.folders.listing import Listing, Parts, PictureFile, named
from vitconv.data.pictures import picture_formats
from vitconv.data.spellings import (
    class_name,
    folded,
    is_wrapper,
    split_inside,
    split_kind,
)
from vitconv.foundation.errors import DatasetError

SPLITS = ("train", "validation", "test")

_FOLD = re.compile(r"(k?fold|split|part|partition|cv|batch|subset)[ _-]?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """`labels` in label order; `own` are the splits that there are folders for: split → the folder as a user reads
    it, "Train/"; empty where the class folders are the whole. `pictures` has each picture's split ("train" where
    there are none) and label. `notes` are sentences about what is left out."""

    labels: tuple[str, ...]
    own: Mapping[str, str]
    pictures: list[tuple[PictureFile, str, int]]
    notes: tuple[str, ...]


def read_layout(listing: Listing) -> Layout:
    """Raises DatasetError, which names the folders, where they cannot be told apart for certain."""
    base = _base(listing)
    splits = _split_folders(listing, base)
    if splits:
        _check_rest(listing, base, splits)
        classes = {split: _class_folders(listing, [folder]) for split, folder in splits.items()}
        own = {split: "/".join(folder) + "/" for split, folder in splits.items()}
    elif inner := _splits_in_classes(listing, base):
        classes = inner
        own = {split: f"*/{next(iter(folders.values()))[0][-1]}/" for split, folders in inner.items()}
    else:
        _check_no_splits(listing, base)
        classes, own = {"train": _class_folders(listing, [base])}, {}
    return _layout(listing, classes, own)


Classes = dict[str, list[Parts]]  # class → its folders


def _layout(listing: Listing, classes: Mapping[str, Classes], own: Mapping[str, str]) -> Layout:
    leading = next(split for split in ("train", "test", "validation") if split in classes)
    names = sorted(classes[leading])
    where = own.get(leading, str(listing.root))
    _check_classes(listing, names, where)
    label_of: dict[Parts, tuple[str, int]] = {}
    notes = []
    for split, found in classes.items():
        _check_same_spelling(found, own.get(split, str(listing.root)))
        if extra := sorted(set(found) - set(names)):
            missing = ", ".join(sorted(set(names) - set(found))) or "none"
            raise DatasetError(
                f"{listing.root}: {own[split]} and {own[leading]} have different class folders (missing: "
                f"{missing}; extra: {', '.join(extra)}). Give both the same ones."
            )
        full = [name for name in names if any(listing.below[folder] for folder in found.get(name, ()))]
        empty = sorted(set(names) - set(full))
        if empty and split == leading:
            raise DatasetError(_no_pictures(listing, found[empty[0]][0]))
        if empty:
            notes.append(
                f"{own[split]} has no picture of {named(empty[:5], len(empty))}: nothing is measured of "
                f"{'that class' if len(empty) == 1 else 'those classes'} there."
            )
        for label, name in enumerate(names):
            for folder in found.get(name, ()):
                label_of[folder] = (split, label)
    pictures = []
    for picture in listing.pictures:
        place = next(
            (place for depth in range(1, len(picture.parts)) if (place := label_of.get(picture.parts[:depth]))),
            None,
        )
        if place:
            pictures.append((picture, *place))
        else:
            listing.skipped.add("pictures that are in no class folder", picture.relative)
    return Layout(tuple(names), own, pictures, tuple(notes))


# --- splits ---


def _base(listing: Listing) -> Parts:
    """The folder that has splits in it: the root, or the only folder with pictures, or the only one in that."""
    base: Parts = ()
    while not _split_folders(listing, base):
        inner = _full(listing, base)
        if len(inner) != 1 or listing.directly[base]:
            return ()
        base = (*base, inner[0])
    return base


def _split_folders(listing: Listing, base: Parts) -> dict[str, Parts]:
    """Folders in `base` that are called like a split and have class folders in them, in the order of SPLITS."""
    found: dict[str, Parts] = {}
    for name in listing.folders.get(base, ()):
        split, folder = split_kind(name), (*base, name)
        # A class may be called "train" too; then its pictures, or most of them, are directly in it.
        if split is None or 2 * listing.directly[folder] >= listing.below[folder]:
            continue
        if split in found:
            raise DatasetError(
                f"{listing.root} has both {found[split][-1]}/ and {name}/ for the {split} split. Keep one."
            )
        found[split] = _unwrapped(listing, folder, split)
    return {split: found[split] for split in SPLITS if split in found}


def _unwrapped(listing: Listing, folder: Parts, split: str) -> Parts:
    """train/train/rose and train/images/rose are train/rose."""
    inner = _full(listing, folder)
    while len(inner) == 1 and not listing.directly[_inside(folder, inner[0])]:
        if split_kind(inner[0]) != split and not is_wrapper(inner[0]):
            break
        folder = (*folder, inner[0])
        inner = _full(listing, folder)
    return folder


def _full(listing: Listing, folder: Parts) -> list[str]:
    """The folders in it that have pictures somewhere below."""
    return [name for name in listing.folders.get(folder, ()) if listing.below[_inside(folder, name)]]


def _inside(folder: Parts, name: str) -> Parts:
    return (*folder, name)


def _check_rest(listing: Listing, base: Parts, splits: Mapping[str, Parts]) -> None:
    """What is beside split folders may be a class set beside a class that is called "train"."""
    known = {folder[: len(base) + 1] for folder in splits.values()}
    others = [name for name in _full(listing, base) if (*base, name) not in known]
    classes = [name for name in others if split_kind(name) is None]
    if loose := [name for name in others if split_kind(name) == "train"]:
        _refuse_splits(listing, loose, "looks like a split beside others, but has pictures directly in it")
    if len(splits) == 1 and classes:
        (folder,) = splits.values()
        raise DatasetError(
            f"{listing.root} has {folder[len(base)]}/, which looks like a split with class folders in it, beside "
            f"{named([f'{name}/' for name in classes[:3]], len(classes))}. If it is a split, move the others "
            "away; if it is a class, put its pictures directly into it."
        )


def _splits_in_classes(listing: Listing, base: Parts) -> dict[str, Classes]:
    """split → its class folders, where each class has its splits inside: rose/train/1.jpg; else nothing."""
    names = _full(listing, base)
    inner: dict[str, dict[str, Parts]] = {}
    for name in names:
        folder = (*base, name)
        kinds = {split_kind(one): (*folder, one) for one in _full(listing, folder) if split_kind(one)}
        inner[name] = {str(kind): place for kind, place in kinds.items()}
    split = [name for name in names if len(inner[name]) > 1]
    if not split:
        return {}
    for name in names:
        folder = (*base, name)
        if not inner[name] or listing.directly[folder] or len(_full(listing, folder)) != len(inner[name]):
            raise DatasetError(
                f"{listing.root}: {split[0]}/ has splits in it "
                f"({', '.join(f'{place[-1]}/' for place in inner[split[0]].values())}), but {name}/ has other "
                "pictures, too. Give every class the same folders, or put the classes into the splits."
            )
    found: dict[str, Classes] = {}
    for kind in SPLITS:
        classes: Classes = {}
        for name in names:
            if kind in inner[name]:
                classes.setdefault(class_name(name), []).append(inner[name][kind])
        if classes:
            found[kind] = classes
    return found


def _check_no_splits(listing: Listing, base: Parts) -> None:
    """Raises DatasetError where the classes would be splits under another name."""
    names = listing.folders[base]
    called = {name: kind for name in names if (kind := split_kind(name))}
    if len(set(called.values())) > 1:
        _refuse_splits(listing, called, "look like splits, but have pictures directly in them")
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        if both := split_inside(name):
            groups[both[0]][both[1]] = name
    for group in groups.values():
        if len(group) > 1:
            _refuse_splits(listing, group.values(), "are a class and a split in one name")
    inner = {name: frozenset(_full(listing, (*base, name))) for name in names}
    same = set(inner.values())
    if all(map(_FOLD.fullmatch, names)) and len(names) > 1 and len(same) == 1 and len(next(iter(same))) > 1:
        _refuse_splits(listing, names, "look like parts of a data set: all have the same folders in them")


def _refuse_splits(listing: Listing, folders: Iterable[str], why: str) -> None:
    shown = list(folders)
    raise DatasetError(
        f"{listing.root}: {named([f'{name}/' for name in shown[:4]], len(shown))} {why}. Put class folders into "
        f"split folders, like {listing.root}/train/rose/1.jpg and {listing.root}/test/rose/2.jpg."
    )


# --- classes ---


def _class_folders(listing: Listing, places: Iterable[Parts]) -> Classes:
    found: Classes = {}
    for place in places:
        for name in listing.folders[place]:
            found.setdefault(class_name(name), []).append((*place, name))
    return found


def _check_classes(listing: Listing, names: list[str], where: str) -> None:
    """Raises DatasetError for names that no label can be, or that a person would take for one another."""
    if not names:
        raise DatasetError(
            f"{where} has no class folders in it. Put the pictures into one folder a class, like rose/1.jpg."
        )
    if len(names) == 1:
        raise DatasetError(
            f"{where} has only one class, {names[0]!r}. A classifier needs at least two. (Give the folder "
            "that has the class folders directly in it.)"
        )
    alike: dict[str, str] = {}
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise DatasetError(
                f"the name of the class folder {name!r} in {where} is not UTF-8, which labels are written in. "
                "Rename it."
            ) from None
        if not name.strip() or name.splitlines() != [name]:
            raise DatasetError(
                f"the class folder {name!r} in {where} cannot be a label, which is one line of text. Rename it."
            )
        other = alike.setdefault(folded(name), name)
        if other != name:
            raise DatasetError(
                f"{where} has two folders for what looks like one class: {other!r} and {name!r}. Put the pictures "
                "into one of them, or give them names that differ in more than case, blanks and accents' spelling."
            )


def _check_same_spelling(classes: Classes, where: str) -> None:
    """Raises DatasetError where two folders are the same class in different Unicode."""
    for name, folders in classes.items():
        if len(folders) > 1:
            raise DatasetError(
                f"{where} has {len(folders)} folders called {name!r}, which differ only in how their accents are "
                "encoded. Put the pictures into one of them."
            )


def _no_pictures(listing: Listing, folder: Parts) -> str:
    inside = listing.root.joinpath(*folder)
    prefix = "/".join(folder) + "/"
    left = [
        f"{left_out} ({reason})"
        for reason, names in listing.skipped.examples.items()
        for left_out in [name for name in names if name.startswith(prefix)][:1]
    ]
    more = f" Left out: {'; '.join(left)}." if left else ""
    formats = picture_formats.SHOWN
    return f"the class folder {inside} has no pictures in it ({formats}).{more} Add some, or remove the folder."
