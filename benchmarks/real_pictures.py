"""Pictures of the bundled model on the six real sources.

    python benchmarks/real_pictures.py --shared ../shared --out docs/pictures/real

Each is the picture that `neuroglow predict` writes next to its output: maximum projections along
the three axes, raw (noise units) above probability.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import neuroglow

SOURCES = {
    "trailmap": "trailmap/example_chunk.tif",
    "labelled": "trailmap/labelled_volume.tif",
    "dlmbmap": "dlmbmap/brain_example.tif",
    "soma": "neurotorch/soma_dendrites.tif",
    "worm": "worm/ASJ5.tif",
    "fly": "fly/neuron.tif",
}


def write_small(path: Path, pixels: NDArray) -> None:
    """Write a picture in 256 colours: a third of the bytes, and no difference to the eye."""
    Image.fromarray(pixels).quantize(256).save(path, "PNG", optimize=True)


def main() -> None:
    """Predict each source and keep its picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="light-microscopy")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, path in SOURCES.items():
            out = Path(folder) / f"{name}.ome.zarr"
            [report] = neuroglow.predict(asked.shared / "data" / path, out=out, model=asked.model)
            write_small(asked.out / f"{name}.png", np.asarray(Image.open(report.picture)))
            print(f"{name}: {report.blocks}")


if __name__ == "__main__":
    main()
