// The controls beside the views: contrast, threshold, blend, slab, depth, projection.
import { button, checkbox, choice, fill, h, labelled, type Slider, slider } from "../dom";
import { boxText, parseBox } from "./box";
import type { Box, DisplayState } from "./display";
import type { Viewer } from "./viewer";

type NumberKey = { [K in keyof DisplayState]: DisplayState[K] extends number ? K : never }[keyof DisplayState];

interface Scale {
  key: NumberKey;
  name: string;
  low: number;
  high: number;
  step: number;
  unit?: string;
}

const SCALES: Record<string, readonly Scale[]> = {
  Image: [
    { key: "low", name: "Black at", low: -5, high: 20, step: 0.5, unit: " × noise" },
    { key: "high", name: "White at", low: 1, high: 300, step: 1, unit: " × noise" },
  ],
  Probability: [
    { key: "threshold", name: "Threshold", low: 0, high: 1, step: 0.01 },
    { key: "blend", name: "Image or probability", low: 0, high: 1, step: 0.05 },
  ],
  Slices: [
    { key: "slab", name: "Slab thickness", low: 0, high: 200, step: 1, unit: " µm" },
    { key: "depthScale", name: "Depth scale", low: 0.25, high: 6, step: 0.05, unit: " ×" },
  ],
  Projection: [{ key: "opacity", name: "Opacity", low: 0.05, high: 1, step: 0.05 }],
};

type FlagKey = { [K in keyof DisplayState]: DisplayState[K] extends boolean ? K : never }[keyof DisplayState];

const FLAGS: Record<string, readonly (readonly [FlagKey, string])[]> = {
  Image: [["showRaw", "Show the image"], ["compress", "Compress bright voxels"]],
  Probability: [["showProbability", "Show the probability"], ["binary", "Binary preview"]],
  Slices: [["showCrosshair", "Crosshair"], ["showTrees", "Trees"]],
};

/** The controls of a viewer, following what is set elsewhere; box: its field, where a page asks more of it. */
export function controls(viewer: Viewer, box = boxField(viewer)): HTMLElement {
  const followers: (() => void)[] = [];
  const groups = Object.keys(SCALES).map((group) => section(viewer, group, followers));
  const element = h("div", { class: "controls" }, ...groups, sectionOfBox(viewer, box), sectionOfTrees(viewer));
  viewer.display.onChange(() => followers.forEach((follow) => follow()));
  return element;
}

function section(viewer: Viewer, group: string, followers: (() => void)[]): HTMLElement {
  const flags = (FLAGS[group] ?? []).map(([key, name]) => flag(viewer, key, name, followers));
  const scales = (SCALES[group] ?? []).map((scale) => sliding(viewer, scale, followers));
  const element = h("section", { class: "group" }, h("h2", {}, group), ...flags, ...scales, ...(group === "Projection" ? turning(viewer) : []));
  if (group === "Probability") onlyWith(viewer, element, () => Boolean(viewer.layers.probability));
  return element;
}

/** Show controls only while there is something that they act on. */
function onlyWith(viewer: Viewer, element: HTMLElement, isThere: () => boolean): void {
  const update = (): void => { element.hidden = !isThere(); };
  update();
  viewer.onOpened(update);
}

function flag(viewer: Viewer, key: FlagKey, name: string, followers: (() => void)[]): HTMLElement {
  const element = checkbox(name, key, viewer.display.state[key], (on) => viewer.display.set({ [key]: on }));
  const input = element.querySelector("input");
  followers.push(() => {
    if (input) input.checked = viewer.display.state[key];
  });
  return element;
}

function sliding(viewer: Viewer, scale: Scale, followers: (() => void)[]): HTMLElement {
  const { key, ...rest } = scale;
  const act = (value: number): void => viewer.display.set({ [key]: value });
  const made: Slider = slider({ ...rest, testid: key, value: viewer.display.state[key], act });
  let shown = viewer.display.state[key];
  followers.push(() => {
    const now = viewer.display.state[key];
    if (now !== shown) made.set(now);
    shown = now;
  });
  return made.element;
}

function turning(viewer: Viewer): HTMLElement[] {
  const turn = (azimuth: number, elevation: number) => () => viewer.projection?.turn(azimuth, elevation);
  return [h("div", { class: "row" },
    button("⟲", "turn-left", turn(-15, 0), { "aria-label": "Turn left" }),
    button("⟳", "turn-right", turn(15, 0), { "aria-label": "Turn right" }),
    button("↑", "turn-up", turn(0, 15), { "aria-label": "Turn up" }),
    button("↓", "turn-down", turn(0, -15), { "aria-label": "Turn down" }),
    button("+", "zoom-3d-in", () => viewer.projection?.zoom(1.2), { "aria-label": "Zoom into the projection" }),
    button("−", "zoom-3d-out", () => viewer.projection?.zoom(1 / 1.2), { "aria-label": "Zoom out of the projection" }),
    button("Front", "front", () => { viewer.projection?.look(); viewer.projection?.render(); }))];
}

/** A field for the box: not valid, and with the reason, until what is entered lies in the volume that is open. */
export function boxField(viewer: Viewer, testid = "box"): HTMLInputElement {
  const text = h("input", { type: "text", placeholder: "0:64, 0:64, 0:64", "data-testid": testid, spellcheck: "false" });
  const follow = (box: Box | null): void => {
    text.value = box ? boxText(box) : "";
    text.setCustomValidity("");
  };
  follow(viewer.display.state.box);
  viewer.onBox(follow);
  viewer.onOpened(() => { if (!text.validity.valid) enterBox(viewer, text); });
  text.addEventListener("change", () => {
    enterBox(viewer, text);
    if (viewer.layers.base) text.reportValidity();
  });
  return text;
}

/** The sub-box that is shown and enhanced, by drawing or by numbers; and the level that is read. */
function sectionOfBox(viewer: Viewer, text: HTMLInputElement): HTMLElement {
  const draw = button("Draw on a slice", "draw-box", () => {
    viewer.drawingBox = !viewer.drawingBox;
    draw.setAttribute("aria-pressed", String(viewer.drawingBox));
  }, { "aria-pressed": "false" });
  return h("section", { class: "group" }, h("h2", {}, "Box and level"),
    labelled("Box, voxels z, y, x", text), h("div", { class: "row" }, draw, button("Whole", "whole", () => viewer.setBox(null))), levels(viewer));
}

function levels(viewer: Viewer): HTMLElement {
  const place = h("div");
  const now = (): string => String(viewer.display.state.level ?? "");
  let select = h("select");
  const update = (): void => {
    const source = viewer.layers.base;
    const known = (source?.levels ?? []).map((level, n) => [String(n), `${n}: ${level.shape.join(" × ")}`] as const);
    select = choice("level", [["", "as the screen needs"], ...known], now(), (value) =>
      viewer.display.set({ level: value === "" ? null : Number(value) }));
    fill(place, labelled("Pyramid level", select));
  };
  update();
  viewer.onOpened(update);
  viewer.display.onChange(() => { select.value = now(); });
  return place;
}

function enterBox(viewer: Viewer, text: HTMLInputElement): void {
  const box = parseBox(text.value);
  const shape = viewer.layers.base?.level(0).shape;
  const inside = box?.hi.every((end, axis) => end <= (shape?.[axis as 0 | 1 | 2] ?? 0));
  if (!text.value) viewer.setBox(null);
  else if (box && inside) viewer.setBox(box);
  else text.setCustomValidity(shape ? `Three ranges inside ${shape.join(" × ")}, as 0:64, 0:64, 0:64` : "The volume is still being opened.");
}

const MOST_LISTED = 200;

/** The trees, each with its colour and whether it is seen. */
function sectionOfTrees(viewer: Viewer): HTMLElement {
  const list = h("ul", { class: "trees", "data-testid": "trees" });
  const place = h("section", { class: "group" }, h("h2", {}, "Trees"), list);
  const update = (): void => {
    const { trees } = viewer.layers;
    place.hidden = !trees.length;
    const more = trees.length - MOST_LISTED;
    fill(list, ...trees.slice(0, MOST_LISTED).map((tree, n) => treeRow(viewer, n, tree.id)),
      more > 0 ? h("li", {}, `and ${more} more`) : null);
  };
  update();
  viewer.onOpened(update);
  return place;
}

function treeRow(viewer: Viewer, n: number, id: string | number): HTMLElement {
  const tree = viewer.layers.trees[n]!;
  const colour = h("input", { type: "color", value: tree.colour, "aria-label": `Colour of tree ${id}` });
  colour.addEventListener("input", () => viewer.changeTree(n, { colour: colour.value }));
  const shown = checkbox(`tree ${id}`, `tree-${id}`, tree.visible, (visible) => viewer.changeTree(n, { visible }));
  const length = tree.length ? `${Math.round(tree.length)} µm` : "";
  return h("li", {}, colour, shown, h("span", { class: "length" }, length));
}
