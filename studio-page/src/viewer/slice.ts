// One slice: its canvas, drawn from the chunks that are here, while the others are fetched.
import type { Vec3 } from "../api";
import { Forgotten } from "./chunks";
import { glow, grey, LABEL_RGBA, toShade } from "./colour";
import type { Display } from "./display";
import type { LabelOverlay, Layers, Role } from "./layers";
import { drawBox, drawCrosshair, drawMarks, drawRing, drawScaleBar, drawTrees, type Ring } from "./overlays";
import { assemble, type Axes, type Plane } from "./plane";
import { extent, type Source } from "./source";
import { AXES, edge, type PlaneName, Transform } from "./transform";

interface Picture {
  planeKey: string;
  colourKey: string;
  plane: Plane;
  canvas: OffscreenCanvas;
}

/** What a slice asks of its viewer. */
export interface Surroundings {
  display: Display;
  layers: Layers;
  /** Ask for a new picture soon: a chunk has come. */
  redraw: () => void;
  fail: (error: unknown) => void;
}

export class SliceView {
  readonly canvas = document.createElement("canvas");
  readonly axes: Axes;
  /** The chunks that the last picture lacked. */
  wanted = new Set<string>();
  private ring: Ring | null = null;
  private readonly pictures = new Map<string, Picture>();

  constructor(
    readonly name: PlaneName,
    private readonly around: Surroundings,
  ) {
    this.axes = AXES[name];
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.dataset.testid = `slice-${name}`;
  }

  get transform(): Transform {
    const { clientWidth, clientHeight } = this.canvas;
    return new Transform(this.axes, this.around.display.state, clientWidth, clientHeight);
  }

  /** Fit the canvas to its place; drawing happens in pixels of the page. */
  resize(): void {
    const ratio = Math.min(devicePixelRatio, 2);
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
  }

  /** Show the size of the brush at the pointer; null: not here. */
  showRing(ring: Ring | null): void {
    if (!ring && !this.ring) return;
    this.ring = ring;
    this.around.redraw();
  }

  draw(): void {
    const paper = this.canvas.getContext("2d");
    const transform = this.transform;
    if (!paper || !transform.width) return;
    const ratio = this.canvas.width / transform.width;
    paper.setTransform(ratio, 0, 0, ratio, 0, 0);
    paper.fillStyle = "#000000";
    paper.fillRect(0, 0, transform.width, transform.height);
    this.wanted = new Set();
    this.drawVolumes(paper, transform, ratio);
    this.drawOver(paper, transform);
    this.announce();
  }

  private drawVolumes(paper: CanvasRenderingContext2D, transform: Transform, ratio: number): void {
    const { layers, display } = this.around;
    const { showRaw, showProbability, blend } = display.state;
    const both = layers.raw && layers.probability && showRaw && showProbability;
    if (layers.raw && showRaw) this.drawVolume(paper, transform, { role: "raw", source: layers.raw, alpha: both ? Math.min(1, 2 - 2 * blend) : 1, ratio });
    if (layers.probability && showProbability)
      this.drawVolume(paper, transform, { role: "probability", source: layers.probability, alpha: both ? Math.min(1, 2 * blend) : 1, ratio });
  }

  private drawVolume(paper: CanvasRenderingContext2D, transform: Transform, layer: { role: Role; source: Source; alpha: number; ratio: number }): void {
    const { source, role } = layer;
    const level = transform.level(source, layer.ratio);
    const last = source.levels.length - 1;
    const fine = this.picture(role, source, level, transform);
    paper.globalAlpha = layer.alpha;
    if (fine.plane.missing.length && level < last) this.put(paper, transform, source, this.picture(role, source, last, transform));
    this.put(paper, transform, source, fine);
    paper.globalAlpha = 1;
  }

  /** The picture of a layer at a level: the last one, if neither its voxels nor its colours changed. */
  private picture(role: Role, source: Source, level: number, transform: Transform): Picture {
    const slot = `${role}${level}`;
    const box = transform.box(source, level);
    const planeKey = `${source.key(level, box.lo)}|${box.hi.join(".")}`;
    const { low, high, compress, threshold, binary } = this.around.display.state;
    const colourKey = role === "raw" ? `${low}|${high}|${compress}` : `${threshold}|${binary}`;
    const before = this.pictures.get(slot);
    const whole = before?.planeKey === planeKey && !before.plane.missing.length;
    if (whole && before.colourKey === colourKey) return before;
    const plane = whole ? before.plane : assemble(source, level, box, this.axes);
    this.ask(source, plane);
    const picture = { planeKey, colourKey, plane, canvas: this.colour(role, source, plane) };
    this.pictures.set(slot, picture);
    return picture;
  }

  private ask(source: Source, plane: Plane): void {
    const middle = plane.missing.map((at) => [this.offMiddle(source, plane.level, at), at] as const);
    middle.sort((a, b) => b[0] - a[0]);
    for (const [, at] of middle) {
      this.wanted.add(source.key(plane.level, at));
      source.fetch(plane.level, at).then(this.around.redraw, (error: unknown) => {
        if (!(error instanceof Forgotten)) this.around.fail(error);
      });
    }
  }

  private offMiddle(source: Source, level: number, at: Vec3): number {
    const { chunk } = source.level(level);
    const { centre } = this.around.display.state;
    return Math.max(...([0, 1, 2] as const).map((axis) => Math.abs(edge(source, level, axis, (at[axis] + 0.5) * chunk[axis]) - centre[axis])));
  }

  private colour(role: Role, source: Source, plane: Plane): OffscreenCanvas {
    const canvas = new OffscreenCanvas(Math.max(1, plane.width), Math.max(1, plane.height));
    if (!plane.width || !plane.height) return canvas;
    const image = new ImageData(plane.width, plane.height);
    if (role === "raw") grey(plane.values, toShade(source.info, this.around.display.state), image.data);
    else glow(plane.values, source.fullScale, this.around.display.state, image.data);
    canvas.getContext("2d")?.putImageData(image, 0, 0);
    return canvas;
  }

  private put(paper: CanvasRenderingContext2D, transform: Transform, source: Source, { plane, canvas }: Picture): void {
    const { right, down } = this.axes;
    const { box, level } = plane;
    if (!plane.width || !plane.height) return;
    const x0 = transform.x(edge(source, level, right, box.lo[right]));
    const x1 = transform.x(edge(source, level, right, box.hi[right]));
    const y0 = transform.y(edge(source, level, down, box.lo[down]));
    const y1 = transform.y(edge(source, level, down, box.hi[down]));
    paper.imageSmoothingEnabled = (x1 - x0) / plane.width < 1;
    paper.drawImage(canvas, x0, y0, x1 - x0, y1 - y0);
  }

  private drawOver(paper: CanvasRenderingContext2D, transform: Transform): void {
    const { layers, display } = this.around;
    const { state } = display;
    const source = layers.base;
    const reach = source ? Math.max(state.slab / 2, 2 * source.voxel[this.axes.normal]) : 1e9;
    if (layers.label && source) this.drawLabel(paper, transform, source, layers.label);
    if (state.showTrees && layers.chosen) drawTrees(paper, [layers.chosen], transform, reach, 6);
    if (state.showTrees) drawTrees(paper, layers.trees, transform, reach);
    drawMarks(paper, layers.marks, transform, reach);
    if (state.box && source) drawBox(paper, state.box, source.voxel, transform);
    if (state.showCrosshair) drawCrosshair(paper, transform);
    if (this.ring) drawRing(paper, this.ring, transform);
    drawScaleBar(paper, transform, !source || source.info.voxel_size ? "µm" : "voxels");
  }

  private drawLabel(paper: CanvasRenderingContext2D, transform: Transform, source: Source, label: LabelOverlay): void {
    const { normal, right, down } = this.axes;
    const { lo, hi } = label.box;
    const plane = Math.round(transform.state.cursor[normal] / source.voxel[normal]);
    if (plane < lo[normal] || plane >= hi[normal]) return;
    const canvas = labelPicture(label, this.axes, plane);
    const x = transform.x((lo[right] - 0.5) * source.voxel[right]);
    const y = transform.y((lo[down] - 0.5) * source.voxel[down]);
    paper.imageSmoothingEnabled = false;
    paper.drawImage(canvas, x, y, transform.x((hi[right] - 0.5) * source.voxel[right]) - x, transform.y((hi[down] - 0.5) * source.voxel[down]) - y);
  }

  private announce(): void {
    const { layers, display } = this.around;
    const source = layers.base;
    const at = source ? Math.round(display.state.cursor[this.axes.normal] / source.voxel[this.axes.normal]) + 1 : 0;
    const of = source?.level(0).shape[this.axes.normal] ?? 0;
    this.canvas.setAttribute("aria-label", `${this.name} slice, plane ${at} of ${of}`);
    this.canvas.dataset.missing = String(this.wanted.size);
  }
}

/** One plane of a label, in its colours. */
function labelPicture(label: LabelOverlay, axes: Axes, plane: number): OffscreenCanvas {
  const size = extent(label.box);
  const step: Vec3 = [size[1] * size[2], size[2], 1];
  const image = new ImageData(size[axes.right], size[axes.down]);
  const base = (plane - label.box.lo[axes.normal]) * step[axes.normal];
  for (let v = 0; v < image.height; v++)
    for (let u = 0; u < image.width; u++) {
      const value = label.data[base + v * step[axes.down] + u * step[axes.right]] ?? 0;
      if (value) image.data.set(LABEL_RGBA[value] ?? LABEL_RGBA[1], 4 * (v * image.width + u));
    }
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}
