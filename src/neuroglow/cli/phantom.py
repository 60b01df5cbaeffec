"""`neuroglow phantom cube | pool | brain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroglow.cli import options
from neuroglow.cli.guesses import GuessingCommand
from neuroglow.errors import SettingsError
from neuroglow.watching import watched

if TYPE_CHECKING:
    pass

phantom_app = typer.Typer(
    no_args_is_help=True, help="Make synthetic volumes of neurites with known truth."
)

Out = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="A folder.")]
Seed = Annotated[
    int | None,
    typer.Option(min=0, help="Random seed: each seed makes a different phantom.  [1]"),
]
Size = Annotated[int | None, typer.Option(metavar="N", help="Voxels along each axis.")]
Shape = Annotated[
    str | None, typer.Option(metavar="Z,Y,X", help="Voxels along each axis.  [96,96,96]")
]
BrainShape = Annotated[
    str | None, typer.Option(metavar="Z,Y,X", help="Voxels along each axis.  [512,512,512]")
]
VoxelSize = Annotated[str | None, typer.Option(metavar="Z,Y,X", help="Micrometres.  [1,1,1]")]
Swc = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Use the trees of these SWC files instead of growing new ones."
    ),
]
Region = Annotated[
    str | None,
    typer.Option(help="Kind of tissue: sparse, plexus, bundle, cells, deep, near_noise.  [sparse]"),
]
Regions = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME",
        help="Regions in the pool.  [sparse,plexus,bundle,cells,deep,near_noise]",
    ),
]
Tissue = Annotated[
    str | None,
    typer.Option(
        help="Where tissue is: everywhere, or ellipsoid: as a brain, with noise around it.  "
        "[everywhere]",
    ),
]
Density = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH",
        help="Length of neurites (voxels) per thousand voxels.  [0.5,4, or the region's]",
    ),
]
Snr = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH",
        help="Peak of a neurite over the noise's standard deviation.  [4,60, or the region's]",
    ),
]
Noise = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH",
        help="Standard deviation of the noise, in 16-bit grey levels.  [15,400]",
    ),
]
Bits = Annotated[
    str | None,
    typer.Option(metavar="N,N", help="Bit depths to draw from: 8, 12, 16.  [8,12,16,16,16]"),
]
Vessels = Annotated[
    str | None,
    typer.Option(
        "--vessels-as",
        "--vessels",
        help="Label of a bright vessel: background, neurite, ignore.  [background]",
    ),
]
Cubes = Annotated[int | None, typer.Option(metavar="N", help="Number of cubes.  [100]")]
BlockSize = Annotated[
    int | None,
    typer.Option(
        "--block", metavar="N", help="Side of a block in voxels; does not change the result.  [256]"
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Number of processes.  [1]")]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="All other settings, in a YAML file (RegionSettings); options win."
    ),
]


@phantom_app.command("cube", cls=GuessingCommand)
def cube(
    out: Out,
    size: Size = None,
    shape: Shape = None,
    voxel_size: VoxelSize = None,
    seed: Seed = None,
    swc: Swc = None,
    region: Region = None,
    density: Density = None,
    snr: Snr = None,
    noise: Noise = None,
    bits: Bits = None,
    vessels_as: Vessels = None,
    restart: options.Restart = False,
    config: Config = None,
) -> None:
    """Make one cube: image, label, tree, SNR of each neurite, picture."""
    given = _given(voxel_size, swc, density, snr, noise, bits)
    own = {"region": region, "vessels_as": vessels_as, "seed": seed}
    settings = _settings(config, size, shape, {**given, **own})
    with watched("making a cube"):
        from neuroglow.phantom import phantom_cube

        made = phantom_cube(out, mode="restart" if restart else "new", **settings)
    typer.echo(
        f"{out}\n  {len(made.table)} neurites, median SNR {made.snr:.1f}, "
        f"{made.density:.2%} of the voxels; synthetic\n  picture {out / 'cube.png'}"
    )


@phantom_app.command("pool", cls=GuessingCommand)
def pool(
    out: Out,
    cubes: Cubes = None,
    size: Size = None,
    shape: Shape = None,
    voxel_size: VoxelSize = None,
    seed: Seed = None,
    swc: Swc = None,
    regions: Regions = None,
    density: Density = None,
    snr: Snr = None,
    noise: Noise = None,
    bits: Bits = None,
    vessels_as: Vessels = None,
    workers: Workers = None,
    resume: options.Resume = False,
    retry_failed: options.RetryFailed = False,
    restart: options.Restart = False,
    config: Config = None,
) -> None:
    """Make cubes like the regions of a brain, with labels, trees and a manifest."""
    given = _given(voxel_size, swc, density, snr, noise, bits)
    own = {"regions": options.numbers(regions), "vessels_as": vessels_as, "seed": seed}
    run = {"cubes": cubes, "workers": workers}
    settings = _settings(config, size, shape, {**given, **own, **run})
    with watched(f"making {out}") as tell:
        from neuroglow.phantom import phantom_pool

        report = phantom_pool(
            out,
            mode=options.mode(resume=resume, restart=restart, retry_failed=retry_failed),
            on_progress=tell,
            **settings,
        )
    typer.echo(f"{out}\n  {str(report.cubes).replace('blocks', 'cubes')}; synthetic")
    typer.echo(f"  manifest {report.manifest}\n  picture  {report.picture}")


@phantom_app.command("brain", cls=GuessingCommand)
def brain(
    out: Out,
    size: Size = None,
    shape: BrainShape = None,
    voxel_size: VoxelSize = None,
    seed: Seed = None,
    swc: Swc = None,
    region: Region = None,
    tissue: Tissue = None,
    density: Density = None,
    snr: Snr = None,
    noise: Noise = None,
    bits: Bits = None,
    vessels_as: Vessels = None,
    block: BlockSize = None,
    workers: Workers = None,
    scheduler: options.Scheduler = None,
    time_limit: options.TimeLimit = None,
    resume: options.Resume = False,
    retry_failed: options.RetryFailed = False,
    restart: options.Restart = False,
    config: Config = None,
) -> None:
    """Render one volume of any size, block by block, as OME-Zarr with its truth."""
    given = _given(voxel_size, swc, density, snr, noise, bits)
    own = {"region": region, "tissue": tissue, "vessels_as": vessels_as, "seed": seed}
    run = {"block": block, "workers": workers, "scheduler": scheduler, "time_limit": time_limit}
    settings = _settings(config, size, shape, {**given, **own, **run})
    with watched(f"making {out}") as tell:
        from neuroglow.phantom import phantom_brain

        report = phantom_brain(
            out,
            mode=options.mode(resume=resume, restart=restart, retry_failed=retry_failed),
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
    """Combine the settings: options override the file."""
    if size is not None and shape is not None:
        raise SettingsError("--size and --shape exclude each other", cure="give one of them")
    given = {**given, "shape": [size] * 3 if size is not None else options.numbers(shape)}
    settings = options.read_config(config) | {k: v for k, v in given.items() if v is not None}
    for name in ("seed", "cubes", "block", "workers"):
        if not isinstance(settings.get(name, 0), int):
            raise SettingsError(f"{name} is a whole number", found=repr(settings[name]))
    return settings
