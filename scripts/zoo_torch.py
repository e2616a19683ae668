"""The part of `scripts/zoo` that runs beside litert-torch: networks of timm with random weights, as float .tflite
files, and what ai-edge-quantizer makes of them in int8.

    python zoo_torch.py NAME CLASSES CALIBRATION.npy FOLDER

CALIBRATION holds pictures, float32 [N, 1, side, side, 3], 0 to 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

# timm's name, and the side of its pictures.
NETWORKS = {
    "timm_deit_tiny": ("deit_tiny_patch16_224", 224),
    "timm_mobilevitv2_050": ("mobilevitv2_050", 256),
    "timm_repvit_m0_9": ("repvit_m0_9", 224),
    "timm_fastvit_t8": ("fastvit_t8", 256),
    "timm_efficientformerv2_s0": ("efficientformerv2_s0", 224),
    "timm_swiftformer_xs": ("swiftformer_xs", 224),
}


def main() -> None:
    import litert_torch
    import numpy as np
    import timm
    import torch

    from quantizer_peer import quantize
    from timm_reference import randomise
    from zoo_training import keep

    name, classes, calibration, folder = sys.argv[1], int(sys.argv[2]), np.load(sys.argv[3]), Path(sys.argv[4])
    known, side = NETWORKS[name]
    torch.manual_seed(0)
    network = timm.create_model(known, pretrained=False, num_classes=classes)
    randomise(network, torch.tensor(0.5), torch.tensor(0.25), side)
    network.eval()
    channels_last = litert_torch.to_channel_last_io(network, args=[0]).eval()
    file = folder / "model.tflite"
    litert_torch.convert(channels_last, (torch.zeros(1, side, side, 3),)).export(str(file))
    quantize(file, calibration, folder)
    (folder / "int8.tflite").rename(folder / "ordinary.tflite")
    keep(folder, {
        "pixels": "0..1", "parameters": sum(values.numel() for values in network.parameters()), "side": side,
        "from": f"timm {timm.__version__}, litert-torch {litert_torch.__version__}",
    })  # fmt: skip


if __name__ == "__main__":
    main()
