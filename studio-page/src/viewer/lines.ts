// Lines of the projection: trees, the outline of a box, the crosshair.
import type { Vec3 } from "../api";
import type { Box } from "./display";
import type { DrawnTree, Mark } from "./layers";
import { vtkActor, vtkMapper, vtkPolyData } from "./vtk";

type Rgb = [number, number, number];

/** "#rrggbb" as three shares. */
export function rgb(colour: string): Rgb {
  const part = (from: number): number => Number.parseInt(colour.slice(from, from + 2), 16) / 255;
  return [part(1), part(3), part(5)];
}

/** Lines between points x, y, z. */
function lines(points: Float32Array, cells: Uint32Array, colour: string, width: number): vtkActor {
  const data = vtkPolyData.newInstance();
  data.getPoints().setData(points, 3);
  data.getLines().setData(cells);
  const mapper = vtkMapper.newInstance();
  mapper.setInputData(data);
  const actor = vtkActor.newInstance();
  actor.setMapper(mapper);
  const property = actor.getProperty();
  property.setColor(...rgb(colour));
  property.setLighting(false);
  property.setLineWidth(width);
  return actor;
}

/** A tree as lines. */
export function treeLines(tree: DrawnTree, width = 2): vtkActor {
  const points = new Float32Array(tree.at.length);
  for (let n = 0; n < tree.at.length; n += 3) points.set([tree.at[n + 2]!, tree.at[n + 1]!, tree.at[n]!], n);
  const cells = new Uint32Array((tree.links.length / 2) * 3);
  for (let n = 0; n < tree.links.length / 2; n++) cells.set([2, tree.links[2 * n]!, tree.links[2 * n + 1]!], 3 * n);
  return lines(points, cells, tree.colour, width);
}

/** Corners of a ring. */
const RING = 32;

const EDGES = [[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3], [4, 6], [5, 7], [0, 4], [1, 5], [2, 6], [3, 7]];

/** The outline of a box of voxels. */
export function boxLines(box: Box, voxel: Vec3, colour: string): vtkActor {
  const corner = (n: number): number[] => [2, 1, 0].map((axis, bit) => {
    const a = axis as 0 | 1 | 2;
    return (((n >> bit) & 1 ? box.hi[a] : box.lo[a]) - 0.5) * voxel[a];
  });
  const points = Float32Array.from(Array.from({ length: 8 }, (_, n) => corner(n)).flat());
  return lines(points, Uint32Array.from(EDGES.flatMap(([a, b]) => [2, a!, b!])), colour, 1);
}

/** A circle in each of the three planes around a place: a ring from wherever it is seen. */
export function ringLines(mark: Mark, radius: number): vtkActor {
  const points: number[] = [];
  const cells: number[] = [];
  for (const [right, down] of [[2, 1], [2, 0], [0, 1]] as const) {
    const first = points.length / 3;
    for (let n = 0; n < RING; n++) {
      const at: Vec3 = [...mark.um];
      at[right] += radius * Math.cos((2 * Math.PI * n) / RING);
      at[down] += radius * Math.sin((2 * Math.PI * n) / RING);
      points.push(at[2], at[1], at[0]);
      cells.push(2, first + n, first + ((n + 1) % RING));
    }
  }
  return lines(Float32Array.from(points), Uint32Array.from(cells), mark.colour, 2);
}

/** Three lines through the cursor, as long as the volume. */
export function crossLines(cursor: Vec3, size: Vec3): vtkActor {
  const points: number[] = [];
  for (const axis of [0, 1, 2] as const) {
    const from: Vec3 = [...cursor];
    const to: Vec3 = [...cursor];
    from[axis] = 0;
    to[axis] = size[axis];
    points.push(from[2], from[1], from[0], to[2], to[1], to[0]);
  }
  return lines(Float32Array.from(points), Uint32Array.from([2, 0, 1, 2, 2, 3, 2, 4, 5]), "#66ccff", 1);
}
