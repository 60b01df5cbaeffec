// The shell: navigation, routes by hash, dark and light, the line of messages, errors.
import { ApiError, jobs, lost, takeToken } from "./api";
import type { Context } from "./context";
import { button, fill, h } from "./dom";
import { PANELS, type Panel } from "./panels";
import { showHelp } from "./panels/help";
import { bindKeys } from "./shortcuts";
import { told } from "./told";
import "./style.css";

const main = h("main", { id: "main", tabindex: 0 });
const status = h("p", { role: "status", class: "status", "data-testid": "status" });
const errors = h("div", { role: "alert", class: "errors", "data-testid": "errors" });
const links = h("ul");

let leave: () => void = () => undefined;
let opened = 0;

/** How long a message is shown. */
const SEEN_MS = 20_000;

function address(route: string, params: Record<string, string> = {}): string {
  const search = new URLSearchParams(params);
  return search.size ? `#/${route}?${search}` : `#/${route}`;
}

function go(route: string, params: Record<string, string> = {}): void {
  location.hash = address(route, params);
}

function parts(): { route: string; params: URLSearchParams } {
  const [route = "", search = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { route: route || "browse", params: new URLSearchParams(search) };
}

function remember(changes: Record<string, string | null>): void {
  const { route, params } = parts();
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) params.delete(key);
    else params.set(key, value);
  }
  history.replaceState(null, "", address(route, Object.fromEntries(params)));
}

let fading = 0;

/** Say something for a while: an old message would be taken for news. */
function say(message = ""): void {
  status.textContent = message;
  window.clearTimeout(fading);
  fading = window.setTimeout(() => { status.textContent = ""; }, SEEN_MS);
}

function succeed(message = ""): void {
  fill(errors);
  say(message);
}

function fail(error: unknown): void {
  const known = error instanceof ApiError ? error : new ApiError(0, error instanceof Error ? error.message : String(error));
  forget(known);
  const close = button("Close", "error-close", () => box.remove());
  const box = h("div", { class: "error", "data-lasts": known.silent }, told(known), close);
  if (!known.silent) return fill(errors, box);
  errors.querySelector("[data-lasts]")?.remove();
  errors.append(box);
  window.clearTimeout(asking);
  asking = window.setTimeout(() => void askAgain(), SILENT_MS);
}

const SILENT_MS = 1500;
let asking = 0;

/** Ask a server that was silent whether it is back; until then, that is what is shown. */
async function askAgain(): Promise<void> {
  if (!errors.querySelector("[data-lasts]")) return;
  try {
    await jobs();
    outdate("[data-lasts]");
    say("The studio's server answers again.");
    document.dispatchEvent(new Event("answers"));
  } catch (error) {
    fail(error);
  }
}

/** What is asked for next makes an error old; but not that the server is silent. Not at `change`, which comes with the press of a button: it would move away under the pointer. */
function outdate(which = ".error:not([data-lasts])"): void {
  for (const box of errors.querySelectorAll(which)) box.remove();
}

// The files that the pages are about: the links of the pages keep them.

const ROLES = ["volume", "probability", "trees"] as const;
type Files = Partial<Record<(typeof ROLES)[number], string>>;
const FILES = "neuroglow-files";

/** Which files a page takes over; without the first of them it asks. */
const TAKES: Record<string, readonly (keyof Files)[]> = {
  enhance: ["volume"], annotate: ["volume"], trace: ["probability", "volume"], check: ["trees", "volume", "probability"],
};

function filesNow(): Files {
  return JSON.parse(sessionStorage.getItem(FILES) ?? "{}") as Files;
}

/** Keep what a page is about; another volume than before has other results. */
function keepFiles(params: URLSearchParams): void {
  const named = Object.fromEntries(ROLES.flatMap((role) => { const path = params.get(role); return path ? [[role, path]] : []; })) as Files;
  if (!Object.keys(named).length) return;
  const before = filesNow();
  const same = ROLES.some((role) => named[role] && named[role] === before[role]);
  const other = named.volume && before.volume && named.volume !== before.volume;
  sessionStorage.setItem(FILES, JSON.stringify(same && !other ? { ...before, ...named } : named));
}

/** A file that is not there is not offered again. */
function forget(error: ApiError): void {
  if (error.status !== 404) return;
  const kept = Object.entries(filesNow()).filter(([, path]) => path !== error.where);
  sessionStorage.setItem(FILES, JSON.stringify(Object.fromEntries(kept)));
  pointLinks();
}

/** Let the links of the pages lead to the files that are looked at. */
function pointLinks(): void {
  const files = filesNow();
  for (const link of links.querySelectorAll("a")) {
    const route = link.dataset.route ?? "";
    const listed = TAKES[route] ?? [];
    const takes = route === "look" ? ROLES : listed[0] && files[listed[0]] ? listed : [];
    const params = Object.fromEntries(takes.flatMap((role) => (files[role] ? [[role, files[role]]] : []))) as Record<string, string>;
    if (route === "evaluate" && (files.probability ?? files.trees)) params.result = files.probability ?? files.trees ?? "";
    link.href = address(route, params);
  }
}

function unknown(root: HTMLElement, route: string): void {
  fill(root, h("div", { class: "empty" }, h("h1", {}, "No such page"),
    h("p", {}, `The studio has no page named "${route}". `, h("a", { href: "#/browse" }, "Go to Browse"))));
}

function mark(panel: Panel | undefined): void {
  document.title = panel ? `${panel.title} · neuroglow studio` : "neuroglow studio";
  for (const link of links.querySelectorAll("a")) {
    if (link.dataset.route === panel?.route) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function open(): Promise<void> {
  const visit = ++opened;
  const { route, params } = parts();
  const panel = PANELS.find((each) => each.route === route);
  leave();
  leave = () => undefined;
  fill(errors);
  say("");
  keepFiles(params);
  pointLinks();
  mark(panel);
  const root = h("div", { class: `panel ${route}`, "data-testid": `panel-${route}` });
  fill(main, root);
  if (!panel) return unknown(root, route);
  const { mount } = await panel.load().catch(() => { throw lost(); });
  if (visit !== opened) return;
  const here = <Given extends unknown[]>(act: (...given: Given) => void) => (...given: Given) => { if (visit === opened) act(...given); };
  const keep = (changes: Record<string, string | null>): void => {
    for (const [key, value] of Object.entries(changes)) if (value === null) params.delete(key); else params.set(key, value);
    remember(changes);
  };
  const late = (error: unknown): void => { if (visit === opened || (error instanceof ApiError && (error.acted || error.silent))) fail(error); };
  const context: Context = { params, go: here(go), remember: here(keep), say: here(say), succeed: here(succeed), fail: late };
  leave = mount(root, context);
}

function setTheme(theme: string): void {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("neuroglow-theme", theme);
  document.dispatchEvent(new CustomEvent("theme"));
}

function toggleTheme(): void {
  setTheme(document.documentElement.dataset.theme === "light" ? "dark" : "light");
}

function startTheme(): void {
  const light = matchMedia("(prefers-color-scheme: light)").matches;
  setTheme(localStorage.getItem("neuroglow-theme") ?? (light ? "light" : "dark"));
}

function navigation(): HTMLElement {
  for (const panel of PANELS.filter((each) => !each.hidden))
    links.append(h("li", {}, h("a", { href: `#/${panel.route}`, "data-route": panel.route, "data-testid": `nav-${panel.route}` }, panel.title)));
  return h("header", {}, h("a", { class: "brand", href: "#/browse" }, "neuroglow ", h("span", {}, "studio")),
    h("nav", { "aria-label": "Pages" }, links), button("Dark or light", "theme", toggleTheme));
}

function start(): void {
  takeToken();
  startTheme();
  const skip = h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, "Skip to content");
  document.querySelector("#page")?.append(skip, navigation(), errors, main, h("footer", {}, status));
  bindKeys("Everywhere", { "?": showHelp, "g b": () => go("browse"), "g e": () => go("enhance"), "g d": toggleTheme });
  for (const asked of ["click", "input"]) main.addEventListener(asked, (event) => { if ((event.target as HTMLElement).closest("button, input, select, a")) outdate(); }, { capture: true });
  window.addEventListener("hashchange", () => void open().catch(fail));
  window.addEventListener("unhandledrejection", (event) => fail(event.reason));
  void open().catch(fail);
}

start();
