// Parts of a tree, as an edit acts on them: a node, its stretch, its branch, the whole.
import type { Edit } from "../tools";
import type { TreeNode } from "../api";

/** The places of the nodes of a part, among the nodes of a tree; k: the place of the chosen one. */
export function partOf(nodes: readonly TreeNode[], k: number, part: NonNullable<Edit["part"]>): number[] {
  if (part === "node") return [k];
  if (part === "tree") return nodes.map((_, n) => n);
  const children = childrenOf(nodes);
  return part === "branch" ? beyond(children, k) : stretch(nodes, children, k);
}

function childrenOf(nodes: readonly TreeNode[]): number[][] {
  const children: number[][] = nodes.map(() => []);
  nodes.forEach((node, n) => { if (node[4] >= 0) children[node[4]]!.push(n); });
  return children;
}

/** A node and all beyond it. */
function beyond(children: readonly number[][], k: number): number[] {
  const found = [k];
  for (let n = 0; n < found.length; n++) found.push(...children[found[n]!]!);
  return found;
}

/** The stretch of a node, without the branch point that it starts from. */
function stretch(nodes: readonly TreeNode[], children: readonly number[][], k: number): number[] {
  const found = [k];
  for (let up = nodes[k]![4]; up >= 0 && children[up]!.length === 1; up = nodes[up]![4]) found.unshift(up);
  for (let down = children[k]!; down.length === 1; down = children[down[0]!]!) found.push(down[0]!);
  return found;
}
