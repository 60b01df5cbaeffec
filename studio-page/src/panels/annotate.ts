// Annotate: paint a label over a box of a volume, save it as a training set, and train on it.
import { ApiError, folder, type VolumeInfo } from "../api";
import type { Context, Mount } from "../context";
import { acting, button, checkbox, choice, entered, fill, h, labelled, slider } from "../dom";
import { BACKGROUND, IGNORE, NEURITE, ball, Painting } from "../painting";
import { bindKeys } from "../shortcuts";
import { folderOf, stemOf } from "../paths";
import { annotations, savedLabel, saveLabel, type Start, startLabel, survey as fetchSurvey } from "../tools";
import "../tools.css";
import { boxWord, parseBox } from "../viewer/box";
import { boxField, controls } from "../viewer/controls";
import type { Box } from "../viewer/display";
import { AXES } from "../viewer/transform";
import { Viewer } from "../viewer/viewer";
import { another, isFolder, itemList } from "./choosers";
import { labelling } from "./labelling";
import { training } from "./training";

const SET = "annotations";
const LARGEST = 2 ** 27;
const SIDES_UM = [128, 64, 32, 16] as const;

export const mount: Mount = (root, context) => {
  if (!context.params.get("volume")) return choose(root, context);
  const desk = new Desk(root, context);
  return () => desk.close();
};

/** Without a volume: what may be annotated, and a label that is drawn from trees instead. */
function choose(root: HTMLElement, context: Context): () => void {
  const path = context.params.get("path") ?? folderOf(context.params.get("trees") ?? "");
  const here = h("div");
  const fromTrees = labelling(context, path);
  fill(root, h("h1", {}, "Annotate"), h("p", {}, "Choose a volume, or a cube that a selection cut out; then paint its neurites."),
    h("div", { class: "columns" }, here, fromTrees.element));
  void volumesOf(here, context, path).catch(context.fail);
  return fromTrees.close;
}

/** The volumes of the folder, and the cubes that are annotated already. */
async function volumesOf(here: HTMLElement, context: Context, path: string): Promise<void> {
  const [{ items }, { cubes }, chosen] = await Promise.all([folder(path), annotations(SET), path ? fetchSurvey(path).catch(() => null) : null]);
  const done = new Set(cubes.map((cube) => cube.source));
  const exported = (chosen?.cubes ?? []).filter((cube) => cube.image);
  const open = (params: Record<string, string>) => () => context.go("annotate", params);
  const volumes = items.filter((item) => item.kind === "volume");
  const folders = items.filter((item) => isFolder(item) && item.kind !== "run");
  fill(here,
    exported.length ? section("Cubes of this selection", exported.map((cube) => h("span", {}, button(cube.name, `annotate-${cube.name}`, open({ volume: cube.image! }), { class: "link" }),
      ` ${[done.has(cube.image) ? "annotated" : "", cube.reason, cube.split === "val" ? "kept apart to judge the training" : ""].filter(Boolean).join(", ")}`)), "") : null,
    exported.length ? null : itemList("Volumes here", volumes, "annotate", (item) => open({ volume: item.path })(), "There are none in this folder."),
    exported.length ? null : itemList("Folders", folders, "folder", (item) => open({ path: item.path })()),
    section("Annotated already", cubes.filter((cube) => cube.source).map((cube) =>
      button(`${cube.name} (${cube.box})`, `again-${cube.name}`, open({ volume: cube.source!, box: cube.box }), { class: "link" })), "none yet"));
}

function section(title: string, children: HTMLElement[], none: string): HTMLElement {
  const list = children.length ? h("ul", {}, ...children.map((child) => h("li", {}, child))) : h("p", {}, none);
  return h("section", { class: "group" }, h("h2", {}, title), list);
}

/** Labels that were left before they were saved, by volume and box: whoever comes back finds them as they were. */
const left = new Map<string, Painting>();

/** What is being saved: each save waits for the one before it, and whoever comes back for both. */
let saving: Promise<void> = Promise.resolve();

/** The place at which one label is painted. */
class Desk {
  private readonly viewer: Viewer;
  private readonly side = h("aside", { class: "side", "aria-label": "Annotation" });
  private readonly begin = h("div");
  private readonly paintbox = h("div");
  private readonly state = h("p", { class: "saved", "data-testid": "label-state", role: "status" });
  private readonly volume: string;
  private readonly unbind: () => void;
  private readonly warn = (event: BeforeUnloadEvent): void => {
    if (this.painting?.changedSinceSaved || left.size) event.preventDefault();
  };
  private painting: Painting | null = null;
  private box: Box | null = null;
  private value = NEURITE;
  private radius = 2;
  private flat = false;
  private visible = true;
  private info: VolumeInfo | null = null;
  private readonly train: { element: HTMLElement; close: () => void; refresh: () => void };

  constructor(root: HTMLElement, private readonly context: Context) {
    this.volume = context.params.get("volume") ?? "";
    const place = h("div", { class: "stage" });
    fill(root, h("h1", { class: "hidden" }, "Annotate"), place, this.side);
    this.viewer = new Viewer(place, context);
    this.train = training(context, SET);
    fill(this.side, h("section", { class: "group" }, h("h2", {}, "Annotate ", h("small", {}, this.volume, " ", another("annotate", "Another volume", this.volume))), this.state, this.begin, this.paintbox),
      this.train.element, h("details", {}, h("summary", {}, "Display"), controls(this.viewer)));
    this.unbind = this.keys();
    window.addEventListener("beforeunload", this.warn);
    void this.open().catch(context.fail);
  }

  close(): void {
    if (this.painting?.changedSinceSaved && this.box) {
      left.set(keyOf(this.volume, this.box), this.painting);
      void this.save().catch(this.context.fail);
    }
    if (!left.size) window.removeEventListener("beforeunload", this.warn);
    this.unbind();
    this.train.close();
    this.viewer.close();
  }

  private async open(): Promise<void> {
    const source = await this.viewer.setVolume(this.volume, "raw");
    this.info = source.info;
    const named = this.context.params.get("box");
    const box = named ? parseBox(named) : null;
    if (box) {
      this.viewer.setBox(box);
      if (await this.openSaved(box)) return;
    }
    await this.askToBegin();
  }

  /** Open the label that was saved for a box, if there is one. */
  private async openSaved(box: Box): Promise<boolean> {
    await saving;
    const mine = left.get(keyOf(this.volume, box));
    if (mine) {
      this.start(mine.data, box, mine);
      this.say("Changed; not saved yet.");
      return true;
    }
    try {
      this.start(await savedLabel(this.volume, boxWord(box), SET), box);
      this.say("Saved before; loaded.");
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return false;
      throw error;
    }
  }

  /** Ask for the box and what the label starts from. */
  private async askToBegin(): Promise<void> {
    const { items } = await folder(folderOf(this.volume));
    const { exported_label } = await annotations(SET, this.volume);
    const predictions = items.filter((item) => item.kind === "probability");
    const own = predictions.filter((item) => item.belongs_to?.includes(this.volume) || item.name.startsWith(`${stemOf(this.volume)}_prob`));
    const chosen = { start: (own.length ? "prediction" : "background") as Start, prediction: (own[0] ?? predictions[0])?.path ?? "" };
    const starts: [Start, string][] = [["background", "background everywhere"], ["ignore", "ignore everywhere: only what is painted counts"]];
    if (predictions.length) starts.unshift(["prediction", "a prediction, from its threshold on"]);
    if (exported_label) starts.push(["label", "the label exported with the cube"]);
    const which = labelled("Prediction", choice("label-prediction", predictions.map((item) => [item.path, item.name] as const), chosen.prediction, (value) => {
      chosen.prediction = value;
      void this.showPrediction(value).catch(this.context.fail);
    }));
    which.hidden = chosen.start !== "prediction";
    const start = choice("label-start", starts, chosen.start, (value) => {
      chosen.start = value as Start;
      which.hidden = value !== "prediction";
    });
    if (chosen.prediction && own.length) void this.showPrediction(chosen.prediction).catch(this.context.fail);
    const text = boxField(this.viewer, "label-box");
    const go = acting("Begin", "label-begin", async () => {
      if (entered(text)) await this.beginWith(chosen.start, chosen.prediction);
    }, this.context.fail, { class: "main" });
    fill(this.begin, h("p", {}, this.hint()), this.askBox(text), labelled("Start from", start), which, h("div", { class: "row" }, go));
    this.say("Not begun.");
  }

  private hint(): string {
    return this.fitsWhole() ? "Without a box, the whole volume is annotated." : "Draw a box on a slice, then begin.";
  }

  private fitsWhole(): boolean {
    return (this.info?.shape ?? [1e9]).reduce((a, b) => a * b, 1) <= 200 ** 3;
  }

  private askBox(text: HTMLInputElement): HTMLElement {
    const draw = button("Draw on a slice", "label-draw-box", () => {
      this.viewer.drawingBox = !this.viewer.drawingBox;
      draw.setAttribute("aria-pressed", String(this.viewer.drawingBox));
    }, { "aria-pressed": "false" });
    const side = this.usualSide();
    const around = side ? button(`${side} µm around the crosshair`, "label-around", () => this.viewer.setBox(this.around(side / 2))) : null;
    return h("div", {}, labelled("Box, voxels z, y, x", text), h("div", { class: "row" }, draw, around));
  }

  /** The side of a box that is offered, in micrometres: not one that would hold all; null if none is smaller. */
  private usualSide(): number | null {
    const longest = Math.max(...(this.info?.shape ?? [1]).map((n, axis) => n * this.viewer.voxelSize()[axis as 0 | 1 | 2]));
    return SIDES_UM.find((side) => side < longest) ?? null;
  }

  /** A box of so many micrometres to each side of the crosshair. */
  private around(reach: number): Box {
    const shape = this.info?.shape ?? [1, 1, 1];
    const voxel = this.viewer.voxelSize();
    const middle = this.viewer.voxelAt(this.viewer.display.state.cursor);
    const side = ([0, 1, 2] as const).map((axis) => Math.max(1, Math.round(reach / voxel[axis])));
    return {
      lo: ([0, 1, 2] as const).map((axis) => Math.max(0, middle[axis] - side[axis]!)) as [number, number, number],
      hi: ([0, 1, 2] as const).map((axis) => Math.min(shape[axis], middle[axis] + side[axis]!)) as [number, number, number],
    };
  }

  private async showPrediction(path: string): Promise<void> {
    await this.viewer.setVolume(path, "probability");
  }

  private async beginWith(start: Start, prediction: string): Promise<void> {
    const shape = this.info?.shape ?? [1, 1, 1];
    const drawnBox = this.viewer.display.state.box;
    if (!drawnBox && !this.fitsWhole()) throw new ApiError(0, "A large volume is annotated in a box.", "No box is drawn.", "", "Draw one on a slice.");
    const box: Box = drawnBox ?? { lo: [0, 0, 0], hi: shape };
    if (voxels(box) > LARGEST) throw new ApiError(0, "A box that is annotated has at most 134 million voxels.", `${voxels(box).toLocaleString("en-GB")}.`);
    this.viewer.drawingBox = false;
    this.context.remember({ box: boxWord(box) });
    if (await this.openSaved(box)) return;
    const { threshold } = this.viewer.display.state;
    this.start(await startLabel({ path: this.volume, box: boxWord(box), start, prediction, threshold }), box);
    this.say("New; not saved yet.");
  }

  private start(data: Uint8Array, box: Box, painting = new Painting(data, box)): void {
    this.painting = painting;
    this.box = box;
    fill(this.begin);
    fill(this.paintbox, this.tools());
    this.viewer.setBox(box);
    this.viewer.display.set({ showProbability: false });
    const voxel = this.viewer.voxelSize();
    const middle = box.lo.map((lo, axis) => Math.floor((lo + box.hi[axis as 0 | 1 | 2]) / 2) * voxel[axis as 0 | 1 | 2]);
    this.viewer.goTo(middle as [number, number, number], this.scaleFor(box));
    this.radius = 2 * Math.min(...voxel);
    this.useBrush();
    this.viewer.overlayLabel(data, box);
    this.viewer.element.dataset.painting = "true";
  }

  /** Micrometres to a pixel with which the box fills the slices. */
  private scaleFor(box: Box): number {
    const voxel = this.viewer.voxelSize();
    const sides = this.viewer.slices.flatMap(({ axes, canvas }) => [
      ((box.hi[axes.right] - box.lo[axes.right]) * voxel[axes.right]) / Math.max(50, canvas.clientWidth),
      ((box.hi[axes.down] - box.lo[axes.down]) * voxel[axes.down]) / Math.max(50, canvas.clientHeight)]);
    return 1.1 * Math.max(...sides);
  }

  private tools(): HTMLElement {
    const values: [number, string, string][] = [[NEURITE, "Neurite", "paint-neurite"], [BACKGROUND, "Background (eraser)", "paint-background"], [IGNORE, "Ignore", "paint-ignore"]];
    const buttons = values.map(([value, name, testid]) => button(name, testid, () => this.choose(value), { "data-value": value, "aria-pressed": String(value === this.value) }));
    const least = Math.min(...this.viewer.voxelSize());
    const size = slider({ name: "Brush radius", testid: "brush-radius", low: least / 2, high: 20 * least, step: least / 2, value: 2 * least, unit: " µm", act: (value) => { this.radius = value; this.useBrush(); } });
    return h("div", {}, h("div", { class: "row values", role: "group", "aria-label": "What is painted" }, ...buttons), size.element,
      checkbox("Only in this plane", "brush-flat", this.flat, (on) => { this.flat = on; }),
      checkbox("Show the label", "label-visible", true, (on) => this.show(on)),
      h("div", { class: "row" }, button("Undo", "label-undo", () => this.undo()), button("Redo", "label-redo", () => this.redo()),
        button("Save", "label-save", () => void this.save().catch(this.context.fail), { class: "main" }),
        button("Another box", "label-another", () => this.context.go("annotate", { volume: this.volume }))));
  }

  private choose(value: number): void {
    this.value = value;
    for (const each of this.paintbox.querySelectorAll("[data-value]")) each.setAttribute("aria-pressed", String(Number((each as HTMLElement).dataset.value) === value));
  }

  private show(on: boolean): void {
    this.visible = on;
    this.viewer.overlayLabel(on && this.painting ? this.painting.data : null, this.box);
    const input = this.paintbox.querySelector<HTMLInputElement>("[data-testid=label-visible]");
    if (input) input.checked = on;
  }

  private useBrush(): void {
    this.viewer.setBrush({
      radius: this.radius,
      stroke: (pick, phase) => {
        if (!this.painting) return;
        if (phase === "start") {
          this.painting.begin();
          this.viewer.display.set({ cursor: pick.um });
        }
        if (phase === "end") {
          this.painting.end(this.value);
          this.changed();
        } else this.painting.paint(pick.voxel, this.value, ball(this.radius, this.viewer.voxelSize(), this.flat ? AXES[pick.plane].normal : null));
        this.viewer.redraw();
      },
    });
  }

  private undo(): void {
    this.painting?.undo();
    this.changed();
  }

  private redo(): void {
    this.painting?.redo();
    this.changed();
  }

  private changed(): void {
    this.viewer.labelPainted();
    if (this.painting?.changedSinceSaved) this.say("Changed; not saved yet.");
  }

  /** Save the label as it is when the save before has ended: an older one must not come last. */
  private save(): Promise<void> {
    const { painting, box } = this;
    if (!painting || !box) return Promise.resolve();
    const saved = saving.then(async () => {
      const { changes } = painting;
      const told = await saveLabel(this.volume, boxWord(box), SET, painting.data);
      painting.saved = changes;
      if (!painting.changedSinceSaved) {
        left.delete(keyOf(this.volume, box));
        this.say(`Saved as ${told.name} in ${told.set}: ${told.neurite_voxels.toLocaleString("en-GB")} neurite voxels.`);
      }
      this.context.succeed();
      this.train.refresh();
    });
    saving = saved.catch(() => undefined);
    return saved;
  }

  private say(message: string): void {
    this.state.textContent = message;
  }

  private keys(): () => void {
    const { viewer } = this;
    return bindKeys("Annotate", {
      "1": () => this.choose(NEURITE), "2": () => this.choose(BACKGROUND), "3": () => this.choose(IGNORE),
      z: () => this.undo(), y: () => this.redo(), s: () => void this.save().catch(this.context.fail),
      l: () => this.show(!this.visible), ArrowUp: () => viewer.step(1), ArrowDown: () => viewer.step(-1),
      "+": () => viewer.zoom(1.25), "-": () => viewer.zoom(1 / 1.25),
    });
  }
}

function keyOf(volume: string, box: Box): string {
  return `${volume}|${boxWord(box)}`;
}

function voxels(box: Box): number {
  return box.hi.reduce((all, end, axis) => all * (end - box.lo[axis as 0 | 1 | 2]), 1);
}

