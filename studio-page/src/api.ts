// The client of the studio's server: every request carries the token, every failure its four parts.

export type Vec3 = [number, number, number];

export type Kind =
  | "volume" | "probability" | "label" | "trees" | "model" | "run" | "selection"
  | "survey" | "report" | "cube" | "job" | "folder";

export interface Item {
  path: string;
  name: string;
  kind: Kind;
  shape?: number[] | null;
  voxel_size?: Vec3 | null;
  dtype?: string | null;
  bytes?: number | null;
  modified?: number | string | null;
  belongs_to?: string[];
  title?: string | null;
}

export interface Level {
  shape: Vec3;
  scale: Vec3;
}

export interface VolumeInfo {
  path: string;
  kind: Kind;
  shape: Vec3;
  voxel_size: Vec3 | null;
  dtype: string;
  levels: Level[];
  background: number | null;
  noise: number | null;
  low: number | null;
  high: number | null;
  threshold: number | null;
}

/** One node of a tree: x, y, z, radius in micrometres; index of its parent (-1: none); SWC type. */
export type TreeNode = [number, number, number, number, number, number];

export interface Tree {
  id: number | string;
  nodes: TreeNode[];
  length?: number;
}

export interface Trees {
  trees: Tree[];
  voxel_size: Vec3 | null;
}

export interface Model {
  name: string;
  title?: string | null;
  path?: string | null;
  threshold?: number | null;
  bundled?: boolean;
}

export type JobState = "waiting" | "running" | "done" | "failed" | "cancelled" | "lost";

export interface Job {
  id: string;
  verb: string;
  state: JobState;
  progress: number | null;
  rate: number | string | null;
  remaining_s: number | null;
  log: string | string[];
  output: string | null;
  command: string | string[];
}

/** What went wrong, as the server says it: the rule, what was found, where, and the cure. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly rule: string,
    readonly found = "",
    readonly where = "",
    readonly cure = "",
  ) {
    super([rule, found, where, cure].filter(Boolean).join(" "));
  }
}

const TOKEN = "neuroglow-token";

/** Take the token out of the address (and out of its history), and keep it for this tab. */
export function takeToken(): void {
  const match = /[#&?]token=([^&]+)/.exec(location.hash);
  if (!match?.[1]) return;
  sessionStorage.setItem(TOKEN, decodeURIComponent(match[1]));
  const rest = location.hash.replace(match[0], "").replace(/^#?&?/, "");
  history.replaceState(null, "", `${location.pathname}${rest ? `#${rest}` : "#/browse"}`);
}

function authorised(init: RequestInit): RequestInit {
  const headers = new Headers(init.headers);
  headers.set("Authorization", `Bearer ${sessionStorage.getItem(TOKEN) ?? ""}`);
  return { ...init, headers };
}

async function asError(response: Response): Promise<ApiError> {
  if (response.status === 401)
    return new ApiError(401, "The studio needs the token of its address.", "It is missing or wrong.", "",
      "Open the address that `neuroglow studio` printed.");
  const body: unknown = await response.json().catch(() => null);
  const error = (body as { error?: Partial<ApiError> } | null)?.error;
  if (!error) return new ApiError(response.status, `The server answered ${response.status}.`);
  return new ApiError(response.status, error.rule ?? "", error.found ?? "", error.where ?? "", error.cure ?? "");
}

/** Fetch from the server; an answer that is not a success becomes an ApiError. */
export async function request(address: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(address, authorised(init)).catch((error: unknown) => {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, "The studio's server does not answer.", "", "",
      "Start `neuroglow studio` again and open the address that it prints.");
  });
  if (!response.ok) throw await asError(response);
  return response;
}

type Query = Record<string, string | number | undefined>;

function withQuery(address: string, query: Query): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined);
  const search = new URLSearchParams(pairs.map(([key, value]) => [key, String(value)]));
  return search.size ? `${address}?${search}` : address;
}

export async function getJson<T>(address: string, query: Query = {}): Promise<T> {
  return (await request(withQuery(address, query))).json() as Promise<T>;
}

export async function sendJson<T>(method: "POST" | "PUT", address: string, body: unknown): Promise<T> {
  const init = { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  return (await request(address, init)).json() as Promise<T>;
}

export const folder = (path = ""): Promise<{ items: Item[] }> => getJson("api/folder", { path });
export const volume = (path: string): Promise<VolumeInfo> => getJson("api/volume", { path });
export const trees = (path: string): Promise<Trees> => getJson("api/trees", { path });
export const models = (): Promise<Model[]> => getJson("api/models");
export const jobs = (): Promise<Job[]> => getJson("api/jobs");
export const job = (id: string): Promise<Job> => getJson(`api/jobs/${id}`);
export const startJob = (verb: string, options: Record<string, unknown>): Promise<{ id: string }> =>
  sendJson("POST", "api/jobs", { verb, ...options });
export const cancelJob = (id: string): Promise<unknown> => sendJson("POST", `api/jobs/${id}/cancel`, {});
export const resumeJob = (id: string): Promise<unknown> => sendJson("POST", `api/jobs/${id}/resume`, {});
export const setVoxelSize = (path: string, voxel_size: Vec3): Promise<unknown> =>
  sendJson("POST", "api/volume/voxel-size", { path, voxel_size });

export async function report(path: string): Promise<string> {
  return (await request(withQuery("api/report", { path }))).text();
}

/** The thumbnail as an address of this page, to be revoked by the caller. */
export async function thumbnail(path: string): Promise<string> {
  const response = await request(withQuery("api/thumbnail", { path }));
  return URL.createObjectURL(await response.blob());
}

/** One piece of a volume's virtual OME-Zarr; undefined where it holds nothing. */
export async function zarrPiece(path: string, key: string, rev = 0): Promise<Uint8Array | undefined> {
  const address = `zarr/${path.split("/").map(encodeURIComponent).join("/")}${key}`;
  try {
    const response = await request(withQuery(address, { rev: rev || undefined }));
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}
