// Help: the keyboard shortcuts, and how the pages follow one another.
import type { Mount } from "../context";
import { button, fill, h } from "../dom";
import { SHORTCUTS } from "../shortcuts";

const SIGNS: Record<string, string> = { ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc" };

function table(group: string): HTMLElement {
  const rows = SHORTCUTS.filter((each) => each.group === group).map((each) =>
    h("tr", {}, h("td", {}, ...each.key.split(" ").map((key) => h("kbd", {}, SIGNS[key] ?? key))), h("td", {}, each.does)));
  const head = h("tr", {}, h("th", { scope: "col" }, "Key"), h("th", { scope: "col" }, "Action"));
  return h("section", {}, h("h2", {}, group), h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows)));
}

const MOUSE = [
  ["click a slice", "put the crosshair there; the other views follow"],
  ["wheel over a slice", "next or previous plane"],
  ["Ctrl + wheel", "zoom at the pointer"],
  ["drag with Shift or the middle button", "move the slices"],
  ["drag in the projection", "rotate; wheel: zoom; Shift + drag: move"],
];

function help(): HTMLElement[] {
  const groups = [...new Set(SHORTCUTS.map((each) => each.group))];
  const mouse = MOUSE.map(([does, what]) => h("tr", {}, h("td", {}, does), h("td", {}, what)));
  return [h("h1", {}, "Help"),
    h("p", {}, "The studio shows one folder. Browse it, look at a volume, enhance it, and look at the result. " +
      "Whatever runs goes on when this page is closed, and the same command line can continue it."),
    h("div", { class: "columns" }, ...groups.map(table),
      h("section", {}, h("h2", {}, "Mouse"), h("table", {}, h("tbody", {}, ...mouse))))];
}

export const mount: Mount = (root) => {
  fill(root, ...help());
  return () => undefined;
};

/** Show the help over the page that is open; the same key, or Escape, closes it. */
export function showHelp(): void {
  const open = document.querySelector("dialog");
  if (open) return open.close();
  if (document.querySelector("[data-testid=panel-help]")) return;
  const close = button("Close", "help-close", () => box.close());
  const box = h("dialog", { "data-testid": "panel-help", "aria-label": "Help" }, h("div", { class: "row" }, close), ...help());
  box.addEventListener("close", () => box.remove());
  window.addEventListener("hashchange", () => box.close(), { once: true });
  document.body.append(box);
  box.showModal();
}
