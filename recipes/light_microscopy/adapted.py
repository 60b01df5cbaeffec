"""Adapt the recipe's models to volumes that training never saw, and say where that gains.

    python ../../../shared/tools/unseen.py lay LAID
    python adapted.py ../../../shared/tools/unseen.py LAID OUT a=MODEL b=... c=... d=... [VOLUME]

For each volume of `unseen.py` to which neurites are added: the model of the fold that left the
volume out (tissue.py, FOLDS) is adapted to the volume without labels (`neuroglow train --adapt`,
one seed), and both are scored alike: recall of the added neurites, at 0.5 and where 1 % of the
volumes without neurites is detected; the share detected there at 0.5. Other neurites are added
than adapting added. OUT/scores.json; volumes that are done are not done again
(remove OUT/VOLUME of one that was stopped). Names of volumes choose some of them.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tifffile
from held_out import fold_of
from numpy.typing import NDArray

import neuroglow

THRESHOLD = 0.5


def tool(path: str) -> ModuleType:
    """Load `unseen.py`, wherever it lies."""
    spec = importlib.util.spec_from_file_location("unseen", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def predicted(laid: Path, out: Path, model: Path, name: str) -> NDArray[np.float32]:
    """Predict one volume, once."""
    kept = out / f"{name}.npy"
    if not kept.exists():
        out.mkdir(parents=True, exist_ok=True)
        image = tifffile.imread(laid / "image" / f"{name}.tif")
        np.save(kept, neuroglow.predict(image, model=model, dtype="float32").astype(np.float16))
    return np.asarray(np.load(kept), np.float32)


def scores(unseen: ModuleType, laid: Path, out: Path, model: Path, name: str) -> dict[str, Any]:
    """Score a model on one volume and on the volumes without neurites."""
    none = [predicted(laid, out, model, other) for other in unseen.NONE]
    detected = [float((p > THRESHOLD).mean()) for p in none]
    one = float(np.quantile(np.concatenate([p.ravel() for p in none]), 0.99))
    before = predicted(laid, out, model, name)
    at = unseen.nodes(np.load(laid / "truth" / f"{name}.npy"), before.shape)
    row: dict[str, Any] = {"none_mean": float(np.mean(detected)), "none_worst": max(detected)}
    for snr in unseen.SNR:
        after = predicted(laid, out, model, f"{name}+{snr}")
        for kind, level in (("own", THRESHOLD), ("at1", one)):
            fresh = ~unseen.near(before > level)[at]
            row[f"{kind}_{snr}"] = float(unseen.near(after > level)[at][fresh].mean())
    return row


def main() -> None:
    """Read the command line; adapt and score."""
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    unseen, laid, out = tool(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    models = {
        fold: Path(path) for fold, _, path in (w.partition("=") for w in sys.argv[4:]) if path
    }
    chosen = [word for word in sys.argv[4:] if "=" not in word] or unseen.ADD
    file = out / "scores.json"
    rows = json.loads(file.read_text()) if file.exists() else {}
    for name in (name for name in chosen if name not in rows):
        start, run = models[fold_of(name)], out / name
        report = neuroglow.adapt(laid / "image" / f"{name}.tif", out=run, from_model=start)
        row = {"before": scores(unseen, laid, out / f"said-{fold_of(name)}", start, name)}
        if report.best:
            row["after"] = scores(unseen, laid, run / "said", report.best, name)
        rows[name] = row | {"steps": report.steps, "sentence": report.sentence}
        file.write_text(json.dumps(rows, indent=1))
        print(name, json.dumps(rows[name]), flush=True)


if __name__ == "__main__":
    main()
