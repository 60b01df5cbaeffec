// What the four views show and how: one value, which the controls set and the views follow.
import type { Vec3 } from "../api";

/** A half-open box of voxels of level 0, zyx. */
export interface Box {
  lo: Vec3;
  hi: Vec3;
}

export interface DisplayState {
  /** The crosshair, in micrometres, zyx. */
  cursor: Vec3;
  /** The middle of the slices, in micrometres, zyx. */
  centre: Vec3;
  /** Micrometres to one pixel of the screen. */
  scale: number;
  /** Thickness of the slab that a slice projects, in micrometres; 0 is one plane. */
  slab: number;
  /** Grey levels: from low to high, in units of the noise above the background. */
  low: number;
  high: number;
  /** Compress bright voxels (asinh), so that faint and bright show together. */
  compress: boolean;
  threshold: number;
  binary: boolean;
  /** 0: the image alone; 1: the probability alone. */
  blend: number;
  showRaw: boolean;
  showProbability: boolean;
  showTrees: boolean;
  showCrosshair: boolean;
  /** Opacity of the projection. */
  opacity: number;
  /** How much the depth is stretched on the screen. */
  depthScale: number;
  /** The pyramid level that is read; null: what the screen needs. */
  level: number | null;
  /** The sub-box that the projection shows; null: the whole volume. */
  box: Box | null;
}

export const FIRST: DisplayState = {
  cursor: [0, 0, 0], centre: [0, 0, 0], scale: 1, slab: 0, low: -1, high: 20, compress: true,
  threshold: 0.5, binary: false, blend: 0.5, showRaw: true, showProbability: true, showTrees: true,
  showCrosshair: true, opacity: 0.9, depthScale: 1, level: null, box: null,
};

type Hear = (state: Readonly<DisplayState>, changed: ReadonlySet<keyof DisplayState>) => void;

/** The state of a viewer, and who hears of its changes. */
export class Display {
  private current: DisplayState = { ...FIRST };
  private readonly hearers = new Set<Hear>();
  /** What was set, not only proposed. */
  private readonly chosen = new Set<keyof DisplayState>();

  get state(): Readonly<DisplayState> {
    return this.current;
  }

  set(changes: Partial<DisplayState>): void {
    for (const key of Object.keys(changes)) this.chosen.add(key as keyof DisplayState);
    this.change(changes);
  }

  /** Set what nobody has set: what a volume brings with it is no reason to undo what a person did before it came. */
  propose(changes: Partial<DisplayState>): void {
    this.change(Object.fromEntries(Object.entries(changes).filter(([key]) => !this.chosen.has(key as keyof DisplayState))));
  }

  private change(changes: Partial<DisplayState>): void {
    const keys = Object.keys(changes) as (keyof DisplayState)[];
    const changed = new Set(keys.filter((key) => this.current[key] !== changes[key]));
    if (!changed.size) return;
    this.current = { ...this.current, ...changes };
    for (const hear of this.hearers) hear(this.current, changed);
  }

  onChange(hear: Hear): () => void {
    this.hearers.add(hear);
    return () => this.hearers.delete(hear);
  }
}
