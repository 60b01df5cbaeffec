// Browse: what is in the folder, of which kind, and what belongs together.
import { ApiError, folder, type Item, type Kind, thumbnail, upload } from "../api";
import type { Context, Mount } from "../context";
import { button, fill, h } from "../dom";
import { isFolder, kindName, related, together, tracedIn } from "./choosers";

const VOXELS: readonly Kind[] = ["volume", "probability", "label"];
const PICTURED: readonly Kind[] = [...VOXELS, "trees", "run", "survey", "selection", "cube", "report", "folder"];
const VIEWED: readonly Kind[] = [...VOXELS, "trees"];

export const mount: Mount = (root, context) => {
  const path = context.params.get("path") ?? "";
  const list = h("div", { class: "items", "data-testid": "items" });
  const pictures: string[] = [];
  const home = h("a", { href: "#/browse" });
  let looks = 0;
  const again = (): void => {
    const turn = ++looks;
    void show({ list, home }, path, context, pictures, () => turn === looks);
  };
  fill(root, h("div", { class: "bar" }, h("h1", {}, "Browse"), crumbs(home, path), adding()), list);
  const back = (): void => {
    if (list.dataset.ready !== "true") again();
  };
  document.addEventListener("answers", back);
  again();
  receiveFiles(root, path, context, again);
  return () => {
    looks++;
    document.removeEventListener("answers", back);
    pictures.forEach((address) => URL.revokeObjectURL(address));
  };
};

function crumbs(home: HTMLElement, path: string): HTMLElement {
  const parts = path ? path.split("/") : [];
  const links = parts.map((part, n) => {
    const to = new URLSearchParams({ path: parts.slice(0, n + 1).join("/") });
    return h("span", {}, " / ", h("a", { href: `#/browse?${to}` }, part));
  });
  return h("nav", { class: "crumbs", "aria-label": "Folder" }, home, ...links);
}

async function show({ list, home }: { list: HTMLElement; home: HTMLElement }, path: string, context: Context, pictures: string[], isLast: () => boolean): Promise<void> {
  try {
    const { root, items, more } = await folder(path);
    if (!isLast()) return;
    home.textContent = root;
    enhanceAll(list, path, items, context);
    if (!items.length) fill(list, empty());
    else fill(list, ...items.map((item) => card(item, items, context, pictures)), more ? h("p", {}, `and ${more} more, which are not listed`) : null);
    list.dataset.ready = "true";
  } catch (error) {
    if (!isLast()) return;
    fill(list);
    delete list.dataset.ready;
    context.fail(error);
  }
}

/** One order for all volumes here, where there are several. */
function enhanceAll(list: HTMLElement, path: string, items: Item[], context: Context): void {
  const volumes = items.filter((item) => item.kind === "volume" && !item.error);
  list.parentElement?.querySelector("[data-testid=enhance-all]")?.remove();
  if (volumes.length < 2) return;
  list.parentElement?.querySelector(".adding")?.before(button(`Enhance all ${volumes.length} volumes`, "enhance-all", () => context.go("enhance", path ? { path } : {})));
}

function empty(): HTMLElement {
  return h("div", { class: "empty", "data-testid": "empty" }, h("p", {}, "There is nothing here that the studio shows: no volumes, trees, models or reports."),
    h("p", {}, "Drop a TIFF or another volume on this page to put it into the folder."));
}

function adding(): HTMLElement {
  const input = h("input", { type: "file", multiple: true, class: "hidden", "data-testid": "upload", tabindex: -1, "aria-label": "Files to add" });
  return h("span", { class: "adding" }, input, button("Add files", "add-files", () => input.click()), h("small", {}, " or drop them here"));
}

/** Take files that are chosen or dropped; an existing file is never overwritten. */
function receiveFiles(root: HTMLElement, path: string, context: Context, done: () => void): void {
  const send = async (files: readonly File[]): Promise<void> => {
    for (const file of files) {
      const name = await upload(path, file, (share) => context.say(`${file.name}: ${Math.round(100 * share)} %`));
      context.succeed(`${name} is in the folder.`);
    }
  };
  const take = (files: FileList | null | undefined): void => void send([...(files ?? [])]).catch(context.fail).finally(done);
  const input = root.querySelector<HTMLInputElement>("[data-testid=upload]");
  input?.addEventListener("change", () => {
    take(input.files);
    input.value = "";  // so that the same file may be chosen again
  });
  root.addEventListener("dragover", (event) => {
    event.preventDefault();
    root.classList.add("dropping");
  });
  root.addEventListener("dragleave", () => root.classList.remove("dropping"));
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    root.classList.remove("dropping");
    const named = folderIn(event.dataTransfer);
    if (named) context.fail(new ApiError(0, "A folder is not copied by dropping it.", "", named, "Put it into the studio's folder, or start `neuroglow studio` in the folder that holds it."));
    else take(event.dataTransfer?.files);
  });
}

/** The name of a folder among what is dropped; an OME-Zarr is one. */
function folderIn(dropped: DataTransfer | null): string | undefined {
  return [...(dropped?.items ?? [])].map((item) => item.webkitGetAsEntry()).find((entry) => entry?.isDirectory)?.name;
}

function card(item: Item, items: Item[], context: Context, pictures: string[]): HTMLElement {
  const opens = VIEWED.includes(item.kind) || item.kind === "selection" || item.kind in PAGES;
  const open = opens ? button("", `open-${item.name}`, () => openItem(item, items, context), { class: "link" }) : h("span");
  open.append(...breakable(item.title ?? item.name));
  const picture = h("div", { class: "thumbnail" }, h("span", {}, kindName(item)));
  if (PICTURED.includes(item.kind) && !item.error) void showThumbnail(picture, item, pictures);
  return h("article", { class: "card", "data-testid": `item-${item.name}` }, picture,
    h("div", { class: "about" }, h("h2", {}, open), h("p", {}, h("span", { class: "kind" }, kindName(item)), " ", facts(item)), belongs(item), trouble(item), actions(item, items, context)));
}

/** A name that may be broken after its dots, dashes and underscores. */
function breakable(name: string): (string | Node)[] {
  return name.split(/(?<=[._-])/).flatMap((part, n) => (n ? [h("wbr"), part] : [part]));
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

function trouble(item: Item): HTMLElement | null {
  return item.error ? h("p", { class: "trouble" }, `It cannot be opened: ${item.error}`) : null;
}

/** The tools that apply to an item: their names, routes and parameters. */
function toolsFor(item: Item, items: Item[]): [string, string, Record<string, string>][] {
  const { path, kind } = item;
  if (kind === "volume") return [["Enhance", "enhance", { volume: path }], ["Annotate", "annotate", { volume: path }]];
  if (kind === "probability") return item.growing ? [] : [["Trace", "trace", tracedIn(item, items)], ["Evaluate", "evaluate", { result: path }]];
  if (kind === "label") return [["Evaluate", "evaluate", { truth: path }]];
  if (kind === "trees") return [["Check", "check", related(item, items)], ["Evaluate", "evaluate", { result: path }], ["Label", "annotate", { trees: path }]];
  if (kind === "survey") return [["Choose", "choose", { survey: path }]];
  if (kind === "selection") return path.endsWith(".csv") ? [["Choose", "choose", { survey: path }]] : [["Annotate", "annotate", { path }]];
  if (kind === "cube") return [["Annotate", "annotate", { path }]];
  if (kind === "model") return [["Enhance with it", "enhance", { model: path }]];
  if (kind === "run") return [["Enhance with it", "enhance", { model: path }], ["Report", "report", { path }]];
  return kind === "folder" ? [["Enhance all", "enhance", { path }]] : [];
}

function actions(item: Item, items: Item[], context: Context): HTMLElement | null {
  const tools = item.error ? [] : toolsFor(item, items);
  if (!tools.length) return null;
  return h("div", { class: "row" }, ...tools.map(([name, route, params]) =>
    button(name, `${name.split(" ")[0]!.toLowerCase()}-${item.name}`, () => context.go(route, params), { "aria-label": `${name}: ${item.name}` })));
}

const PATIENCE_MS = 2000;

/** Show the picture of an item; while the server is silent, ask again, as long as the page is open. */
async function showThumbnail(place: HTMLElement, item: Item, pictures: string[]): Promise<void> {
  try {
    const address = await thumbnail(item.path);
    pictures.push(address);
    fill(place, h("img", { src: address, alt: `Maximum projection of ${item.name}` }));
  } catch (error) {
    const brokenOff = !(error instanceof ApiError) || error.silent;
    if (brokenOff) window.setTimeout(() => { if (place.isConnected) void showThumbnail(place, item, pictures); }, PATIENCE_MS);
    else if (!isFolder(item)) fill(place, h("span", {}, "no picture"));
  }
}

/** Kinds that have a page of their own, by route and parameter; other kinds are looked at. */
const PAGES: Partial<Record<Kind, readonly [string, string]>> = {
  folder: ["browse", "path"],
  cube: ["browse", "path"],
  report: ["report", "path"],
  model: ["enhance", "model"],
  run: ["run", "path"],
  survey: ["choose", "survey"],
};

/** Look at a volume together with what was made from it. */
function openItem(item: Item, items: Item[], context: Context): void {
  if (item.kind === "selection" && item.path.endsWith(".csv")) return context.go("choose", { survey: item.path });
  if (item.kind === "selection") return context.go("browse", { path: item.path });
  const page = PAGES[item.kind];
  if (page) return context.go(page[0], { [page[1]]: item.path });
  if (item.error) return context.fail(new Error(item.error));
  context.go("look", together(item, items));
}
