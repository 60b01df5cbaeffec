"""Score models on volumes of which training saw none of the same place (../shared/tools/unseen.py).

    python ../shared/tools/unseen.py lay OUT
    python held_out.py OUT PRED selma3d=A delivr=B neurotorch=B \\
        cellfinder=B pyneutube=B
    python ../shared/tools/unseen.py score PRED OUT 0.5

Each volume is predicted by the model that was trained without the place that published it; so
the score is of a recipe, not of one model. PLACE=MODEL for each place; all=MODEL for one model.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tifffile
import tissue

import neuroglow


def place_of(name: str) -> str:
    """Tell who published a volume of unseen.py."""
    bare = f"sources/{name.split('+', maxsplit=1)[0]}.tif"
    return (tissue.NONE | tissue.OWN)[bare][0]


def main() -> None:
    """Read the command line and predict."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    laid, out = Path(sys.argv[1]), Path(sys.argv[2])
    models = dict(word.split("=", 1) for word in sys.argv[3:])
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted((laid / "image").glob("*.tif")):
        model = models.get(place_of(file.stem)) or models["all"]
        said = neuroglow.predict(tifffile.imread(file), model=model, dtype="float32")
        tifffile.imwrite(out / file.name, said)


if __name__ == "__main__":
    main()
