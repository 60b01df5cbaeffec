// Check: the doubtful places of a trace in order, decided by a key; trees corrected by clicks; saved as new files.
import { folder, type Item, type Tree, type Vec3 } from "../api";
import type { Context, Mount } from "../context";
import { button, choice, fill, h, labelled } from "../dom";
import { bindKeys } from "../shortcuts";
import { type CheckedTree, type CheckState, decide, type Decision, type Edit, openCheck, type Place, redoStep, saveCheck, takeStep, undoStep } from "../tools";
import "../tools.css";
import { controls } from "../viewer/controls";
import type { Mark } from "../viewer/layers";
import type { Pick } from "../viewer/pointer";
import { Viewer } from "../viewer/viewer";
import { folderOf } from "./choosers";
import { comparison } from "./comparing";

const NAMES: Record<Place["kind"], string> = {
  bridge: "Bridge over a gap", crossing: "Crossing or branch", faint: "Faint stretch", end: "End in the tissue",
};
const CONSEQUENCES: Record<Place["kind"], string> = {
  bridge: "Reject removes the bridge and splits the tree.",
  crossing: "Reject turns the decision round: what was joined is parted, what was cut is joined.",
  faint: "Reject deletes the faint stretch.",
  end: "Reject only notes that the neurite goes on; join or draw it yourself.",
};
const TYPES = [["0", "0 not known"], ["1", "1 soma"], ["2", "2 axon"], ["3", "3 basal dendrite"], ["4", "4 apical dendrite"]] as const;
const PARTS = [["piece", "stretch between branch points"], ["branch", "branch: all beyond it"], ["tree", "tree"], ["node", "node"]] as const;
const NEAR_PIXELS = 14;
const MOST_LISTED = 300;

type Mode = "select" | "join" | "move" | "draw" | "soma";
type Part = NonNullable<Edit["part"]>;

export const mount: Mount = (root, context) => {
  if (!context.params.get("trees")) {
    void chooseTrees(root, context).catch(context.fail);
    return () => undefined;
  }
  const bench = new Bench(root, context);
  return () => bench.close();
};

async function chooseTrees(root: HTMLElement, context: Context): Promise<void> {
  const path = context.params.get("path") ?? "";
  const { items } = await folder(path);
  const link = (item: Item, act: () => void): HTMLElement => h("li", {}, button(item.name, `check-${item.name}`, act, { class: "link" }));
  const found = items.filter((item) => item.kind === "trees").map((item) => link(item, () => context.go("check", related(item, items))));
  const folders = items.filter((item) => item.kind === "folder").map((item) => link(item, () => context.go("check", { path: item.path })));
  fill(root, h("h1", {}, "Check"), h("p", {}, "Choose a trace; its doubtful places are shown one after the other."),
    h("section", { class: "group" }, h("h2", {}, "Traces here"), found.length ? h("ul", {}, ...found) : h("p", {}, "There are no traces in this folder. Trace a probability first.")),
    folders.length ? h("section", { class: "group" }, h("h2", {}, "Folders"), h("ul", {}, ...folders)) : null);
}

/** The trace with the volume and the probability that it was made from. */
function related(item: Item, items: Item[]): Record<string, string> {
  const params: Record<string, string> = { trees: item.path };
  const from = items.filter((each) => item.belongs_to?.includes(each.path));
  const probability = from.find((each) => each.kind === "probability");
  const origins = [...from, ...items.filter((each) => probability?.belongs_to?.includes(each.path))];
  const volume = origins.find((each) => each.kind === "volume");
  if (probability) params.probability = probability.path;
  if (volume) params.volume = volume.path;
  return params;
}

/** The bench on which one trace is corrected. */
class Bench {
  readonly viewer: Viewer;
  readonly path: string;
  private readonly side = h("aside", { class: "side", "aria-label": "Checking" });
  private readonly count = h("p", { role: "status", "data-testid": "check-count" });
  private readonly card = h("div", { class: "place", "data-testid": "place" });
  private readonly list = h("ul", { class: "places", "data-testid": "places", "aria-label": "Doubtful places" });
  private readonly chosen = h("p", { role: "status", "data-testid": "selected" });
  private readonly note = h("input", { type: "text", "data-testid": "note" });
  private readonly saved = h("p", { role: "status", "data-testid": "check-saved" });
  private readonly undoing = h("div", { class: "row" });
  private readonly modes = h("div", { class: "row values", role: "group", "aria-label": "What a click does" });
  private readonly trees = new Map<number, CheckedTree>();
  private readonly undo: (() => void)[] = [];
  private state: CheckState | null = null;
  private at = 0;
  private node: number | null = null;
  private mode: Mode = "select";
  private part: Part = "piece";
  private busy = false;

  constructor(root: HTMLElement, private readonly context: Context) {
    this.path = context.params.get("trees") ?? "";
    const place = h("div", { class: "stage" });
    fill(root, h("h1", { class: "hidden" }, "Check"), place, this.side);
    this.viewer = new Viewer(place, context);
    const compare = comparison(this.path, context, (trees, marks) => this.showCompared(trees, marks));
    this.note.addEventListener("keydown", (event) => { if (event.key === "Enter") this.note.blur(); });
    fill(this.side, this.sectionOfPlaces(), this.sectionOfEdits(), this.sectionOfSaving(), compare,
      h("details", {}, h("summary", {}, "Display"), controls(this.viewer)));
    this.undo.push(this.viewer.onPick((pick) => this.picked(pick)), this.keys());
    void this.open().catch(context.fail);
  }

  close(): void {
    for (const each of this.undo) each();
    this.viewer.close();
  }

  private async open(): Promise<void> {
    const { params } = this.context;
    const volume = params.get("volume") ?? params.get("probability") ?? "";
    if (params.get("volume")) await this.viewer.setVolume(params.get("volume")!, "raw");
    if (params.get("probability")) await this.viewer.setVolume(params.get("probability")!, "probability");
    this.take(await openCheck(this.path, volume));
    const first = this.state!.places.findIndex((place) => place.decision === "open");
    this.go(Math.max(0, first));
    if (!volume) this.context.say("Without its volume, only the trees are shown: open the trace from Browse to see both.");
  }

  /** Take a new state from the server: the trees that changed, and the places. */
  private take(state: CheckState): void {
    this.state = state;
    for (const id of state.gone) this.trees.delete(id);
    for (const tree of state.trees) this.trees.set(tree.id, tree);
    if (this.node !== null && !this.treeOf(this.node)) this.node = null;
    this.redrawTrees();
    this.list.dataset.trees = String(this.trees.size);
    this.showState();
  }

  private redrawTrees(): void {
    this.viewer.setTreeList([...this.trees.values()].sort((a, b) => a.id - b.id) as Tree[]);
  }

  private showCompared(trees: Tree[] | null, marks: Mark[]): void {
    if (trees) this.viewer.setTreeList(trees);
    else this.redrawTrees();
    this.viewer.setMarks(trees ? marks : this.marks());
  }

  private showState(): void {
    const { places, steps, undone } = this.state!;
    const decided = places.filter((place) => place.decision !== "open").length;
    this.count.textContent = `${decided} of ${places.length} places decided, ${this.trees.size} trees`;
    fill(this.list, ...places.slice(0, MOST_LISTED).map((place, n) => this.row(place, n)),
      places.length > MOST_LISTED ? h("li", {}, `and ${places.length - MOST_LISTED} more`) : null);
    fill(this.card, ...this.cardOf(places[this.at]));
    fill(this.undoing, button(`Undo (${steps})`, "check-undo", () => this.ask(() => undoStep(this.path)), { disabled: !steps }),
      button(`Redo (${undone})`, "check-redo", () => this.ask(() => redoStep(this.path)), { disabled: !undone }));
    this.viewer.setMarks(this.marks());
    this.chosen.textContent = this.node === null ? "No node chosen: click near a neurite." : this.saySelected();
  }

  private row(place: Place, n: number): HTMLElement {
    const mark = { accepted: "✓ accepted", rejected: "✗ rejected", noted: "• noted", open: "" }[place.decision];
    const known = place.probability === null ? "" : ` ${place.probability.toFixed(2)}`;
    return h("li", {}, h("button", { type: "button", "data-testid": `place-${place.name}`, "aria-current": String(n === this.at), onclick: () => this.go(n) },
      `${n + 1}. ${NAMES[place.kind]}${known}`, h("span", { class: `mark ${place.decision}` }, mark)));
  }

  private cardOf(place: Place | undefined): HTMLElement[] {
    if (!place) return [h("p", {}, "This trace has no doubtful places. Trees can still be corrected below.")];
    const known = place.probability === null ? "" : `, probability ${place.probability.toFixed(2)}`;
    return [h("p", {}, h("strong", {}, `${this.at + 1}. ${NAMES[place.kind]}`), known, place.said ? `, ${place.said}` : ""),
      h("p", {}, place.there ? CONSEQUENCES[place.kind] : "It is no longer in the trees."),
      labelled("Note", this.note),
      h("div", { class: "row" }, button("Accept (a)", "accept", () => this.decide("accepted")), button("Reject (r)", "reject", () => this.decide("rejected")),
        button("Back (k)", "previous", () => this.step(-1)), button("Next (j)", "next", () => this.step(1)))];
  }

  private go(n: number): void {
    const place = this.state?.places[n];
    this.at = n;
    this.note.value = place?.note ?? "";
    if (place) {
      const voxel = Math.min(...this.viewer.voxelSize());
      this.viewer.goTo(zyx(place.at), Math.min(this.viewer.display.state.scale, 0.35 * voxel));
    }
    this.showState();
    this.list.querySelector("[aria-current=true]")?.scrollIntoView({ block: "nearest" });
  }

  private step(by: number): void {
    const count = this.state?.places.length ?? 0;
    if (count) this.go((this.at + by + count) % count);
  }

  private decide(decision: Decision): void {
    const place = this.state?.places[this.at];
    if (!place) return;
    const next = this.at + 1;
    void this.ask(() => decide(this.path, place.name, decision, this.note.value)).then((done) => {
      if (done && next < (this.state?.places.length ?? 0)) this.go(next);
    });
  }

  /** Ask the server for a change, one at a time. */
  private async ask(act: () => Promise<CheckState>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    try {
      this.take(await act());
      return true;
    } catch (error) {
      this.context.fail(error);
      return false;
    } finally {
      this.busy = false;
    }
  }

  private edit(...edits: Edit[]): Promise<boolean> {
    return this.ask(() => takeStep(this.path, edits));
  }

  // Nodes.

  private treeOf(node: number): CheckedTree | undefined {
    return [...this.trees.values()].find((tree) => tree.ids.includes(node));
  }

  private placeOf(node: number): Vec3 | null {
    const tree = this.treeOf(node);
    const at = tree?.nodes[tree.ids.indexOf(node)];
    return at ? [at[2], at[1], at[0]] : null;
  }

  /** The nearest node to a click, within a few pixels. */
  private nearest(um: Vec3): number | null {
    const reach = Math.max(NEAR_PIXELS * this.viewer.display.state.scale, 2 * Math.max(...this.viewer.voxelSize()));
    let best = reach;
    let found: number | null = null;
    for (const tree of this.trees.values())
      tree.nodes.forEach(([x, y, z], k) => {
        const away = Math.hypot(z - um[0], y - um[1], x - um[2]);
        if (away < best) [best, found] = [away, tree.ids[k]!];
      });
    return found;
  }

  private saySelected(): string {
    const tree = this.treeOf(this.node!);
    const k = tree?.ids.indexOf(this.node!) ?? -1;
    const node = tree?.nodes[k];
    return node ? `Node ${this.node} of tree ${tree!.id} (${tree!.nodes.length} nodes, ${Math.round(tree!.length)} µm): radius ${node[3].toFixed(2)} µm, type ${node[5]}` : "";
  }

  private marks(): Mark[] {
    const place = this.state?.places[this.at];
    const marks: Mark[] = place ? [{ um: zyx(place.at), colour: "#ffe14d", size: 16 }] : [];
    const at = this.node === null ? null : this.placeOf(this.node);
    if (at) marks.push({ um: at, colour: "#ffffff", size: 7 });
    return marks;
  }

  private unit(um: Vec3): Vec3 {
    const scale = this.state?.scale ?? [1, 1, 1];
    return [um[2] / scale[2], um[1] / scale[1], um[0] / scale[0]];
  }

  private picked(pick: Pick): void {
    const near = this.nearest(pick.um);
    const { node } = this;
    if (this.mode === "join" && node !== null && near !== null) return void this.edit({ op: "join", node, other: near }).then(() => this.setMode("select"));
    if (this.mode === "move" && node !== null) return void this.edit({ op: "move", node, at: this.unit(pick.um) });
    if (this.mode === "draw") return void this.draw(pick.um);
    if (this.mode === "soma") return void this.soma(near, pick.um);
    this.node = near;
    this.showState();
  }

  /** Draw a node at a place, after the chosen one; it is chosen then, so that clicks go on with the line. */
  private async draw(um: Vec3): Promise<void> {
    const parent = this.node === null ? {} : { node: this.node };
    if (await this.edit({ op: "draw", at: this.unit(um), ...parent })) this.chooseNewest();
  }

  private async soma(near: number | null, um: Vec3): Promise<void> {
    const radius = 5 / (this.state?.scale[0] ?? 1);
    const edit: Edit = near === null ? { op: "draw", at: this.unit(um), kind: 1, radius } : { op: "soma", node: near };
    if ((await this.edit(edit)) && near === null) this.chooseNewest();
    this.setMode("select");
  }

  private chooseNewest(): void {
    this.node = Math.max(...(this.state?.trees ?? []).flatMap((tree) => tree.ids));
    this.showState();
  }

  private setMode(mode: Mode): void {
    this.mode = mode;
    for (const each of this.modes.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each.dataset.mode === mode));
  }

  /** Do an edit of the chosen node. */
  private onNode(edit: Omit<Edit, "node">): void {
    if (this.node === null) this.context.say("Choose a node first: click near a neurite.");
    else void this.edit({ ...edit, node: this.node });
  }

  // The controls.

  private sectionOfPlaces(): HTMLElement {
    return h("section", { class: "group" }, h("h2", {}, "Check ", h("small", {}, this.path)), this.count, this.card, this.list);
  }

  private sectionOfEdits(): HTMLElement {
    const modes: [Mode, string][] = [["select", "Choose"], ["join", "Join to"], ["move", "Move"], ["draw", "Draw"], ["soma", "Soma"]];
    fill(this.modes, ...modes.map(([mode, name]) => button(name, `mode-${mode}`, () => this.setMode(mode), { "data-mode": mode, "aria-pressed": String(mode === this.mode) })));
    const radius = h("input", { type: "number", min: 0, step: "any", value: 1, "data-testid": "radius", "aria-label": "Radius, in the unit of the trees" });
    const type = choice("node-type", TYPES, "2", () => undefined);
    type.setAttribute("aria-label", "SWC type");
    const part = choice("part", PARTS, this.part, (value) => { this.part = value as Part; });
    return h("section", { class: "group" }, h("h2", {}, "Correct"), this.modes, this.chosen, labelled("Acts on", part),
      h("div", { class: "row" }, button("Split here (c)", "cut", () => this.onNode({ op: "cut" })), button("Delete (x)", "delete", () => this.onNode({ op: "delete", part: this.part })),
        button("Drop node", "drop", () => this.onNode({ op: "drop" })), button("Set root", "root", () => this.onNode({ op: "root" })),
        button("Smooth", "smooth", () => this.onNode({ op: "smooth", part: this.part }))),
      h("div", { class: "row" }, type, button("Set type", "set-type", () => this.onNode({ op: "type", kind: Number(type.value), part: this.part }))),
      h("div", { class: "row" }, radius, button("Set radius", "set-radius", () => this.onNode({ op: "radius", radius: radius.valueAsNumber, part: this.part }))),
      this.undoing);
  }

  private sectionOfSaving(): HTMLElement {
    const name = h("input", { type: "text", value: freeName(this.path), "data-testid": "check-out", spellcheck: "false" });
    const save = (): void => void saveCheck(this.path, name.value).then(({ trees, decisions }) => {
      this.saved.textContent = `Saved: ${trees} and ${decisions}.`;
    }, this.context.fail);
    return h("section", { class: "group" }, h("h2", {}, "Save"), labelled("Corrected trees, a new file", name, "The list of decisions is saved next to it. Nothing is overwritten."),
      h("div", { class: "row" }, button("Save", "check-save", save, { class: "main" })), this.saved);
  }

  private keys(): () => void {
    const { viewer } = this;
    return bindKeys("Check", {
      a: () => this.decide("accepted"), r: () => this.decide("rejected"), j: () => this.step(1), k: () => this.step(-1),
      z: () => void this.ask(() => undoStep(this.path)), y: () => void this.ask(() => redoStep(this.path)),
      c: () => this.onNode({ op: "cut" }), x: () => this.onNode({ op: "delete", part: this.part }),
      m: () => this.setMode("join"), d: () => this.setMode("draw"), Escape: () => this.setMode("select"),
      ArrowUp: () => viewer.step(1), ArrowDown: () => viewer.step(-1), "+": () => viewer.zoom(1.25), "-": () => viewer.zoom(1 / 1.25),
    });
  }
}

function zyx([x, y, z]: Vec3): Vec3 {
  return [z, y, x];
}

/** A name next to the trace. */
function freeName(path: string): string {
  const folderPath = folderOf(path);
  const stem = (path.split("/").at(-1) ?? "trees").replace(/\.swc$/i, "");
  return `${folderPath ? `${folderPath}/` : ""}${stem}_corrected.swc`;
}
