// Pictures for people to keep: the four views as PNG, a turn of the projection as a movie.
import { stemOf } from "../paths";
import type { Viewer } from "./viewer";

function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function fileName(viewer: Viewer, ending: string): string {
  const path = viewer.layers.base?.info.path ?? "neuroglow";
  return `${stemOf(path)}-${ending}`;
}

/** The four views on one canvas, at their places. */
async function compose(viewer: Viewer): Promise<HTMLCanvasElement> {
  const frame = viewer.element.getBoundingClientRect();
  const canvas = document.createElement("canvas");
  const ratio = Math.min(devicePixelRatio, 2);
  canvas.width = frame.width * ratio;
  canvas.height = frame.height * ratio;
  const paper = canvas.getContext("2d");
  const put = (image: CanvasImageSource, at: DOMRect): void =>
    paper?.drawImage(image, (at.left - frame.left) * ratio, (at.top - frame.top) * ratio, at.width * ratio, at.height * ratio);
  for (const view of viewer.slices) put(view.canvas, view.canvas.getBoundingClientRect());
  if (viewer.projection) put(await viewer.projection.picture(), viewer.projection.root.getBoundingClientRect());
  return canvas;
}

export async function savePicture(viewer: Viewer): Promise<void> {
  const canvas = await compose(viewer);
  if (viewer.closed) return;
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (!blob) throw new Error("The browser made no picture of the views.");
  save(blob, fileName(viewer, "views.png"));
}

const STEPS = 90;

/** Frames that stay at either end: a browser that is busy loses the first and the last ones. */
const STAY = 8;

/** Turn the projection once about the vertical, and record it. */
export async function saveMovie(viewer: Viewer): Promise<void> {
  const { projection } = viewer;
  if (!projection) throw new Error("There is no projection to record: it needs WebGL 2.");
  const type = ["video/webm;codecs=vp9", "video/webm"].find((each) => MediaRecorder.isTypeSupported(each));
  if (!type) throw new Error("This browser records no movies (webm).");
  const recorder = new MediaRecorder(projection.canvas.captureStream(), { mimeType: type, videoBitsPerSecond: 8e6 });
  const parts: Blob[] = [];
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  const stopped = new Promise((done) => recorder.addEventListener("stop", done));
  recorder.start();
  for (let n = -STAY; n < STEPS + STAY && !viewer.closed; n++) {
    projection.turn(n >= 0 && n < STEPS ? 360 / STEPS : 0);
    await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
  }
  recorder.stop();
  await stopped;
  if (viewer.closed) return;
  save(new Blob(parts, { type: "video/webm" }), fileName(viewer, "turn.webm"));
}
