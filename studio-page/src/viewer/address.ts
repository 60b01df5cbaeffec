// The place and the display in the address, so that a reload, or a colleague, sees the same.
import type { Vec3 } from "../api";
import type { Context } from "../context";
import { boxText, parseBox } from "./box";
import type { DisplayState } from "./display";
import type { Viewer } from "./viewer";

const NUMBERS = ["scale", "slab", "low", "high", "threshold", "blend", "opacity", "depthScale"] as const;
const FLAGS = ["binary", "compress", "showRaw", "showProbability", "showTrees"] as const;

/** Set the display as the address says. */
export function restoreView(viewer: Viewer, params: URLSearchParams): void {
  const changes: Partial<DisplayState> = {};
  for (const key of NUMBERS) {
    const value = Number.parseFloat(params.get(key) ?? "");
    if (Number.isFinite(value)) changes[key] = value;
  }
  const level = Number.parseInt(params.get("level") ?? "", 10);
  if (level >= 0) changes.level = level;
  for (const key of FLAGS) if (params.has(key)) changes[key] = params.get(key) === "1";
  const at = (params.get("at") ?? "").split(",").map(Number.parseFloat);
  if (at.length === 3 && at.every(Number.isFinite)) Object.assign(changes, { cursor: at as Vec3, centre: at as Vec3 });
  viewer.display.set(changes);
  const box = parseBox(params.get("box") ?? "");
  if (box) viewer.setBox(box);
}

/** Keep the address true while the display changes. */
export function rememberView(viewer: Viewer, context: Context): void {
  let due = 0;
  viewer.display.onChange((state) => {
    clearTimeout(due);
    due = window.setTimeout(() => {
      if (!viewer.closed) context.remember(asParams(state));
    }, 250);
  });
}

function asParams(state: Readonly<DisplayState>): Record<string, string | null> {
  const round = (value: number): string => String(Number(value.toPrecision(6)));
  return {
    at: state.cursor.map(round).join(","),
    box: state.box ? boxText(state.box) : null,
    level: state.level === null ? null : String(state.level),
    ...Object.fromEntries(NUMBERS.map((key) => [key, round(state[key])])),
    ...Object.fromEntries(FLAGS.map((key) => [key, state[key] ? "1" : "0"])),
  };
}
