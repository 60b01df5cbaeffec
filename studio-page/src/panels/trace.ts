// Trace: all neurites of a probability as trees, by a job; or a new tracing, begun from a click in Check.
import { ApiError, folder, type Job } from "../api";
import type { Context, Mount } from "../context";
import { acting, button, fill, h, labelled } from "../dom";
import { newTracing } from "../tools";
import { controls } from "../viewer/controls";
import { Viewer } from "../viewer/viewer";
import { folderOf, freeName, inFolder } from "../paths";
import { another, isFolder, kindName, tracedIn } from "./choosers";
import { following, newFile, numberOf, ordering } from "./ordering";

export const mount: Mount = (root, context) => {
  const probability = context.params.get("probability");
  if (!probability) return choose(root, context);
  const place = h("div", { class: "stage" });
  const side = h("aside", { class: "side", "aria-label": "Trace" });
  root.classList.add("look");
  fill(root, h("h1", { class: "hidden" }, "Trace"), place, side);
  const viewer = new Viewer(place, context);
  let shown = "";
  const opened = open(viewer, context, probability).catch(context.fail);
  const runs = following(context, (job) => job.verb === "trace" && job.order.probability === probability, "This probability has not been traced here.", (own) => {
    const done = own.find((job) => job.state === "done");
    const now = `${done?.id}|${done?.revision}`;
    if (!done?.revision || now === shown) return;
    shown = now;
    void opened.then(() => viewer.setTrees(done.output)).catch((error: unknown) => {
      if (error instanceof ApiError && error.silent) shown = "";
      context.fail(error);
    });
  });
  fill(side, orderForm(viewer, context, probability, runs.now), h("section", { class: "group" }, h("h2", {}, "Runs"), runs.element), controls(viewer));
  return () => {
    runs.stop();
    viewer.close();
  };
};

async function open(viewer: Viewer, context: Context, probability: string): Promise<void> {
  const volume = context.params.get("volume");
  if (volume) await viewer.setVolume(volume, "raw");
  await viewer.setVolume(probability, "probability");
}

function files(context: Context, probability: string): Record<string, string> {
  const volume = context.params.get("volume");
  return { ...(volume ? { volume } : {}), probability };
}

/** Without a probability: those of the folder, to choose from. */
function choose(root: HTMLElement, context: Context): () => void {
  const list = h("ul", { class: "choices" });
  fill(root, h("h1", {}, "Trace"), h("p", {}, "Choose the probability whose neurites are to be traced as trees."), list);
  void folder(context.params.get("path") ?? "").then(({ items }) => {
    const rows = items.filter((item) => (item.kind === "probability" && !item.growing) || isFolder(item));
    const go = (n: number) => () => context.go("trace", isFolder(rows[n]!) ? { path: rows[n]!.path } : tracedIn(rows[n]!, items));
    fill(list, ...rows.map((item, n) => h("li", {}, button(item.name, `choose-${item.name}`, go(n), { class: "link" }), ` ${kindName(item)}`)));
    if (!rows.length) fill(list, h("li", { class: "empty" }, "There is no probability here. Enhance a volume first."));
  }, context.fail);
  return () => undefined;
}

function orderForm(viewer: Viewer, context: Context, probability: string, ordered: (job?: Job) => void): HTMLElement {
  const number = (testid: string, value: number): HTMLInputElement => h("input", { type: "number", min: 0, step: "any", value, "data-testid": testid });
  const out = newFile("trace-out", "a free name next to the probability");
  const soma = number("trace-soma", 5);
  const least = h("input", { type: "number", min: 0, step: "any", "data-testid": "trace-least", placeholder: "20 voxels" });
  const at = h("p", { "data-testid": "trace-threshold" });
  const tell = (): void => { at.textContent = `Threshold ${viewer.display.state.threshold.toFixed(2)}: the slider below sets it, and shows what it keeps.`; };
  viewer.display.onChange(tell);
  tell();
  const options = (): Record<string, unknown> => ({ probability, raw: context.params.get("volume") ?? undefined, threshold: viewer.display.state.threshold,
    soma_um: numberOf(soma), min_length_um: numberOf(least), out: out.value || undefined });
  const run = ordering({ name: "Trace all", testid: "trace-run", verb: "trace", options, inputs: [soma, least], ordered }, context);
  return h("section", { class: "group" }, h("h2", {}, "Trace"), h("p", { class: "output" }, probability, " ", another("trace", "Another probability", probability)), at,
    labelled("Radius from which a body is a soma, µm", soma, "0: none. Where thick fibres are taken for somata, lines radiate from them: enter 0, or a larger radius."), labelled("Least length of a tree, µm", least), labelled("Trees, a new file", out),
    h("div", { class: "row" }, run), h("h2", {}, "Or from a click"),
    h("p", {}, "Begin without trees, and trace single neurites by clicks, block by block."),
    acting("Begin a new tracing", "trace-new", () => begin(context, probability), context.fail));
}

/** Make an empty tracing next to the probability, and open it in Check. */
async function begin(context: Context, probability: string): Promise<void> {
  const parent = folderOf(probability);
  const { items } = await folder(parent);
  const from = files(context, probability);
  const { path } = await newTracing(freeName(inFolder(parent, "tracing.swc"), items), Object.values(from));
  context.go("check", { ...from, trees: path });
}
