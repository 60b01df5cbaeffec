// Jobs as a person sees them: what each is at, how far, how fast, what it printed; stopped and resumed.
import { cancelJob, type Job, jobs, resumeJob } from "./api";
import type { Context } from "./context";
import { button, fill, h } from "./dom";
import { folderOf } from "./paths";
import { errorInLog, told } from "./told";

const EVERY_MS = 1000;

/** 75 → "1 min 15 s". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** "120 000 voxels a second, 1 min 15 s left". */
export function pace(job: Job): string {
  if (job.state !== "running") return "";
  const number = job.rate >= 100 ? Math.round(job.rate).toLocaleString("en-GB") : job.rate.toPrecision(3);
  const rate = job.rate ? `${number} ${job.unit} a second` : "";
  const left = job.remaining_s === null ? "" : `${duration(job.remaining_s)} left`;
  return [job.work || (job.total ? "" : "starting"), rate, left].filter(Boolean).join(", ");
}

/** Jobs that are asked to stop or to go on: once at a time, however often their buttons are pressed. */
const asked = new Set<string>();

/** A job with its progress and what can be done with it. */
function jobCard(job: Job, context: Context, changed: () => void): HTMLElement {
  const act = (does: (id: string) => Promise<unknown>) => () => {
    if (asked.has(job.id)) return;
    asked.add(job.id);
    void does(job.id).then(changed, context.fail).finally(() => asked.delete(job.id));
  };
  const gone = job.state === "done" && !job.parts?.length && !job.revision;
  const runs = job.state === "running" || job.state === "waiting";
  const next = job.state === "done" && !job.parts?.length && !gone ? NEXT[job.verb]?.(job) : undefined;
  const bar = h("progress", { max: 1, value: job.progress, "aria-label": `Progress of ${job.output}` });
  return h("article", { class: `job ${job.state}`, "data-testid": `job-${job.id}`, "data-state": job.state, "data-output": job.output },
    h("div", { class: "row" }, h("strong", {}, job.verb), h("span", { class: "state" }, job.state), h("span", { class: "output" }, job.parts?.length ? `${job.parts.length} volumes` : job.output), ordered(job)),
    bar, h("p", { class: "pace" }, paceOf(job)),
    h("div", { class: "row" },
      runs ? button("Cancel", "cancel", act(cancelJob)) : null,
      job.can_resume ? button("Resume", "resume", act(resumeJob)) : null,
      !job.parts?.length && ((job.state === "done" && !gone) || (job.verb === "predict" && job.revision)) ? button(OPENS[job.verb] ?? "Look at it", "look-at", () => lookAt(job, context)) : null,
      next ? button(next.name, next.testid, () => context.go(next.route, next.params), { class: "main" }) : null),
    gone ? h("p", { class: "trouble" }, "Its output is no longer there.") : null,
    job.state === "failed" ? h("div", { class: "trouble", "data-testid": "reason" }, told(errorInLog(job.log))) : null, partsOf(job, context), details(job));
}

/** What a card is made anew for; the rest of it follows the job in place, so that nothing moves away under the pointer. */
function formOf({ state, can_resume, revision, parts, log }: Job): string {
  return JSON.stringify([state, can_resume, Boolean(revision), parts?.map((part) => part.state), state === "failed" ? log : ""]);
}

/** Let a card tell of its job as it is now. */
function follow(card: HTMLElement, job: Job): void {
  const set = (where: string, tell: (found: HTMLElement, n: number) => void): void => card.querySelectorAll<HTMLElement>(where).forEach(tell);
  set(":scope > progress", (bar) => { (bar as HTMLProgressElement).value = job.progress; });
  set(".parts progress", (bar, n) => { (bar as HTMLProgressElement).value = job.parts?.[n]?.progress ?? 0; });
  set(".pace", (line) => { line.textContent = paceOf(job); });
  set("pre", (log) => { log.textContent = job.log || job.command; });
}

function paceOf(job: Job): string {
  return `${Math.floor(100 * job.progress)} % ${pace(job)}`;
}

/** When it was ordered; without the date if that was today. */
function ordered(job: Job): HTMLElement {
  const at = new Date(1000 * job.ordered);
  const today = at.toDateString() === new Date().toDateString();
  return h("time", { datetime: at.toISOString() }, today ? at.toLocaleTimeString("en-GB") : at.toLocaleString("en-GB"));
}

/** What the button says that opens the output of a job; of other verbs, "Look at it". */
const OPENS: Record<string, string> = { survey: "Choose its cubes", select: "Open the selection", train: "Open the run", evaluate: "Open the report" };

interface Next {
  name: string;
  testid: string;
  route: string;
  params: Record<string, string>;
}

/** The image that a job read, as a parameter of pages. */
function imageOf(job: Job): Record<string, string> {
  const { inputs } = job.order;
  const volume = Array.isArray(inputs) ? String(inputs[0]) : String(job.order.raw ?? job.order.like ?? "");
  return volume ? { volume } : {};
}

/** The step that follows a finished job. */
const NEXT: Record<string, (job: Job) => Next | undefined> = {
  predict: (job) => ({ name: "Trace", testid: "to-trace", route: "trace", params: { ...imageOf(job), probability: job.output } }),
  trace: (job) => ({ name: "Check the trees", testid: "to-check", route: "check", params: { ...imageOf(job), probability: String(job.order.probability), trees: job.output } }),
  label: (job) => ({ name: "Evaluate against it", testid: "to-evaluate", route: "evaluate", params: { truth: job.output } }),
  train: (job) => ({ name: "Enhance with it", testid: "train-enhance", route: "enhance", params: { model: job.output } }),
  select: (job) => (job.order.export ? { name: "Annotate the cubes", testid: "to-annotate", route: "annotate", params: { path: String(job.order.export) } } : undefined),
};

/** The volumes of a job on several, each with its progress. */
function partsOf(job: Job, context: Context): HTMLElement | null {
  if (!job.parts?.length) return null;
  return h("ul", { class: "parts", "data-testid": "parts" }, ...job.parts.map((part) =>
    h("li", { "data-testid": `part-${part.output}`, "data-state": part.state }, h("span", { class: "output" }, part.input),
      h("progress", { max: 1, value: part.progress, "aria-label": `Progress of ${part.input}` }), h("span", {}, part.state),
      part.state === "done" ? button("Look at it", `look-${part.output}`, () => context.go("look", { volume: part.input, probability: part.output }), { "aria-label": `Look at it: ${part.output}` }) : null)));
}

function details(job: Job): HTMLElement {
  return h("details", {}, h("summary", {}, "Command and log"), h("pre", { tabindex: 0, "aria-label": "Log" }, job.log || job.command));
}

function lookAt(job: Job, context: Context): void {
  const params = imageOf(job);
  if (job.verb === "train") return context.go("run", { path: job.output });
  if (job.verb === "predict") return context.go("look", { ...params, probability: job.output });
  if (job.verb === "survey" || job.verb === "select") return context.go("choose", { survey: job.output });
  if (job.verb === "evaluate") return context.go("report", { path: job.output });
  if (job.verb === "label") return context.go("look", { ...params, probability: job.output });
  if (job.verb === "trace") return context.go("look", { ...params, probability: String(job.order.probability), trees: job.output });
  context.go("browse", { path: folderOf(job.output) });
}

/** Look at the jobs every second while the page is seen; an answer that was overtaken by a later one is not heard. */
export function watchJobs(context: Context, hear: (list: Job[]) => void): { stop: () => void; now: () => void } {
  let due = 0;
  let over = false;
  let looks = 0;
  let heard = 0;
  const look = async (): Promise<void> => {
    clearTimeout(due);
    const turn = ++looks;
    try {
      const list = await jobs();
      if (over || turn < heard) return;
      heard = turn;
      hear(list);
    } catch (error) {
      if (!over) context.fail(error);
    }
    if (!over && turn === looks) due = window.setTimeout(() => void look(), EVERY_MS);
  };
  void look();
  return { stop: () => { over = true; clearTimeout(due); }, now: () => void look() };
}

/** A list of job cards that is made anew only where a job stands otherwise than before, so that an open log stays open. */
export class JobList {
  readonly element = h("div", { class: "jobs", "data-testid": "jobs" });
  private readonly cards = new Map<string, { form: string; card: HTMLElement }>();

  constructor(private readonly context: Context, private readonly changed: () => void, private readonly empty: string) {}

  show(list: readonly Job[]): void {
    const cards = list.map((job) => this.card(job));
    if (cards.length) this.arrange(cards);
    else fill(this.element, this.empty ? h("p", { class: "empty" }, this.empty) : null);
    this.element.dataset.ready = "true";
  }

  private card(job: Job): HTMLElement {
    const form = formOf(job);
    const before = this.cards.get(job.id);
    if (before?.form === form) {
      follow(before.card, job);
      return before.card;
    }
    const card = jobCard(job, this.context, this.changed);
    if (before?.card.querySelector("details")?.open) card.querySelector("details")?.setAttribute("open", "");
    this.cards.set(job.id, { form, card });
    return card;
  }

  private arrange(cards: HTMLElement[]): void {
    const same = cards.length === this.element.children.length && cards.every((card, n) => card === this.element.children[n]);
    if (same) return;
    const focus = document.activeElement?.closest("[data-testid^=job-]")?.getAttribute("data-testid");
    const control = document.activeElement?.getAttribute("data-testid");
    fill(this.element, ...cards);
    if (focus && control) this.element.querySelector<HTMLElement>(`[data-testid="${focus}"] [data-testid="${control}"]`)?.focus();
  }
}
