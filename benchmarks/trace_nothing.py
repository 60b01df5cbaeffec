"""What `trace` follows where there are no neurites: length in real tissue of other kinds.

    python benchmarks/trace_nothing.py --shared ../shared [--spur 5] [--gap 10] [--min-length 15]

The sources without neurites (cFos, microglia, nuclei, plaques), and two of vessels, are predicted
by the bundled model, which trained on most of them, and traced; lengths in voxels, as if 1 um.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import neuroglow

KINDS = ("cfos", "microglia", "nuclei", "plaques", "vessels")


def main() -> None:
    """Trace and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, required=True)
    for name in ("spur", "gap", "min-length"):
        parser.add_argument(f"--{name}", type=float, help="voxels; else the default")
    asked = parser.parse_args()
    form = {f"{name}_um": getattr(asked, name) for name in ("spur", "gap", "min_length")}
    given = {name: value for name, value in form.items() if value is not None}
    totals: dict[bool, float] = {False: 0.0, True: 0.0}
    print("| source | trees | length |\n|---|---|---|")
    for path in sorted((asked.shared / "data/sources").glob("*.tif")):
        if path.name.startswith(KINDS) and not path.stem.endswith("_label"):
            found = neuroglow.predict(path, dtype="uint8", progress=False)
            report = neuroglow.trace(found, voxel_size=(1, 1, 1), progress=False, **given)
            length = report.summary["length_um"]
            print(f"| {path.stem} | {report.summary['trees']} | {length:.0f} |", flush=True)
            totals[path.name.startswith("vessels")] += length
    print(f"| all but vessels | | {totals[False]:.0f} |\n| vessels | | {totals[True]:.0f} |")


if __name__ == "__main__":
    main()
