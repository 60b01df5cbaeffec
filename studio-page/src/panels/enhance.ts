// Enhance: a model, a box or the whole, run; the probability appears over the image as it is written.
import { folder, type Item, type Job, type Model, models } from "../api";
import type { Context, Mount } from "../context";
import { button, fill, h, labelled } from "../dom";
import { batch, modelChoice } from "./batch";
import { another, isFolder, kindName } from "./choosers";
import { boxText, boxWord } from "../viewer/box";
import { boxField, controls } from "../viewer/controls";
import { Viewer } from "../viewer/viewer";
import { following, newFile, ordering } from "./ordering";

export const mount: Mount = (root, context) => {
  const volume = context.params.get("volume");
  if (!volume) return choose(root, context);
  const place = h("div", { class: "stage" });
  const side = h("aside", { class: "side", "aria-label": "Enhance" });
  root.classList.add("look");
  fill(root, h("h1", { class: "hidden" }, "Enhance"), place, side);
  const viewer = new Viewer(place, context);
  const newest = new Newest(viewer, context);
  const runs = following(context, (job) => job.verb === "predict" && inputOf(job) === volume,
    "No prediction of this volume has been run here.", (own) => newest.follow(own));
  const form = h("div");
  const box = boxField(viewer);
  fill(side, form, h("section", { class: "group" }, h("h2", {}, "Runs"), runs.element, newest.element), controls(viewer, box));
  void viewer.setVolume(volume, "raw").then(() => newest.open(), context.fail);
  void models().then((known) => fill(form, orderForm({ viewer, context, known, volume, box, ordered: runs.now })), context.fail);
  return () => {
    runs.stop();
    viewer.close();
  };
};

function inputOf(job: Job): string {
  const { inputs } = job.order;
  return Array.isArray(inputs) ? String(inputs[0]) : "";
}

/** Without a volume: the volumes of the folder, to choose from; or all of them in one order. */
function choose(root: HTMLElement, context: Context): () => void {
  const list = h("ul", { class: "choices" });
  const many = batch(context, context.params.get("path") ?? "");
  const model = context.params.get("model");
  const by = model ? `, by the model ${model}` : "";
  fill(root, h("h1", {}, "Enhance"), h("div", { class: "columns" },
    h("section", { class: "group" }, h("h2", {}, "One volume"), h("p", {}, `Choose the volume in which faint neurites are to be found${by}.`), list), many.element));
  void folder(context.params.get("path") ?? "").then(({ items }) => {
    const volumes = items.filter((item) => item.kind === "volume" || isFolder(item));
    const go = (item: Item) => () =>
      context.go("enhance", { ...(isFolder(item) ? { path: item.path } : { volume: item.path }), ...(model ? { model } : {}) });
    fill(list, ...volumes.map((item) => h("li", {}, button(item.name, `choose-${item.name}`, go(item), { class: "link" }), ` ${kindName(item)}`)));
    if (!volumes.length) fill(list, h("li", { class: "empty" }, "There is no volume here. Drop one on the Browse page."));
  }, context.fail);
  return many.close;
}

interface Asked {
  viewer: Viewer;
  context: Context;
  known: Model[];
  volume: string;
  box: HTMLInputElement;
  ordered: (job?: Job) => void;
}

function orderForm({ viewer, context, known, volume, box: field, ordered }: Asked): HTMLElement {
  const model = modelChoice(context, known);
  const out = newFile("out", "a free name next to the volume");
  const memory = h("input", { type: "text", "data-testid": "memory", placeholder: "1.6 GB", pattern: "[0-9]{1,6}(\\.[0-9]{1,3})? ?[kMGT]i?B", spellcheck: "false" });
  const extent = h("p", { "data-testid": "extent" });
  const tell = (): void => {
    const { box } = viewer.display.state;
    extent.textContent = box ? `The box ${boxText(box)}` : "The whole volume. Draw or enter a box below to run a part of it first.";
  };
  viewer.onBox(tell);
  tell();
  const options = (): Record<string, unknown> => {
    const { box } = viewer.display.state;
    return { inputs: [volume], model: model.value || undefined, max_memory: memory.value || undefined, roi: box ? boxWord(box) : undefined, out: out.value || undefined };
  };
  const run = ordering({ name: "Run", testid: "run", verb: "predict", options, inputs: [memory, field], ordered }, context);
  return h("section", { class: "group", "data-testid": "order" }, h("h2", {}, "Enhance"), h("p", { class: "output" }, volume, " ", another("enhance", "Another volume", volume)),
    labelled("Model", model), labelled("Probability, a new file", out), extent, h("details", {}, h("summary", {}, "Options"), labelled("Memory, at most", memory, "Of a run; smaller blocks appear sooner, and read more twice.")), run);
}

/** The newest prediction of the volume, looked at again whenever its voxels have changed; `element` says which is shown. */
class Newest {
  readonly element = h("p", { "data-testid": "shown" });
  private job: Job | null = null;
  private shown = "";
  private busy = false;

  constructor(private readonly viewer: Viewer, private readonly context: Context) {}

  follow(jobs: readonly Job[]): void {
    this.job = jobs.find((job) => job.revision) ?? null;
    if (!this.job && this.shown) this.remove();
    void this.open();
  }

  /** Its file is gone. */
  private remove(): void {
    this.shown = this.element.textContent = "";
    this.viewer.removeVolume("probability");
  }

  async open(): Promise<void> {
    const { job, viewer } = this;
    if (!job?.revision || !viewer.layers.raw || this.busy) return;
    const now = `${job.output}|${job.revision}`;
    this.busy = true;
    try {
      if (now !== this.shown) await this.fetch(job.output);
      this.shown = now;
      this.element.textContent = `Over the image: ${job.output}${job.state === "done" ? "" : ", as far as it is written"}`;
    } catch (error) {
      if (job.state === "done") this.context.fail(error);
    } finally {
      this.busy = false;
    }
  }

  private async fetch(output: string): Promise<void> {
    const { viewer } = this;
    if (viewer.layers.probability?.info.path === output) await viewer.refresh("probability");
    else await viewer.setVolume(output, "probability");
  }
}
