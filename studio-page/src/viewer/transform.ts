// From micrometres to pixels of a slice, and back; which level and which voxels a slice needs.
import type { Vec3 } from "../api";
import type { Box, DisplayState } from "./display";
import type { Axes } from "./plane";
import { extent, type Source } from "./source";

type Axis = 0 | 1 | 2;

export type PlaneName = "xy" | "xz" | "zy";

export const AXES: Record<PlaneName, Axes> = {
  xy: { normal: 0, right: 2, down: 1 },
  xz: { normal: 1, right: 2, down: 0 },
  zy: { normal: 2, right: 0, down: 1 },
};

/** A place as files of trees have it, x y z, in the order of volumes. */
export function zyx([x, y, z]: Vec3): Vec3 {
  return [z, y, x];
}

const MOST_CHUNKS = 300;

/** The place of a slice on its canvas. */
export class Transform {
  constructor(
    readonly axes: Axes,
    readonly state: Readonly<DisplayState>,
    readonly width: number,
    readonly height: number,
  ) {}

  /** Pixels to a micrometre along an axis. */
  per(axis: Axis): number {
    return (axis === 0 ? this.state.depthScale : 1) / this.state.scale;
  }

  x(um: number): number {
    return (um - this.state.centre[this.axes.right]) * this.per(this.axes.right) + this.width / 2;
  }

  y(um: number): number {
    return (um - this.state.centre[this.axes.down]) * this.per(this.axes.down) + this.height / 2;
  }

  /** The place under a pixel, in micrometres zyx, in the plane of the crosshair. */
  um(x: number, y: number): Vec3 {
    const { right, down } = this.axes;
    const at: Vec3 = [...this.state.cursor];
    at[right] = this.state.centre[right] + (x - this.width / 2) / this.per(right);
    at[down] = this.state.centre[down] + (y - this.height / 2) / this.per(down);
    return at;
  }

  /** The visible voxels of a level and, along the normal, the slab. */
  box(source: Source, level: number): Box {
    const corner = [this.um(0, 0), this.um(this.width, this.height)] as const;
    const lo: Vec3 = [0, 0, 0];
    const hi: Vec3 = [0, 0, 0];
    for (const axis of [this.axes.right, this.axes.down] as const)
      [lo[axis], hi[axis]] = range(source, level, axis, [corner[0][axis], corner[1][axis]]);
    const { normal } = this.axes;
    const half = this.state.slab / 2;
    [lo[normal], hi[normal]] = range(source, level, normal, [this.state.cursor[normal] - half, this.state.cursor[normal] + half]);
    return { lo, hi };
  }

  /** The level whose voxels are about a pixel; a coarser one where the slab would need too many chunks. */
  level(source: Source, device: number): number {
    const last = source.levels.length - 1;
    if (this.state.level !== null) return Math.min(this.state.level, last);
    let level = last;
    while (level > 0 && this.voxelPixels(source, level) * device > 1.25) level--;
    while (level < last && this.costs(source, level) > MOST_CHUNKS) level++;
    return level;
  }

  private voxelPixels(source: Source, level: number): number {
    const { factor } = source.level(level);
    const along = (axis: Axis): number => factor[axis] * source.voxel[axis] * this.per(axis);
    return Math.max(along(this.axes.right), along(this.axes.down));
  }

  private costs(source: Source, level: number): number {
    const size = extent(this.box(source, level));
    const { chunk } = source.level(level);
    return size.map((n, axis) => Math.ceil(n / (chunk[axis] ?? 1))).reduce((a, b) => a * b, 1);
  }
}

/** Voxels of a level from one place to another along an axis, within the volume: at least one if they meet. */
function range(source: Source, level: number, axis: Axis, [from, to]: [number, number]): [number, number] {
  const { factor, shape } = source.level(level);
  const index = (um: number): number => Math.floor(((um - source.at[axis]) / source.voxel[axis] + 0.5) / factor[axis]);
  const lo = Math.min(shape[axis], Math.max(0, index(from)));
  return [lo, Math.max(lo, Math.min(shape[axis], index(to) + 1))];
}

/** The edge of a voxel of a level, in micrometres. */
export function edge(source: Source, level: number, axis: Axis, index: number): number {
  return source.at[axis] + (index * source.level(level).factor[axis] - 0.5) * source.voxel[axis];
}

/** The voxel of level 0 at a place, kept inside the volume. */
export function voxelAt(source: Source, um: Vec3): Vec3 {
  const at = (axis: Axis): number =>
    Math.min(source.level(0).shape[axis] - 1, Math.max(0, Math.round(um[axis] / source.voxel[axis])));
  return [at(0), at(1), at(2)];
}
