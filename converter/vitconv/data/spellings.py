"""What names of folders and files give away: a split, litter that a system left, the same class twice."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

_SPLITS = {
    "train": ("train", "training", "trn"),
    "validation": (
        "validation", "valid", "val", "vali", "validate", "dev", "devel", "development", "eval", "evaluation",
        "holdout",
    ),
    "test": ("test", "testing", "tests", "tst", "heldout"),
}  # fmt: skip
_SPLIT_OF = {word: split for split, words in _SPLITS.items() for word in words}
# Words that say no more than that pictures are inside: "train_images", "test-set", "ILSVRC2012_img_val".
_FILLERS = frozenset(
    {
        "set", "data", "dataset", "images", "image", "img", "imgs", "pictures", "picture", "photos", "pics",
        "split", "subset", "folder", "dir", "files", "seg", "cls", "ilsvrc", "imagenet", "the", "of",
    }
)  # fmt: skip
_JOINED = re.compile(r"(.+?)(?:set|data|images|imgs|img|split|dir|folder)")

_LITTER = frozenset(
    {
        "@eadir", "@recycle", "@recently-snapshot", "@tmp", "@__thumb", "@sharebin", "#recycle", "#snapshot",
        "$recycle.bin", "recycler", "recycled", "system volume information", "lost+found", "__macosx",
        "network trash folder", "temporary items", "__pycache__", "thumbnails", "_thumbs", "_thumbnails",
    }
)  # fmt: skip


def split_kind(name: str) -> str | None:
    """The split that a folder of this name holds: "Training set" → "train"; None for any other name."""
    kinds, rest = _split_words(name)
    return kinds[0] if len(kinds) == 1 and not rest else None


def split_inside(name: str) -> tuple[str, str] | None:
    """A class and a split in one name, "cat_train" → ("cat", "train"); None for any other name."""
    kinds, rest = _split_words(name)
    return (" ".join(rest), kinds[0]) if len(kinds) == 1 and rest else None


def is_wrapper(name: str) -> bool:
    """Whether the name says no more than that there are pictures inside: "images"."""
    kinds, rest = _split_words(name)
    return not kinds and not rest


def is_litter(name: str) -> bool:
    """Whether a system made a folder of this name for itself: thumbnails, a recycle bin."""
    return name.casefold() in _LITTER


def class_name(folder: str) -> str:
    """The class that a folder stands for, the same however its file system spells letters with accents."""
    return unicodedata.normalize("NFC", folder)


def folded(name: str) -> str:
    """Equal for two names of classes that a person would read as one: "Hot dog", "hot_dog".

    Single letters stay apart: "A" and "a" are two classes of handwriting.
    """
    if len(name) == 1:
        return name
    plain = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", re.sub(r"\s+", " ", plain.replace("_", " ")).strip())


def has_mirrored_classes(labels: Sequence[str]) -> bool:
    """Whether the mirror image of one class is another, or none: digits, letters, left and right."""
    if all(len(label) == 1 and label.isalnum() for label in labels):
        return True
    names = {folded(label) for label in labels}
    return any(other != name and other in names for name in names for other in _mirrored(name))


def _mirrored(name: str) -> Iterator[str]:
    for one, two in (("left", "right"), ("counterclockwise", "clockwise"), ("anticlockwise", "clockwise")):
        yield name.replace(one, two)
        yield name.replace(two, one)


def _split_words(name: str) -> tuple[list[str], list[str]]:
    """The splits that the words of a name stand for, and the words that say something else."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    kinds: list[str] = []
    rest: list[str] = []
    for word in re.findall(r"[^\W\d_]+", parted.casefold()):
        joined = _JOINED.fullmatch(word)
        kind = _SPLIT_OF.get(word) or (_SPLIT_OF.get(joined[1]) if joined else None)
        if kind:
            kinds.append(kind)
        elif word not in _FILLERS:
            rest.append(word)
    return kinds, rest
