// The viewer: three orthogonal slices and a projection of the same place, linked.
import { ApiError, type Tree, type Vec3, trees as fetchTrees } from "../api";
import type { Context } from "../context";
import { h } from "../dom";
import { treeColour } from "./colour";
import { Chunks } from "./chunks";
import { type Box, Display, type DisplayState } from "./display";
import { drawn, type DrawnTree, extentOf, type Layers, type Mark, type Role, type TreeLook } from "./layers";
import { attachPointer, type Brush, type Pick, type Pointed } from "./pointer";
import type { Projection } from "./projection";
import { SliceView } from "./slice";
import { Source } from "./source";
import { type PlaneName, voxelAt } from "./transform";

/** Where a viewer says what went wrong. */
export interface Messages {
  fail: Context["fail"];
  say: Context["say"];
}

const PLANES: readonly PlaneName[] = ["xy", "zy", "xz"];

export class Viewer implements Pointed {
  readonly element = h("div", { class: "viewer", "data-testid": "viewer" });
  readonly display = new Display();
  readonly layers: Layers = { base: null, raw: null, probability: null, trees: [], chosen: null, label: null, marks: [] };
  readonly slices: readonly SliceView[];
  projection: Projection | null = null;
  brush: Brush | null = null;
  drawingBox = false;
  closed = false;
  private readonly chunks = new Chunks();
  private readonly pickers = new Set<(pick: Pick) => void>();
  private readonly openers = new Set<() => void>();
  private readonly looks = new Map<Tree["id"], TreeLook>();
  private readonly boxers = new Set<(box: Box | null) => void>();
  private readonly observer = new ResizeObserver(() => this.resize());
  private readonly place3d = h("div", { class: "view projection" });
  /** How often a volume or trees were asked for: what comes after it was asked for anew is not shown. */
  private readonly asked = { raw: 0, probability: 0, trees: 0 };
  private readonly back = (): void => {
    this.redraw();
    void this.load3d();
  };
  private renewing = false;
  private focus: SliceView;
  private frame = 0;
  /** Whether the projection is to be drawn anew in the next frame. */
  private stale3d = false;

  constructor(root: HTMLElement, private readonly context: Messages) {
    const around = { display: this.display, layers: this.layers, redraw: () => this.redraw(), fail: (error: unknown) => this.failed(error) };
    this.slices = PLANES.map((name) => new SliceView(name, around));
    this.focus = this.slices[0]!;
    for (const view of this.slices) {
      attachPointer(view, this);
      this.element.append(h("div", { class: `view ${view.name}` }, view.canvas, h("span", { class: "axes" }, view.name)));
    }
    this.element.append(this.place3d);
    root.append(this.element);
    this.display.onChange((_, changed) => this.changed(changed));
    this.observer.observe(this.element);
    document.addEventListener("answers", this.back);
    this.element.addEventListener("scroll", () => this.element.scrollTo(0, 0));
    void this.openProjection();
  }

  /** Show a volume in a role. */
  async setVolume(path: string, role: Role): Promise<Source> {
    const turn = ++this.asked[role];
    const over = this.layers.base;
    const first = !over || over === this.layers[role];
    const source = await Source.open(path, this.chunks, first ? undefined : over.info.path);
    if (this.closed || turn !== this.asked[role]) return source;
    if (first) this.layers.base = source;
    this.layers[role] = source;
    if (role === "probability" && source.info.threshold) this.display.propose({ threshold: source.info.threshold });
    if (!over) this.beginWhole();
    this.opened();
    this.redraw();
    void this.load3d();
    return source;
  }

  /** Show no volume in a role. */
  removeVolume(role: Role): void {
    this.asked[role]++;
    this.layers[role] = null;
    this.opened();
    this.redraw();
    void this.load3d();
  }

  /** Look again at a volume that grows or was described anew; what is here stays until the new has come. */
  async refresh(role: Role): Promise<void> {
    const before = this.layers[role];
    if (!before) return;
    const isBase = this.layers.base === before;
    const after = await Source.open(before.info.path, this.chunks, isBase ? undefined : this.layers.base?.info.path);
    if (after.revision !== before.revision) await this.prepare(after);
    if (this.layers[role] !== before || this.closed) return;
    this.layers[role] = after;
    if (isBase) this.layers.base = after;
    if (after.revision !== before.revision) this.chunks.drop(`${before.info.path}|${before.revision}|`);
    this.opened();
    this.redraw();
    await this.load3d();
  }

  /** Fetch what the slices will need of a volume. */
  private async prepare(source: Source): Promise<void> {
    const needs = this.slices.flatMap(({ transform, canvas }) => {
      const level = transform.level(source, canvas.width / Math.max(1, canvas.clientWidth));
      return source.touched(level, transform.box(source, level)).map((at) => source.fetch(level, at, true));
    });
    await Promise.all(needs);
  }

  /** Show the trees of a file. */
  async setTrees(path: string): Promise<void> {
    const turn = ++this.asked.trees;
    const { trees } = await fetchTrees(path, this.layers.base?.info.path);
    if (!this.closed && turn === this.asked.trees) this.setTreeList(trees);
  }

  /** Show trees; one that was shown before keeps its colour, and whether it is seen. */
  setTreeList(list: readonly Tree[]): void {
    this.layers.trees = list.map((tree) => ({ ...drawn(tree), ...this.lookOf(tree.id) }));
    if (!this.layers.base) this.beginWhole();
    this.changed(new Set(["showTrees"]));
    this.opened();
  }

  private lookOf(id: Tree["id"]): TreeLook {
    const look = this.looks.get(id) ?? { colour: treeColour(this.looks.size), visible: true };
    this.looks.set(id, look);
    return look;
  }

  /** Change the colour or the visibility of a tree. */
  changeTree(n: number, changes: Partial<TreeLook>): void {
    const { id } = this.layers.trees[n]!;
    this.looks.set(id, { ...this.lookOf(id), ...changes });
    this.layers.trees = this.layers.trees.map((tree, k) => (k === n ? { ...tree, ...changes } : tree));
    this.changed(new Set(["showTrees"]));
  }

  /** Show a part of a tree as chosen; null: none. */
  setChosen(chosen: DrawnTree | null): void {
    this.layers.chosen = chosen;
    this.changed(new Set(["showTrees"]));
  }

  setThreshold(threshold: number): void {
    this.display.set({ threshold: Math.min(1, Math.max(0, threshold)) });
  }

  /** Ring places; an empty list removes the rings. */
  setMarks(marks: readonly Mark[]): void {
    this.layers.marks = [...marks];
    this.changed(new Set(["showTrees"]));
  }

  /** Lay a label over the slices: 0 nothing, 1 neurite, 2 ignore. The array may be painted on: call redraw(). */
  overlayLabel(data: Uint8Array | null, box: Box | null): void {
    this.layers.label = data && box ? { data, box, stamp: 0 } : null;
    this.changed(new Set(["showTrees"]));
  }

  /** The label has been painted on: the projection follows at the end of a stroke. */
  labelPainted(): void {
    if (this.layers.label) this.layers.label.stamp++;
    this.changed(new Set(["showTrees"]));
  }

  /** While a brush is set, dragging on a slice paints; null gives the crosshair back. */
  setBrush(brush: Brush | null): void {
    this.brush = brush;
    this.element.classList.toggle("painting", Boolean(brush));
  }

  /** Hear of volumes and trees that have been opened; returns the undoing. */
  onOpened(hear: () => void): () => void {
    this.openers.add(hear);
    return () => this.openers.delete(hear);
  }

  /** Hear of clicks on slices; returns the undoing. */
  onPick(hear: (pick: Pick) => void): () => void {
    this.pickers.add(hear);
    return () => this.pickers.delete(hear);
  }

  onBox(hear: (box: Box | null) => void): () => void {
    this.boxers.add(hear);
    return () => this.boxers.delete(hear);
  }

  /** Put the crosshair at a place in micrometres, in the middle of the slices; optionally so near. */
  goTo(um: Vec3, scale?: number): void {
    this.display.set({ cursor: um, centre: um, ...(scale ? { scale } : {}) });
  }

  /** Show the whole volume, with the crosshair in its middle. */
  showWhole(): void {
    const view = this.wholeView();
    if (view) this.display.set(view);
    this.projection?.look();
  }

  /** Show the whole at first, but for what was chosen before it came. */
  private beginWhole(): void {
    const view = this.wholeView();
    if (view) this.display.propose(view);
    this.projection?.look();
  }

  private wholeView(): Partial<DisplayState> | null {
    const whole = this.whole();
    if (!whole) return null;
    const { size, middle } = whole;
    const scales = this.slices.map(({ axes, canvas }) =>
      Math.max(size[axes.right] / Math.max(canvas.clientWidth, 50), size[axes.down] / Math.max(canvas.clientHeight, 50)));
    return { cursor: middle, centre: middle, scale: 1.04 * Math.max(...scales) };
  }

  /** The extent of the volume, or of the trees where there is none, in micrometres. */
  private whole(): { size: Vec3; middle: Vec3 } | null {
    const source = this.layers.base;
    if (!source) return extentOf(this.layers.trees);
    const size = source.level(0).shape.map((n, axis) => n * source.voxel[axis as 0 | 1 | 2]) as Vec3;
    const middle = source.level(0).shape.map((n, axis) => Math.floor(n / 2) * source.voxel[axis as 0 | 1 | 2]) as Vec3;
    return { size, middle };
  }

  setBox(box: Box | null): void {
    this.display.set({ box });
    for (const hear of this.boxers) hear(box);
  }

  zoom(by: number): void {
    this.display.set({ scale: this.display.state.scale / by, centre: this.display.state.cursor });
  }

  /** Move the slice in focus by planes. */
  step(by: number): void {
    this.planes(this.focus, by);
  }

  redraw(): void {
    if (this.frame || this.closed) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      for (const view of this.slices) view.draw();
      if (this.stale3d) this.projection?.update(this.layers, this.display.state);
      this.stale3d = false;
      this.chunks.forgetWishes(new Set(this.slices.flatMap((view) => [...view.wanted])));
      this.element.dataset.ready = String(this.slices.every((view) => !view.wanted.size));
    });
  }

  close(): void {
    this.closed = true;
    this.observer.disconnect();
    document.removeEventListener("answers", this.back);
    this.projection?.close();
  }

  // What the pointer asks for.

  voxelAt(um: Vec3): Vec3 {
    const source = this.layers.base;
    return source ? voxelAt(source, um) : [0, 0, 0];
  }

  voxelSize(): Vec3 {
    return this.layers.base?.voxel ?? [1, 1, 1];
  }

  boxDrawn(box: Box): void {
    this.setBox(box);
  }

  picked(pick: Pick): void {
    for (const hear of this.pickers) hear(pick);
  }

  focused(view: SliceView): void {
    this.focus = view;
  }

  planes(view: SliceView, by: number): void {
    const { normal } = view.axes;
    const size = this.voxelSize();
    const cursor: Vec3 = [...this.display.state.cursor];
    cursor[normal] += by * size[normal];
    const voxel = this.voxelAt(cursor);
    cursor[normal] = voxel[normal] * size[normal];
    const centre: Vec3 = [...this.display.state.centre];
    this.display.set({ cursor, centre });
  }

  private opened(): void {
    for (const hear of this.openers) hear();
  }

  private changed(keys: ReadonlySet<keyof DisplayState>): void {
    if ([...keys].some((key) => !["centre", "scale", "slab", "level"].includes(key))) this.stale3d = true;
    this.redraw();
    if (keys.has("box") || keys.has("level")) void this.load3d();
  }

  private resize(): void {
    for (const view of this.slices) view.resize();
    this.projection?.resize();
    this.redraw();
  }

  /** vtk.js is a large part of the page: the slices do not wait for it. */
  private async openProjection(): Promise<void> {
    try {
      const { Projection } = await import("./projection");
      if (this.closed) return;
      this.projection = new Projection(this.place3d);
      this.projection.resize();
      await this.load3d();
    } catch (error) {
      this.place3d.append(h("p", { class: "empty" }, "The projection needs WebGL 2, which this browser does not offer. The slices work without it."));
      this.context.say(String(error));
    }
  }

  private async load3d(): Promise<void> {
    if (this.closed) return;
    try {
      await this.projection?.load(this.layers, this.display.state);
      this.stale3d = true;
      this.redraw();
    } catch (error) {
      this.failed(error);
    }
  }

  /** Say what went wrong; a volume that is no longer the one that was opened (409) is opened again. */
  private failed(error: unknown): void {
    if (this.closed) return;
    if (error instanceof ApiError && error.status === 409) void this.renew().catch(this.context.fail);
    else this.context.fail(error);
  }

  private async renew(): Promise<void> {
    if (this.renewing) return;
    this.renewing = true;
    try {
      for (const role of ["raw", "probability"] as const) await this.refresh(role);
      this.context.say("The file has changed: it is shown as it is now.");
    } finally {
      this.renewing = false;
    }
  }
}
