// Browse: what is in the folder, of which kind, and what belongs together.
import { folder, type Item, thumbnail } from "../api";
import type { Context, Mount } from "../context";
import { button, fill, h } from "../dom";

const VOXELS = ["volume", "probability", "label"];

export const mount: Mount = (root, context) => {
  const path = context.params.get("path") ?? "";
  const list = h("div", { class: "items", "data-testid": "items" });
  const pictures: string[] = [];
  fill(root, h("div", { class: "bar" }, h("h1", {}, "Browse"), crumbs(path)), list);
  void show(list, path, context, pictures);
  return () => pictures.forEach((address) => URL.revokeObjectURL(address));
};

function crumbs(path: string): HTMLElement {
  const parts = path ? path.split("/") : [];
  const links = parts.map((part, n) => {
    const to = new URLSearchParams({ path: parts.slice(0, n + 1).join("/") });
    return h("span", {}, " / ", h("a", { href: `#/browse?${to}` }, part));
  });
  return h("nav", { class: "crumbs", "aria-label": "Folder" }, h("a", { href: "#/browse" }, "folder"), ...links);
}

async function show(list: HTMLElement, path: string, context: Context, pictures: string[]): Promise<void> {
  try {
    const { items } = await folder(path);
    if (!items.length) fill(list, empty());
    else fill(list, ...items.map((item) => card(item, items, context, pictures)));
    list.dataset.ready = "true";
  } catch (error) {
    fill(list);
    context.fail(error);
  }
}

function empty(): HTMLElement {
  return h("div", { class: "empty", "data-testid": "empty" }, h("p", {}, "There is nothing here that the studio shows: no volumes, trees, models or reports."));
}

function card(item: Item, items: Item[], context: Context, pictures: string[]): HTMLElement {
  const open = button(item.title ?? item.name, `open-${item.name}`, () => openItem(item, items, context), { class: "link" });
  const picture = h("div", { class: `thumbnail ${item.kind}` });
  if (VOXELS.includes(item.kind)) void showThumbnail(picture, item, pictures);
  return h("article", { class: "card", "data-testid": `item-${item.name}` }, picture,
    h("div", { class: "about" }, h("h2", {}, open), h("p", {}, h("span", { class: `kind ${item.kind}` }, item.kind), " ", facts(item)), belongs(item)));
}

function facts(item: Item): string {
  const parts = [item.shape?.join(" × "), item.dtype, item.voxel_size ? `${item.voxel_size.join(" × ")} µm` : null, size(item.bytes)];
  return parts.filter(Boolean).join(" · ");
}

function size(bytes: number | null | undefined): string | null {
  if (!bytes) return null;
  const power = Math.min(4, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** power).toPrecision(3)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

function belongs(item: Item): HTMLElement | null {
  if (!item.belongs_to?.length) return null;
  return h("p", { class: "belongs" }, "made from ", item.belongs_to.join(", "));
}

async function showThumbnail(place: HTMLElement, item: Item, pictures: string[]): Promise<void> {
  try {
    const address = await thumbnail(item.path);
    pictures.push(address);
    fill(place, h("img", { src: address, alt: `Maximum projection of ${item.name}` }));
  } catch {
    fill(place, h("span", {}, "no picture"));
  }
}

/** Look at a volume together with what was made from it. */
function openItem(item: Item, items: Item[], context: Context): void {
  if (item.kind === "folder") return context.go("browse", { path: item.path });
  const related = items.filter((each) => each.belongs_to?.includes(item.path));
  const params: Record<string, string> = {};
  if (item.kind === "volume") params.volume = item.path;
  if (item.kind === "probability" || item.kind === "label") params.probability = item.path;
  if (item.kind === "trees") params.trees = item.path;
  for (const each of related) if (each.kind === "probability" || each.kind === "trees") params[each.kind] ??= each.path;
  const origin = items.find((each) => each.kind === "volume" && item.belongs_to?.includes(each.path));
  if (origin) params.volume ??= origin.path;
  context.go("look", params);
}
