"""A data set of TensorFlow Datasets: found, downloaded where it must be, and its splits."""

from __future__ import annotations

import os
import re
import socket
import urllib.request
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from vitconv.data import content, cuts
from vitconv.data.sources import Part, Source
from vitconv.data.spellings import split_kind
from vitconv.data.tfds.records import Records, examples, finder, first_line, has_labels, quiet_tfds, read_records
from vitconv.data.tfds.tfrecord_files import is_tfrecord
from vitconv.foundation.errors import DatasetError, UnknownNameError
from vitconv.foundation.progress import Progress

# name, name/config, name:1.0.0, name/config:1.0.0
_NAME = re.compile(r"\w+(/[\w.\-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)

# Digits, letters and signs: the mirror image of one is another, or none.
_NOT_MIRRORED = re.compile(
    r"(.*mnist(?<!fashion_mnist)(_corrupted)?|svhn.*|omniglot|cmaterdb|gtsrb|.*traffic_sign.*|.*sign_language.*|"
    r"visual_domain_decathlon/(gtsrb|svhn|omniglot))",
    re.ASCII,
)


def read_tfds(name: str, cut: str | None = None, progress: Progress | None = None) -> Source:
    """Finds the data set, or downloads it. Raises UnknownNameError or DatasetError."""
    with quiet_tfds():
        builder = find_builder(name)
        _check_features(name, builder)
        if not builder.is_prepared():
            _download(name, builder)
        return from_builder(name, builder, cut, progress)


def is_name(name: str) -> bool:
    """Whether TensorFlow Datasets knows it."""
    if not _NAME.fullmatch(name):
        return False
    try:
        find_builder(name)
    except UnknownNameError:
        return False
    except DatasetError:
        # tfds knows the first part only: "photos/rose" is then a folder, "cifar100" is not.
        return "/" not in name
    return True


def find_builder(name: str) -> Any:
    """tfds's own object for the data set. Raises UnknownNameError or DatasetError."""
    with quiet_tfds():
        import tensorflow_datasets as tfds

        try:
            if not _NAME.fullmatch(name):
                raise tfds.core.DatasetNotFoundError
            # Given at each call, because tfds itself reads the variable only once, when it is imported.
            return tfds.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR") or None)
        except tfds.core.DatasetNotFoundError:
            builders = tfds.list_builders(with_community_datasets=False)
        except Exception as error:
            raise DatasetError(f"cannot open the data set {name!r}: {first_line(error)}.") from error
    raise UnknownNameError(
        "data set (and no folder of that name)",
        name,
        {"digits", "tf_flowers", "cifar100", *get_close_matches(name, builders, n=5)},
    )


def tfds_directory() -> Path:
    """Where TensorFlow Datasets keeps what it has prepared."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def prepared_names() -> list[str]:
    """The data sets in TensorFlow Datasets' folder, "name" or "name/config", by their files alone: in a moment."""
    root = tfds_directory()
    # root/name/1.0.0/features.json, or root/name/config/1.0.0/features.json
    found = {path.parent.parent for depth in (2, 3) for path in root.glob("*/" * depth + "features.json")}
    return sorted(path.relative_to(root).as_posix() for path in found)


def _check_features(name: str, builder: Any) -> None:
    import tensorflow_datasets as tfds

    wanted = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    features = dict(builder.info.features or {})
    for feature, kind in wanted.items():
        if not isinstance(features.get(feature), kind):
            raise DatasetError(
                f"the data set {name!r} cannot be used for classification: it has no feature {feature!r} of the "
                f"kind {kind.__name__}, only {', '.join(sorted(features)) or 'none that are known'}. "
                "Choose a data set of labelled images."
            )
    dtype = np.dtype(features["image"].np_dtype)
    if dtype.kind != "u":
        raise DatasetError(
            f"the images of the data set {name!r} are {dtype} numbers, whose range nobody says. Prepare them as "
            "uint8 (0 to 255), or choose another data set."
        )


def _download(name: str, builder: Any) -> None:
    """Downloads and prepares. Where no server can be reached, says so at once: tfds tries for minutes."""
    help_text = (
        f"Prepare it on a machine with a network, copy the folder to {tfds_directory() / builder.name}, "
        "or set TFDS_DATA_DIR to where it is."
    )
    if Path(name).is_dir():
        help_text += f" If you mean the folder of that name, write ./{name}."
    if unreachable := _unreachable_host(builder):
        raise DatasetError(
            f"the data set {name!r} is not in {tfds_directory()}, and {unreachable} cannot be reached "
            f"to download it. {help_text}"
        )
    try:
        builder.download_and_prepare()
    except Exception as error:
        raise DatasetError(f"cannot prepare the data set {name!r}: {first_line(error)}. {help_text}") from error


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


# --- splits ---


def from_builder(name: str, builder: Any, cut: str | None = None, progress: Progress | None = None) -> Source:
    """The data set of a builder that is prepared.

    Splits without labels are left out. Where there is only `train`, validation and test are cut out of it by
    content; where there is `train` and `test`, validation is the last tenth of `train`, as in the articles.
    """
    _check_features(name, builder)
    with quiet_tfds():
        own, notes = _own_splits(name, builder)
        feature = builder.info.features["label"]
        labels = tuple(feature.names or map(str, range(feature.num_classes)))
        if cut is None and "train" in own and "validation" not in own and "test" in own:
            cut = cuts.ARTICLE
        if "train" not in own or (cut is None and "validation" in own):
            parts, made = {split: _whole(name, builder, own[split], len(labels)) for split in own}, None
        elif cut == cuts.ARTICLE:
            parts, made = _slices(name, builder, own, len(labels)), cut
        else:
            parts, made, more = _by_content(name, builder, own, cut, labels, progress)
            notes = [*notes, *more]
    if "test" not in parts and made is not None:
        notes.append(
            "there is no test split: accuracy will be of the images that chose the epoch, and a little too good "
            "(the cut three-way makes one)."
        )
    for part in parts.values():
        if not part.count:
            raise DatasetError(f"{part.source} of the data set {name!r} has no examples. Choose a larger one.")
    order = [split for split in ("train", "validation", "test") if split in parts]
    return Source(
        name=name,
        version=str(builder.version),
        labels=labels,
        parts={split: parts[split] for split in order},
        opened_by=name,
        mirrored_keeps_label=not _NOT_MIRRORED.fullmatch(name.partition(":")[0]),
        cut=made,
        notes=tuple(f"{name}: {note}" for note in notes),
    )


def _own_splits(name: str, builder: Any) -> tuple[dict[str, str], list[str]]:
    """train, validation, test → the data set's own name of it, of splits that have labels; and sentences."""
    splits = builder.info.splits
    found: dict[str, str] = {split: split for split in ("train", "validation", "test") if split in splits}
    for other in splits:
        if (kind := split_kind(other)) and other not in found.values():
            found.setdefault(kind, other)
    if not found:
        raise DatasetError(
            f"the data set {name!r} has no train, validation or test split, "
            f"only {', '.join(splits) or 'none'}. Choose another."
        )
    bare = [kind for kind, split in found.items() if not has_labels(builder, split)]
    if len(bare) == len(found):
        raise DatasetError(f"no split of the data set {name!r} has labels: all are −1. Choose another.")
    notes = [f"its split {found[kind]} has no labels (all are −1) and is left out." for kind in bare]
    return {kind: split for kind, split in found.items() if kind not in bare}, notes


def _whole(name: str, builder: Any, source: str, classes: int) -> Part:
    """A split, or a slice of one in tfds's own spelling, in its own order."""
    whole = builder.info.splits[source.partition("[")[0]]
    records = partial(read_records, name, builder, source, classes)
    return Part(
        source=source,
        count=builder.info.splits[source].num_examples,
        identity={
            "dataset": name,
            "version": str(builder.version),
            "source": source,
            # The same version can be prepared from a part of the data.
            "fingerprint": f"{whole.num_examples} examples, {int(whole.num_bytes)} bytes",
        },
        examples=partial(examples, name, builder, source, classes),
        keys=records,
        at=partial(finder, name, builder, source, records) if is_tfrecord(builder) else None,
    )


def _slices(name: str, builder: Any, own: Mapping[str, str], classes: int) -> dict[str, Part]:
    """The last tenth of train is validation, as in the articles; the splits that are there stay as they are."""
    train = own["train"]
    sources = {"train": f"{train}[:90%]", "validation": f"{train}[90%:]"} if "validation" not in own else {}
    return {split: _whole(name, builder, source, classes) for split, source in {**own, **sources}.items()}


def _by_content(
    name: str,
    builder: Any,
    own: Mapping[str, str],
    cut: str | None,
    labels: tuple[str, ...],
    progress: Progress | None,
) -> tuple[dict[str, Part], str | None, list[str]]:
    train = own["train"]
    keys, ids = read_records(name, builder, train, len(labels), progress)
    torn = content.under_two_labels(keys, ids)
    notes = []
    if torn.any():
        classes = sorted({labels[label] for label in ids[torn]})
        notes.append(
            f"{torn.sum()} pictures were left out, because exact copies of them are in another class "
            f"({', '.join(classes[:6])})."
        )
    pool = np.flatnonzero(~torn)
    made = content.splits_to_cut(own, cut, keys[pool], ids[pool])
    parts = {split: _whole(name, builder, source, len(labels)) for split, source in own.items()}
    for split, indices in content.divide(keys[pool], ids[pool], made).items():
        parts[split] = _some(name, builder, train, (keys, ids), pool[indices], len(labels))
    return parts, content.name_of_cut(made), notes


def _some(name: str, builder: Any, train: str, records: Records, indices: NDArray[np.int64], classes: int) -> Part:
    keys, labels = records[0][indices], records[1][indices]

    def chosen(progress: Progress | None) -> Records:
        return keys, labels

    return Part(
        source=f"{len(indices)} of {len(records[0])} in {train} (by content)",
        count=len(indices),
        identity={"pictures": content.digest_of_pictures(keys, labels)},
        examples=partial(_chosen, name, builder, train, indices, classes),
        keys=chosen,
        at=partial(finder, name, builder, train, chosen) if is_tfrecord(builder) else None,
    )


def _chosen(name: str, builder: Any, train: str, indices: NDArray[np.int64], classes: int) -> Iterator[Any]:
    wanted = set(indices.tolist())
    for index, example in enumerate(examples(name, builder, train, classes)):
        if index in wanted:
            yield example
