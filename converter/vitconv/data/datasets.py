"""A name → splits of images prepared for a model, with labels.

A name is `digits` (scikit-learn's handwritten digits), any TensorFlow Datasets name with an image and a label
(`tf_flowers`, `cifar100`), or the path of a folder of class folders.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property, partial
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitconv.data.folders import read_image_folder, shuffled
from vitconv.data.images import ImageSpec, decode_picture
from vitconv.data.prepared import Example, Part, digest_of, prepare
from vitconv.foundation.errors import DatasetError, UnknownNameError
from vitconv.foundation.progress import Progress

DIGITS = 1797  # how many pictures scikit-learn ships

# name, name/config, name:1.0.0, name/config:1.0.0
_TFDS_NAME = re.compile(r"\w+(/[\w.\-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps standard output for results, and TensorFlow's own notes out of the user's sight."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        absl.setLevel(level)


@dataclass(frozen=True, eq=False)
class Split:
    """Images as a model takes them, and their classes.

    `images`: uint8 [N, H, W, 3], 0–255 RGB, a read-only memory map. `labels`: int64 [N], indices into the
    data set's labels. `source` says where they come from, like "train[:90%]".
    """

    name: str
    source: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    known_digest: str | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over the images and labels."""
        return self.known_digest or digest_of(self.images, self.labels)


class Dataset:
    """A data set whose splits are known; a split's images are decoded when it is first asked for.

    `labels` are the class names in label order, `split_names` the splits there are, in the order train,
    validation, test. `mirrored_keeps_label` is False where a picture's mirror image is something else, as
    with digits. Made by `open_dataset`.
    """

    def __init__(
        self,
        name: str,
        version: str,
        labels: tuple[str, ...],
        parts: Mapping[str, Part],
        mirrored_keeps_label: bool = True,
    ) -> None:
        self.name = name
        self.version = version
        self.labels = labels
        self.split_names = tuple(parts)
        self.mirrored_keeps_label = mirrored_keeps_label
        self._parts = dict(parts)

    @property
    def evaluation_name(self) -> str:
        """The split to report results on: "test" where there is one, else "validation"."""
        return "test" if "test" in self._parts else "validation"

    def split(self, name: str, spec: ImageSpec, progress: Progress | None = None) -> Split:
        """The split's images as `spec` prepares them, from the cache where they were prepared before.

        Raises UnknownNameError for a split that is not in `split_names`, DatasetError for a picture that
        cannot be read, OutputError where the cache cannot be written.
        """
        part = self._parts.get(name)
        if part is None:
            raise UnknownNameError(f"split of {self.name}", name, self.split_names)
        done = prepare(self.name, self.version, name, part, spec, progress)
        return Split(name, part.source, done.images, done.labels, done.digest)


def open_dataset(name: str) -> Dataset:
    """Finds the data set; a TensorFlow data set that is not on this machine yet is downloaded.

    A plain name that TensorFlow Datasets knows is that data set even where a folder is called the same;
    `./name` is always the folder. Raises UnknownNameError or DatasetError.
    """
    if name == "digits":
        return _open_digits()
    if not name or name[0] in "./~" or (_is_folder(name) and not _is_tfds_name(name)):
        return _open_folder(Path(name))
    return _open_tfds(name)


def is_here(name: str) -> bool:
    """Whether `open_dataset` finds that name without a download."""
    if name == "digits":
        return True
    if not name or name[0] in "./~" or (_is_folder(name) and not _is_tfds_name(name)):
        return _is_folder(os.path.expanduser(name))  # noqa: PTH111  leaves an unknown user's ~ as it is
    try:
        return bool(_tfds_builder(name).is_prepared())
    except (DatasetError, UnknownNameError):
        return False


@_quiet()
def available() -> list[dict[str, Any]]:
    """The data sets that need no download: `digits`, and the prepared ones in TensorFlow Datasets' folder.

    Each is {"name": str, "version": str, "classes": int, "splits": {split: number of examples}}.
    """
    rows = [_row(_open_digits())]
    root = tfds_directory()
    if not root.is_dir():
        return rows
    for folder in sorted(root.iterdir()):
        if not folder.is_dir():
            continue
        # root/name/1.0.0/features.json, or root/name/config/1.0.0/features.json
        found = {path.parent.parent for path in folder.glob("*/features.json")}
        found |= {path.parent.parent for path in folder.glob("*/*/features.json")}
        for place in sorted(found):
            name = place.relative_to(root).as_posix()
            try:
                builder = _tfds_builder(name)
                if builder.is_prepared():
                    rows.append(_row(_from_builder(name, builder)))
            except (DatasetError, UnknownNameError):
                continue
    return rows


def _row(dataset: Dataset) -> dict[str, Any]:
    splits = {name: part.count for name, part in dataset._parts.items()}
    return {
        "name": dataset.name,
        "version": dataset.version,
        "classes": len(dataset.labels),
        "splits": splits,
    }


def _open_folder(path: Path) -> Dataset:
    try:
        path = path.expanduser()
    except RuntimeError as error:
        raise DatasetError(
            f"{path} cannot be found: {_first_line(error)}. Give the folder's full path."
        ) from error
    found = read_image_folder(path)
    return Dataset(found.name, found.version, found.labels, found.parts)


# --- digits ---


def _open_digits() -> Dataset:
    order = shuffled(DIGITS)
    first, second = DIGITS * 70 // 100, DIGITS * 80 // 100
    chosen = {"train": order[:first], "validation": order[first:second], "test": order[second:]}
    parts = {
        split: Part(
            source=f"{len(indices)} of {DIGITS} (seed 0)",
            count=len(indices),
            fingerprint="",
            examples=partial(_digit_examples, indices),
        )
        for split, indices in chosen.items()
    }
    labels = tuple("0123456789")
    return Dataset("digits", installed_version("scikit-learn"), labels, parts, mirrored_keeps_label=False)


def _digit_examples(indices: NDArray[np.int64]) -> Iterator[Example]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    # float64 0–16 -> uint8 0–255, [1797, 8, 8]
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    for index in indices:
        picture = partial(Image.fromarray, pixels[index])
        yield Example(picture, int(digits.target[index]), f"digit {index}", "Install scikit-learn again.")


# --- TensorFlow Datasets ---


def tfds_directory() -> Path:
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def prepared_names() -> list[str]:
    """The data sets in TensorFlow Datasets' folder, "name" or "name/config", by their files alone: in a moment."""
    root = tfds_directory()
    found = {path.parent.parent for depth in (2, 3) for path in root.glob("*/" * depth + "features.json")}
    return sorted(path.relative_to(root).as_posix() for path in found)


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # too long for a path, or in a place that may not be looked into
        return False


def _is_tfds_name(name: str) -> bool:
    if not _TFDS_NAME.fullmatch(name):
        return False
    try:
        _tfds_builder(name)
    except UnknownNameError:
        return False
    except DatasetError:
        # tfds knows the first part only: "photos/rose" is then a folder, "cifar100" is not.
        return "/" not in name
    return True


@_quiet()
def _tfds_builder(name: str) -> Any:
    import tensorflow_datasets as tfds

    try:
        if not _TFDS_NAME.fullmatch(name):
            raise tfds.core.DatasetNotFoundError
        # Given at each call, because tfds itself reads the variable only once, when it is imported.
        return tfds.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR") or None)
    except tfds.core.DatasetNotFoundError:
        builders = tfds.list_builders(with_community_datasets=False)
    except Exception as error:
        raise DatasetError(f"cannot open the data set {name!r}: {_first_line(error)}.") from error
    raise UnknownNameError(
        "data set (and no folder of that name)",
        name,
        {"digits", "tf_flowers", "cifar100", *get_close_matches(name, builders, n=5)},
    )


@_quiet()
def _open_tfds(name: str) -> Dataset:
    builder = _tfds_builder(name)
    _check_features(name, builder)
    if not builder.is_prepared():
        _download(name, builder)
    return _from_builder(name, builder)


def _check_features(name: str, builder: Any) -> None:
    import tensorflow_datasets as tfds

    wanted = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    features = dict(builder.info.features or {})
    for feature, kind in wanted.items():
        if not isinstance(features.get(feature), kind):
            raise DatasetError(
                f"the data set {name!r} cannot be classified: it has no {feature!r} feature of the kind "
                f"{kind.__name__}, only {', '.join(sorted(features)) or 'none that are known'}. "
                "Choose a data set of labelled images."
            )


def _download(name: str, builder: Any) -> None:
    """Downloads and prepares. Where no server can be reached, says so at once: tfds tries for minutes."""
    help_text = (
        f"Prepare it on a machine with a network, copy the folder to {tfds_directory() / builder.name}, "
        "or set TFDS_DATA_DIR to where it is."
    )
    if _is_folder(name):
        help_text += f" If you mean the folder of that name, write ./{name}."
    if unreachable := _unreachable_host(builder):
        raise DatasetError(
            f"the data set {name!r} is not in {tfds_directory()}, and {unreachable} cannot be reached "
            f"to download it. {help_text}"
        )
    try:
        builder.download_and_prepare()
    except Exception as error:
        raise DatasetError(f"cannot prepare the data set {name!r}: {_first_line(error)}. {help_text}") from error


def _unreachable_host(builder: Any) -> str | None:
    downloaded = (tfds_directory() / "downloads" / builder.name).glob("*")
    if urllib.request.getproxies() or any(".tmp." not in path.name for path in downloaded):
        return None
    hosts = {urlsplit(url).hostname for url in builder.url_infos or ()}
    for host in sorted(str(host) for host in hosts if host):
        try:
            socket.getaddrinfo(host, None)
        except OSError:
            return host
    return None


def _from_builder(name: str, builder: Any) -> Dataset:
    _check_features(name, builder)
    splits = builder.info.splits
    sources = {split: split for split in ("train", "validation", "test") if split in splits}
    if "train" in sources and "validation" not in sources:
        del sources["train"]
        sources = {"train": "train[:90%]", "validation": "train[90%:]", **sources}
    if not sources:
        raise DatasetError(
            f"the data set {name!r} has no train, validation or test split, "
            f"only {', '.join(splits) or 'none'}. Choose another."
        )
    feature = builder.info.features["label"]
    labels = tuple(feature.names or map(str, range(feature.num_classes)))
    parts = {}
    for split, source in sources.items():
        whole = splits[source.partition("[")[0]]
        parts[split] = Part(
            source=source,
            count=splits[source].num_examples,
            # The same version can be prepared from a part of the data.
            fingerprint=f"{whole.num_examples} examples, {int(whole.num_bytes)} bytes",
            examples=partial(_tfds_examples, name, builder, source, len(labels)),
        )
        if not parts[split].count:
            raise DatasetError(f"{source} of the data set {name!r} has no examples. Choose a larger one.")
    return Dataset(name, str(builder.version), labels, parts)


def _tfds_examples(name: str, builder: Any, source: str, classes: int) -> Iterator[Example]:
    import tensorflow_datasets as tfds

    again = f"Remove {builder.data_path} and prepare the data set again."
    try:
        with _quiet():
            rows = builder.as_dataset(
                split=source,
                shuffle_files=False,
                # Only these two features are read, and Pillow decodes the image, as on every other way here.
                decoders=tfds.decode.PartialDecoding(
                    {"image": True, "label": True}, decoders={"image": tfds.decode.SkipDecoding()}
                ),
                read_config=tfds.ReadConfig(try_autocache=False),
            ).as_numpy_iterator()
        for index, row in enumerate(rows):
            label = int(row["label"])
            if not 0 <= label < classes:
                raise DatasetError(
                    f"example {index} of {name} {source} has the label {label}, which is none of its "
                    f"{classes} classes. Choose a split or data set with labels."
                )
            where = f"example {index} of {name} {source}"
            yield Example(partial(decode_picture, row["image"]), label, where, again)
    except DatasetError:
        raise
    except Exception as error:
        raise DatasetError(f"cannot read {name} {source} ({_first_line(error)}). {again}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".: ")
