"""Gain from three labelled planes: `neuroglow train --from` on two of them, scored on the third.

    python benchmarks/leave_one_plane_out.py OUT [--steps 300] [--seeds 1 2 3] [--views 8]

TRAILMAP's labelled volume has three labelled planes, 29 or more apart. For each plane, the bundled
model is trained further on the two other planes only; its threshold is the one with the best F1 on
those two. The scores are those of the left-out plane: average precision, and F1 within 2 pixels at
that threshold, compared with the unchanged bundled model. `--views` also gives the means over
mirrored views. Trained models are kept. With `--trained "runs/planes-{plane}/model"`, existing
models that were trained without the plane are scored (recipes/light_microscopy/planes.py).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from detection import PLANES, planes_f1

import neuroglow
from neuroglow import metrics

LEGEND = "1=background,2=neurite,4=ignore,0=ignore"
SETTINGS = {"patch": 64, "batch": 4, "learning_rate": 3e-4, "val_fraction": 0.0}


def train_without(plane: int, image: Path, label: np.ndarray, out: Path, asked: dict) -> Path:
    """Train on all labelled planes but one; give the model."""
    pool, run = out / f"without-{plane}", out / f"without-{plane}-seed-{asked['seed']}"
    for kind in ("image", "label"):
        (pool / kind).mkdir(parents=True, exist_ok=True)
    if not (pool / "label/planes.tif").exists():
        (pool / "image/planes.tif").symlink_to(image.resolve())
        kept = label.copy()
        kept[plane] = 0
        tifffile.imwrite(pool / "label/planes.tif", kept)
    if not (run / "report.html").exists():
        begun = (run / "run.json").exists()
        wanted = {"label_map": LEGEND, "checkpoint_every": asked["steps"], **SETTINGS, **asked}
        neuroglow.train(
            pool, out=run, mode="resume" if begun else "new", **({} if begun else wanted)
        )
    return run / "checkpoints/last"


def score(values: np.ndarray, label: np.ndarray, plane: int, own: float) -> dict[str, float]:
    """Score one plane of a prediction, at the threshold best on the others, and at its own."""
    others = [p for p in PLANES if p != plane]
    thresholds = np.linspace(0.05, 0.95, 46)
    best = max(thresholds, key=lambda t: planes_f1(values[others] > t, label[others] == 2))
    counted = np.isin(label[plane], (1, 2))
    return {
        "ap": metrics.average_precision(values[plane][counted], label[plane][counted] == 2),
        "f1": planes_f1(values[[plane]] > best, label[[plane]] == 2),
        "threshold": float(best),
        "f1_own": planes_f1(values[[plane]] > own, label[[plane]] == 2),
    }


def main() -> None:
    """Read the command line; train and score; print a row for each plane, and the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--views", type=int, choices=(1, 2, 4, 8), default=1)
    parser.add_argument("--trained", help="models; {plane} stands for the plane left out")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    data = asked.shared / "data/trailmap"
    source = data / "labelled_volume.tif"
    image, label = tifffile.imread(source), tifffile.imread(data / "labelled_label.tif")
    rows: list[dict[str, Any]] = []

    def add(name: str, model: str | Path, planes: Sequence[int]) -> None:
        for views in sorted({1, asked.views}):
            own = neuroglow.load_model(model).settings.threshold
            values = neuroglow.predict(image, model=model, dtype="float32", views=views)
            of = name if views == 1 else f"{name}, {views} views"
            rows.extend({"of": of, "plane": p} | score(values, label, p, own) for p in planes)

    add("as it is", asked.model, PLANES)
    for plane in PLANES if asked.trained else ():
        add(asked.trained, asked.trained.format(plane=plane), [plane])
    for seed in () if asked.trained else asked.seeds:
        for plane in PLANES:
            wanted = {"from_model": asked.model, "steps": asked.steps, "seed": seed}
            model = train_without(plane, source, label, asked.out, wanted)
            add(f"seed {seed}", model, [plane])
            print(json.dumps(rows[-1]), flush=True)
    (asked.out / "scores.json").write_text(json.dumps(rows, indent=1))
    print("| | AP | F1 | F1 at its own threshold |\n|---|---|---|---|")
    for name in dict.fromkeys(row["of"] for row in rows):
        of = [row for row in rows if row["of"] == name]
        ap, f1, own = (np.mean([row[k] for row in of]) for k in ("ap", "f1", "f1_own"))
        print(f"| {name} | {ap:.3f} | {f1:.3f} | {own:.3f} |")


if __name__ == "__main__":
    main()
