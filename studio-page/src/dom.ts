// Elements of the page, made in one line each; text is always text, never markup.

type Attributes = Record<string, string | number | boolean | EventListener | undefined>;
export type Child = Node | string | number | null | undefined;

function setAttribute(element: HTMLElement, name: string, value: Attributes[string]): void {
  if (value === undefined || value === false) return;
  if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** Make an element with attributes (a function is a listener, as `onclick`) and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined).map(asNode));
  return element;
}

function asNode(child: Child): Node | string {
  return child instanceof Node ? child : String(child);
}

/** Replace all that an element contains. */
export function fill(element: HTMLElement, ...children: Child[]): void {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined).map(asNode));
}

/** A text whose words between backticks are code, as messages of the command line write them. */
export function coded(text: string): Child[] {
  return text.split("`").map((part, n) => (n % 2 ? h("code", {}, part) : part));
}

/** "1 tree", "2 trees". */
export function counted(count: number, one: string, several = `${one}s`): string {
  return `${count.toLocaleString("en-GB")} ${count === 1 ? one : several}`;
}

let labels = 0;

/** A name above a control, tied to it, so that a screen reader says it. */
export function labelled(name: string, control: HTMLElement, note?: string): HTMLElement {
  control.id ||= `control-${++labels}`;
  const label = h("label", { for: control.id }, name);
  return h("div", { class: "field" }, label, control, note ? h("small", {}, ...coded(note)) : null);
}

export interface SliderOptions {
  name: string;
  testid: string;
  low: number;
  high: number;
  step: number;
  value: number;
  unit?: string;
  act: (value: number) => void;
}

export interface Slider {
  element: HTMLElement;
  set(value: number): void;
}

/** A slider that shows its value, and acts while it moves. */
export function slider(options: SliderOptions): Slider {
  const { low, high, step, unit = "" } = options;
  const input = h("input", { type: "range", min: low, max: high, step, "data-testid": options.testid });
  const output = h("output", { class: "value" });
  const show = (): void => {
    output.textContent = `${Number(input.value).toLocaleString("en-GB", { maximumFractionDigits: 3 })}${unit}`;
  };
  const set = (value: number): void => {
    input.value = String(value);
    show();
  };
  input.addEventListener("input", () => {
    show();
    options.act(Number(input.value));
  });
  set(options.value);
  const field = labelled(options.name, input);
  field.querySelector("label")?.append(" ", output);
  return { element: field, set };
}

/** A button; `pressed` makes it one that stays down. */
export function button(name: string, testid: string, act: () => void, attributes: Attributes = {}): HTMLButtonElement {
  return h("button", { type: "button", "data-testid": testid, onclick: () => act(), ...attributes }, name);
}

/** A button that acts once at a time: it waits until what it asked for has ended. */
export function acting(name: string, testid: string, act: () => Promise<unknown>, fail: (error: unknown) => void, attributes: Attributes = {}): HTMLButtonElement {
  const made = button(name, testid, () => {
    made.disabled = true;
    void act().catch(fail).finally(() => { made.disabled = false; });
  }, attributes);
  return made;
}

/** Whether what is entered is valid, which the page says; a field that is not asked for now is. */
export function entered(...inputs: readonly HTMLInputElement[]): boolean {
  return inputs.filter((input) => !input.closest("[hidden]")).every((input) => {
    const closed = input.closest<HTMLDetailsElement>("details:not([open])");
    if (closed && !input.checkValidity()) closed.open = true;
    return input.reportValidity();
  });
}

/** Propose values for a field: what a person has entered stays. */
export class Proposal {
  private last = "";

  constructor(private readonly field: HTMLInputElement) {}

  /** Propose a value in place of the one that was proposed before. */
  propose(value: string): void {
    if (this.field.value === this.last) this.field.value = value;
    this.last = value;
  }

  /** What the field holds has been used: the next proposal replaces it, unless something else is entered meanwhile. */
  used(value: string): void {
    this.last = value;
  }
}

/** A button with the key that does the same. */
export function keyed(name: string, key: string, testid: string, act: () => void, attributes: Attributes = {}): HTMLButtonElement {
  const made = button(name, testid, act, { "aria-keyshortcuts": key, ...attributes });
  made.append(" ", h("kbd", { "aria-hidden": "true" }, key));
  return made;
}

/** A check box with its name behind it. */
export function checkbox(name: string, testid: string, checked: boolean, act: (on: boolean) => void): HTMLElement {
  const input = h("input", { type: "checkbox", "data-testid": testid, checked });
  input.addEventListener("change", () => act(input.checked));
  return h("label", { class: "check" }, input, " ", name);
}

/** A choice of one among several, as [value, text]. */
export function choice(
  testid: string,
  options: readonly (readonly [string, string])[],
  value: string,
  act: (value: string) => void,
): HTMLSelectElement {
  const select = h("select", { "data-testid": testid });
  for (const [each, text] of options) select.append(h("option", { value: each, selected: each === value }, text));
  select.addEventListener("change", () => act(select.value));
  return select;
}
