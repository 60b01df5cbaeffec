// The client of the working tools' routes: labels, checks, selections.
import { getJson, request, sendJson, type TreeNode, type Vec3 } from "./api";

const OCTETS = { "Content-Type": "application/octet-stream" };

export type Start = "background" | "ignore" | "prediction" | "label";

export interface SavedLabel {
  name: string;
  set: string;
  neurite_voxels: number;
}

export interface AnnotatedCube {
  name: string;
  source: string | null;
  box: string;
  split: string;
}

function query(values: Record<string, string>): string {
  return new URLSearchParams(values).toString();
}

async function bytes(response: Promise<Response>): Promise<Uint8Array> {
  return new Uint8Array(await (await response).arrayBuffer());
}

export const savedLabel = (path: string, box: string, training: string): Promise<Uint8Array> =>
  bytes(request(`api/label?${query({ path, box, training })}`));

export function startLabel(given: { path: string; box: string; start: Start; prediction: string; threshold: number }): Promise<Uint8Array> {
  return bytes(request("api/label/start", { method: "POST", body: JSON.stringify(given), headers: { "Content-Type": "application/json" } }));
}

export async function saveLabel(path: string, box: string, training: string, label: Uint8Array): Promise<SavedLabel> {
  const body = new Uint8Array(label);
  return (await request(`api/label?${query({ path, box, training })}`, { method: "PUT", body, headers: OCTETS })).json() as Promise<SavedLabel>;
}

export const annotations = (training: string, path = ""): Promise<{ set: string; cubes: AnnotatedCube[]; exported_label: boolean }> =>
  getJson("api/annotations", { training, path });

export type Decision = "accepted" | "rejected" | "noted";

export interface Place {
  name: string;
  kind: "bridge" | "crossing" | "faint" | "end" | "mark";
  /** x, y, z in micrometres. */
  at: Vec3;
  node: number;
  probability: number | null;
  said: string;
  decision: Decision | "open";
  note: string;
  there: boolean;
}

export interface CheckedTree {
  id: number;
  nodes: TreeNode[];
  ids: number[];
  length: number;
}

export interface CheckState {
  /** Names the trees as they are now; `before`: as they were when only those that differ are told. */
  token: string;
  before?: string;
  trees: CheckedTree[];
  gone: number[];
  path: string;
  /** Micrometres per unit of the trees, zyx. */
  scale: Vec3;
  /** Where the volume begins in the one of the trees, zyx, micrometres: not at 0 if it is a crop. */
  origin: Vec3;
  places: Place[];
  /** Places outside of the crop, which are not listed. */
  elsewhere: number;
  steps: number;
  undone: number;
}

export interface Edit {
  op: "cut" | "join" | "root" | "delete" | "drop" | "draw" | "move" | "type" | "radius" | "smooth" | "soma" | "reject_bridge";
  node?: number;
  other?: number;
  /** x, y, z in the unit of the trees. */
  at?: Vec3;
  kind?: number;
  radius?: number;
  bridge?: number;
  part?: "node" | "piece" | "branch" | "tree";
}

export interface Compared {
  only_this: CheckedTree[];
  only_other: CheckedTree[];
  other: CheckedTree[];
  length_this: number;
  length_other: number;
  tolerance: number;
  scores: Record<string, number | null>;
}

export const openCheck = (path: string, volume: string): Promise<CheckState> => getJson("api/check", { path, volume });
export const decide = (path: string, place: string, decision: Decision, note: string): Promise<CheckState> =>
  sendJson("POST", "api/check/decide", { path, place, decision, note });
export const takeStep = (path: string, edits: Edit[]): Promise<CheckState> => sendJson("POST", "api/check/step", { path, step: { edits } });
export const markPlace = (path: string, at: Vec3, note: string): Promise<CheckState> =>
  sendJson("POST", "api/check/step", { path, step: { mark: at, note } });
export const undoStep = (path: string): Promise<CheckState> => sendJson("POST", "api/check/undo", { path });
export const redoStep = (path: string): Promise<CheckState> => sendJson("POST", "api/check/redo", { path });
export const saveCheck = (path: string, out: string): Promise<{ trees: string; decisions: string }> =>
  sendJson("POST", "api/check/save", { path, out });
export const compareTraces = (path: string, other: string, tolerance: number): Promise<Compared> =>
  getJson("api/check/compare", { path, other, tolerance });

export interface Indicator {
  name: string;
  title: string;
  about: string;
}

export interface SurveyCube {
  name: string;
  image: string | null;
  box: string;
  split: string;
  chosen: boolean;
  reason: string;
  note: string;
  region: string;
  values: (number | null)[];
}

export interface Survey {
  path: string;
  indicators: Indicator[];
  cubes: SurveyCube[];
}

export interface Choice {
  name: string;
  reason: string;
}

export const survey = (path: string): Promise<Survey> => getJson("api/selection", { path });
export const saveSelection = (path: string, out: string, cubes: string, taken: Choice[], dropped: Choice[]): Promise<{ selection: string; cubes: { name: string; split: string }[] }> =>
  sendJson("POST", "api/selection", { path, out, export: cubes, taken, dropped });

/** The projection of a cube as an address of this page, to be revoked by the caller. */
export async function cubePicture(path: string, name: string): Promise<string> {
  const response = await request(`api/selection/picture?${query({ path, name })}`);
  return URL.createObjectURL(await response.blob());
}

export interface Grown extends CheckState {
  /** Nodes that were traced. */
  grown: number;
  /** Nodes at a face of the block, from which the line may go on. */
  open: number[];
  meets: boolean;
}

/** Trace the line through a place (x, y, z in micrometres of the volume), or on from a node. */
export function grow(path: string, probability: string, threshold: number, start: { at?: Vec3; node?: number }): Promise<Grown> {
  return sendJson("POST", "api/check/grow", { path, probability, threshold, ...start });
}

export interface FoundSoma {
  /** x, y, z in micrometres of the volume. */
  at: Vec3;
  radius: number;
  /** The node of a tree that lies in it. */
  node: number | null;
}

export async function findSomata(path: string, volume: string, radius: number, threshold: number, box: string): Promise<FoundSoma[]> {
  return (await getJson<{ somata: FoundSoma[] }>("api/check/somata", { path, volume, radius, threshold, box: box || undefined })).somata;
}

export const newTracing = (out: string, made_from: string[]): Promise<{ path: string }> => sendJson("POST", "api/check/new", { out, made_from });
