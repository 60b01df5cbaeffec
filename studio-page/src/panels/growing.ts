// Tracing within Check: from a click, then on over the next block, or all the way; a reload loses nothing.
import type { Vec3 } from "../api";
import { button, fill, h } from "../dom";
import { type CheckState, grow, type Grown } from "../tools";

const MOST_BLOCKS = 200;

export interface Growing {
  element: HTMLElement;
  /** Trace the line through a place, or on from a node. */
  from: (start: { at?: Vec3; node?: number }) => void;
}

interface Bench {
  path: string;
  probability: string;
  threshold: () => number;
  change: <State extends CheckState>(act: () => Promise<State>) => Promise<State>;
  chosen: () => number | null;
  fail: (error: unknown) => void;
}

/** The part of the bench that traces, by changes that wait for those before them. */
export function growing(bench: Bench): Growing {
  const told = h("p", { role: "status", "data-testid": "grown" }, "Choose Trace above, then click a neurite that has no tree yet.");
  const row = h("div", { class: "row" });
  let open: number[] = [];
  let busy = false;
  let stop = false;

  const once = async (start: { at?: Vec3; node?: number }): Promise<Grown> => {
    const threshold = bench.threshold();
    const found = await bench.change(() => grow(bench.path, bench.probability, threshold, start));
    open = [...open.filter((node) => node !== start.node), ...found.open];
    const meets = found.meets ? " It met another tree." : "";
    told.textContent = `${found.grown} nodes traced.${meets} ${open.length ? `${open.length} open end${open.length === 1 ? "" : "s"} at the block's faces.` : "No end is left at a block's face."}`;
    return found;
  };
  const alone = async (act: () => Promise<unknown>): Promise<void> => {
    if (busy) return;
    busy = true;
    stop = false;
    show();
    try {
      await act();
    } catch (error) {
      bench.fail(error);
    } finally {
      busy = false;
      show();
    }
  };
  /** Go on from an open end; one behind which nothing is left is done with. */
  const next = async (): Promise<void> => {
    const node = open[0];
    if (node === undefined) return;
    await once({ node }).catch((error: unknown) => {
      open = open.filter((each) => each !== node);
      if (!open.length) throw error;
    });
  };
  const all = async (): Promise<void> => {
    for (let n = 0; open.length && !stop && n < MOST_BLOCKS; n++) await next();
  };
  const show = (): void => fill(row,
    button("Next block", "grow-next", () => void alone(next), { disabled: busy || !open.length }),
    button("All the way", "grow-all", () => void alone(all), { disabled: busy || !open.length }),
    busy ? button("Stop", "grow-stop", () => { stop = true; }) : null,
    button("On from the chosen node", "grow-node", () => {
      const node = bench.chosen();
      if (node === null) bench.fail(new Error("Choose the end of a tree first: click near it."));
      else void alone(() => once({ node }));
    }, { disabled: busy }));
  show();
  const element = h("div", { "data-testid": "growing" }, h("h2", {}, "Trace from a click"), told, row);
  return { element, from: (start) => void alone(() => once(start)) };
}
