// The choice of image, probability and trees to look at, among what lies in the same folder.
import { folder, type Item, type Kind } from "../api";
import type { Context } from "../context";
import { button, choice, h, labelled } from "../dom";
import { folderOf, stemOf } from "../paths";

const ROLES: readonly (readonly [string, string, readonly Kind[]])[] = [
  ["volume", "Image", ["volume"]],
  ["probability", "Probability", ["probability", "label"]],
  ["trees", "Trees", ["trees"]],
];

const NESTED: readonly Kind[] = ["folder", "cube", "selection", "run"];
const MOST_FOLDERS = 12;

const isRole = (key: string): boolean => ROLES.some(([role]) => role === key);

/** Three lists; a choice opens the same page with it, and the view as it is, unless that is of another image. */
export async function choosers(context: Context, path: string): Promise<HTMLElement> {
  const { items } = await folder(folderOf(path));
  return h("section", { class: "group" }, h("h2", {}, "Files"), ...ROLES.map((role) => chooser(context, items, role)));
}

function chooser(context: Context, items: Item[], [role, name, kinds]: (typeof ROLES)[number]): HTMLElement {
  const now = context.params.get(role) ?? "";
  const known = items.filter((item) => kinds.includes(item.kind)).map((item) => [item.path, item.name] as const);
  const listed = known.some(([path]) => path === now) || !now ? known : [...known, [now, now] as const];
  const select = choice(`choose-${role}`, [["", "none"], ...listed], now, (value) => {
    const shown = [...context.params].filter(([key]) => (role === "volume" ? isRole(key) : role !== "probability" || key !== "threshold"));
    const params = Object.fromEntries(shown);
    if (value) params[role] = value;
    else delete params[role];
    context.go("look", params);
  });
  return labelled(name, select);
}

/** A section with links to items; where there are none it says so, or is left out. */
export function itemList(title: string, items: readonly Item[], prefix: string, open: (item: Item) => void, none = ""): HTMLElement | null {
  if (!items.length && !none) return null;
  const rows = items.map((item) => h("li", {}, button(item.name, `${prefix}-${item.name}`, () => open(item), { class: "link" })));
  return h("section", { class: "group" }, h("h2", {}, title), rows.length ? h("ul", {}, ...rows) : h("p", {}, none));
}

/** Whether an item is a folder that has files of its own to choose from. */
export function isFolder(item: Item): boolean {
  return NESTED.includes(item.kind) && !/\.(csv|parquet)$/i.test(item.path);
}

/** What is said of the kind of an item. */
export function kindName(item: Item): string {
  if (item.growing) return "growing";
  if (item.kind === "cube") return "phantom";
  return item.kind === "selection" && isFolder(item) ? "set of cubes" : item.kind;
}

/** A link to the list from which another file is chosen for a page. */
export function another(route: string, name: string, path: string): HTMLElement {
  const search = new URLSearchParams(folderOf(path) ? { path: folderOf(path) } : {});
  return h("a", { href: `#/${route}${search.size ? `?${search}` : ""}`, "data-testid": "another" }, name);
}

/** The files of a folder and of the folders in it. */
export async function filesAround(path: string): Promise<Item[]> {
  const { items } = await folder(path);
  const inner = items.filter(isFolder).slice(0, MOST_FOLDERS);
  const listed = await Promise.all(inner.map((item) => folder(item.path)));
  return [...items, ...listed.flatMap((each) => each.items)];
}

/** The trace with the volume and the probability that it was made from. */
export function related(item: Item, items: readonly Item[]): Record<string, string> {
  const from = items.filter((each) => item.belongs_to?.includes(each.path));
  const probability = from.find((each) => each.kind === "probability");
  const volume = from.find((each) => each.kind === "volume");
  return { ...(volume ? { volume: volume.path } : {}), ...(probability ? tracedIn(probability, items) : {}), trees: item.path };
}

/** Of several items the one that was changed last. */
function newest(items: readonly Item[]): Item | undefined {
  return items.reduce<Item | undefined>((last, item) => (last && Number(last.modified ?? 0) >= Number(item.modified ?? 0) ? last : item), undefined);
}

/** Whether an item was made from another, as its record says; without a record, as its name does. */
function isOf(item: Item, source: Item): boolean {
  if (item.belongs_to?.length) return item.belongs_to.includes(source.path);
  return [stemOf(source.path), `${stemOf(source.path)}_prob`].includes(stemOf(item.path));
}

/** An item with what it was made from and the newest of what was made from it, as parameters of Look. */
export function together(item: Item, items: readonly Item[]): Record<string, string> {
  const from = (source: Item | undefined, kind: Kind): Item[] => items.filter((each) => each.kind === kind && source && isOf(each, source));
  const origin = (of: Item | undefined, kind: Kind): Item | undefined => items.find((each) => each.kind === kind && of?.belongs_to?.includes(each.path));
  const given = (kind: Kind): Item | undefined => (item.kind === kind ? item : undefined);
  const voxels = given("probability") ?? given("label") ?? origin(item, "probability");
  const volume = given("volume") ?? origin(item, "volume") ?? origin(voxels, "volume");
  const predicted = from(volume, "probability");
  const probability = voxels ?? newest(predicted.filter((each) => String(each.shape) === String(volume?.shape))) ?? newest(predicted);
  const trees = given("trees") ?? newest(item.kind === "label" ? [] : [...from(probability, "trees"), ...(voxels ? [] : from(volume, "trees"))]);
  return Object.fromEntries(Object.entries({ volume, probability, trees }).flatMap(([role, found]) => (found ? [[role, found.path]] : [])));
}

/** A probability with the image that it was predicted from. */
export function tracedIn(item: Item, items: readonly Item[]): Record<string, string> {
  const volume = items.find((each) => each.kind === "volume" && item.belongs_to?.includes(each.path));
  return { ...(volume ? { volume: volume.path } : {}), probability: item.path };
}
