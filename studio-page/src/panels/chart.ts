// A scatter of cubes: two axes, a dot per cube, a rectangle that brushes.

export interface Dot {
  name: string;
  x: number | null;
  y: number | null;
}

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 760;
const HEIGHT = 520;
const LEFT = 62;
const BOTTOM = 44;
const PAD = 14;

type Point = [number, number];

function svg<K extends keyof SVGElementTagNameMap>(tag: K, attributes: Record<string, string | number>, text?: string): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

/** The least and the greatest of some numbers, and where an axis begins and ends: a little wider. */
interface Range {
  ticks: readonly number[];
  from: number;
  to: number;
}

function range(values: readonly number[]): Range {
  if (!values.length) return { ticks: [], from: 0, to: 1 };
  const low = Math.min(...values);
  const high = Math.max(...values);
  const margin = (high - low || Math.abs(high) || 1) * 0.05;
  return { ticks: low < high ? [low, high] : [low], from: low - margin, to: high + margin };
}

/** Where a value lies on the paper, across or up. */
const across = (value: number, { from, to }: Range): number => LEFT + ((value - from) / (to - from)) * (WIDTH - PAD - LEFT);
const up = (value: number, { from, to }: Range): number => HEIGHT - BOTTOM - ((value - from) / (to - from)) * (HEIGHT - BOTTOM - PAD);

export class Chart {
  readonly element = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "data-testid": "chart", role: "group" });
  private dots: (SVGCircleElement | null)[] = [];
  private at: (Point | null)[] = [];
  private readonly rectangle = svg("rect", { class: "brush", visibility: "hidden" });
  private from: Point | null = null;

  constructor(private readonly count: number, private readonly hear: (rows: readonly number[]) => void) {
    this.element.setAttribute("aria-label", `Scatter of ${count} cubes; a dot can be chosen with Enter`);
    this.element.addEventListener("pointerdown", (event) => this.begin(event));
    this.element.addEventListener("pointermove", (event) => this.move(event));
    this.element.addEventListener("pointerup", (event) => this.end(event));
  }

  draw(dots: readonly Dot[], names: readonly [string, string]): void {
    const x = range(dots.flatMap((dot) => (dot.x === null ? [] : [dot.x])));
    const y = range(dots.flatMap((dot) => (dot.y === null ? [] : [dot.y])));
    this.at = dots.map((dot) => (dot.x === null || dot.y === null ? null : [across(dot.x, x), up(dot.y, y)]));
    this.dots = this.at.map((at, n) => (at ? this.dot(at, dots[n]!.name, n) : null));
    const drawn = this.dots.filter((dot): dot is SVGCircleElement => dot !== null);
    const missing = this.count - drawn.length;
    this.element.replaceChildren(...this.axes(x, y, names), ...drawn, this.rectangle);
    if (missing) this.element.append(svg("text", { x: LEFT + 6, y: PAD + 12 }, `${missing} cubes lack one of the two`));
  }

  /** Show which cubes are taken, and which are brushed. */
  mark(taken: ReadonlyMap<string, string>, brushed: ReadonlySet<string>): void {
    for (const dot of this.dots) {
      const name = dot?.dataset.name ?? "";
      dot?.classList.toggle("taken", taken.has(name));
      dot?.classList.toggle("brushed", brushed.has(name));
    }
  }

  clear(): void {
    this.rectangle.setAttribute("visibility", "hidden");
    this.hear([]);
  }

  private dot(at: Point, name: string, n: number): SVGCircleElement {
    const dot = svg("circle", { class: "dot", cx: at[0], cy: at[1], r: 5, tabindex: 0, role: "button", "aria-label": name, "data-name": name, "data-testid": `dot-${name}` });
    dot.append(svg("title", {}, name));
    dot.addEventListener("keydown", (event) => { if (event.key === "Enter") this.hear([n]); });
    return dot;
  }

  private axes(x: Range, y: Range, names: readonly [string, string]): SVGElement[] {
    const floor = HEIGHT - BOTTOM;
    const say = (value: number): string => Number(value.toPrecision(3)).toString();
    return [
      svg("line", { class: "axis", x1: LEFT, y1: floor, x2: WIDTH - PAD, y2: floor }),
      svg("line", { class: "axis", x1: LEFT, y1: PAD, x2: LEFT, y2: floor }),
      ...x.ticks.map((value) => svg("text", { x: across(value, x), y: floor + 16, "text-anchor": "middle" }, say(value))),
      ...y.ticks.map((value) => svg("text", { x: LEFT - 6, y: up(value, y) + 4, "text-anchor": "end" }, say(value))),
      svg("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, names[0]),
      svg("text", { x: 14, y: floor / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${floor / 2})` }, names[1]),
    ];
  }

  private place(event: PointerEvent): Point {
    const matrix = this.element.getScreenCTM()!.inverse();
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix);
    return [x, y];
  }

  private begin(event: PointerEvent): void {
    this.from = this.place(event);
    this.element.setPointerCapture(event.pointerId);
  }

  private move(event: PointerEvent): void {
    if (!this.from) return;
    const [low, high] = this.corners(event);
    const given = { x: low[0], y: low[1], width: high[0] - low[0], height: high[1] - low[1], visibility: "visible" };
    for (const [name, value] of Object.entries(given)) this.rectangle.setAttribute(name, String(value));
  }

  private end(event: PointerEvent): void {
    if (!this.from) return;
    const [low, high] = this.corners(event);
    const clicked = high[0] - low[0] < 4 && high[1] - low[1] < 4;
    const reach = clicked ? 8 : 0;
    this.from = null;
    if (clicked) this.rectangle.setAttribute("visibility", "hidden");
    const inside = ([x, y]: Point): boolean => x >= low[0] - reach && x <= high[0] + reach && y >= low[1] - reach && y <= high[1] + reach;
    this.hear(this.at.flatMap((at, n) => (at && inside(at) ? [n] : [])));
  }

  private corners(event: PointerEvent): [Point, Point] {
    const to = this.place(event);
    const from = this.from ?? to;
    return [[Math.min(from[0], to[0]), Math.min(from[1], to[1])], [Math.max(from[0], to[0]), Math.max(from[1], to[1])]];
  }
}
