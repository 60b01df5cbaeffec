// A label drawn from trees by a job, on the voxels of a volume: what `train` and `evaluate` read.
import type { Item, Job } from "../api";
import type { Context } from "../context";
import { checkbox, fill, h, labelled } from "../dom";
import { folderOf } from "../paths";
import { filesAround, related } from "./choosers";
import { FileField, swcUnit } from "./files";
import { following, newFile, numberOf, type Ordering, ordering } from "./ordering";

/** The section that orders a label, and follows those ordered in a folder. */
export function labelling(context: Context, path: string): Ordering {
  const runs = following(context, (job) => job.verb === "label" && folderOf(job.output) === path, "No label has been drawn in this folder from here.");
  const form = h("div");
  const element = h("section", { class: "group", "data-testid": "labelling" }, h("h2", {}, "A label from trees"), form, runs.element);
  void filesAround(path).then((items) => fill(form, ...orderForm(context, items, runs.now)), context.fail);
  return { element, close: runs.stop };
}

function orderForm(context: Context, items: readonly Item[], ordered: (job?: Job) => void): HTMLElement[] {
  if (!items.some((item) => item.kind === "trees"))
    return [h("p", { class: "empty" }, "There are no trees in this folder. Trace a probability first.")];
  const first = context.params.get("trees") ?? items.find((item) => item.kind === "trees")?.path;
  const from = items.find((item) => item.path === first);
  const trees = new FileField(items, { name: "Trees", testid: "label-trees", kinds: ["trees"], first });
  const like = new FileField(items, { name: "Voxels as of", testid: "label-like", kinds: ["volume", "probability"], first: from && related(from, items).volume,
    note: "The label takes the shape, the voxel size and the place of this volume." });
  const number = (testid: string, placeholder: string): HTMLInputElement => h("input", { type: "number", min: 0, step: "any", placeholder, "data-testid": testid });
  const radius = number("label-radius", "as the trees have it");
  const margin = number("label-margin", "1.5");
  const unit = swcUnit("label-unit");
  const out = newFile("label-out", "a free name next to the trees, ending in _label.ome.zarr");
  let ids = false;
  const each = checkbox("Each tree with a number of its own, without a margin", "label-ids", false, (on) => { ids = on; });
  const options = (): Record<string, unknown> => ({ trees: trees.path, like: like.path, out: out.value || undefined, radius_um: numberOf(radius),
    margin_vox: ids ? undefined : numberOf(margin), swc_unit: unit.value || undefined, ids: ids || undefined });
  const run = ordering({ name: "Draw the label", testid: "label-run", verb: "label", options, inputs: [trees.other, like.other, radius, margin], ordered }, context);
  return [h("p", {}, "Traced neurites become voxels: 0 background, 1 neurite, 2 ignored (a margin around them). Train on them, or evaluate against them."),
    trees.element, like.element, labelled("Radius of the neurites, µm", radius), labelled("Margin that is ignored, voxels", margin), labelled("Unit of the trees", unit), each,
    labelled("Label, a new file", out), h("div", { class: "row" }, run)];
}
