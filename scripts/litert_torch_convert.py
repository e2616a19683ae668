#!/usr/bin/env python3
"""Converts timm's mobilevit_xxs with litert-torch: the other side of scripts/compare-with-litert-torch.

Runs in an environment of its own, because these packages and vitconv's do not go together:

    python scripts/litert_torch_convert.py OUT_FOLDER IMAGES.npy

Writes OUT_FOLDER/float32.tflite (RGB float32 [1, 256, 256, 3], 0–1 → logits [1, 1000]) with random weights; what
ai-edge-quantizer, which comes with litert-torch, makes of it (quantizer_peer.py, calibrated with the images); and
weights.npz with the weights under timm's names, in the order in which the image meets them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import litert_torch
import numpy as np
import timm
import torch

from quantizer_peer import quantize

SIZE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert timm's mobilevit_xxs with litert-torch.")
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("images", type=Path, help="calibration images, float32 [N, 1, 256, 256, 3], 0–1")
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(0)
    network = timm.create_model("mobilevit_xxs", pretrained=False)
    look_trained(network)
    network.eval()
    np.savez(folder / "weights.npz", **{name: value.numpy() for name, value in network.state_dict().items()})
    # As litert-torch's guide says for images: channels last outside, which is how every other file takes them.
    channels_last = litert_torch.to_channel_last_io(network, args=[0]).eval()
    float32 = str(folder / "float32.tflite")
    litert_torch.convert(channels_last, (torch.zeros(1, SIZE, SIZE, 3),)).export(float32)
    quantize(Path(float32), np.load(arguments.images), folder)


def look_trained(network: torch.nn.Module) -> None:
    """Gives every batch norm weights and statistics as after training, and the classes different probabilities.

    In a fresh timm network each residual branch ends in a factor of 0. The converter sees that and drops the whole
    branch: a fifth of what it counts as arithmetic would be missing from the file.
    """
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
            module.momentum = 1.0
    torch.nn.init.normal_(network.head.fc.weight, 0, 0.3)
    network.train()
    with torch.no_grad():
        network(torch.rand(4, 3, SIZE, SIZE))


if __name__ == "__main__":
    main()
