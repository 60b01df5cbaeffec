// A survey, and a selection by a rule, ordered as jobs: the same commands, tables and records as at the command line.
import { folder, type Item, type Job, models } from "../api";
import type { Context } from "../context";
import { checkbox, choice, fill, h, labelled } from "../dom";
import type { Survey } from "../tools";
import { folderOf, freeName } from "../paths";
import { isFolder } from "./choosers";
import { following, newFile, type Ordering, ordering } from "./ordering";

const SIDES = [128, 64, 32, 16] as const;
const ENOUGH = 8;

/** The section that orders a survey of a volume or of a folder of cubes, and follows those ordered here; `made` hears of a new one. */
export function surveying(context: Context, path: string, items: readonly Item[], made: () => void): Ordering {
  let done: number | null = null;
  const runs = following(context, (job) => job.verb === "survey" && folderOf(job.output) === path, "No survey has been run in this folder from here.", (own) => {
    const now = own.filter((job) => job.state === "done").length;
    if (done !== null && done !== now) made();
    done = now;
  });
  const form = h("div");
  const element = h("section", { class: "group", "data-testid": "surveying" }, h("h2", {}, "A new survey"), form, runs.element);
  void models().then((known) => fill(form, surveyForm(context, path, items, known.map((each) => each.path ?? each.name), runs.now)), context.fail);
  return { element, close: runs.stop };
}

function surveyForm(context: Context, path: string, items: readonly Item[], known: readonly string[], ordered: (job?: Job) => void): HTMLElement {
  const volumes = items.filter((item) => item.kind === "volume" && !item.error);
  const sources = [...volumes.map((item) => [item.path, `${item.name}: a volume, cut into cubes`] as const),
    ...items.filter(isPool).map((item) => [item.path, `${item.name}: a folder of cubes`] as const),
    [path || ".", "this folder: each of its volumes is a cube"] as const];
  const cube = h("input", { type: "number", min: 16, max: 1024, step: 1, "data-testid": "survey-cube" });
  const box = h("input", { type: "text", "data-testid": "survey-box", placeholder: "0:256, 0:256, 0:256", pattern: BOX, spellcheck: "false" });
  const cut = h("div", {}, labelled("Side of a cube, voxels", cube), labelled("Only this box, voxels z, y, x", box));
  let source = "";
  const show = (chosen: string): void => {
    source = chosen;
    const volume = volumes.find((item) => item.path === chosen);
    cut.hidden = !volume;
    cube.value = String(usualSide(volume?.shape));
  };
  const from = choice("survey-source", sources, sources[0]![0], show);
  show(sources[0]![0]);
  const model = choice("survey-model", [["", "none: by ridges"], ...known.map((name) => [name, name] as const)], "", () => undefined);
  const out = newFile("survey-out", "a free name next to it, ending in _survey.csv");
  const options = (): Record<string, unknown> => ({ source, out: out.value || undefined, model: model.value || undefined,
    ...(cut.hidden ? {} : { cube: cube.valueAsNumber, roi: plain(box.value) || undefined }) });
  const run = ordering({ name: "Start the survey", testid: "survey-run", verb: "survey", options, inputs: [cube, box], ordered }, context);
  return h("div", {}, h("p", {}, "A survey measures every cube: how much signal, how much noise, how faint. It needs no labels."),
    labelled("Survey of", from), cut, labelled("Find neurites by a model", model, "Slower; it adds how uncertain the model is about each cube."), labelled("Table, a new file", out),
    h("div", { class: "row" }, run));
}

/** Whether an item may be a folder of cubes. */
function isPool(item: Item): boolean {
  return isFolder(item) && item.kind !== "run";
}

const BOX = "\\s*\\d+:\\d+\\s*(,\\s*\\d+:\\d+\\s*){2}";

function plain(text: string): string {
  return text.replaceAll(/\s/g, "");
}

/** The largest usual side of which a volume holds enough cubes. */
function usualSide(shape: readonly number[] | null | undefined): number {
  const count = (side: number): number => (shape ?? [1024, 1024, 1024]).reduce((all, n) => all * Math.floor(n / side), 1);
  return SIDES.find((side) => count(side) >= ENOUGH) ?? SIDES.at(-1)!;
}

const RULES = [["diverse", "diverse: typical, diverse and difficult"], ["dhpr", "dhpr: the rule of DB-Enhance (dense, noisy, faint)"], ["random", "random"],
  ["foreground-random", "foreground-random: random, more often where neurites are"], ["entropy", "entropy: where the model is least certain"]] as const;

/** The section that orders a selection from a survey by a rule, and follows those ordered. */
export function selecting(context: Context, survey: Survey): Ordering {
  const runs = following(context, (job) => job.verb === "select" && job.order.survey === survey.path, "");
  const form = h("div");
  const element = h("details", { "data-testid": "selecting" }, h("summary", {}, "Select by a rule"), form, runs.element);
  void folder(folderOf(survey.path)).then(({ items }) => fill(form, selectForm(context, survey, items, runs.now)), context.fail);
  return { element, close: runs.stop };
}

function selectForm(context: Context, survey: Survey, items: readonly Item[], ordered: (job?: Job) => void): HTMLElement {
  const number = (testid: string, value: number, limits: Record<string, number>): HTMLInputElement => h("input", { type: "number", value, "data-testid": testid, required: true, ...limits });
  const stem = survey.path.replace(/\.(csv|parquet)$/i, "").replace(/_survey$/, "");
  const n = number("select-n", Math.min(10, survey.cubes.length), { min: 1, max: survey.cubes.length, step: 1 });
  const share = number("select-val", 0.2, { min: 0, max: 0.95, step: 0.05 });
  const rules = RULES.filter(([name]) => name !== "entropy" || survey.indicators.some((each) => each.name === "entropy"));
  const rule = choice("select-rule", rules, "diverse", () => undefined);
  const others = items.filter((item) => item.kind === "selection" && item.path !== survey.path).map((item) => [item.path, item.name] as const);
  const exclude = choice("select-exclude", [["", "none"], ...others], "", () => undefined);
  const evenly = flag("Evenly over the regions", "select-evenly", false);
  const cut = cutting("select-export");
  const out = h("input", { type: "text", value: freeName(`${stem}_selection.csv`, items), "data-testid": "select-out", spellcheck: "false" });
  const options = (): Record<string, unknown> => ({ survey: survey.path, out: out.value || undefined, n: n.valueAsNumber, rule: rule.value, val_fraction: share.valueAsNumber,
    at_most: true, exclude: exclude.value ? [exclude.value] : undefined, stratify: evenly.on() ? "region" : undefined,
    export: cut.on() ? cubesOf(out.value || `${stem}_selection.csv`) : undefined });
  const run = ordering({ name: "Select", testid: "select-run", verb: "select", options, inputs: [n, share], ordered }, context);
  return h("div", {}, labelled("Cubes, at most", n), labelled("Rule", rule), labelled("Share of the cubes kept apart, to judge the training", share),
    others.length ? labelled("Leave out the cubes of", exclude) : null, survey.cubes.some((cube) => cube.region) ? evenly.element : null, cut.element,
    labelled("Manifest, a new file", out, "The cubes are written as TIFFs into a folder with its name and _cubes."), h("div", { class: "row" }, run));
}

/** The choice whether the cubes of a selection become files. */
export const cutting = (testid: string): ReturnType<typeof flag> => flag("Cut the cubes out, to annotate them", testid, true);

/** The folder of the cubes of a manifest. */
export const cubesOf = (manifest: string): string => manifest.replace(/\.csv$/i, "_cubes");

function flag(name: string, testid: string, first: boolean): { element: HTMLElement; on: () => boolean } {
  let now = first;
  return { element: checkbox(name, testid, first, (on) => { now = on; }), on: () => now };
}
