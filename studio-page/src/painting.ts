// Painting in 3D: a label of a box, a ball that paints it, strokes that can be undone.
import type { Vec3 } from "./api";
import type { Box } from "./viewer/display";

export const BACKGROUND = 0;
export const NEURITE = 1;
export const IGNORE = 2;

/** One stroke: which voxels it changed, and from what. */
interface Stroke {
  at: Uint32Array;
  before: Uint8Array;
  value: number;
}

const MOST_STROKES = 500;

/** The offsets of a ball, in voxels; `flat` is the axis along which it is one voxel thick, if any. */
export function ball(radius: number, voxel: Vec3, flat: number | null = null): Vec3[] {
  const reach = voxel.map((size, axis) => (axis === flat ? 0 : Math.floor(radius / size))) as Vec3;
  const found: Vec3[] = [];
  for (let z = -reach[0]; z <= reach[0]; z++)
    for (let y = -reach[1]; y <= reach[1]; y++)
      for (let x = -reach[2]; x <= reach[2]; x++)
        if (Math.hypot(z * voxel[0], y * voxel[1], x * voxel[2]) <= radius) found.push([z, y, x]);
  return found.length ? found : [[0, 0, 0]];
}

/** The voxels on the way from one to another, both included. */
export function between(from: Vec3, to: Vec3): Vec3[] {
  const steps = Math.max(1, ...from.map((v, axis) => Math.abs(to[axis as 0 | 1 | 2] - v)));
  return Array.from({ length: steps + 1 }, (_, n) =>
    from.map((v, axis) => Math.round(v + ((to[axis as 0 | 1 | 2] - v) * n) / steps)) as Vec3);
}

export class Painting {
  readonly size: Vec3;
  /** How often it was changed, and how often it had been when it was saved last. */
  changes = 0;
  saved = 0;
  private done: Stroke[] = [];
  private undone: Stroke[] = [];
  private open: Map<number, number> | null = null;
  private last: Vec3 | null = null;

  constructor(readonly data: Uint8Array, readonly box: Box) {
    this.size = box.hi.map((end, axis) => end - box.lo[axis as 0 | 1 | 2]) as Vec3;
    if (data.length !== this.size[0] * this.size[1] * this.size[2])
      throw new Error(`A label of ${data.length} voxels does not fill a box of ${this.size.join(" × ")}.`);
  }

  get changedSinceSaved(): boolean {
    return this.changes !== this.saved;
  }

  /** Begin a stroke at a voxel of the volume. */
  begin(): void {
    this.open = new Map();
    this.last = null;
  }

  /** Paint up to a voxel of the volume. */
  paint(voxel: Vec3, value: number, offsets: readonly Vec3[]): void {
    if (!this.open) this.begin();
    for (const at of between(this.last ?? voxel, voxel)) this.stamp(at, value, offsets);
    this.last = voxel;
  }

  /** End a stroke; one that changed nothing is forgotten. */
  end(value: number): void {
    const open = this.open;
    this.open = this.last = null;
    if (!open?.size) return;
    this.done.push({ at: Uint32Array.from(open.keys()), before: Uint8Array.from(open.values()), value });
    if (this.done.length > MOST_STROKES) this.done.shift();
    this.undone = [];
    this.changes++;
  }

  undo(): void {
    const stroke = this.done.pop();
    if (!stroke) return;
    stroke.at.forEach((at, n) => { this.data[at] = stroke.before[n]!; });
    this.undone.push(stroke);
    this.changes++;
  }

  redo(): void {
    const stroke = this.undone.pop();
    if (!stroke) return;
    for (const at of stroke.at) this.data[at] = stroke.value;
    this.done.push(stroke);
    this.changes++;
  }

  private stamp(middle: Vec3, value: number, offsets: readonly Vec3[]): void {
    const { lo } = this.box;
    const [depth, height, width] = this.size;
    for (const offset of offsets) {
      const z = middle[0] + offset[0] - lo[0];
      const y = middle[1] + offset[1] - lo[1];
      const x = middle[2] + offset[2] - lo[2];
      if (z < 0 || y < 0 || x < 0 || z >= depth || y >= height || x >= width) continue;
      const at = (z * height + y) * width + x;
      const before = this.data[at]!;
      if (before === value) continue;
      if (!this.open!.has(at)) this.open!.set(at, before);
      this.data[at] = value;
    }
  }
}
