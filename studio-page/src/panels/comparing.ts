// Two tracings compared: what only one of them has is marked, with the scores of trees.
import { folder, type Item, type Tree, type Vec3 } from "../api";
import type { Context } from "../context";
import { acting, button, choice, entered, fill, h, labelled } from "../dom";
import { folderOf } from "../paths";
import { type CheckedTree, compareTraces, type Compared } from "../tools";
import type { Mark } from "../viewer/layers";

const COLOURS = { only_this: "#ff7b54", only_other: "#4cc9f0" } as const;
const MOST_MARKS = 200;

const SHOWN: readonly (readonly [string, string])[] = [
  ["esa", "mean distance of the lines, µm (ESA)"], ["pds", "share of the lines that lie apart (PDS)"], ["splits", "splits"], ["merges", "merges"],
  ["erl", "length traced without an error, share (ERL)"], ["tip_recall", "share of the tips found"],
];

type Show = (trees: Tree[] | null, marks: Mark[]) => void;

export interface Comparison {
  element: HTMLElement;
  /** Other traces may have come. */
  refresh: () => void;
}

/** The section that compares the trace, as it is corrected, with another. */
export function comparison(path: string, context: Context, show: Show): Comparison {
  const place = h("div");
  const result = h("div", { "data-testid": "compared" });
  const tolerance = h("input", { type: "number", min: 0.1, step: "any", value: 2, required: true, "data-testid": "tolerance" });
  let chosen = "";
  let listed = "";
  const compare = async (): Promise<void> => {
    if (!entered(tolerance)) return;
    const found = await compareTraces(path, chosen, tolerance.valueAsNumber);
    show(treesOf(found), marksOf(found));
    fill(result, ...told(found), button("Show the trace again", "compare-end", () => { show(null, []); fill(result); }));
  };
  const refresh = (): void => void others(path).then((names) => {
    if (JSON.stringify(names) === listed) return;
    listed = JSON.stringify(names);
    if (!names.length) return fill(place, h("p", {}, "There is no other trace in this folder."));
    if (!names.some(([name]) => name === chosen)) chosen = names[0]![0];
    fill(place, labelled("With", choice("compare-other", names, chosen, (value) => { chosen = value; })), labelled("Tolerance, µm", tolerance),
      h("div", { class: "row" }, acting("Compare", "compare", compare, context.fail)));
  }, context.fail);
  refresh();
  return { element: h("section", { class: "group" }, h("h2", {}, "Compare two tracings"), place, result), refresh };
}

async function others(path: string): Promise<[string, string][]> {
  const { items } = await folder(folderOf(path));
  const own = items.find((item) => item.path === path);
  const kin = (item: Item): boolean => [path, ...(own?.belongs_to ?? [])].some((origin) => item.belongs_to?.includes(origin));
  const found = items.filter((item) => item.kind === "trees" && item.path !== path);
  return [...found.filter(kin), ...found.filter((item) => !kin(item))].map((item) => [item.path, item.name]);
}

/** The other tracing, then the stretches that only one of them has. */
function treesOf(found: Compared): Tree[] {
  const named = (trees: CheckedTree[], name: string): Tree[] => trees.map((tree) => ({ ...tree, id: `${name} ${tree.id}` }));
  return [...named(found.other, "other"), ...named(found.only_this, "only this"), ...named(found.only_other, "only other")];
}

function marksOf(found: Compared): Mark[] {
  const ring = (trees: CheckedTree[], colour: string): Mark[] => trees.map((tree) => ({ um: middle(tree), colour, size: 11 }));
  return [...ring(found.only_this, COLOURS.only_this), ...ring(found.only_other, COLOURS.only_other)].slice(0, MOST_MARKS);
}

function middle(tree: CheckedTree): Vec3 {
  const node = tree.nodes[Math.floor(tree.nodes.length / 2)]!;
  return [node[2], node[1], node[0]];
}

function told(found: Compared): HTMLElement[] {
  const row = (name: string, value: string): HTMLElement => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value));
  const scores = SHOWN.flatMap(([key, name]) => (found.scores[key] == null ? [] : [row(name, found.scores[key]!.toPrecision(3))]));
  return [h("table", { class: "scores" }, h("tbody", {},
    row("only in this trace (orange rings)", `${found.length_this.toFixed(1)} µm`), row("only in the other (blue rings)", `${found.length_other.toFixed(1)} µm`), ...scores))];
}
