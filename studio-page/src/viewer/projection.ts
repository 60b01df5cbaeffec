// The projection: volumes, trees, box and crosshair in three dimensions, turned by the mouse or by keys.
import type { Vec3 } from "../api";
import { Cloud, LabelCloud, levelFor } from "./cloud";
import type { DisplayState } from "./display";
import type { Layers, Role } from "./layers";
import { boxLines, crossLines, ringLines, treeLines } from "./lines";
import type { Source } from "./source";
import { vtkInteractorStyleTrackballCamera, vtkOpenGLRenderWindow, vtkRenderer, vtkRenderWindow, vtkRenderWindowInteractor } from "./vtk";
import type { vtkActor } from "./vtk";

type Bounds = [number, number, number, number, number, number];
type Actor = ReturnType<typeof vtkActor.newInstance>;

export class Projection {
  private readonly scene = vtkRenderWindow.newInstance();
  private readonly renderer = vtkRenderer.newInstance({ background: [0, 0, 0] });
  /** What is drawn over the volumes, which would hide it: a projection of maxima has no depth. */
  private readonly over = vtkRenderer.newInstance({ preserveColorBuffer: true, interactive: false, layer: 1 });
  private readonly view = vtkOpenGLRenderWindow.newInstance();
  private readonly mouse = vtkRenderWindowInteractor.newInstance();
  private readonly clouds: Record<Role, Cloud> = { raw: new Cloud("raw"), probability: new Cloud("probability") };
  private readonly label = new LabelCloud();
  private readonly loaded = new Map<Role, string>();
  private readonly drawn = new Map<vtkRenderer, Actor[]>();
  private centred = "";
  /** Whether the page has gone elsewhere; what was asked for before may still arrive. */
  private closed = false;
  /** How often it was asked to load, and the last of these. */
  private asked = 0;
  private last: Promise<void> = Promise.resolve();

  constructor(readonly root: HTMLElement) {
    this.scene.setNumberOfLayers(2);
    this.scene.addRenderer(this.renderer);
    this.scene.addRenderer(this.over);
    this.over.setActiveCamera(this.renderer.getActiveCamera());
    this.scene.addView(this.view);
    this.view.setContainer(root);
    this.mouse.setInteractorStyle(vtkInteractorStyleTrackballCamera.newInstance());
    this.mouse.setView(this.view);
    this.mouse.initialize();
    this.mouse.bindEvents(root);
    this.canvas.dataset.testid = "projection";
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "Projection in three dimensions");
  }

  get canvas(): HTMLCanvasElement {
    return this.view.getCanvas() as HTMLCanvasElement;
  }

  resize(): void {
    const ratio = Math.min(devicePixelRatio, 2);
    const { clientWidth, clientHeight } = this.root;
    if (!clientWidth || !clientHeight) return;
    this.view.setSize(Math.floor(clientWidth * ratio), Math.floor(clientHeight * ratio));
    this.render();
  }

  render(): void {
    if (this.closed) return;
    this.renderer.resetCameraClippingRange(this.bounds());
    this.scene.render();
  }

  /** The extent of all that is drawn: x, y, z from and to. */
  private bounds(): Bounds {
    const own = this.renderer.computeVisiblePropBounds() as Bounds;
    const over = this.over.computeVisiblePropBounds() as Bounds;
    if (own[0] > own[1]) return over;
    if (over[0] > over[1]) return own;
    return own.map((value, n) => (n % 2 ? Math.max(value, over[n]!) : Math.min(value, over[n]!))) as Bounds;
  }

  /** Load what the volumes need, if the box, the level or a volume changed; what was asked for last is shown in the end. */
  load(layers: Layers, state: Readonly<DisplayState>): Promise<void> {
    this.canvas.dataset.loaded = "not yet";
    const asked = ++this.asked;
    this.last = this.last.catch(() => undefined).then(() => this.loadAll(layers, state, asked));
    return this.last;
  }

  private async loadAll(layers: Layers, state: Readonly<DisplayState>, asked: number): Promise<void> {
    for (const role of ["raw", "probability"] as const) if (!this.closed) await this.loadOne(role, layers[role], state);
    if (!this.closed && this.asked === asked) this.canvas.dataset.loaded = String(this.loaded.size);
  }

  private async loadOne(role: Role, source: Source | null, state: Readonly<DisplayState>): Promise<void> {
    const cloud = this.clouds[role];
    if (!source) {
      this.renderer.removeVolume(cloud.actor);
      this.loaded.delete(role);
      return;
    }
    const level = levelFor(source, state.box, state.level);
    const key = `${source.key(level, [0, 0, 0])}${source.voxel}${JSON.stringify(state.box)}`;
    if (this.loaded.get(role) === key) return;
    const voxels = await cloud.load(source, state.box, level);
    if (this.closed) return;
    this.loaded.set(role, key);
    if (voxels) this.renderer.addVolume(cloud.actor);
    else this.renderer.removeVolume(cloud.actor);
    this.centre(source, state);
  }

  /** Look at the whole, once for each volume or box. */
  private centre(source: Source, state: Readonly<DisplayState>): void {
    const key = `${source.info.path}${source.voxel}${JSON.stringify(state.box)}`;
    if (this.centred === key) return;
    this.centred = key;
    this.look();
  }

  /** Look along the depth, x to the right and y down as in the xy slice, at the whole. */
  look(): void {
    if (this.closed) return;
    const camera = this.renderer.getActiveCamera();
    camera.setFocalPoint(0, 0, 0);
    camera.setPosition(0, 0, -1);
    camera.setViewUp(0, -1, 0);
    camera.setParallelProjection(true);
    this.renderer.resetCamera(this.bounds());
    camera.setParallelScale(this.halfHeight());
  }

  /** Half of the height that is seen if the whole just fits, seen along the depth, in micrometres. */
  private halfHeight(): number {
    const [x0, x1, y0, y1] = this.bounds();
    const { clientWidth, clientHeight } = this.root;
    const aspect = Math.max(clientWidth, 1) / Math.max(clientHeight, 1);
    return 0.53 * Math.max(y1 - y0, (x1 - x0) / aspect, 1e-6);
  }

  /** Draw lines anew, and style the volumes. */
  update(layers: Layers, state: Readonly<DisplayState>): void {
    const both = Boolean(layers.raw && layers.probability && state.showRaw && state.showProbability);
    for (const cloud of Object.values(this.clouds)) {
      cloud.style(state, both);
      cloud.actor.setVisibility(cloud.role === "raw" ? state.showRaw : state.showProbability);
      cloud.actor.setScale(1, 1, state.depthScale);
    }
    this.redraw(this.renderer, frameOf(layers, state), state);
    this.redraw(this.over, [...treesOf(layers, state), ...marksOf(layers, this.halfHeight())], state);
    this.label.show(this.over, layers, state.depthScale);
    this.render();
  }

  /** Draw lines in place of those that were drawn before. */
  private redraw(renderer: vtkRenderer, lines: Actor[], state: Readonly<DisplayState>): void {
    for (const actor of this.drawn.get(renderer) ?? []) renderer.removeActor(actor);
    for (const actor of lines) {
      actor.setScale(1, 1, state.depthScale);
      renderer.addActor(actor);
    }
    this.drawn.set(renderer, lines);
  }

  /** Turn about the vertical and the horizontal, in degrees. */
  turn(azimuth: number, elevation = 0): void {
    if (this.closed) return;
    const camera = this.renderer.getActiveCamera();
    camera.azimuth(azimuth);
    camera.elevation(elevation);
    camera.orthogonalizeViewUp();
    this.render();
  }

  zoom(by: number): void {
    if (this.closed) return;
    this.renderer.getActiveCamera().zoom(by);
    this.render();
  }

  /** A picture of the projection, as it is on the screen. */
  async picture(): Promise<ImageBitmap> {
    const address = this.view.captureNextImage("image/png");
    this.render();
    const image = new Image();
    image.src = (await address) ?? "";
    await image.decode();
    return createImageBitmap(image);
  }

  close(): void {
    this.closed = true;
    this.mouse.unbindEvents();
    this.view.delete();
    this.scene.delete();
  }
}

/** Trees, and the border of what is chosen below them. */
function treesOf(layers: Layers, state: Readonly<DisplayState>): Actor[] {
  if (!state.showTrees) return [];
  const chosen = layers.chosen?.links.length ? [treeLines(layers.chosen, 5)] : [];
  return [...chosen, ...layers.trees.filter((tree) => tree.visible && tree.links.length).map((tree) => treeLines(tree))];
}

/** Rings around the marked places, as large for the eye as in the slices. */
function marksOf(layers: Layers, halfHeight: number): Actor[] {
  return layers.marks.map((mark) => ringLines(mark, (halfHeight * (mark.size ?? 9)) / 200));
}

/** The outlines of the volume and of the box, and the crosshair. */
function frameOf(layers: Layers, state: Readonly<DisplayState>): Actor[] {
  const source = layers.base;
  if (!source) return [];
  const { shape } = source.level(0);
  const size = shape.map((n, axis) => n * source.voxel[axis as 0 | 1 | 2]) as Vec3;
  return [boxLines({ lo: [0, 0, 0], hi: shape }, source.voxel, "#5a6b7d"), ...(state.box ? [boxLines(state.box, source.voxel, "#ffe14d")] : []),
    ...(state.showCrosshair ? [crossLines(state.cursor, size)] : [])];
}
