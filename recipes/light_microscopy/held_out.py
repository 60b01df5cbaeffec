"""Score the recipe on real volumes, each with the model of the fold that never saw it.

    python ../shared/tools/unseen.py lay OUT
    python held_out.py OUT PRED a=runs/model-fold-a b=... c=... d=...
    python ../shared/tools/unseen.py score PRED OUT 0.5

Each volume is predicted by the model that was trained without it (tissue.py, FOLDS); so the score
belongs to the recipe, not to one model. `all=MODEL` predicts every volume with one model,
`views=8` with mirrored views.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tifffile
import tissue

import neuroglow


def fold_of(name: str) -> str:
    """Tell which fold leaves out a volume of unseen.py."""
    bare = f"sources/{name.split('+', maxsplit=1)[0]}.tif"
    return tissue.SOURCES[bare][0]


def main() -> None:
    """Read the command line and predict."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    laid, out = Path(sys.argv[1]), Path(sys.argv[2])
    models = dict(word.split("=", 1) for word in sys.argv[3:])
    views = int(models.pop("views", 1))
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted((laid / "image").glob("*.tif")):
        model = models.get(fold_of(file.stem)) or models["all"]
        image = tifffile.imread(file)
        said = neuroglow.predict(image, model=model, views=views, dtype="float32")
        tifffile.imwrite(out / file.name, said)


if __name__ == "__main__":
    main()
