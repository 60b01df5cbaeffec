// Train: one button on the annotated cubes, the curves while it runs, and the new model.
import { ApiError, getJson, type Job, job as fetchJob, jobs as listJobs, type Model, models, request, startJob } from "../api";
import type { Context } from "../context";
import { acting, choice, counted, entered, fill, h, labelled } from "../dom";
import { type AnnotatedCube, annotations } from "../tools";
import { JobList } from "../work";
import { modelText, USUAL } from "./batch";

export interface Run {
  steps: { step: number; loss: number | null }[];
  validations: { step: number; dice?: number | null }[];
  wanted: number | null;
  pictures: number[];
  /** Whether it has a report, and a model. */
  report?: boolean;
  model?: boolean;
}

const EVERY_MS = 1500;

/** A run is validated, and can be resumed, after each of so many parts; not more seldom than every so many steps. */
const PARTS = 5;
const MOST_BETWEEN = 250;

export interface Training {
  element: HTMLElement;
  close: () => void;
  refresh: () => void;
}

/** The section below the brush: which model to begin with, how many steps, and how it goes. */
export function training(context: Context, set: string): Training {
  const place = h("div");
  const result = h("div");
  let last = "";
  let watched = "";
  let turns = 0;
  const card = new JobList(context, () => watch(watched), "");
  const live = h("div", { "data-testid": "training" }, card.element, result);
  const element = h("section", { class: "group" }, h("h2", {}, "Train"), place, live);
  let timer = 0;
  let closed = false;
  /** Follow a job; what is known of it goes on being asked for while the server is silent. */
  const watch = (id: string): void => {
    const turn = ++turns;
    const look = async (): Promise<void> => {
      try {
        const now = await fetchJob(id);
        const run = now.output ? await readRun(now.output) : null;
        if (closed || turn !== turns) return;
        card.show([now]);
        const told = JSON.stringify([now.state, run]);
        if (told !== last) fill(result, ...progress(now, run, context));
        last = told;
        live.dataset.state = now.state;
        if (!["waiting", "running"].includes(now.state)) return;
      } catch (error) {
        if (closed || turn !== turns) return;
        context.fail(error);
        if (!(error instanceof ApiError && error.silent)) return;
      }
      timer = window.setTimeout(() => void look(), EVERY_MS);
    };
    watched = id;
    window.clearTimeout(timer);
    void look();
  };
  const absent = (error: unknown): void => fill(place, h("p", {}, `Training is not possible now: ${String(error)}`));
  const { element: asked, show } = form(context, set, watch);
  let refreshed = 0;
  const refresh = (): void => {
    const turn = ++refreshed;
    void Promise.all([annotations(set), models()]).then(([{ cubes }, known]) => {
      if (turn !== refreshed) return;
      show(cubes, known);
      if (!asked.isConnected) fill(place, asked);
    }).catch(absent);
  };
  refresh();
  void latest(set).then((id) => { if (id && !closed && !watched) watch(id); }, absent);
  return { element, refresh, close: () => { closed = true; window.clearTimeout(timer); } };
}

/** The newest training run on this set, so that a page that is loaded again goes on watching. */
async function latest(set: string): Promise<string | null> {
  const all = (await listJobs()) as (Job & { order?: { manifest?: string } })[];
  return all.find((each) => each.verb === "train" && each.order?.manifest === set)?.id ?? null;
}

/** The form of an order; `show` lets it tell of the cubes and the models that there are, and keeps what was entered. */
function form(context: Context, set: string, watch: (id: string) => void): { element: HTMLElement; show: (cubes: readonly AnnotatedCube[], known: readonly Model[]) => void } {
  let count = 0;
  let listed = "";
  const told = h("p", { "data-testid": "train-cubes" });
  const from = choice("train-from", [], "", () => undefined);
  const steps = h("input", { type: "number", min: 1, max: 100000, step: 1, value: 200, required: true, "data-testid": "train-steps" });
  const start = acting("Train", "train-start", async () => {
    if (!entered(steps)) return;
    const every = Math.max(1, Math.min(MOST_BETWEEN, Math.ceil(steps.valueAsNumber / PARTS)));
    const order = { manifest: set, steps: steps.valueAsNumber, checkpoint_every: every, ...(from.value ? { from_model: from.value } : {}), ...(count < 3 ? { val_fraction: 0 } : {}) };
    watch((await startJob("train", order)).id);
  }, context.fail, { class: "main" });
  const row = h("div", { class: "row" }, start);
  const asked = h("div", {}, labelled("Start from", from), labelled("Steps", steps), row);
  const list = (known: readonly Model[]): void => {
    const options = [...known.map((model) => [model.path ?? model.name, modelText(model)] as const), ["", "nothing: from scratch"] as const];
    if (JSON.stringify(options) === listed) return;
    const kept = listed ? from.value : (known.find((model) => model.name === USUAL) ?? known[0])?.name ?? "";
    listed = JSON.stringify(options);
    fill(from, ...options.map(([value, text]) => h("option", { value, selected: value === kept }, text)));
  };
  const show = (cubes: readonly AnnotatedCube[], known: readonly Model[]): void => {
    count = cubes.length;
    const apart = cubes.filter(({ split }) => split && split !== "train").length;
    told.textContent = count ? `${counted(count, "annotated cube")}. ${whatJudges(count, apart)}` : "Save a label first; then train on it with one button.";
    asked.hidden = !count;
    row.hidden = apart === count;
    list(known);
  };
  return { element: h("div", {}, told, asked), show };
}

/** Which of the annotated cubes are not trained on; apart: how many the selection set apart. */
function whatJudges(count: number, apart: number): string {
  if (apart === count) return "The selection keeps them apart, to judge the training: annotate a cube that is trained on, too.";
  if (apart) return `The selection keeps ${apart} of them apart; they judge the result.`;
  return count < 3 ? "With fewer than 3 cubes all are trained on, and none is left to judge the result." : "A fifth of the cubes is not trained on; they judge the result.";
}

async function readRun(path: string): Promise<Run | null> {
  try {
    return await getJson<Run>("api/runs", { path });
  } catch {
    return null; // it has not written its first line yet
  }
}

function progress(now: Job, run: Run | null, context: Context): HTMLElement[] {
  const parts: HTMLElement[] = [];
  if (run?.steps.length) parts.push(curves(run));
  const last = run?.pictures.at(-1);
  if (last !== undefined && now.output) parts.push(picture(now.output, last, context));
  if (now.state === "done" && now.output)
    parts.push(h("p", {}, "The new model: ", h("strong", { "data-testid": "new-model" }, now.output), "."));
  return parts;
}

/** The loss of each step, and the scores of validations, as lines: the loss along the left axis, the scores along the right one. */
export function curves({ steps, validations, wanted }: Run): HTMLElement {
  const loss = steps.flatMap(({ step, loss: value }) => (value === null ? [] : [[step, value] as const]));
  const scores = validations.flatMap(({ step, dice }) => (dice == null ? [] : [[step, dice] as const]));
  const canvas = h("canvas", { width: 640, height: 320, role: "img", "data-testid": "curves",
    "aria-label": `Training loss of ${loss.length} steps, the last ${loss.at(-1)?.[1].toPrecision(3) ?? "none"}` });
  const last = Math.max(wanted ?? 1, steps.at(-1)?.step ?? 1);
  const high = Math.max(...loss.map(([, value]) => value), 1e-9);
  const draw = (): void => {
    const paper = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string): string => style.getPropertyValue(name);
    if (!paper) return;
    paper.clearRect(0, 0, canvas.width, canvas.height);
    axes(paper, canvas, { last, high, scores: scores.length > 0, colour });
    line(paper, canvas, loss, last, colour("--accent"), high);
    line(paper, canvas, scores, last, colour("--link"), 1);
  };
  draw();
  onTheme(canvas, draw);
  const ofScores = scores.length ? `; Dice of the cubes kept apart (blue, right axis), ${scores.at(-1)![1].toFixed(2)}` : "";
  return h("figure", {}, canvas, h("figcaption", {}, `Loss (orange, left axis), ${loss.at(-1)?.[1].toPrecision(3) ?? ""} at step ${loss.at(-1)?.[0] ?? 0}${ofScores}`));
}

const [LEFT, RIGHT, TOP, BOTTOM] = [86, 50, 20, 44];

/** Where a step and a share of the height lie on the paper. */
const across = (canvas: HTMLCanvasElement, share: number): number => LEFT + (canvas.width - LEFT - RIGHT) * share;
const up = (canvas: HTMLCanvasElement, share: number): number => canvas.height - BOTTOM - (canvas.height - TOP - BOTTOM) * share;

function axes(paper: CanvasRenderingContext2D, canvas: HTMLCanvasElement, of: { last: number; high: number; scores: boolean; colour: (name: string) => string }): void {
  paper.strokeStyle = of.colour("--line");
  paper.lineWidth = 1;
  paper.strokeRect(LEFT, TOP, canvas.width - LEFT - RIGHT, canvas.height - TOP - BOTTOM);
  paper.font = "24px system-ui, sans-serif";
  const say = (text: string, x: number, y: number, align: CanvasTextAlign, colour: string): void => {
    paper.textAlign = align;
    paper.fillStyle = of.colour(colour);
    paper.fillText(text, x, y);
  };
  for (const share of [0, 0.5, 1]) {
    say(String(Math.round(share * of.last)), across(canvas, share), canvas.height - BOTTOM + 28, "center", "--soft");
    say(Number((share * of.high).toPrecision(2)).toString(), LEFT - 6, up(canvas, share) + 8, "right", "--accent");
    if (of.scores) say(String(share), canvas.width - RIGHT + 6, up(canvas, share) + 8, "left", "--link");
  }
  say("step", across(canvas, 0.25), canvas.height - BOTTOM + 28, "center", "--soft");
}

/** Draw again when dark becomes light or light dark, as long as the canvas is on the page. */
function onTheme(canvas: HTMLCanvasElement, draw: () => void): void {
  const hear = (): void => {
    if (canvas.isConnected) draw();
    else document.removeEventListener("theme", hear);
  };
  document.addEventListener("theme", hear);
}

function line(paper: CanvasRenderingContext2D, canvas: HTMLCanvasElement, points: readonly (readonly [number, number])[], last: number, colour: string, high: number): void {
  if (!points.length) return;
  paper.strokeStyle = colour;
  paper.lineWidth = 3;
  paper.beginPath();
  points.forEach(([step, value], n) => {
    const [x, y] = [across(canvas, step / last), up(canvas, value / high)];
    if (n) paper.lineTo(x, y);
    else paper.moveTo(x, y);
    if (points.length === 1) paper.arc(x, y, 3, 0, 7);
  });
  paper.stroke();
}

export function picture(path: string, step: number, context: Context): HTMLElement {
  const image = h("img", { class: "validation", alt: "The last validation: image, probability, truth" });
  request(`api/runs/picture?${new URLSearchParams({ path, step: String(step) })}`).then(async (response) => {
    image.src = URL.createObjectURL(await response.blob());
    image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  }, context.fail);
  return image;
}
