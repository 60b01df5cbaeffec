// A volume as levels of chunks, read through the server's virtual OME-Zarr.
import * as zarr from "zarrita";
import { ApiError, type Vec3, type VolumeInfo, volume, zarrPiece } from "../api";
import { type Chunk, type Chunks, Forgotten, type Samples } from "./chunks";
import type { Box } from "./display";

export interface OpenLevel {
  array: zarr.Array<zarr.DataType, Store>;
  shape: Vec3;
  chunk: Vec3;
  /** Voxels of level 0 to one voxel of this level. */
  factor: Vec3;
}

interface Store {
  get(key: string): Promise<Uint8Array>;
}

/** The highest value of the dtype of a probability: it is 1. */
function fullScale(dtype: string): number {
  return dtype === "uint8" ? 255 : dtype === "uint16" ? 65535 : 1;
}

/** Voxels of level 0 to one of a level, from the scales that the server states. */
function factor(info: VolumeInfo, n: number): Vec3 {
  const along = (axis: 0 | 1 | 2): number => (info.levels[n]?.scale[axis] ?? 1) / (info.levels[0]?.scale[axis] ?? 1);
  return [along(0), along(1), along(2)];
}

/** How often a volume is opened again that changes while it is opened. */
const TRIES = 3;

/** One opened volume. */
export class Source {
  private constructor(
    readonly info: VolumeInfo,
    readonly levels: readonly OpenLevel[],
    private readonly chunks: Chunks,
  ) {}

  /** Open a volume by its path, as it is now; over: the volume whose voxels places are given in. */
  static async open(path: string, chunks: Chunks, over?: string): Promise<Source> {
    for (let tries = TRIES; ; tries--) {
      try {
        return await Source.openOnce(path, chunks, over);
      } catch (error) {
        if (!tries || !(error instanceof ApiError && error.status === 409)) throw error;
      }
    }
  }

  private static async openOnce(path: string, chunks: Chunks, over?: string): Promise<Source> {
    const info = await volume(path, over);
    const store: Store = { get: (key) => zarrPiece(path, key, info.revision) };
    const root = zarr.root(store);
    const arrays = await Promise.all(info.levels.map((_, n) => zarr.open.v3(root.resolve(String(n)), { kind: "array" })));
    const levels = arrays.map((array, n) => ({
      array, shape: array.shape as Vec3, chunk: array.chunks as Vec3, factor: factor(info, n),
    }));
    return new Source(info, levels as OpenLevel[], chunks);
  }

  get revision(): string {
    return this.info.revision ?? "";
  }

  /** Micrometres to a voxel, zyx; 1 where the file states none. */
  get voxel(): Vec3 {
    return this.info.voxel_size ?? [1, 1, 1];
  }

  /** Where its first voxel lies, zyx, micrometres: not at 0 if it is a part of what it is shown over. */
  get at(): Vec3 {
    const [z, y, x] = this.info.shift ?? [0, 0, 0];
    return [z * this.voxel[0], y * this.voxel[1], x * this.voxel[2]];
  }

  /** The value that stands for 1; a label's values from 1 on all do. */
  get fullScale(): number {
    return this.info.kind === "label" ? 1 : fullScale(this.info.dtype);
  }

  level(n: number): OpenLevel {
    const level = this.levels[Math.min(n, this.levels.length - 1)];
    if (!level) throw new Error(`${this.info.path} has no levels.`);
    return level;
  }

  key(n: number, at: Vec3): string {
    return `${this.info.path}|${this.revision}|${n}|${at.join(".")}`;
  }

  peek(n: number, at: Vec3): Chunk | undefined {
    return this.chunks.peek(this.key(n, at));
  }

  /** A chunk; unless it is lasting, the wish for it may be forgotten before it begins. */
  fetch(n: number, at: Vec3, lasting = false): Promise<Chunk> {
    const fetch = async (): Promise<Chunk> => {
      const chunk = await this.level(n).array.getChunk(at);
      return { data: chunk.data as Samples, shape: chunk.shape };
    };
    return this.chunks.get(this.key(n, at), fetch, lasting);
  }

  /** All chunks that a box of a level touches. */
  touched(n: number, box: Box): Vec3[] {
    const { chunk } = this.level(n);
    const span = (axis: 0 | 1 | 2): number[] => {
      const first = Math.floor(box.lo[axis] / chunk[axis]);
      const last = Math.ceil(box.hi[axis] / chunk[axis]);
      return Array.from({ length: Math.max(0, last - first) }, (_, k) => first + k);
    };
    return span(0).flatMap((z) => span(1).flatMap((y) => span(2).map((x): Vec3 => [z, y, x])));
  }

  /** A box of a level as one array, when all its chunks are here. */
  async read(n: number, box: Box): Promise<Float32Array> {
    const size = extent(box);
    const out = new Float32Array(size[0] * size[1] * size[2]);
    await Promise.all(this.touched(n, box).map(async (at) => copy(await this.patient(n, at), this.level(n).chunk, at, box, out)));
    return out;
  }

  /** A chunk for the projection: asked for again if the slices' moving on dropped the wish. */
  private async patient(n: number, at: Vec3): Promise<Chunk> {
    for (;;) {
      try {
        return await this.fetch(n, at, true);
      } catch (error) {
        if (!(error instanceof Forgotten)) throw error;
      }
    }
  }
}

export function extent(box: Box): Vec3 {
  return [box.hi[0] - box.lo[0], box.hi[1] - box.lo[1], box.hi[2] - box.lo[2]];
}

/** Copy the part of a chunk that lies in a box into the box's array. */
function copy(chunk: Chunk, grid: Vec3, at: Vec3, box: Box, out: Float32Array): void {
  const size = extent(box);
  const [lo, hi] = overlap(grid, at, box);
  for (let z = lo[0]; z < hi[0]; z++)
    for (let y = lo[1]; y < hi[1]; y++) {
      const from = ((z - at[0] * grid[0]) * (chunk.shape[1] ?? 1) + (y - at[1] * grid[1])) * (chunk.shape[2] ?? 1) - at[2] * grid[2];
      const to = ((z - box.lo[0]) * size[1] + (y - box.lo[1])) * size[2] - box.lo[2];
      for (let x = lo[2]; x < hi[2]; x++) out[to + x] = Number(chunk.data[from + x]);
    }
}

/** Where a chunk and a box meet, in voxels of the level. */
export function overlap(grid: Vec3, at: Vec3, box: Box): [Vec3, Vec3] {
  const low = (a: 0 | 1 | 2): number => Math.max(box.lo[a], at[a] * grid[a]);
  const high = (a: 0 | 1 | 2): number => Math.min(box.hi[a], (at[a] + 1) * grid[a]);
  return [[low(0), low(1), low(2)], [high(0), high(1), high(2)]];
}
