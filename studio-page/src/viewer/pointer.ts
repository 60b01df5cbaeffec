// The pointer over a slice: crosshair, planes, zoom, moving, a box, a brush.
import type { Vec3 } from "../api";
import type { Box, Display } from "./display";
import type { SliceView } from "./slice";
import type { PlaneName } from "./transform";

/** A place that was clicked or painted. */
export interface Pick {
  voxel: Vec3;
  um: Vec3;
  plane: PlaneName;
  event: PointerEvent;
}

/** A brush: while one is set, dragging paints instead of moving the crosshair. */
export interface Brush {
  /** Radius in micrometres, for the ring at the pointer. */
  radius: number;
  stroke: (pick: Pick, phase: "start" | "move" | "end") => void;
}

export interface Pointed {
  display: Display;
  voxelAt(um: Vec3): Vec3;
  voxelSize(): Vec3;
  brush: Brush | null;
  drawingBox: boolean;
  /** A box has been drawn. */
  boxDrawn(box: Box): void;
  picked(pick: Pick): void;
  focused(view: SliceView): void;
  planes(view: SliceView, by: number): void;
}

type Drag = (event: PointerEvent) => void;

/** Let a slice hear the pointer. */
export function attachPointer(view: SliceView, to: Pointed): void {
  const { canvas } = view;
  let drag: Drag | null = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    drag = begin(view, to, event);
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (to.brush) view.showRing({ x: event.offsetX, y: event.offsetY, radius: to.brush.radius });
    drag?.(event);
  });
  const end = (event: PointerEvent): void => {
    if (drag && to.brush) to.brush.stroke(pickAt(view, to, event), "end");
    drag = null;
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("pointerleave", () => view.showRing(null));
  canvas.addEventListener("wheel", (event) => wheel(view, to, event), { passive: false });
  canvas.addEventListener("focus", () => to.focused(view));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
}

function begin(view: SliceView, to: Pointed, event: PointerEvent): Drag {
  if (event.button === 1 || event.shiftKey) return pan(view, to, event);
  if (to.drawingBox) return drawBox(view, to, event);
  if (to.brush) return paint(view, to, event);
  const pick = pickAt(view, to, event);
  to.display.set({ cursor: pick.um });
  to.picked(pick);
  return (moved) => to.display.set({ cursor: pickAt(view, to, moved).um });
}

function pickAt(view: SliceView, to: Pointed, event: PointerEvent): Pick {
  const voxel = to.voxelAt(view.transform.um(event.offsetX, event.offsetY));
  const size = to.voxelSize();
  return { voxel, um: [voxel[0] * size[0], voxel[1] * size[1], voxel[2] * size[2]], plane: view.name, event };
}

function pan(view: SliceView, to: Pointed, start: PointerEvent): Drag {
  const { right, down } = view.axes;
  const from = to.display.state.centre;
  const transform = view.transform;
  return (event) => {
    const centre: Vec3 = [...from];
    centre[right] -= (event.clientX - start.clientX) / transform.per(right);
    centre[down] -= (event.clientY - start.clientY) / transform.per(down);
    to.display.set({ centre });
  };
}

function paint(view: SliceView, to: Pointed, event: PointerEvent): Drag {
  to.brush?.stroke(pickAt(view, to, event), "start");
  return (moved) => to.brush?.stroke(pickAt(view, to, moved), "move");
}

/** Draw a rectangle; along the normal the box keeps its last depth, or takes the whole. */
function drawBox(view: SliceView, to: Pointed, event: PointerEvent): Drag {
  const first = pickAt(view, to, event).voxel;
  const { normal } = view.axes;
  const before = to.display.state.box;
  const whole = to.voxelAt([1e12, 1e12, 1e12]);
  return (moved) => {
    const second = pickAt(view, to, moved).voxel;
    const lo = first.map((v, axis) => Math.min(v, second[axis as 0 | 1 | 2])) as Vec3;
    const hi = first.map((v, axis) => Math.max(v, second[axis as 0 | 1 | 2]) + 1) as Vec3;
    lo[normal] = before?.lo[normal] ?? 0;
    hi[normal] = before?.hi[normal] ?? whole[normal] + 1;
    to.boxDrawn({ lo, hi });
  };
}

function wheel(view: SliceView, to: Pointed, event: WheelEvent): void {
  event.preventDefault();
  if (!event.ctrlKey) return to.planes(view, Math.sign(event.deltaY));
  const by = Math.exp(event.deltaY / 400);
  const { right, down } = view.axes;
  const at = view.transform.um(event.offsetX, event.offsetY);
  const { centre, scale } = to.display.state;
  const moved: Vec3 = [...centre];
  for (const axis of [right, down]) moved[axis] = at[axis] + (centre[axis] - at[axis]) * by;
  to.display.set({ centre: moved, scale: scale * by });
}

