"""The part of `scripts/zoo` that runs in keras-hub's environment: small networks of its backbones, trained and
saved as SavedModels, with what the ordinary converter makes of them.

    python zoo_hub.py NAME PICTURES.npz FOLDER SECONDS       one network
    python zoo_hub.py                                        the names

PICTURES has `images` (uint8 [N, H, W, 3]), `labels` and `calibration` (indices of images).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SIDE = 32


def vit(hub: Any) -> Any:
    return hub.models.ViTBackbone(
        (SIDE, SIDE, 3), patch_size=4, num_layers=3, num_heads=3, hidden_dim=96, mlp_dim=192, dropout_rate=0.0,
        attention_dropout=0.0,
    )  # fmt: skip


def deit(hub: Any) -> Any:
    return hub.models.DeiTBackbone(
        (SIDE, SIDE, 3), patch_size=4, num_layers=3, num_heads=3, hidden_dim=96, intermediate_dim=192,
        dropout_rate=0.0, attention_dropout=0.0,
    )  # fmt: skip


def mit(hub: Any) -> Any:
    return hub.models.MiTBackbone(
        max_drop_path_rate=0.0, layerwise_num_heads=[1, 2], layerwise_sr_ratios=[2, 1], layerwise_depths=[2, 2],
        layerwise_patch_sizes=[3, 3], layerwise_strides=[2, 2], hidden_dims=[32, 96], image_shape=(SIDE, SIDE, 3),
    )  # fmt: skip


def csp_darknet(hub: Any) -> Any:
    return hub.models.CSPNetBackbone(
        stem_filters=32, stem_kernel_size=3, stem_strides=1, stackwise_num_filters=[32, 64, 128],
        stackwise_strides=[1, 2, 2], stackwise_depth=[1, 2, 2], block_type="dark_block",
        image_shape=(SIDE, SIDE, 3),
    )  # fmt: skip


def resnet_vd(hub: Any) -> Any:
    return hub.models.ResNetBackbone(
        input_conv_filters=[16, 16, 32], input_conv_kernel_sizes=[3, 3, 3], stackwise_num_filters=[32, 64, 128],
        stackwise_num_blocks=[1, 1, 1], stackwise_num_strides=[1, 2, 2], block_type="basic_block_vd",
        image_shape=(SIDE, SIDE, 3),
    )  # fmt: skip


NETWORKS = {f"hub_{build.__name__}": build for build in (vit, deit, mit, csp_darknet, resnet_vd)}


def classifier(name: str, classes: int) -> Any:
    """Pixels from 0 to 1, a backbone as it is, its tokens or its map pooled, and a dense layer."""
    import keras
    import keras_hub

    backbone = NETWORKS[name](keras_hub)
    image = keras.Input((SIDE, SIDE, 3))
    x = backbone(image)
    pooling = keras.layers.GlobalAveragePooling1D if len(x.shape) == 3 else keras.layers.GlobalAveragePooling2D
    x = pooling()(x)
    return keras.Model(image, keras.layers.Dense(classes)(x), name=name)


def main() -> None:
    if len(sys.argv) == 1:
        print("\n".join(NETWORKS))
        return
    import keras
    import keras_hub
    import numpy as np

    from zoo_training import keep, ordinary_int8, train

    name, pictures, folder, seconds = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
    with np.load(pictures) as kept:
        images, labels = kept["images"].astype(np.float32) / 255, kept["labels"]
        calibration = images[kept["calibration"]]
    keras.utils.set_random_seed(0)
    model = classifier(name, int(labels.max()) + 1)
    steps = train(model, images, labels, seconds)
    folder.mkdir(parents=True, exist_ok=True)
    model.export(folder / "saved", verbose=False)
    (folder / "ordinary.tflite").write_bytes(ordinary_int8(model, calibration))
    keep(folder, {
        "pixels": "0..1", "parameters": model.count_params(), "side": SIDE, "steps": steps, "seconds": seconds,
        "from": f"keras-hub {keras_hub.__version__}",
    })  # fmt: skip


if __name__ == "__main__":
    main()
