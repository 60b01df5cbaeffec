"""Turn trained weights into a model: average, calibrate, measure, describe.

    six="runs/sixth/state-01800.pt runs/sixth/state-01800.pt runs/second/state-02400.pt"
    python publish.py $six --out runs/six  # continuity.py starts from it
    python publish.py runs/continuity/state-05200.pt --out runs/seven  # zeros.py, planes.py
    zeros="runs/zeros/state-00640.pt runs/zeros/state-00640.pt"
    python publish.py $zeros runs/planes/state-00400.pt --out MODEL
    for plane in 17 48 77; do python publish.py $zeros runs/planes-$plane/state-00400.pt \\
        --without $plane --out runs/left-out-$plane; done
    python benchmarks/detection.py --model MODEL --baselines --out scores.json
    python benchmarks/seams.py --model MODEL --out seams.json
    python benchmarks/leave_one_plane_out.py runs/planes-scores --model runs/seven --views 8 \\
        --trained "runs/left-out-{plane}"
    python publish.py MODEL --out MODEL2 --scores scores.json --seams seams.json \\
        --planes runs/planes-scores/scores.json

Several states give the mean of their weights (Wortsman et al., "Model soups", ICML 2022): in the
model of six stages two parts of the last one, which finds more of the faint, and one of the
second, which keeps the width of thick neurites. In the last model two parts of zeros.py and one
of planes.py, which both start from the seventh (Wortsman et al., "Robust fine-tuning of
zero-shot models", CVPR 2022): so it keeps more of the faint than a person's planes alone do.

The threshold is the lowest at which the mean F1 (within 2 voxels) over phantoms that training
never saw, grainy ones and quiet ones, is within 0.01 of its highest: the curve is flat, and of
nearly equals the one that finds more is wanted. No person's label has a part in it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from continuity import BLOCKS, Plan
from first import Recipe, mean_weights
from numpy.typing import NDArray
from planes import PLANES, Mixed
from refine import STAGES
from zeros import Zeros

from neuroglow import metrics
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.network.checkpoint import load_model, save_model
from neuroglow.network.glownet import GlowNet
from neuroglow.network.model_settings import ModelSettings, NoiseUnitsInput, SeamError
from neuroglow.phantom import IGNORE, NEURITE, REGIONS, PhantomSettings, make_cube, make_phantom

HALO = 32
THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
FLAT = 0.01
VOXELS = (
    "trained in voxels; at an SNR of 3 neurites of 1.7 to 9.5 voxels full width are found, of 1.2 "
    "voxels only brighter ones (benchmarks/widths.py, synthetic); wider ones are not measured"
)
UNSEEN = PhantomSettings(neurites=(6, 16), snr=(1.5, 6.0))
DATA = (
    "phantoms; unlabelled: TRAILMAP example chunk (planes 0-199, MIT), D-LMBmap brain example "
    "(CC BY 4.0), NeuroTorch soma (BSD-3), worm AIY1, AIY4, ASJ1 (MIT)"
)
DESCRIPTION = (
    "Neurites in fluorescence light microscopy, read in noise units. Trained on phantoms, on "
    "phantoms before noise of real texture, and on phantoms added to unlabelled real volumes, "
    "whose own structures earlier stages named"
)


def unseen() -> Iterator[tuple[NDArray, NDArray]]:
    """Give (image, label) of eight phantoms and of two cubes a region, which training never saw."""
    for seed in range(900, 908):
        phantom = make_phantom(np.random.default_rng(seed), UNSEEN)
        yield phantom.image, phantom.label
    for seed, region in enumerate(sorted(REGIONS) * 2):
        cube = make_cube({"region": region, "shape": (96, 96, 96)}, seed=5 * 10**6 + seed)
        yield cube.image, cube.label


def calibrate(network: torch.nn.Module) -> tuple[float, str]:
    """Find the lowest threshold of nearly the highest mean F1 over unseen phantoms; tell why it."""
    scored = []
    for image, label in unseen():
        with torch.inference_mode():
            x = torch.from_numpy(to_noise_units(image))[None, None]
            probability = network(x).sigmoid()[0, 0].numpy()
        truth, ignore = label == NEURITE, label == IGNORE
        scored.append(
            [metrics.detection(probability > t, truth, ignore=ignore).f1 for t in THRESHOLDS]
        )
    mean = np.mean(scored, axis=0)
    lowest = int(np.argmax(mean >= mean.max() - FLAT))
    reason = (
        f"lowest with a mean F1 ({mean[lowest]:.3f}) within {FLAT} of the highest, on twenty "
        "unseen phantoms: eight of SNR 1.5 to 6, two of each region"
    )
    return THRESHOLDS[lowest], reason


def describe(
    network: GlowNet, stages: list[Any], planes: tuple[int, ...], arguments: dict[str, Any]
) -> ModelSettings:
    """Say what a network is, of which stages, and from which probability on it is believed."""
    threshold, reason = calibrate(network.eval())
    scripts = dict.fromkeys(f"recipes/{type(stage).__module__}.py" for stage in stages)
    labelled = f"; labelled: planes {planes} of TRAILMAP's volume (MIT)" if planes else ""
    persons = (
        "; three planes that a person labelled had a small part"
        if planes
        else "; no person's labels were used"
    )
    return ModelSettings(
        name="light-microscopy",
        network="glow",
        arguments=arguments,
        normalisation=NoiseUnitsInput(),
        halo=HALO,
        threshold=threshold,
        training={
            "recipe": ", ".join(scripts),
            "steps": sum(stage.steps for stage in stages),
            "batch": stages[0].batch,
            "seeds": [stage.seed for stage in stages],
            "data": f"{DATA}{labelled}",
            "threshold": reason,
        },
        licence="BSD-3-Clause",
        description=f"{DESCRIPTION}{persons}.",
    )


def averaged(states: list[Path], without: int | None) -> tuple[GlowNet, ModelSettings]:
    """Build the network of the mean weights of some states, and describe it."""
    weights = mean_weights(states)
    deep = "encode.1.1.first.0.weight" in weights
    mixed = deep and len(states) > 1
    stages = [Recipe(), *STAGES.values()]
    stages += [Plan(start=states[0])] if deep else []
    stages += [Zeros(), Mixed()] if mixed else []
    planes = tuple(plane for plane in PLANES if plane != without) if mixed else ()
    arguments = {"widths": Recipe.widths, "blocks": BLOCKS if deep else Recipe.blocks}
    network = GlowNet(**arguments)
    network.load_state_dict(weights)
    return network, describe(network, stages, planes, arguments)


def measured(settings: ModelSettings, asked: argparse.Namespace) -> dict[str, Any]:
    """Read what was measured; of planes that were trained on, the models without them score."""
    seams = json.loads(asked.seams.read_text()) if asked.seams else []
    scores = next(iter(json.loads(asked.scores.read_text()).values())) if asked.scores else {}
    if asked.planes:
        rows = [row for row in json.loads(asked.planes.read_text()) if "{plane}" in row["of"]]
        scores = {k: v for k, v in scores.items() if not k.startswith("planes_")}
        for of in dict.fromkeys(row["of"] for row in rows):
            views = of.partition(", ")[2].replace(" ", "_") or "1_view"
            for name in ("ap", "f1", "f1_own"):
                mean = np.mean([row[name] for row in rows if row["of"] == of])
                scores[f"left_out_planes_{name}_{views}"] = float(mean)
    return {"seam_error": tuple(SeamError(**seam) for seam in seams), "scores": scores}


def trainings(seeds: list[int]) -> str:
    """Say how many trainings the weights are the mean of."""
    if len(seeds) == 1:
        return f"seed {seeds[0]} (one training: no spread is known)"
    return f"the mean of {len(seeds)} trainings (seeds {', '.join(map(str, seeds))})"


def card(settings: ModelSettings) -> str:
    """Write the model's card for people."""
    training = settings.training
    lines = [
        f"# {settings.name}",
        "",
        settings.description,
        "",
        f"- network: {settings.network} {settings.arguments}; input: noise units",
        f"- threshold {settings.threshold}: {training['threshold']}",
        f"- data: {training['data']}",
        f"- recipe: {training['recipe']}; {training['steps']} steps of {training['batch']} patches "
        f"of 64^3, {trainings(training['seeds'])}",
        f"- voxel size: {VOXELS}",
        f"- licence: {settings.licence}",
        "",
        "Seam error (blocks of 64 against the whole, float32, probability 0 to 1):",
        "",
        *(
            f"- halo {s.halo}, {s.where}: mean {s.mean:.6f}, worst {s.worst:.4f}"
            for s in settings.seam_error
        ),
        "",
        "Scores (benchmarks/detection.py says what each is; planes are real and hand-labelled, and",
        "scored by models trained without the plane; faint is synthetic neurites added to real",
        "volumes; empty is the share of voxels detected where there is no neurite; synthetic is",
        "synthetic):",
        "",
        *(f"- {name}: {value:.3f}" for name, value in settings.scores.items()),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Read the command line; average and calibrate, or add to a model what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("states", type=Path, nargs="+", help="states, or a model to describe")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--without", type=int, choices=PLANES, help="the plane left out")
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--seams", type=Path)
    parser.add_argument("--planes", type=Path)
    asked = parser.parse_args()
    if asked.states[0].suffix == ".pt":
        network, settings = averaged(asked.states, asked.without)
    else:
        model = load_model(asked.states[0])
        network, settings = model.network, model.settings
    settings = settings.model_copy(update=measured(settings, asked))
    save_model(asked.out, network, settings, dtype=torch.float16, card=card(settings))
    print(card(settings))


if __name__ == "__main__":
    main()
