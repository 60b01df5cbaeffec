"""A trace of the whole and by regions: the same files, memory and time.

    python benchmarks/trace_regions.py PROBABILITY [--regions 0 256 128] [--max-memory 1600MB]

Each trace is a process of its own (region 0: the whole, whatever the memory). Prints its CPU
seconds (user and system), its peak memory (the kernel's VmHWM), and whether trees, bridges and
decisions are those of the first, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

FILES = (".swc", "_trees.csv", "_bridges.csv", "_decisions.csv")

CHILD = """
import json, resource, sys
import neuroglow
source, out, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
report = neuroglow.trace(source, out=out, progress=False, **options)
use = resource.getrusage(resource.RUSAGE_SELF)
held = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps([use.ru_utime + use.ru_stime, held, dict(report.summary), list(report.notes)]))
"""


def main() -> None:
    """Trace and compare."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("probability")
    options.add_argument("--regions", type=int, nargs="+", default=[0, 256, 128])
    options.add_argument("--max-memory", default="1600MB")
    chosen = options.parse_args()
    first: list[bytes] = []
    with tempfile.TemporaryDirectory() as folder:
        for side in chosen.regions:
            out = Path(folder) / f"region_{side}.swc"
            given = {"region": side} if side else {"max_memory": "1TB"}
            words = [
                chosen.probability,
                str(out),
                json.dumps({"max_memory": chosen.max_memory} | given),
            ]
            command = [sys.executable, "-c", CHILD, *words]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            cpu, held, summary, notes = json.loads(done.stdout.splitlines()[-1])
            files = [out.with_name(out.stem + end).read_bytes() for end in FILES]
            first = first or files
            same = "the same files" if files == first else "OTHER FILES"
            print(f"region {side}: {cpu:.0f} CPU s, {held:.0f} MB, {same}; {summary}", flush=True)
            print("   ", "; ".join(notes), flush=True)


if __name__ == "__main__":
    main()
