#!/usr/bin/env python3
"""Saves timm's networks with random weights, and what they answer: the other side of scripts/compare-with-timm.

Runs in an environment of its own, because PyTorch and vitconv's packages do not go together:

    python scripts/timm_reference.py OUT_FOLDER NAME…

Writes, for each name of timm's, OUT_FOLDER/NAME.safetensors (every tensor under timm's name, as timm publishes its
weights) and OUT_FOLDER/NAME.npz (pixels: uint8 RGB [N, H, W, 3] of the network's own size; features after pooling:
float32 [N, channels]; logits: float32 [N, 1000]).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import safetensors.torch
import timm
import torch

IMAGES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description="Save timm's networks with random weights, and their answers.")
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("names", nargs="+", help="timm's names of networks")
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names:
        torch.manual_seed(0)
        network = timm.create_model(name, pretrained=False)
        config = network.pretrained_cfg
        mean, std = torch.tensor(config["mean"]), torch.tensor(config["std"])
        randomise(network, mean, std)
        network.eval()
        _, height, width = config["input_size"]
        pixels = torch.randint(0, 256, (IMAGES, height, width, 3), dtype=torch.uint8)
        images = scaled(pixels / 255, mean, std)
        with torch.inference_mode():
            features = network.forward_head(network.forward_features(images), pre_logits=True)
            logits = network(images)
        safetensors.torch.save_file(network.state_dict(), folder / f"{name}.safetensors")
        np.savez(folder / f"{name}.npz", pixels=pixels, features=features, logits=logits)
        print(name, "of timm", timm.__version__, "with torch", torch.__version__)


def scaled(pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """[N, H, W, 3] from 0 to 1 → what a network takes, [N, 3, H, W]."""
    return ((pixels - mean) / std).permute(0, 3, 1, 2)


def randomise(network: torch.nn.Module, mean: torch.Tensor, std: torch.Tensor, side: int = 128) -> None:
    """Changes every tensor, so that each counts: timm begins with statistics of 0 and 1, biases of 0, and factors
    of 0 where a residual branch ends, behind which nothing could be seen."""
    batch_norms = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)
    normalisations = (*batch_norms, torch.nn.LayerNorm, torch.nn.GroupNorm)
    for module in network.modules():
        if isinstance(module, normalisations):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
        elif getattr(module, "bias", None) is not None:
            torch.nn.init.normal_(module.bias, 0, 0.1)
        if isinstance(module, batch_norms):
            module.momentum = 1.0
    for module in network.head.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, 0, 0.1)
    # Statistics of images that pass, as after training, or the activations would die out or blow up; then a little
    # off, so that each layer has to use its own.
    network.train()
    with torch.no_grad():
        network(scaled(torch.rand(8, side, side, 3), mean, std))
        for module in network.modules():
            if isinstance(module, batch_norms):
                module.running_mean += torch.randn_like(module.running_mean) * module.running_var.sqrt() * 0.2
                module.running_var *= torch.empty_like(module.running_var).uniform_(0.7, 1.4)


if __name__ == "__main__":
    main()
