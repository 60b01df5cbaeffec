// A training run: its curves and pictures, also while it goes on; its report, and its model to enhance with.
import { ApiError, getJson } from "../api";
import type { Mount } from "../context";
import { button, fill, h } from "../dom";
import "../tools.css";
import { curves, picture, type Run } from "./training";

const EVERY_MS = 2000;

export const mount: Mount = (root, context) => {
  const path = context.params.get("path") ?? "";
  const live = h("div", { class: "run", "data-testid": "run" });
  let due = 0;
  let closed = false;
  let told = "";
  const look = async (): Promise<void> => {
    try {
      const run = await getJson<Run>("api/runs", { path });
      if (closed) return;
      if (JSON.stringify(run) !== told) fill(live, ...parts(run));
      told = JSON.stringify(run);
      live.dataset.ready = "true";
      if (run.report) return;
    } catch (error) {
      context.fail(error);
      if (closed || !(error instanceof ApiError && error.silent)) return;
    }
    due = window.setTimeout(() => void look(), EVERY_MS);
  };
  const parts = (run: Run): (HTMLElement | null)[] => [
    h("p", {}, run.steps.length ? `Step ${run.steps.at(-1)!.step} of ${run.wanted ?? "?"}` : "No step has been done yet."),
    h("div", { class: "row" }, run.model ? button("Enhance with it", "run-enhance", () => context.go("enhance", { model: path })) : null,
      run.report ? button("Report", "run-report", () => context.go("report", { path })) : null),
    run.steps.length ? curves(run) : null,
    run.pictures.length ? picture(path, run.pictures.at(-1)!, context) : null,
  ];
  fill(root, h("div", { class: "bar" }, h("h1", {}, path)), live);
  void look();
  return () => {
    closed = true;
    window.clearTimeout(due);
  };
};
