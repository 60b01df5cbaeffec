// Somata within Check: searched in the volume, listed, gone to, added to the trees or removed from them.
import type { Vec3 } from "../api";
import { acting, button, entered, fill, h, labelled } from "../dom";
import { type CheckedTree, type Edit, findSomata, type FoundSoma } from "../tools";
import { zyx } from "../viewer/transform";
import type { Mark } from "../viewer/layers";

const MOST_LISTED = 100;
const SOMA = 1;
const FOUND = "#c77dff";

interface Bench {
  path: string;
  /** The probability, else the image. */
  volume: string;
  threshold: () => number;
  box: () => string;
  trees: () => readonly CheckedTree[];
  edit: (...edits: Edit[]) => Promise<boolean>;
  /** From micrometres of the volume, zyx, to the unit of the trees, x y z. */
  unit: (um: Vec3) => Vec3;
  /** Micrometres to a unit of the trees. */
  scale: () => number;
  goTo: (um: Vec3) => void;
  choose: (node: number) => void;
  mark: (marks: Mark[]) => void;
  fail: (error: unknown) => void;
}

export interface Somata {
  element: HTMLElement;
  /** The trees have changed. */
  update: () => void;
}

export function somata(bench: Bench): Somata {
  let found: FoundSoma[] = [];
  const list = h("ul", { class: "places", "data-testid": "somata-found", "aria-label": "Somata found" });
  const own = h("ul", { class: "places", "data-testid": "somata-own", "aria-label": "Somata of the trees" });
  const told = h("p", { role: "status", "data-testid": "somata-told" });
  const inTrees = h("h2", {}, "In the trees");
  const all = button("Add all", "soma-add-all", () => void add(found));
  const radius = h("input", { type: "number", min: 0.1, step: "any", value: 5, required: true, "data-testid": "soma-radius" });
  const editOf = (soma: FoundSoma): Edit => {
    const size = soma.radius / bench.scale();
    return soma.node === null ? { op: "draw", at: bench.unit(zyx(soma.at)), kind: SOMA, radius: size } : { op: "soma", node: soma.node, radius: size };
  };
  const add = async (chosen: readonly FoundSoma[]): Promise<void> => {
    if (chosen.length && (await bench.edit(...chosen.map(editOf)))) drop(chosen);
  };
  const drop = (gone: readonly FoundSoma[]): void => {
    found = found.filter((each) => !gone.includes(each));
    show();
  };
  const show = (): void => {
    told.textContent = found.length ? `${found.length} found, the largest first.` : "";
    bench.mark(found.map((soma) => ({ um: zyx(soma.at), colour: FOUND, size: 12 })));
    fill(list, ...found.slice(0, MOST_LISTED).map((soma, n) => row(`found-${n}`, `${n + 1}. radius ${soma.radius.toFixed(1)} µm${soma.node === null ? "" : ", in a tree"}`, () => bench.goTo(zyx(soma.at)),
      button("Add", `soma-add-${n}`, () => void add([soma]), { "aria-label": `Add soma ${n + 1}` }), button("Not a soma", `soma-no-${n}`, () => drop([soma]), { "aria-label": `Soma ${n + 1} is none` }))));
    list.hidden = !found.length;
    all.disabled = !found.length;
  };
  const row = (testid: string, text: string, go: () => void, ...acts: HTMLElement[]): HTMLElement =>
    h("li", { class: "soma" }, button(text, testid, go), ...acts);
  const search = acting("Find somata", "soma-find", async () => {
    if (!entered(radius)) return;
    const seen = await findSomata(bench.path, bench.volume, radius.valueAsNumber, bench.threshold(), bench.box());
    found = seen.filter((soma) => !isOwn(bench.trees(), soma));
    show();
    if (!found.length) told.textContent = seen.length ? "All that are found are in the trees." : "None of this radius or more.";
  }, bench.fail);
  const update = (): void => {
    const nodes = bench.trees().flatMap((tree) => tree.nodes.flatMap((node, k) => (node[5] === SOMA ? [{ id: tree.ids[k]!, at: [node[2], node[1], node[0]] as Vec3, radius: node[3] }] : [])));
    fill(own, ...nodes.slice(0, MOST_LISTED).map(({ id, at, radius: size }) => row(`own-${id}`, `soma, node ${id}, ${size.toFixed(1)} µm`, () => { bench.goTo(at); bench.choose(id); },
      button("Remove", `soma-remove-${id}`, () => void bench.edit({ op: "type", node: id, kind: 0, part: "node" }), { "aria-label": `Node ${id} is no soma` }))));
    own.hidden = inTrees.hidden = !nodes.length;
  };
  show();
  const element = h("details", { "data-testid": "somata" }, h("summary", {}, "Somata"), labelled("Least radius, µm", radius, "Searched in the probability, else in the image; within the box, if one is drawn."),
    h("div", { class: "row" }, search, all), told, list, inTrees, own);
  return { element, update };
}

/** Whether a tree has a soma node there already. */
function isOwn(trees: readonly CheckedTree[], soma: FoundSoma): boolean {
  return trees.some((tree) => tree.nodes.some(([x, y, z, , , kind]) => kind === SOMA && Math.hypot(x - soma.at[0], y - soma.at[1], z - soma.at[2]) <= soma.radius));
}
