"""Names that people guess at the command line, from other tools, and the options meant here."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup

from neuroglow.cli.stopping import stopping

__all__ = ["GuessingCommand", "GuessingGroup", "guess_option", "guess_verb"]

OPTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("output output-dir output-folder outdir out-dir output-path dest save-to", ("-o",)),
    ("input in image images source src infile input-dir raw-image volume data", ("argument",)),
    ("gpu gpus cuda use-gpu gpu-id gpu-ids use-cuda", ("--device cuda",)),
    ("cpu no-gpu no-cuda cpu-only", ("--device cpu",)),
    ("batch-size batchsize bs", ("--batch", "--max-memory, which sets the size of blocks,")),
    ("lr learn-rate base-lr init-lr max-lr", ("--learning-rate",)),
    ("epochs epoch num-epochs n-epochs max-epochs iterations iters max-steps", ("--steps",)),
    (
        "threads num-threads num-workers n-workers jobs n-jobs cores num-cores processes j",
        ("--workers", "--loaders"),
    ),
    (
        "checkpoint ckpt weights weight model-path pretrained-model model-dir m",
        ("--model", "--from MODEL"),
    ),
    ("model from-model pretrained init-from finetune fine-tune start-from", ("--from MODEL",)),
    ("from", ("--model",)),
    ("arch architecture net backbone", ("--network",)),
    ("overwrite force replace f clobber", ("--restart", "another -o: a run is not replaced;")),
    ("continue resume-from restore", ("--resume",)),
    ("spacing resolution pixel-size scale voxelsize voxel-spacing", ("--voxel-size Z,Y,X",)),
    (
        "patch-size crop-size crop patchsize",
        ("--patch", "--max-memory, which sets the size of blocks,"),
    ),
    (
        "tile tile-size block-size blocksize chunk chunk-size chunks",
        ("--block", "--max-memory, which sets the size of blocks,"),
    ),
    ("overlap margin pad padding", ("--halo", "--overlap", "--margin-vox")),
    ("tta augment-test flips", ("--views",)),
    ("half fp16 amp mixed-precision bf16", ("--precision bfloat16",)),
    ("val val-split validation validation-split val-ratio", ("--val-fraction",)),
    ("number num count top k n-cubes num-cubes", ("-n", "--cubes")),
    ("n", ("--cubes",)),
    ("thresh cutoff prob-threshold", ("--threshold",)),
    ("save-every checkpoint-interval save-freq val-every", ("--checkpoint-every",)),
    ("random-seed rng random-state", ("--seed",)),
    ("memory mem max-mem ram", ("--max-memory",)),
    ("roi-box bbox box crop-box region-of-interest", ("--roi",)),
    ("method strategy algorithm", ("--rule",)),
    ("tolerance tol", ("--tolerances",)),
)
"""Guessed words -> the options meant; the first that the command has is named."""

VERBS = {
    "predict": "infer inference segment enhance run apply detect process denoise",
    "train --from MODEL": "finetune fine-tune transfer retrain",
    "train": "fit learn resume",
    "evaluate": "eval score test validate metrics compare",
    "trace": "skeletonize skeletonise skeleton tracing swc vectorize",
    "label": "annotate rasterize rasterise draw mask",
    "select": "sample choose pick selection",
    "survey": "indicators analyze analyse rank",
    "phantom": "generate synth synthetic simulate",
    "testset": "test-set dataset download examples sample-data",
    "models list": "list",
    "models import": "import convert",
}


class GuessingCommand(TyperCommand):
    """A command that suggests the right option for a wrong one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; for an unknown option, suggest the one that is meant."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if type(error).__name__ == "NoSuchOption":
                _reword_option(error, self.params)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run; where Ctrl-C ends what has no words of its own for it, say that nothing is left."""
        with stopping():
            return super().invoke(ctx)


class GuessingGroup(TyperGroup):
    """A group that suggests the right command for a wrong one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command; for an unknown one, suggest the one that is meant."""
        try:
            return super().resolve_command(ctx, args)
        except Exception as error:
            meant = guess_verb(args[0], self.list_commands(ctx)) if args else ""
            if meant and hasattr(error, "message"):
                error.message = f"No such command: {args[0]!r} (here it is: neuroglow {meant})"
            raise


def _reword_option(error: Any, parameters: Sequence[Any]) -> None:
    """Add the suggestion to the parser's own error, whose class is not public."""
    meant = guess_option(error.option_name, parameters)
    if meant:
        error.possibilities = None
        error.message = f"No such option: {error.option_name} (here it is {meant.rstrip(' ,;')})"


def guess_option(guessed: str, parameters: Sequence[Any]) -> str:
    """Return the option meant by a guessed one, for a command with these parameters; or nothing."""
    word = guessed.lstrip("-").replace("_", "-").lower()
    options = {o for p in parameters if p.param_type_name == "option" for o in p.opts}
    if f"--{word}" in options:  # --Voxel_Size
        return f"--{word}"
    for words, candidates in OPTIONS:
        if word not in words.split():
            continue
        for candidate in candidates:
            if candidate == "argument":
                return _first_argument(parameters)
            needed = [w.rstrip(",:;") for w in candidate.split() if w.startswith("-")]
            if options.issuperset(needed):
                return candidate
    return ""


def _first_argument(parameters: Sequence[Any]) -> str:
    names = [
        (p.metavar or p.name.upper()).rstrip(".")
        for p in parameters
        if p.param_type_name == "argument"
    ]
    return f"{names[0]}, without an option" if names else ""


def guess_verb(guessed: str, known: list[str]) -> str:
    """Return the command meant by a guessed word; or nothing."""
    word = guessed.lower().replace("_", "-")
    for verb, words in VERBS.items():
        if word in words.split() and verb.split()[0] in known:
            return verb
    return next(iter(difflib.get_close_matches(word, known, n=1)), "")
