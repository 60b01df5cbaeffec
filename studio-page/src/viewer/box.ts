// Boxes as text, as the command line writes them: z0:z1, y0:y1, x0:x1.
import type { Box } from "./display";

export function boxText(box: Box): string {
  return ([0, 1, 2] as const).map((axis) => `${box.lo[axis]}:${box.hi[axis]}`).join(", ");
}

/** A box in one word, as orders and addresses name it. */
export function boxWord(box: Box): string {
  return boxText(box).replaceAll(" ", "");
}

/** Read "z0:z1, y0:y1, x0:x1"; null if it is not a box. */
export function parseBox(text: string): Box | null {
  const match = /^\s*(\d+):(\d+)\s*,\s*(\d+):(\d+)\s*,\s*(\d+):(\d+)\s*$/.exec(text);
  if (!match) return null;
  const [z0, z1, y0, y1, x0, x1] = match.slice(1).map(Number) as [number, number, number, number, number, number];
  return z0 < z1 && y0 < y1 && x0 < x1 ? { lo: [z0, y0, x0], hi: [z1, y1, x1] } : null;
}
