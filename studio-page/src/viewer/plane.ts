// A plane or a slab of a volume, assembled from the chunks that are here: the values, not yet colours.
import type { Vec3 } from "../api";
import type { Chunk } from "./chunks";
import type { Box } from "./display";
import { extent, overlap, type Source } from "./source";

/** The axes of a view: along its normal, to the right, and down; zyx numbers. */
export interface Axes {
  normal: 0 | 1 | 2;
  right: 0 | 1 | 2;
  down: 0 | 1 | 2;
}

export interface Plane {
  /** Highest value along the normal, row by row; NaN where no chunk has come yet. */
  values: Float32Array;
  width: number;
  height: number;
  box: Box;
  level: number;
  /** Chunks that have not come. */
  missing: Vec3[];
}

/** Assemble a box of a level into a plane; the box is thin along the normal. */
export function assemble(source: Source, level: number, box: Box, axes: Axes): Plane {
  const size = extent(box);
  const width = size[axes.right];
  const height = size[axes.down];
  const values = new Float32Array(width * height).fill(Number.NaN);
  const missing: Vec3[] = [];
  for (const at of source.touched(level, box)) {
    const chunk = source.peek(level, at);
    if (chunk) project(chunk, source.level(level).chunk, at, { values, width, box, axes });
    else missing.push(at);
  }
  return { values, width, height, box, level, missing };
}

interface Target {
  values: Float32Array;
  width: number;
  box: Box;
  axes: Axes;
}

function project(chunk: Chunk, grid: Vec3, at: Vec3, target: Target): void {
  const { values, width, box, axes } = target;
  const { normal, right, down } = axes;
  const [lo, hi] = overlap(grid, at, box);
  const step: Vec3 = [(chunk.shape[1] ?? 1) * (chunk.shape[2] ?? 1), chunk.shape[2] ?? 1, 1];
  const base = -(at[0] * grid[0] * step[0] + at[1] * grid[1] * step[1] + at[2] * grid[2] * step[2]);
  for (let v = lo[down]; v < hi[down]; v++)
    for (let u = lo[right]; u < hi[right]; u++) {
      let top = Number.NEGATIVE_INFINITY;
      const place = base + v * step[down] + u * step[right];
      for (let n = lo[normal]; n < hi[normal]; n++) {
        const value = Number(chunk.data[place + n * step[normal]]);
        if (value > top) top = value;
      }
      const to = (v - box.lo[down]) * width + (u - box.lo[right]);
      if (!(values[to]! >= top)) values[to] = top;
    }
}
