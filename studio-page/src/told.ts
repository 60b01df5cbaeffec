// Errors as a person reads them: the rule, then what was found, where, and the cure, each on a line of its own.
import { ApiError } from "./api";
import { coded, h } from "./dom";

/** "nothing there" → "Nothing there." */
function sentence(text: string): string {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return !whole || /[.!?:]$/.test(whole) ? whole : `${whole}.`;
}

const PARTS = ["found", "where", "cure"] as const;

/** What is said of an error. */
export function told(error: Pick<ApiError, "rule" | "found" | "where" | "cure">): HTMLElement {
  const lines = PARTS.filter((part) => error[part]).map((part) => h("p", { class: part }, h("span", {}, `${part}: `), ...coded(error[part])));
  return h("div", { class: "told" }, h("p", {}, h("strong", {}, ...coded(sentence(error.rule)))), ...lines);
}

/** An error in the log of a command: `neuroglow: RULE`, and below it `found: ...`, `where: ...`, `cure: ...`. */
export function errorInLog(log: string): ApiError {
  const last = log.slice(Math.max(0, log.lastIndexOf("\nneuroglow: "))).trim();
  const [rule = "", ...lines] = last.replace(/^neuroglow: /, "").split("\n");
  const part = (name: string): string => lines.find((line) => line.trim().startsWith(`${name}: `))?.trim().slice(name.length + 2) ?? "";
  return new ApiError(0, rule, part("found"), part("where"), part("cure"));
}
