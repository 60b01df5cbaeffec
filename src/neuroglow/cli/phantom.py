"""`neuroglow phantom cube | pool | brain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroglow.cli import options
from neuroglow.errors import SettingsError
from neuroglow.watching import watched

if TYPE_CHECKING:
    from neuroglow.space.unfinished import Mode

phantom_app = typer.Typer(
    no_args_is_help=True, help="Make synthetic volumes of neurites whose truth is known."
)

Out = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="A folder.")]
Seed = Annotated[int, typer.Option(min=0, help="Another seed, another phantom.")]
Size = Annotated[int | None, typer.Option(metavar="N", help="Voxels along each axis.")]
Shape = Annotated[str | None, typer.Option(metavar="Z,Y,X", help="Voxels along each axis.")]
VoxelSize = Annotated[str | None, typer.Option(metavar="Z,Y,X", help="Micrometres.  [1,1,1]")]
Swc = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Place these trees instead of growing any.")
]
Region = Annotated[
    str | None, typer.Option(help="sparse, plexus, bundle, cells, deep, near_noise.  [sparse]")
]
Regions = Annotated[
    str | None, typer.Option(metavar="NAME,NAME", help="Those that the pool has.  [all six]")
]
Density = Annotated[
    str | None,
    typer.Option(metavar="LOW,HIGH", help="Length of neurites a thousand voxels."),
]
Snr = Annotated[
    str | None,
    typer.Option(metavar="LOW,HIGH", help="A neurite's peak over the noise's deviation."),
]
Noise = Annotated[
    str | None, typer.Option(metavar="LOW,HIGH", help="Its deviation, grey levels of 16 bits.")
]
Bits = Annotated[str | None, typer.Option(metavar="N,N", help="8, 12 or 16; each draws one.")]
Cubes = Annotated[int, typer.Option(metavar="N", help="How many.")]
BlockSize = Annotated[
    int, typer.Option("--block", metavar="N", help="Voxels an axis of a block; any gives the same.")
]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Settings in YAML (all of RegionSettings); options win."),
]


@phantom_app.command("cube")
def cube(
    out: Out,
    size: Size = None,
    shape: Shape = None,
    voxel_size: VoxelSize = None,
    seed: Seed = 1,
    swc: Swc = None,
    region: Region = None,
    density: Density = None,
    snr: Snr = None,
    noise: Noise = None,
    bits: Bits = None,
    restart: options.Restart = False,
    config: Config = None,
) -> None:
    """Make one cube: image, label, tree, SNR of each neurite, picture."""
    from neuroglow.phantom import phantom_cube

    given = _given(voxel_size, swc, density, snr, noise, bits)
    settings = _settings(config, size, shape, {**given, "region": region})
    with watched("making a cube"):
        made = phantom_cube(out, seed=seed, mode="restart" if restart else "new", **settings)
    typer.echo(
        f"{out}\n  {len(made.table)} neurites, median SNR {made.snr:.1f}, "
        f"{made.density:.2%} of the voxels; synthetic\n  picture {out / 'cube.png'}"
    )


@phantom_app.command("pool")
def pool(
    out: Out,
    cubes: Cubes = 100,
    size: Size = None,
    shape: Shape = None,
    voxel_size: VoxelSize = None,
    seed: Seed = 1,
    swc: Swc = None,
    regions: Regions = None,
    density: Density = None,
    snr: Snr = None,
    noise: Noise = None,
    bits: Bits = None,
    workers: Workers = 1,
    resume: options.Resume = False,
    restart: options.Restart = False,
    config: Config = None,
) -> None:
    """Make cubes that vary as regions of a brain do, with labels, trees and a manifest."""
    from neuroglow.phantom import phantom_pool

    given = _given(voxel_size, swc, density, snr, noise, bits)
    settings = _settings(config, size, shape, given)
    chosen = {"regions": options.numbers(regions)} if regions else {}
    with watched(f"making {out}") as tell:
        report = phantom_pool(
            out,
            cubes=cubes,
            seed=seed,
            workers=workers,
            mode=_mode(resume, restart),
            on_progress=tell,
            **{**settings, **chosen},
        )
    typer.echo(f"{out}\n  {str(report.cubes).replace('blocks', 'cubes')}; synthetic")
    typer.echo(f"  manifest {report.manifest}\n  picture  {report.picture}")


@phantom_app.command("brain")
def brain(
    out: Out,
    size: Size = None,
    shape: Shape = None,
    voxel_size: VoxelSize = None,
    seed: Seed = 1,
    swc: Swc = None,
    region: Region = None,
    density: Density = None,
    snr: Snr = None,
    noise: Noise = None,
    bits: Bits = None,
    block: BlockSize = 256,
    workers: Workers = 1,
    resume: options.Resume = False,
    restart: options.Restart = False,
    config: Config = None,
) -> None:
    """Render one volume of any size, block by block, as OME-Zarr with its truth."""
    from neuroglow.phantom import phantom_brain

    given = _given(voxel_size, swc, density, snr, noise, bits)
    settings = _settings(config, size, shape, {**given, "region": region})
    with watched(f"making {out}") as tell:
        report = phantom_brain(
            out,
            seed=seed,
            block=block,
            workers=workers,
            mode=_mode(resume, restart),
            on_progress=tell,
            **settings,
        )
    typer.echo(f"{report.image}\n{report.label}\n  {report.blocks}; synthetic")
    typer.echo(f"  picture {report.picture}")


def _given(
    voxel_size: str | None,
    swc: Path | None,
    density: str | None,
    snr: str | None,
    noise: str | None,
    bits: str | None,
) -> dict[str, Any]:
    return {
        "voxel_size": options.numbers(voxel_size),
        "swc": swc,
        "density": options.numbers(density),
        "snr": options.numbers(snr),
        "noise": options.numbers(noise),
        "bits": options.numbers(bits),
    }


def _settings(
    config: Path | None, size: int | None, shape: str | None, given: dict[str, Any]
) -> dict[str, Any]:
    """Put what was given over what the file says."""
    if size is not None and shape is not None:
        raise SettingsError("--size and --shape exclude each other", cure="give one of them")
    given = {**given, "shape": [size] * 3 if size is not None else options.numbers(shape)}
    return options.read_config(config) | {k: v for k, v in given.items() if v is not None}


def _mode(resume: bool, restart: bool) -> Mode:
    if resume and restart:
        raise SettingsError("--resume and --restart exclude each other", cure="give one of them")
    return "resume" if resume else "restart" if restart else "new"
