// What is drawn over the pixels of a slice: trees, marks, box, crosshair, scale bar.
import type { Vec3 } from "../api";
import type { Box } from "./display";
import type { DrawnTree, Mark } from "./layers";
import type { Transform } from "./transform";

type Paper = CanvasRenderingContext2D;

/** Draw the links of trees that lie within `reach` micrometres of the slice. */
export function drawTrees(paper: Paper, trees: readonly DrawnTree[], transform: Transform, reach: number, width = 1.6): void {
  paper.lineWidth = width;
  paper.lineCap = "round";
  for (const tree of trees) {
    if (!tree.visible) continue;
    paper.strokeStyle = tree.colour;
    paper.beginPath();
    for (let k = 0; k < tree.links.length; k += 2)
      drawLink(paper, transform, tree.at, [tree.links[k]!, tree.links[k + 1]!], reach);
    paper.stroke();
  }
}

function drawLink(paper: Paper, transform: Transform, at: Float32Array, [a, b]: [number, number], reach: number): void {
  const { normal, right, down } = transform.axes;
  const here = transform.state.cursor[normal];
  if (Math.min(at[3 * a + normal]!, at[3 * b + normal]!) > here + reach) return;
  if (Math.max(at[3 * a + normal]!, at[3 * b + normal]!) < here - reach) return;
  paper.moveTo(transform.x(at[3 * a + right]!), transform.y(at[3 * a + down]!));
  paper.lineTo(transform.x(at[3 * b + right]!), transform.y(at[3 * b + down]!));
}

/** Ring the marked places; fainter if they lie off the slice. */
export function drawMarks(paper: Paper, marks: readonly Mark[], transform: Transform, reach: number): void {
  const { normal, right, down } = transform.axes;
  paper.lineWidth = 2;
  for (const mark of marks) {
    const off = Math.abs(mark.um[normal] - transform.state.cursor[normal]);
    if (off > 4 * reach) continue;
    paper.globalAlpha = off <= reach ? 1 : 0.35;
    paper.strokeStyle = mark.colour;
    paper.beginPath();
    paper.arc(transform.x(mark.um[right]), transform.y(mark.um[down]), mark.size ?? 9, 0, 2 * Math.PI);
    paper.stroke();
  }
  paper.globalAlpha = 1;
}

/** A ring around the pointer: what a brush would paint; its radius in micrometres. */
export interface Ring {
  x: number;
  y: number;
  radius: number;
}

/** Show the size of a brush; an ellipse where the depth is stretched. */
export function drawRing(paper: Paper, ring: Ring, transform: Transform): void {
  const { right, down } = transform.axes;
  paper.strokeStyle = "rgba(255, 255, 255, 0.9)";
  paper.lineWidth = 1.5;
  paper.beginPath();
  paper.ellipse(ring.x, ring.y, ring.radius * transform.per(right), ring.radius * transform.per(down), 0, 0, 2 * Math.PI);
  paper.stroke();
}

/** Outline a box of voxels. */
export function drawBox(paper: Paper, box: Box, voxel: Vec3, transform: Transform): void {
  const { right, down } = transform.axes;
  const x0 = transform.x((box.lo[right] - 0.5) * voxel[right]);
  const y0 = transform.y((box.lo[down] - 0.5) * voxel[down]);
  const x1 = transform.x((box.hi[right] - 0.5) * voxel[right]);
  const y1 = transform.y((box.hi[down] - 0.5) * voxel[down]);
  paper.strokeStyle = "#ffe14d";
  paper.lineWidth = 1.5;
  paper.setLineDash([6, 4]);
  paper.strokeRect(x0, y0, x1 - x0, y1 - y0);
  paper.setLineDash([]);
}

/** Draw the crosshair with a gap at its middle, so that it hides nothing. */
export function drawCrosshair(paper: Paper, transform: Transform): void {
  const x = Math.round(transform.x(transform.state.cursor[transform.axes.right])) + 0.5;
  const y = Math.round(transform.y(transform.state.cursor[transform.axes.down])) + 0.5;
  paper.strokeStyle = "rgba(102, 204, 255, 0.75)";
  paper.lineWidth = 1;
  paper.beginPath();
  for (const [x0, y0, x1, y1] of [[0, y, x - 8, y], [x + 8, y, transform.width, y], [x, 0, x, y - 8], [x, y + 8, x, transform.height]] as const) {
    paper.moveTo(x0, y0);
    paper.lineTo(x1, y1);
  }
  paper.stroke();
}

/** A round length that fits into so many pixels: 1, 2 or 5 times a power of ten. */
export function roundLength(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most));
  return (most >= 5 * power ? 5 : most >= 2 * power ? 2 : 1) * power;
}

/** Draw a scale bar at the lower left. */
export function drawScaleBar(paper: Paper, transform: Transform, unit: string): void {
  const per = transform.per(transform.axes.right);
  const length = roundLength((transform.width * 0.3) / per);
  const y = transform.height - 12;
  paper.fillStyle = "rgba(0, 0, 0, 0.55)";
  paper.fillRect(6, y - 18, Math.max(length * per, 44) + 12, 26);
  paper.fillStyle = "#ffffff";
  paper.fillRect(12, y, length * per, 3);
  paper.font = "12px system-ui, sans-serif";
  paper.fillText(`${length} ${unit}`, 12, y - 4);
}
