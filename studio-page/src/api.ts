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
  /** The output of a run that has not finished. */
  growing?: boolean;
  /** Whether its voxel size was given by a person, in the studio. */
  voxel_size_given?: boolean;
  /** What the values of a label mean, where its record says so. */
  legend?: string | null;
  /** Why it cannot be opened. */
  error?: string | null;
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
  growing?: boolean;
  /** Changes with the voxels. */
  revision?: string;
  /** The voxel, zyx, at which it begins in the volume that it is shown over. */
  shift?: Vec3;
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

export interface Part {
  input: string;
  output: string;
  state: "waiting" | "running" | "stopped" | "failed" | "done";
  progress: number;
}

export interface Job {
  id: string;
  verb: string;
  state: JobState;
  /** What it is at, in words. */
  work: string;
  progress: number;
  done: number;
  total: number | null;
  unit: string;
  /** Units a second. */
  rate: number;
  remaining_s: number | null;
  output: string;
  /** Changes with the voxels of the output; null while there are none. */
  revision: string | null;
  /** Of a job on several volumes: how each of them stands. */
  parts?: Part[];
  order: Record<string, unknown>;
  command: string;
  ordered: number;
  can_resume: boolean;
  log: string;
}

const SILENT = "The studio's server does not answer.";

/** What went wrong, as the server says it: the rule, what was found, where, and the cure. */
export class ApiError extends Error {
  /** Whether something was to be done, not only read. */
  acted = false;

  constructor(
    readonly status: number,
    readonly rule: string,
    readonly found = "",
    readonly where = "",
    readonly cure = "",
  ) {
    super([rule, found, where, cure].filter(Boolean).join(" "));
  }

  /** Whether the server did not answer at all. */
  get silent(): boolean {
    return this.rule === SILENT;
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

/** The error of a server that is not there. */
export function lost(): ApiError {
  return new ApiError(0, SILENT, "", "",
    "Start `neuroglow studio` again and open the address that it prints. Jobs go on meanwhile.");
}

/** Fetch from the server; an answer that is not a success becomes an ApiError. */
export async function request(address: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(address, authorised(init)).catch(() => null);
  if (response?.ok) return response;
  const error = response ? await asError(response) : lost();
  error.acted = Boolean(init.method);
  throw error;
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

export const folder = (path = ""): Promise<{ root: string; items: Item[]; more?: number }> => getJson("api/folder", { path });
/** A volume; with the place at which it lies over another. */
export const volume = (path: string, over?: string): Promise<VolumeInfo> => getJson("api/volume", { path, over });
/** Trees, in micrometres of a volume. */
export const trees = (path: string, volume?: string): Promise<Trees> => getJson("api/trees", { path, volume });
export const models = async (): Promise<Model[]> => (await getJson<{ models: Model[] }>("api/models")).models;
export const jobs = async (): Promise<Job[]> => (await getJson<{ jobs: Job[] }>("api/jobs")).jobs;
export const job = (id: string): Promise<Job> => getJson(`api/jobs/${id}`);
export const startJob = (verb: string, options: Record<string, unknown>): Promise<Job> =>
  sendJson("POST", "api/jobs", { verb, ...options });
export const cancelJob = (id: string): Promise<unknown> => sendJson("POST", `api/jobs/${id}/cancel`, {});
export const resumeJob = (id: string): Promise<unknown> => sendJson("POST", `api/jobs/${id}/resume`, {});
export const setVoxelSize = (path: string, voxel_size: Vec3): Promise<unknown> =>
  sendJson("POST", "api/volume/voxel-size", { path, voxel_size });

/** An address that opens a report once, without the token in it. */
export async function ticket(path: string): Promise<string> {
  return (await sendJson<{ url: string }>("POST", "api/tickets", { path })).url;
}

/** Send a file into a folder, telling how much of it has gone; returns its path. */
export function upload(path: string, file: File, tell: (share: number) => void): Promise<string> {
  const sending = new XMLHttpRequest();
  sending.open("POST", withQuery("api/upload", { path, name: file.name }));
  sending.setRequestHeader("Authorization", `Bearer ${sessionStorage.getItem(TOKEN) ?? ""}`);
  sending.upload.addEventListener("progress", (event) => tell(event.loaded / Math.max(1, event.total)));
  return new Promise((done, refuse) => {
    const failed = (error: ApiError): void => {
      error.acted = true;
      refuse(error);
    };
    sending.addEventListener("error", () => failed(new ApiError(0, "The upload was interrupted.", "", file.name, "Drop the file again.")));
    sending.addEventListener("load", () => {
      if (sending.status < 300) done((JSON.parse(sending.responseText) as { path: string }).path);
      else void asError(new Response(sending.responseText, { status: sending.status })).then(failed);
    });
    sending.send(file);
  });
}

/** The thumbnail as an address of this page, to be revoked by the caller. */
export async function thumbnail(path: string): Promise<string> {
  const response = await request(withQuery("api/thumbnail", { path }));
  return URL.createObjectURL(await response.blob());
}

/** One piece of a volume's virtual OME-Zarr; an error if the volume is gone, or no longer the one of this revision (409). */
export async function zarrPiece(path: string, key: string, rev = ""): Promise<Uint8Array> {
  const address = `zarr/${path.split("/").map(encodeURIComponent).join("/")}${key}`;
  const response = await request(withQuery(address, { rev: rev || undefined }));
  return new Uint8Array(await response.arrayBuffer());
}
