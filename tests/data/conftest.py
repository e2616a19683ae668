"""Data sets that several test modules read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from made_pictures import class_folders


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("VITCONV_CACHE", str(folder))
    return folder


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "flowers", {"tulip": 12, "daisy": 13})


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tfds folder with a small data set `tiny` in several configurations, prepared by tfds itself."""
    import tensorflow_datasets as tfds

    root = tmp_path_factory.mktemp("tensorflow_datasets")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 9, 7, 3), np.uint8)
    sizes = {"train": 40, "validation": 8, "val": 8, "test": 12}
    starts = {"train": 0, "validation": 40, "val": 40, "test": 48}

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.2.3")
        BUILDER_CONFIGS = [  # noqa: RUF012
            tfds.core.BuilderConfig(name=name)
            for name in (
                "train",
                "train-test",
                "train-validation",
                "train-validation-test",
                "no_label",
                "unlabelled_test",
                "train-unlabelled_test",
                "train-val",
                "test",
                "float_train",
            )
        ]

        def _info(self) -> tfds.core.DatasetInfo:
            image = tfds.features.Image()
            if self.builder_config.name == "float_train":
                image = tfds.features.Image(shape=(None, None, 1), dtype=np.float32)
            features = {"image": image, "id": tfds.features.Text()}
            if self.builder_config.name != "no_label":
                features["label"] = tfds.features.ClassLabel(names=["cat", "dog", "owl"])
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager: object) -> dict[str, Iterator[object]]:
            names = self.builder_config.name.replace("unlabelled_", "").replace("float_", "").split("-")
            return {name: self._generate_examples(name) for name in names if name in sizes} or {
                "train": self._generate_examples("train")
            }

        def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, object]]]:
            for index in range(starts[split], starts[split] + sizes[split]):
                row = {"image": pixels[index], "id": str(index), "label": index % 3}
                if "unlabelled" in self.builder_config.name and split == "test":
                    row["label"] = -1
                if self.builder_config.name == "float_train":
                    row["image"] = pixels[index, ..., :1].astype(np.float32) / 255
                if self.builder_config.name == "no_label":
                    del row["label"]
                yield index, row

    tfds.disable_progress_bar()
    for config in Tiny.BUILDER_CONFIGS:
        Tiny(config=config.name, data_dir=root).download_and_prepare()
    return root


@pytest.fixture
def tfds_folder(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    return prepared
