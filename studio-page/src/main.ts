// The shell: navigation, routes by hash, dark and light, the line of messages, errors.
import { ApiError, lost, takeToken } from "./api";
import type { Context } from "./context";
import { button, fill, h } from "./dom";
import { PANELS, type Panel } from "./panels";
import { bindKeys } from "./shortcuts";
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

/** "nothing there" → "Nothing there." */
function sentence(text: string): string {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return !whole || /[.!?:]$/.test(whole) ? whole : `${whole}.`;
}

function succeed(message = ""): void {
  fill(errors);
  say(message);
}

function fail(error: unknown): void {
  const known = error instanceof ApiError ? error : new ApiError(0, error instanceof Error ? error.message : String(error));
  const close = button("Close", "error-close", () => box.remove());
  const box = h("div", { class: "error" }, h("strong", {}, sentence(known.rule)), " ", sentence(known.found), " ", known.where,
    known.cure ? h("span", { class: "cure" }, sentence(known.cure)) : null, close);
  fill(errors, box);
}

function unknown(root: HTMLElement, route: string): void {
  fill(root, h("div", { class: "empty" }, h("h1", {}, "No such page"),
    h("p", {}, `The studio has no page named "${route}". `, h("a", { href: "#/browse" }, "Go to Browse"))));
}

function mark(panel: Panel | undefined): void {
  document.title = panel ? `${panel.title} · neuroglow studio` : "neuroglow studio";
  for (const link of links.querySelectorAll("a")) {
    if (link.getAttribute("href") === `#/${panel?.route}`) link.setAttribute("aria-current", "page");
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
  mark(panel);
  const root = h("div", { class: `panel ${route}`, "data-testid": `panel-${route}` });
  fill(main, root);
  if (!panel) return unknown(root, route);
  const { mount } = await panel.load().catch(() => { throw lost(); });
  if (visit !== opened) return;
  const here = (tell: (message?: string) => void) => (message?: string) => { if (visit === opened) tell(message); };
  const context: Context = { params, go, remember, say: here(say), succeed: here(succeed), fail };
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
    links.append(h("li", {}, h("a", { href: `#/${panel.route}`, "data-testid": `nav-${panel.route}` }, panel.title)));
  return h("header", {}, h("a", { class: "brand", href: "#/browse" }, "neuroglow ", h("span", {}, "studio")),
    h("nav", { "aria-label": "Pages" }, links), button("Dark or light", "theme", toggleTheme));
}

function start(): void {
  takeToken();
  startTheme();
  const skip = h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, "Skip to content");
  document.querySelector("#page")?.append(skip, navigation(), errors, main, h("footer", {}, status));
  bindKeys("Everywhere", { "?": () => go("help"), "g b": () => go("browse"), "g e": () => go("enhance"), "g d": toggleTheme });
  window.addEventListener("hashchange", () => void open().catch(fail));
  window.addEventListener("unhandledrejection", (event) => fail(event.reason));
  void open().catch(fail);
}

start();
