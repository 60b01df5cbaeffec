// Orders of jobs, as every panel gives them: a button, the file that is to be made, and the jobs that follow.
import { type Job, startJob } from "../api";
import type { Context } from "../context";
import { acting, entered, h } from "../dom";
import { JobList, watchJobs } from "../work";

type Options = Record<string, unknown>;

/** A section that orders jobs and follows them. */
export interface Ordering {
  element: HTMLElement;
  close: () => void;
}

export interface Order {
  /** What the button says. */
  name: string;
  testid: string;
  verb: string;
  /** The fields of the order; one that is undefined is left out. */
  options: () => Options;
  /** What is checked before the order is given. */
  inputs?: readonly HTMLInputElement[];
  /** It has been ordered, or refused. */
  ordered: (job?: Job) => void;
}

/** A button that orders a job, once what is entered is valid. */
export function ordering({ name, testid, verb, options, inputs = [], ordered }: Order, context: Context): HTMLElement {
  const order = async (): Promise<void> => {
    if (!entered(...inputs)) return;
    const job = await startJob(verb, options()).catch((error: unknown) => {
      ordered();
      throw error;
    });
    ordered(job);
    context.succeed(`A job has been started: it makes ${job.output}.`);
  };
  return acting(name, testid, order, context.fail, { class: "main" });
}

/** A field for a path of a new file. */
export function newFile(testid: string, placeholder: string): HTMLInputElement {
  return h("input", { type: "text", "data-testid": testid, placeholder, spellcheck: "false" });
}

/** The value of a number field; undefined while it is empty. */
export function numberOf(input: HTMLInputElement): number | undefined {
  return Number.isFinite(input.valueAsNumber) ? input.valueAsNumber : undefined;
}

const goesOn = (state: Job["state"] | undefined): boolean => state === "waiting" || state === "running";

/** What is said when a job that went on has ended. */
const ENDS: Partial<Record<Job["state"], (job: Job) => string>> = {
  done: (job) => `${job.output} is complete.`,
  failed: (job) => `The job that makes ${job.output} has failed: its card says why.`,
  cancelled: (job) => `The job that makes ${job.output} has been cancelled; it can go on.`,
  lost: (job) => `The job that makes ${job.output} was ended from outside; it can go on.`,
};

/** The cards of those jobs that a panel is about; `heard` is told of them each second. */
export function following(context: Context, about: (job: Job) => boolean, empty: string, heard: (jobs: Job[]) => void = () => undefined):
{ element: HTMLElement; now: (ordered?: Job) => void; stop: () => void } {
  const list = new JobList(context, () => watch.now(), empty);
  const states = new Map<string, Job["state"]>();
  const watch = watchJobs(context, (all) => {
    const own = all.filter(about);
    list.show(own);
    heard(own);
    for (const job of own) {
      if (goesOn(states.get(job.id)) && !goesOn(job.state)) context.say(ENDS[job.state]?.(job) ?? "");
      states.set(job.id, job.state);
    }
  });
  /** Look now; of a job that was ordered it is said also if it ends before it is seen. */
  const now = (ordered?: Job): void => {
    if (ordered) states.set(ordered.id, ordered.state);
    watch.now();
  };
  return { element: list.element, stop: watch.stop, now };
}
