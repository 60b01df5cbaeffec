// Evaluate: a probability, a label or trees against a truth, scored by a job; its report opens in the page.
import type { Item, Job, Kind } from "../api";
import type { Context, Mount } from "../context";
import { checkbox, fill, h, labelled } from "../dom";
import { folderOf } from "../paths";
import { filesAround, related } from "./choosers";
import { FileField, legend, swcUnit } from "./files";
import { following, newFile, numberOf, ordering } from "./ordering";

export const mount: Mount = (root, context) => {
  const { params } = context;
  const path = params.get("path") ?? folderOf(params.get("result") ?? params.get("truth") ?? "");
  const runs = following(context, (job) => job.verb === "evaluate" && job.output.startsWith(path && `${path}/`), "Nothing has been evaluated in this folder from here.");
  const form = h("div");
  fill(root, h("h1", {}, "Evaluate"),
    h("p", {}, "How much of the truth does a result find, and how much does it add? The scores and their pictures become a report."),
    h("div", { class: "columns" }, h("section", { class: "group", "data-testid": "evaluating" }, h("h2", {}, "A result and its truth"), form),
      h("section", { class: "group" }, h("h2", {}, "Evaluations"), runs.element)));
  void filesAround(path).then((items) => fill(form, ...orderForm(context, items, runs.now)), context.fail);
  return runs.stop;
};

const RESULTS: readonly Kind[] = ["probability", "trees", "label"];

function orderForm(context: Context, items: readonly Item[], ordered: (job?: Job) => void): HTMLElement[] {
  const { params } = context;
  if (!items.some((item) => RESULTS.includes(item.kind)))
    return [h("p", { class: "empty" }, "There is neither a probability nor a tree in this folder. Enhance a volume first.")];
  const found = params.get("result") ?? firstOf(items, ["probability", "trees"], params.get("truth"));
  const result = new FileField(items, { name: "Result", testid: "evaluate-result", kinds: RESULTS, first: found, changed: () => fit() });
  const truth = new FileField(items, { name: "Truth", testid: "evaluate-truth", kinds: ["label", "trees"], first: params.get("truth") ?? firstOf(items, ["label", "trees"], found), changed: () => fit() });
  const image = new FileField(items, { name: "Image", testid: "evaluate-raw", kinds: ["volume"], first: imageOf(items, found), none: "none",
    note: "With it, signal-to-noise and methods without a network are scored too." });
  const threshold = h("input", { type: "number", min: 0.01, max: 1, step: 0.01, placeholder: "the model's, else 0.5", "data-testid": "evaluate-threshold" });
  const meaning = legend("evaluate-legend");
  const unit = swcUnit("evaluate-unit");
  let traced = false;
  const trace = checkbox("Trace the result too, and score its trees", "evaluate-trace", false, (on) => { traced = on; });
  const out = newFile("evaluate-out", "a free name next to the result, ending in _report");
  const ofTruth = labelled("What the values of the truth mean", meaning, "As `--label-map`; only for a label with more than two values.");
  const ofTrees = labelled("Unit of the trees", unit);
  const ofVoxels = h("div", {}, labelled("Threshold", threshold), trace);
  let explained = "";
  const explain = (): void => {
    if (truth.path === explained) return;
    explained = truth.path;
    meaning.value = items.find((item) => item.path === explained)?.legend ?? "";
  };
  const fit = (): void => {
    explain();
    ofTruth.hidden = truth.kind === "trees";
    ofTrees.hidden = truth.kind !== "trees" && result.kind !== "trees";
    ofVoxels.hidden = result.kind === "trees";
  };
  const options = (): Record<string, unknown> => ({ prediction: result.path, truth: truth.path, raw: image.path || undefined, out: out.value || undefined,
    ...(ofTruth.hidden ? {} : { label_map: meaning.value || undefined }), ...(ofTrees.hidden ? {} : { swc_unit: unit.value || undefined }),
    ...(ofVoxels.hidden ? {} : { threshold: numberOf(threshold), trace: traced || undefined }) });
  const run = ordering({ name: "Evaluate", testid: "evaluate-run", verb: "evaluate", options, inputs: [result.other, truth.other, image.other, meaning, threshold], ordered }, context);
  fit();
  return [result.element, truth.element, ofTruth, ofTrees, image.element, ofVoxels, labelled("Report, a new folder", out), h("div", { class: "row" }, run)];
}

/** The first file of the first of these kinds that there is, other than one. */
function firstOf(items: readonly Item[], kinds: readonly Kind[], other: string | null | undefined): string | undefined {
  const named = kinds.map((kind) => items.find((item) => item.kind === kind && item.path !== other && !item.growing));
  return named.find(Boolean)?.path;
}

/** The image that a result was made from. */
function imageOf(items: readonly Item[], path: string | undefined): string | undefined {
  const item = items.find((each) => each.path === path);
  return item && related(item, items).volume;
}
