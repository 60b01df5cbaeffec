// Check: the doubtful places of a trace in order, decided by a key; trees corrected by clicks; saved as new files.
import { folder, type Item, type Tree, type Vec3, volume } from "../api";
import type { Context, Mount } from "../context";
import { acting, button, choice, counted, entered, fill, h, keyed, labelled, Proposal } from "../dom";
import { folderOf, freeName, inFolder, stemOf } from "../paths";
import { bindKeys } from "../shortcuts";
import { type CheckedTree, type CheckState, decide, type Decision, type Edit, markPlace, openCheck, type Place, redoStep, saveCheck, takeStep, undoStep } from "../tools";
import "../tools.css";
import { boxWord } from "../viewer/box";
import { zyx } from "../viewer/transform";
import { controls } from "../viewer/controls";
import { drawnPart, type Mark, type Role } from "../viewer/layers";
import type { Pick } from "../viewer/pointer";
import { Viewer } from "../viewer/viewer";
import { another, isFolder, itemList, related } from "./choosers";
import { type Comparison, comparison } from "./comparing";
import { type Growing, growing } from "./growing";
import { partOf } from "./parts";
import { type Somata, somata } from "./somata";

const NAMES: Record<Place["kind"], string> = {
  bridge: "Bridge over a gap", crossing: "Crossing or branch", faint: "Faint stretch", end: "End in the tissue", mark: "Marked by you",
};
const CONSEQUENCES: Record<Place["kind"], string> = {
  bridge: "Reject removes the bridge and splits the tree.",
  crossing: "Reject turns the decision round: what was joined is parted, what was cut is joined.",
  faint: "Reject deletes the faint stretch.",
  end: "Reject only notes that the neurite goes on; join or draw it yourself.",
  mark: "Accept when you have checked it, and corrected what was wrong.",
};
const BRIEFLY: Record<Place["kind"], string> = { bridge: "Bridge", crossing: "Crossing", faint: "Faint stretch", end: "End", mark: "Marked by you" };
/** What the number of a place is. */
const MEASURES: Record<Place["kind"], string> = {
  bridge: "mean probability", crossing: "probability of one neurite", faint: "mean probability", end: "probability", mark: "probability",
};
const TYPES = [["0", "0 not known"], ["1", "1 soma"], ["2", "2 axon"], ["3", "3 basal dendrite"], ["4", "4 apical dendrite"]] as const;
const PARTS = [["piece", "stretch between branch points"], ["branch", "branch: all beyond it"], ["tree", "tree"], ["node", "node"]] as const;
const NEAR_PIXELS = 14;
const MOST_LISTED = 300;

type Mode = "select" | "join" | "move" | "draw" | "soma" | "trace" | "mark";
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
  const ofKind = (kind: Item["kind"]): Item[] => items.filter((item) => item.kind === kind);
  fill(root, h("h1", {}, "Check"), h("p", {}, "Choose a trace; its doubtful places are shown one after the other."),
    itemList("Traces here", ofKind("trees"), "check", (item) => context.go("check", related(item, items)), "There are no traces in this folder. Trace a probability first."),
    itemList("Folders", items.filter(isFolder), "check", (item) => context.go("check", { path: item.path })));
}

/** The bench on which one trace is corrected. */
class Bench {
  readonly viewer: Viewer;
  readonly path: string;
  private readonly side = h("aside", { class: "side", "aria-label": "Checking" });
  private readonly count = h("p", { role: "status", "data-testid": "check-count" });
  private readonly card = h("div", { class: "place", "data-testid": "place" });
  private readonly told = h("div");
  private readonly deciding = h("div");
  private readonly list = h("ul", { class: "places", "data-testid": "places", "aria-label": "Doubtful places" });
  private readonly chosen = h("p", { role: "status", "data-testid": "selected" });
  private readonly note = h("input", { type: "text", "data-testid": "note" });
  private readonly saved = h("p", { role: "status", "data-testid": "check-saved" });
  private readonly undoing = button("Undo", "check-undo", () => void this.ask(() => undoStep(this.path)));
  private readonly redoing = button("Redo", "check-redo", () => void this.ask(() => redoStep(this.path)));
  /** Notes that were typed and not yet sent, by place. */
  private readonly notes = new Map<string, string>();
  private listed = "";
  private readonly modes = h("div", { class: "row values", role: "group", "aria-label": "What a click does" });
  private readonly growing: Growing | null;
  private readonly compare: Comparison;
  private readonly somata: Somata;
  private readonly trees = new Map<number, CheckedTree>();
  private readonly undo: (() => void)[] = [];
  private found: Mark[] = [];
  private compared: Mark[] | null = null;
  private state: CheckState | null = null;
  private at = 0;
  private node: number | null = null;
  private mode: Mode = "select";
  private part: Part = "piece";
  /** What was asked for last: each request waits for the one before it. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(root: HTMLElement, private readonly context: Context) {
    this.path = context.params.get("trees") ?? "";
    const place = h("div", { class: "stage" });
    fill(root, h("h1", { class: "hidden" }, "Check"), place, this.side);
    this.viewer = new Viewer(place, context);
    this.note.addEventListener("keydown", (event) => { if (event.key === "Enter") this.note.blur(); });
    this.note.addEventListener("input", () => {
      const place = this.state?.places[this.at];
      if (place) this.notes.set(place.name, this.note.value);
    });
    fill(this.card, this.told, this.deciding);
    fill(this.deciding, labelled("Note", this.note),
      h("div", { class: "row" }, keyed("Accept", "a", "accept", () => this.decide("accepted")), keyed("Reject", "r", "reject", () => this.decide("rejected")),
        keyed("Back", "k", "previous", () => this.step(-1)), keyed("Next", "j", "next", () => this.step(1))));
    this.deciding.hidden = true;
    this.compare = comparison(this.path, context, (trees, marks) => this.showCompared(trees, marks));
    this.growing = this.grower();
    this.somata = this.searcher();
    fill(this.side, this.sectionOfPlaces(), this.sectionOfEdits(), this.sectionOfSaving(), this.compare.element,
      h("details", {}, h("summary", {}, "Display"), controls(this.viewer)));
    this.undo.push(this.viewer.onPick((pick) => this.picked(pick)), this.keys());
    this.last = this.open().catch(context.fail);
  }

  close(): void {
    for (const each of this.undo) each();
    this.viewer.close();
  }

  private async open(): Promise<void> {
    const { params } = this.context;
    for (const [path, role] of await frameFirst(params.get("volume"), params.get("probability"))) await this.viewer.setVolume(path, role);
    const volume = this.viewer.layers.base?.info.path ?? "";
    this.take(await this.all());
    const first = this.state!.places.findIndex((place) => place.decision === "open");
    this.go(Math.max(0, first));
    const { origin, elsewhere } = this.state!;
    if (origin.some((v) => v > 0))
      this.context.say(`The volume is a crop: it begins at ${origin.map((v) => Math.round(v)).join(", ")} µm (z, y, x) of the trees. ${elsewhere} places outside of it are not listed.`);
    if (!volume) this.context.say("Without its volume, only the trees are shown: open the trace from Browse to see both.");
  }

  /** All trees and places, as they are now. */
  private all(): Promise<CheckState> {
    return openCheck(this.path, this.viewer.layers.base?.info.path ?? "");
  }

  /** Take a new state from the server: the trees that changed, and the places. */
  private take(state: CheckState): void {
    if (state.steps !== this.state?.steps) this.saved.textContent = "";
    this.state = state;
    if (!state.before) this.trees.clear();
    for (const id of state.gone) this.trees.delete(id);
    for (const tree of state.trees) this.trees.set(tree.id, tree);
    if (this.node !== null && !this.treeOf(this.node)) this.node = null;
    this.redrawTrees();
    this.list.dataset.trees = String(this.trees.size);
    this.somata.update();
    this.showState();
  }

  private redrawTrees(): void {
    this.viewer.setTreeList([...this.trees.values()].sort((a, b) => a.id - b.id) as Tree[]);
  }

  private showCompared(trees: Tree[] | null, marks: Mark[]): void {
    if (trees) this.viewer.setTreeList(trees);
    else this.redrawTrees();
    this.compared = trees ? marks : null;
    this.viewer.setMarks(this.marks());
  }

  private showState(): void {
    const { places, steps, undone } = this.state!;
    const decided = places.filter((place) => place.decision !== "open").length;
    this.count.textContent = `${decided} of ${counted(places.length, "place")} decided, ${counted(this.trees.size, "tree")}`;
    this.showPlaces(places);
    fill(this.told, ...this.cardOf(places[this.at]));
    this.deciding.hidden = !places[this.at];
    for (const [made, name, count] of [[this.undoing, "Undo", steps], [this.redoing, "Redo", undone]] as const) {
      made.textContent = `${name} (${count})`;
      made.disabled = !count;
    }
    this.viewer.setMarks(this.marks());
    this.showChosen();
    this.chosen.textContent = this.node === null ? "No node chosen: click near a neurite." : this.saySelected();
  }

  /** The list of places; made anew only where one of them stands otherwise, so that nothing moves away under the pointer. */
  private showPlaces(places: readonly Place[]): void {
    const now = JSON.stringify(places);
    if (now !== this.listed)
      fill(this.list, ...places.slice(0, MOST_LISTED).map((place, n) => this.row(place, n)),
        places.length > MOST_LISTED ? h("li", {}, `and ${places.length - MOST_LISTED} more`) : null);
    this.listed = now;
    this.list.querySelectorAll("button").forEach((row, n) => row.setAttribute("aria-current", String(n === this.at)));
  }

  /** Border the part that an edit of the chosen node would act on. */
  private showChosen(): void {
    const tree = this.node === null || this.compared ? undefined : this.treeOf(this.node);
    const part = tree ? partOf(tree.nodes, tree.ids.indexOf(this.node!), this.part) : [];
    this.viewer.setChosen(tree ? drawnPart(tree as Tree, part) : null);
  }

  private row(place: Place, n: number): HTMLElement {
    const mark = { accepted: "✓ accepted", rejected: "✗ rejected", noted: "• noted", open: "" }[place.decision];
    const known = place.probability === null ? "" : `, p ${place.probability.toFixed(2)}`;
    return h("li", {}, h("button", { type: "button", "data-testid": `place-${place.name}`, title: known && `p: ${MEASURES[place.kind]}`, onclick: () => this.go(n) },
      `${n + 1}. ${BRIEFLY[place.kind]}${known}`, h("span", { class: `mark ${place.decision}` }, mark)));
  }

  private cardOf(place: Place | undefined): HTMLElement[] {
    if (!place) return [h("p", {}, "This trace has no doubtful places. Trees can still be corrected below.")];
    const known = place.probability === null ? "" : `, ${MEASURES[place.kind]} ${place.probability.toFixed(2)}`;
    return [h("p", {}, h("strong", {}, `${this.at + 1}. ${NAMES[place.kind]}`), known, place.said && place.kind !== "bridge" ? `, ${place.said}` : ""),
      h("p", {}, place.decision === "rejected" ? "Rejected: what you see is the result. Go on with Next." : place.there ? CONSEQUENCES[place.kind] : "It is no longer in the trees.")];
  }

  private go(n: number): void {
    const place = this.state?.places[n];
    this.at = n;
    this.note.value = place ? this.notes.get(place.name) ?? place.note : "";
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

  /** Decide on the place that is shown. Accepted, the next one is shown at once: what is pressed while the answer is awaited is about what is seen. */
  private decide(decision: Decision): void {
    const { at } = this;
    const place = this.state?.places[at];
    if (!place) return;
    const note = this.note.value;
    const next = decision === "accepted" && at + 1 < this.state!.places.length ? at + 1 : at;
    if (next !== at) this.go(next);
    let before = 0;
    void this.ask(() => {
      before = this.trees.size;
      return decide(this.path, place.name, decision, note);
    }).then((done) => {
      if (!done && this.at === next) this.go(at);
      if (!done) return;
      if (this.notes.get(place.name) === note) this.notes.delete(place.name);
      if (decision === "rejected") this.context.say(`Rejected: ${counted(before, "tree")} before, ${counted(this.trees.size, "tree")} now. Next (j) goes on, Undo (z) takes it back.`);
    });
  }

  /** Ask the server for a change, one after the other. If the trees were not those that are shown, as another page has changed them, all are asked for. */
  private change<State extends CheckState>(act: () => Promise<State>): Promise<State> {
    const asked = this.last.then(async () => {
      const found = await act();
      this.take(found.before === this.state?.token ? found : await this.all());
      this.context.succeed();
      return found;
    });
    this.last = asked.catch(() => undefined);
    return asked;
  }

  /** Ask for a change, and tell whether it was made; `then` happens before the next one begins. */
  private ask(act: () => Promise<CheckState>, then: () => void = () => undefined): Promise<boolean> {
    return this.change(act).then(() => {
      then();
      return true;
    }, (error: unknown) => {
      this.context.fail(error);
      return false;
    });
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
    return node ? `Node ${this.node} of tree ${tree!.id} (${tree!.nodes.length} nodes, ${Math.round(tree!.length)} µm): radius ${node[3].toFixed(2)} µm, type ${typeName(node[5])}` : "";
  }

  private marks(): Mark[] {
    if (this.compared) return this.compared;
    const place = this.state?.places[this.at];
    const marks: Mark[] = place ? [{ um: zyx(place.at), colour: "#ffe14d", size: 16 }] : [];
    const at = this.node === null ? null : this.placeOf(this.node);
    if (at) marks.push({ um: at, colour: "#ffffff", size: 7 });
    return [...marks, ...this.found];
  }

  private unit(um: Vec3): Vec3 {
    const scale = this.state?.scale ?? [1, 1, 1];
    const origin = this.state?.origin ?? [0, 0, 0];
    return [(um[2] + origin[2]) / scale[2], (um[1] + origin[1]) / scale[1], (um[0] + origin[0]) / scale[0]];
  }

  private picked(pick: Pick): void {
    const near = this.nearest(pick.um);
    const { node } = this;
    if (this.mode === "join" && node !== null && near !== null) {
      this.setMode("select");
      return void this.edit({ op: "join", node, other: near });
    }
    if (this.mode === "move" && node !== null) return void this.edit({ op: "move", node, at: this.unit(pick.um) });
    if (this.mode === "draw") return this.draw(pick.um);
    if (this.mode === "trace") return this.growing?.from({ at: zyx(pick.um) });
    if (this.mode === "mark") return this.markAt(pick.um);
    if (this.mode === "soma") return this.soma(near, pick.um);
    this.choose(near);
  }

  /** Draw a node at a place, after the chosen one; it is chosen then, so that clicks go on with the line. */
  private draw(um: Vec3): void {
    const parent = (): { node?: number } => (this.node === null ? {} : { node: this.node });
    void this.ask(() => takeStep(this.path, [{ op: "draw", at: this.unit(um), ...parent() }]), () => this.chooseNewest());
  }

  /** Mark a place to look at again; its note says why. */
  private markAt(um: Vec3): void {
    const place = this.state?.places[this.at];
    const note = this.note.value;
    this.setMode("select");
    void this.ask(() => markPlace(this.path, this.unit(um), note), () => {
      if (place) this.notes.delete(place.name);
      this.go(this.state!.places.length - 1);
    });
  }

  private grower(): Growing | null {
    const probability = this.context.params.get("probability");
    if (!probability) return null;
    return growing({ path: this.path, probability, threshold: () => this.viewer.display.state.threshold, change: (act) => this.change(act),
      chosen: () => this.node, fail: (error) => this.context.fail(error) });
  }

  private searcher(): Somata {
    const { params } = this.context;
    return somata({ path: this.path, volume: params.get("probability") ?? params.get("volume") ?? "", threshold: () => this.viewer.display.state.threshold,
      box: () => (this.viewer.display.state.box ? boxWord(this.viewer.display.state.box) : ""), trees: () => [...this.trees.values()],
      edit: (...edits) => this.edit(...edits), unit: (um) => this.unit(um), scale: () => this.state?.scale[0] ?? 1, goTo: (um) => this.viewer.goTo(um), choose: (node) => this.choose(node),
      mark: (marks) => { this.found = marks; if (this.state) this.viewer.setMarks(this.marks()); }, fail: (error) => this.context.fail(error) });
  }

  private soma(near: number | null, um: Vec3): void {
    const edit = (): Edit => (near === null ? { op: "draw", at: this.unit(um), kind: 1, radius: 5 / (this.state?.scale[0] ?? 1) } : { op: "soma", node: near });
    void this.ask(() => takeStep(this.path, [edit()]), () => { if (near === null) this.chooseNewest(); });
    this.setMode("select");
  }

  private chooseNewest(): void {
    this.choose(Math.max(...(this.state?.trees ?? []).flatMap((tree) => tree.ids)));
  }

  private choose(node: number | null): void {
    this.node = node;
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
    return h("section", { class: "group" }, h("h2", {}, "Check ", h("small", {}, this.path, " ", another("check", "Another trace", this.path))), this.count, this.card, this.list,
      h("div", { class: "row" }, keyed("Whole volume", "0", "show-whole", () => this.viewer.showWhole())));
  }

  private sectionOfEdits(): HTMLElement {
    const modes: [Mode, string][] = [["select", "Choose"], ["join", "Join to"], ["move", "Move"], ["draw", "Draw"], ["soma", "Soma"], ["mark", "Mark"]];
    if (this.growing) modes.push(["trace", "Trace"]);
    fill(this.modes, ...modes.map(([mode, name]) => button(name, `mode-${mode}`, () => this.setMode(mode), { "data-mode": mode, "aria-pressed": String(mode === this.mode) })));
    const radius = h("input", { type: "number", min: 0, step: "any", value: 1, required: true, "data-testid": "radius", "aria-label": "Radius, in the unit of the trees", title: "In the unit of the trees" });
    const type = choice("node-type", TYPES, "2", () => undefined);
    type.setAttribute("aria-label", "SWC type");
    const part = choice("part", PARTS, this.part, (value) => {
      this.part = value as Part;
      this.showChosen();
    });
    return h("section", { class: "group" }, h("h2", {}, "Correct"), this.modes, this.chosen, labelled("Acts on", part),
      h("div", { class: "row" }, keyed("Split here", "c", "cut", () => this.onNode({ op: "cut" })), keyed("Delete", "x", "delete", () => this.onNode({ op: "delete", part: this.part })),
        button("Remove the node, keep the line", "drop", () => this.onNode({ op: "drop" })), button("Set root", "root", () => this.onNode({ op: "root" })),
        button("Smooth", "smooth", () => this.onNode({ op: "smooth", part: this.part }))),
      h("div", { class: "row" }, type, button("Set type", "set-type", () => this.onNode({ op: "type", kind: Number(type.value), part: this.part }))),
      h("div", { class: "row" }, radius, button("Set radius", "set-radius", () => { if (entered(radius)) this.onNode({ op: "radius", radius: radius.valueAsNumber, part: this.part }); })),
      h("div", { class: "row" }, this.undoing, this.redoing), this.growing?.element ?? null, this.somata.element);
  }

  private sectionOfSaving(): HTMLElement {
    const name = h("input", { type: "text", "data-testid": "check-out", spellcheck: "false" });
    const free = new Proposal(name);
    const propose = async (): Promise<void> => free.propose(freeName(inFolder(folderOf(this.path), `${stemOf(this.path).replace(/_corrected(_\d+)?$/, "")}_corrected.swc`), (await folder(folderOf(this.path))).items));
    void propose().catch(this.context.fail);
    const save = async (): Promise<void> => {
      const out = name.value;
      await this.last;
      const { trees, decisions } = await saveCheck(this.path, out);
      this.saved.textContent = `Saved: ${trees} and ${decisions}.`;
      this.context.succeed();
      this.compare.refresh();
      free.used(out);
      await propose();
    };
    return h("section", { class: "group" }, h("h2", {}, "Save"), labelled("Corrected trees, a new file", name, "The list of decisions is saved next to it. Nothing is overwritten."),
      h("div", { class: "row" }, acting("Save", "check-save", save, this.context.fail, { class: "main" })), this.saved);
  }

  private keys(): () => void {
    const { viewer } = this;
    return bindKeys("Check", {
      a: () => this.decide("accepted"), r: () => this.decide("rejected"), j: () => this.step(1), k: () => this.step(-1),
      z: () => void this.ask(() => undoStep(this.path)), y: () => void this.ask(() => redoStep(this.path)),
      c: () => this.onNode({ op: "cut" }), x: () => this.onNode({ op: "delete", part: this.part }),
      m: () => this.setMode("join"), d: () => this.setMode("draw"), e: () => this.setMode("mark"), t: () => { if (this.growing) this.setMode("trace"); }, Escape: () => this.setMode("select"),
      "0": () => viewer.showWhole(), ArrowUp: () => viewer.step(1), ArrowDown: () => viewer.step(-1), "+": () => viewer.zoom(1.25), "-": () => viewer.zoom(1 / 1.25),
    });
  }
}

/** What is opened, first the one that trees are placed in: the probability, where it is that of a box of the image. */
async function frameFirst(image: string | null, probability: string | null): Promise<[string, Role][]> {
  const roles: [string, Role][] = [...(image ? [[image, "raw"] as [string, Role]] : []), ...(probability ? [[probability, "probability"] as [string, Role]] : [])];
  if (roles.length < 2) return roles;
  const [one, other] = (await Promise.all(roles.map(([path]) => volume(path)))).map(({ shape }) => shape[0] * shape[1] * shape[2]);
  return other! < one! ? roles.reverse() : roles;
}

/** "2 axon"; of a type that is not in the list its number. */
function typeName(type: number): string {
  return TYPES.find(([value]) => value === String(type))?.[1] ?? String(type);
}
