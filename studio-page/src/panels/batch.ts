// A folder in a batch: all its volumes, or those that are chosen, enhanced by one order; how far each of them is.
import { folder, type Item, type Job, type Model, models, startJob } from "../api";
import type { Context } from "../context";
import { acting, choice, counted, fill, h, labelled } from "../dom";
import { folderOf } from "../paths";
import { following } from "./ordering";

/** The model that is used unless another is chosen. */
export const USUAL = "light-microscopy";

/** A model in a list: its name, and what it is for. */
export function modelText({ name, path, title }: Model): string {
  return path ? path : title ? `${name}: ${title}` : name;
}

/** The models to choose from; the address may name one. */
export function modelChoice(context: Context, known: readonly Model[]): HTMLSelectElement {
  const names = known.map((each) => [each.path ?? each.name, modelText(each)] as const);
  return choice("model", [["", `the default: ${USUAL}`], ...names], context.params.get("model") ?? "", () => undefined);
}

/** The section that orders a batch, and follows the batches of this folder. */
export function batch(context: Context, path: string): { element: HTMLElement; close: () => void } {
  const form = h("div");
  const runs = following(context, (job) => isBatchOf(job, path), "No batch has been run in this folder.");
  void Promise.all([folder(path), models()]).then(([{ items }, known]) => fill(form, order(context, items, known, runs.now)), context.fail);
  const element = h("section", { class: "group", "data-testid": "batch" }, h("h2", {}, "All volumes of this folder"), form, runs.element);
  return { element, close: runs.stop };
}

function isBatchOf(job: Job, path: string): boolean {
  const [first] = job.parts ?? [];
  return Boolean(first && folderOf(first.input) === path);
}

function order(context: Context, items: readonly Item[], known: readonly Model[], ordered: () => void): HTMLElement {
  const volumes = items.filter((item) => item.kind === "volume" && !item.error);
  if (volumes.length < 2) return h("p", {}, "There are fewer than two volumes here.");
  const enhanced = (item: Item): boolean => items.some((each) => each.kind === "probability" && each.belongs_to?.includes(item.path));
  const boxes = volumes.map((item) => {
    const box = h("input", { type: "checkbox", "data-testid": `batch-${item.name}`, checked: !enhanced(item) });
    return { item, box, row: h("li", {}, h("label", { class: "check" }, box, " ", item.name, enhanced(item) ? h("small", {}, " has a prediction") : null)) };
  });
  const model = modelChoice(context, known);
  const run = acting("Run all that are chosen", "run-all", async () => {
    const chosen = boxes.filter(({ box }) => box.checked).map(({ item }) => item);
    const jobs = await send(chosen, model.value).finally(ordered);
    context.succeed(`${counted(jobs, "job")} for ${counted(chosen.length, "volume")}.`);
  }, context.fail, { class: "main" });
  return h("div", {}, h("ul", { class: "choices plain" }, ...boxes.map(({ row }) => row)), labelled("Model", model),
    h("p", {}, "Each probability is written next to its volume, as NAME_prob.tif (of a single volume as NAME_prob.ome.zarr). The volumes are done one after the other."), run);
}

/** One order for all; a volume whose voxel size was given here, not in its file, needs an order that states it. */
async function send(chosen: readonly Item[], model: string): Promise<number> {
  if (!chosen.length) throw new Error("Choose at least one volume.");
  const options = model ? { model } : {};
  const stated = chosen.filter((item) => !item.voxel_size_given).map((item) => item.path);
  const orders = [...(stated.length ? [stated] : []), ...chosen.filter((item) => item.voxel_size_given).map((item) => [item.path])];
  for (const inputs of orders) await startJob("predict", { inputs, ...options });
  return orders.length;
}
