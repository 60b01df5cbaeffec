"""DB-Enhance's prediction re-implemented, for benchmarks/predict_cost.py to measure.

Eager float32 VoxResNet with gradients on, patches of 120 that overlap by 10, the whole volume
and the whole result in memory, overlaps averaged. The weights are random; the cost is the same.

    python benchmarks/db_enhance_way.py INPUT.tif OUTPUT.tif
"""

import sys

import numpy as np
import tifffile
import torch

from neuroglow.network.db_enhance_facts import INPUT, PATCH
from neuroglow.network.patchwork import patch_starts
from neuroglow.network.voxresnet import VoxResNet


def main(source: str, target: str) -> None:
    """Predict one volume."""
    image = tifffile.imread(source)
    x = INPUT.normalise(image)
    network = VoxResNet().eval()
    total, count = np.zeros(x.shape, np.float32), np.zeros(x.shape, np.float32)
    for z in patch_starts(x.shape[0]):
        for y in patch_starts(x.shape[1]):
            for w in patch_starts(x.shape[2]):
                window = np.s_[z : z + PATCH, y : y + PATCH, w : w + PATCH]
                logits = network(torch.from_numpy(x[window].copy())[None, None])
                total[window] += logits.softmax(1)[0, 1].detach().numpy()
                count[window] += 1
    tifffile.imwrite(target, np.rint(255 * total / count).astype(np.uint8))


if __name__ == "__main__":
    main(*sys.argv[1:])
