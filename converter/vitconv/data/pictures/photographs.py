"""Eight pictures that are on every machine: cut out of the two photographs that come with scikit-learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitconv.data.pictures.images import ImageSpec


def sample_photographs(spec: ImageSpec) -> NDArray[np.uint8]:
    """Four squares of each: left, middle, right, and of half the side. uint8 [8, H, W, 3]"""
    from sklearn.datasets import load_sample_images

    images = []
    for pixels in load_sample_images().images:  # uint8 [427, 640, 3]
        photograph = Image.fromarray(pixels)
        side, spare = photograph.height, photograph.width - photograph.height
        half, middle = side // 2, spare // 2 + side // 4
        boxes = [(left, 0, left + side, side) for left in (0, spare // 2, spare)]
        boxes.append((middle, side // 4, middle + half, side // 4 + half))
        images += [spec.prepare(photograph.crop(box)) for box in boxes]
    return np.stack(images)
