// What a viewer shows: the volumes by role, the label, the trees, marked places.
import type { Tree, Vec3 } from "../api";
import type { Box } from "./display";
import type { Source } from "./source";

export type Role = "raw" | "probability";

/** How a tree looks. */
export interface TreeLook {
  colour: string;
  visible: boolean;
}

/** A tree as it is drawn: `at` holds z, y, x of every node in micrometres, `links` pairs of nodes. */
export interface DrawnTree extends TreeLook {
  id: number | string;
  at: Float32Array;
  links: Uint32Array;
  length: number;
}

export interface LabelOverlay {
  data: Uint8Array;
  box: Box;
  /** How often it has been painted on. */
  stamp: number;
}

export interface Mark {
  um: Vec3;
  colour: string;
  /** The radius of its ring, in pixels. */
  size?: number;
}

export interface Layers {
  /** The volume in whose voxels and micrometres all places are given: the one that was opened first. */
  base: Source | null;
  raw: Source | null;
  probability: Source | null;
  trees: DrawnTree[];
  /** The part of a tree that is chosen: it has a white border. */
  chosen: DrawnTree | null;
  label: LabelOverlay | null;
  marks: Mark[];
}

/** Make a tree ready for drawing, in white. */
export function drawn(tree: Tree): DrawnTree {
  const at = new Float32Array(tree.nodes.length * 3);
  tree.nodes.forEach(([x, y, z], k) => at.set([z, y, x], 3 * k));
  const links = tree.nodes.flatMap((node, k) => (node[4] >= 0 && node[4] < tree.nodes.length ? [k, node[4]] : []));
  return { id: tree.id, colour: "#ffffff", visible: true, at, links: Uint32Array.from(links), length: tree.length ?? 0 };
}

/** Part of a tree, ready to be drawn: the nodes of these places, each with the link to its parent. */
export function drawnPart(tree: Tree, part: readonly number[]): DrawnTree {
  const links = part.flatMap((k) => { const parent = tree.nodes[k]![4]; return parent >= 0 ? [k, parent] : []; });
  return { ...drawn(tree), links: Uint32Array.from(links) };
}

/** The extent of trees in micrometres zyx; null if there are none. */
export function extentOf(trees: readonly DrawnTree[]): { size: Vec3; middle: Vec3 } | null {
  const lo: Vec3 = [Infinity, Infinity, Infinity];
  const hi: Vec3 = [-Infinity, -Infinity, -Infinity];
  for (const { at } of trees)
    at.forEach((value, n) => {
      const axis = (n % 3) as 0 | 1 | 2;
      lo[axis] = Math.min(lo[axis], value);
      hi[axis] = Math.max(hi[axis], value);
    });
  if (!(hi[0] >= lo[0])) return null;
  return { size: [hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]], middle: [(lo[0] + hi[0]) / 2, (lo[1] + hi[1]) / 2, (lo[2] + hi[2]) / 2] };
}
