// Choose: the cubes of a survey in the space of two indicators; brushed, looked at, taken or dropped with a reason.
import { ApiError, folder, type Item } from "../api";
import type { Context, Mount } from "../context";
import { acting, button, choice, counted, fill, h, keyed, labelled, Proposal } from "../dom";
import { bindKeys } from "../shortcuts";
import { cubePicture, saveSelection, type Survey, survey as fetchSurvey, type SurveyCube } from "../tools";
import "../tools.css";
import { Chart } from "./chart";
import { isFolder, itemList } from "./choosers";
import type { Ordering } from "./ordering";
import { folderOf, freeName } from "../paths";
import { cubesOf, cutting, selecting, surveying } from "./surveying";

const MOST_SHOWN = 24;

export const mount: Mount = (root, context) => {
  const path = context.params.get("survey");
  if (!path) {
    let close = (): void => undefined;
    let left = false;
    void chooseSurvey(root, context).then((done) => { if (left) done(); else close = done; }, context.fail);
    return () => {
      left = true;
      close();
    };
  }
  let chooser: Chooser | null = null;
  let closed = false;
  void fetchSurvey(path).then((survey) => { if (!closed) chooser = new Chooser(root, context, survey); }, context.fail);
  return () => {
    closed = true;
    chooser?.close();
  };
};

async function chooseSurvey(root: HTMLElement, context: Context): Promise<() => void> {
  const path = context.params.get("path") ?? "";
  const { items } = await folder(path);
  const here = h("div");
  const survey = surveying(context, path, items, () => void folder(path).then((now) => fill(here, ...tablesOf(now.items, context)), context.fail));
  fill(here, ...tablesOf(items, context));
  fill(root, h("h1", {}, "Choose"), h("p", {}, "Which cubes are worth annotating? A survey measures all of them; in it every cube is a dot, and you take those that you want."),
    h("div", { class: "columns" }, here, survey.element));
  return survey.close;
}

/** What can be chosen from: surveys and selections, and further folders. */
function tablesOf(items: readonly Item[], context: Context): (HTMLElement | null)[] {
  const ofKind = (...kinds: Item["kind"][]): Item[] => items.filter((item) => kinds.includes(item.kind));
  return [itemList("Surveys and selections here", ofKind("survey", "selection"), "choose", (item) => context.go("choose", { survey: item.path }), "There are none in this folder. Start a survey first."),
    itemList("Folders", items.filter((item) => isFolder(item) && item.kind !== "selection"), "choose", (item) => context.go("choose", { path: item.path }))];
}

interface Draft {
  taken: [string, string][];
  dropped: [string, string][];
}

/** One survey, and what has been taken and dropped of it so far. */
class Chooser {
  private readonly taken: Map<string, string>;
  private readonly dropped: Map<string, string>;
  private brushed: string[] = [];
  private readonly chart: Chart;
  private readonly gallery = h("div", { class: "gallery", "data-testid": "gallery" });
  private readonly count = h("p", { role: "status", "data-testid": "choose-count" });
  private readonly saved = h("p", { role: "status", "data-testid": "choose-saved" });
  private readonly reason = h("input", { type: "text", "data-testid": "reason", placeholder: "for example: faint and crowded" });
  private readonly name = h("input", { type: "text", "data-testid": "choose-out", spellcheck: "false" });
  private readonly free = new Proposal(this.name);
  private readonly pictures = new Map<string, Promise<string>>();
  private readonly cubes: Map<string, SurveyCube>;
  private readonly unbind: () => void;
  private readonly byRule: Ordering;
  private readonly cut = cutting("choose-export");
  private readonly done = h("div", { class: "row" });
  private closed = false;

  constructor(root: HTMLElement, private readonly context: Context, private readonly survey: Survey) {
    this.byRule = selecting(context, survey);
    this.cubes = new Map(survey.cubes.map((cube) => [cube.name, cube]));
    const draft = this.readDraft();
    this.taken = new Map(draft?.taken ?? survey.cubes.filter((cube) => cube.chosen).map((cube) => [cube.name, cube.reason]));
    this.dropped = new Map(draft?.dropped ?? []);
    void this.propose().catch(context.fail);
    this.chart = new Chart(survey.cubes.length, (rows) => this.brush(rows));
    fill(root, h("h1", { class: "hidden" }, "Choose"), this.plot(), this.actions());
    this.unbind = bindKeys("Choose", { t: () => this.takeBrushed(), d: () => this.dropBrushed(), c: () => this.chart.clear() });
    this.update();
  }

  close(): void {
    this.closed = true;
    this.unbind();
    this.byRule.close();
    for (const each of this.pictures.values()) void each.then((address) => URL.revokeObjectURL(address), () => undefined);
  }

  private plot(): HTMLElement {
    const { indicators } = this.survey;
    const options = indicators.map((each) => [each.name, each.title] as const);
    const telling = indicators.filter((_, n) => new Set(this.survey.cubes.map((cube) => cube.values[n])).size > 2);
    const now = { x: (telling[0] ?? indicators[0])?.name ?? "", y: (telling[1] ?? indicators[1] ?? indicators[0])?.name ?? "" };
    const about = h("p", { class: "about-axes" });
    const draw = (): void => {
      const [x, y] = [now.x, now.y].map((name) => indicators.findIndex((each) => each.name === name)) as [number, number];
      this.chart.draw(this.survey.cubes.map((cube) => ({ name: cube.name, x: cube.values[x] ?? null, y: cube.values[y] ?? null })),
        [indicators[x]?.title ?? "", indicators[y]?.title ?? ""]);
      fill(about, `Across: ${indicators[x]?.about ?? ""}. Up: ${indicators[y]?.about ?? ""}.`);
      this.chart.mark(this.taken, new Set(this.brushed));
    };
    const axes = h("div", { class: "axes-of" },
      labelled("Across", choice("axis-x", options, now.x, (value) => { now.x = value; draw(); })),
      labelled("Up", choice("axis-y", options, now.y, (value) => { now.y = value; draw(); })));
    draw();
    return h("section", { "aria-label": "Indicator space" }, axes, this.chart.element, about);
  }

  private actions(): HTMLElement {
    return h("section", { "aria-label": "Chosen cubes" }, h("h2", {}, "Brushed cubes"), this.count, labelled("Reason", this.reason),
      h("div", { class: "row" }, keyed("Take brushed", "t", "take", () => this.takeBrushed(), { class: "main" }), keyed("Drop brushed", "d", "drop-brushed", () => this.dropBrushed()),
        keyed("Clear the brush", "c", "clear-brush", () => this.chart.clear())),
      this.gallery, h("h2", {}, "Save"), labelled("Manifest, a new file", this.name, "As `neuroglow select` writes it, with its page and picture. Nothing is overwritten."), this.cut.element,
      h("div", { class: "row" }, acting("Save the selection", "choose-save", () => this.save(), this.context.fail, { class: "main" })), this.saved, this.done, this.byRule.element);
  }

  private brush(rows: readonly number[]): void {
    this.brushed = rows.map((row) => this.survey.cubes[row]!.name);
    this.update();
  }

  private takeBrushed(): void {
    this.move(this.brushed, this.taken, this.dropped);
  }

  private dropBrushed(): void {
    this.move(this.brushed, this.dropped, this.taken);
  }

  private move(names: readonly string[], to: Map<string, string>, from: Map<string, string>): void {
    if (!names.length) return this.context.say("Brush cubes first: drag over dots of the chart.");
    if (!this.reason.value.trim()) {
      this.reason.focus();
      return this.context.fail(new ApiError(0, "A cube is taken or dropped with a reason.", "no reason", "", "Type one above the cubes, for example: faint and crowded"));
    }
    for (const name of names) {
      from.delete(name);
      to.set(name, this.reason.value);
    }
    this.saved.textContent = "";
    this.writeDraft();
    this.update();
  }

  private update(): void {
    const { taken, dropped, brushed } = this;
    this.count.textContent = `${brushed.length} brushed, ${taken.size} taken, ${dropped.size} dropped, of ${this.cubes.size} cubes`;
    this.chart.mark(taken, new Set(brushed));
    const shown = brushed.length ? brushed : [...taken.keys()];
    fill(this.gallery, ...shown.slice(0, MOST_SHOWN).map((name) => this.card(name)),
      shown.length > MOST_SHOWN ? h("p", {}, `and ${shown.length - MOST_SHOWN} more`) : null,
      shown.length ? null : h("p", {}, "Drag over dots to brush them; their projections appear here."));
  }

  private card(name: string): HTMLElement {
    const image = h("img", { alt: `Projection of ${name}` });
    const failed = h("p");
    void this.picture(name).then((address) => { image.src = address; }, () => { failed.textContent = "cannot be read"; });
    const state = this.taken.has(name) ? "taken" : this.dropped.has(name) ? "dropped" : "";
    const why = this.taken.get(name) ?? this.dropped.get(name) ?? this.cubes.get(name)?.note ?? "";
    const act = state === "taken" ? button("Drop", `drop-${name}`, () => this.move([name], this.dropped, this.taken)) : button("Take", `take-${name}`, () => this.move([name], this.taken, this.dropped));
    return h("article", { class: `cube ${state}`, "data-testid": `cube-${name}` }, image, failed, h("p", {}, h("strong", {}, name)), h("p", {}, [state, why].filter(Boolean).join(": ")), h("div", { class: "row" }, act, this.toAnnotate(name)));
  }

  /** The button that annotates a cube where it lies in its volume. */
  private toAnnotate(name: string): HTMLElement | null {
    const cube = this.cubes.get(name);
    if (!cube?.image) return null;
    const params = { volume: cube.image, ...(cube.box ? { box: cube.box } : {}) };
    return button("Annotate", `annotate-${name}`, () => this.context.go("annotate", params), { "aria-label": `Annotate ${name}` });
  }

  private picture(name: string): Promise<string> {
    const known = this.pictures.get(name);
    if (known) return known;
    const made = cubePicture(this.survey.path, name);
    this.pictures.set(name, made);
    if (this.closed) void made.then((address) => URL.revokeObjectURL(address), () => undefined);
    return made;
  }

  /** A name at which there is nothing yet. */
  private async propose(): Promise<void> {
    const { path } = this.survey;
    const { items } = await folder(folderOf(path));
    this.free.propose(freeName(`${path.replace(/\.(csv|parquet)$/i, "").replace(/_survey$/, "")}_by_hand.csv`, items));
  }

  private async save(): Promise<void> {
    const out = this.name.value;
    const pairs = (map: Map<string, string>): { name: string; reason: string }[] => [...map].map(([name, reason]) => ({ name, reason }));
    const folderOfCubes = this.cut.on() ? cubesOf(out) : "";
    const { selection, cubes } = await saveSelection(this.survey.path, out, folderOfCubes, pairs(this.taken), pairs(this.dropped));
    const val = cubes.filter((cube) => cube.split === "val").length;
    this.saved.textContent = `Saved: ${selection}, ${counted(cubes.length, "cube")}, ${val} of them to validate the training.`;
    fill(this.done, folderOfCubes ? button("Annotate the cubes", "annotate-chosen", () => this.context.go("annotate", { path: folderOfCubes }), { class: "main" }) : null);
    this.context.succeed();
    this.free.used(out);
    await this.propose();
  }

  // What was taken and dropped is kept in this tab, so that a reload loses nothing.

  private get key(): string {
    return `neuroglow-choice:${this.survey.path}`;
  }

  private readDraft(): Draft | null {
    const kept = JSON.parse(sessionStorage.getItem(this.key) ?? "null") as Draft | null;
    const known = ([name]: [string, string]): boolean => this.cubes.has(name);
    return kept ? { taken: kept.taken.filter(known), dropped: kept.dropped.filter(known) } : null;
  }

  private writeDraft(): void {
    sessionStorage.setItem(this.key, JSON.stringify({ taken: [...this.taken], dropped: [...this.dropped] }));
  }
}
