// Look: a volume, its probability and its trees in the viewer, with the controls beside it.
import { setVoxelSize, type Vec3 } from "../api";
import type { Context, Mount } from "../context";
import { acting, button, fill, h } from "../dom";
import { bindKeys } from "../shortcuts";
import { controls } from "../viewer/controls";
import { saveMovie, savePicture } from "../viewer/pictures";
import { rememberView, restoreView } from "../viewer/address";
import { Viewer } from "../viewer/viewer";
import { choosers } from "./choosers";

export const mount: Mount = (root, context) => {
  const { params } = context;
  if (!["volume", "probability", "trees"].some((role) => params.get(role))) return nothing(root, context);
  const place = h("div", { class: "stage" });
  const side = h("aside", { class: "side", "aria-label": "Display" });
  const ask = h("div");
  fill(root, h("h1", { class: "hidden" }, "Look"), place, side);
  const viewer = new Viewer(place, context);
  const files = h("div");
  fill(side, ask, files, tools(viewer, context), controls(viewer));
  restoreView(viewer, params);
  void open(viewer, context, ask);
  void choosers(context, params.get("volume") ?? params.get("probability") ?? params.get("trees") ?? "").then((element) => files.append(element), context.fail);
  const unbind = keys(viewer, context);
  return () => {
    unbind();
    viewer.close();
  };
};

function nothing(root: HTMLElement, context: Context): () => void {
  fill(root, h("div", { class: "empty", "data-testid": "empty" }, h("h1", {}, "Nothing chosen to look at"),
    h("p", {}, "Choose a volume, a probability or trees in the folder."),
    button("Browse the folder", "to-browse", () => context.go("browse"))));
  return () => undefined;
}

async function open(viewer: Viewer, context: Context, ask: HTMLElement): Promise<void> {
  const { params } = context;
  try {
    const raw = params.get("volume");
    const probability = params.get("probability");
    const trees = params.get("trees");
    const first = raw ? await viewer.setVolume(raw, "raw") : null;
    if (first && !first.info.voxel_size) fill(ask, voxelSizeForm(viewer, context, first.info.path));
    if (probability) await viewer.setVolume(probability, "probability");
    if (trees) await viewer.setTrees(trees);
    rememberView(viewer, context);
  } catch (error) {
    context.fail(error);
  }
}

/** Ask for the voxel size of a file that states none. */
function voxelSizeForm(viewer: Viewer, context: Context, path: string): HTMLElement {
  const inputs = ["z", "y", "x"].map((axis) =>
    h("input", { type: "number", min: 0.001, step: "any", required: true, value: 1, "data-testid": `voxel-${axis}`, "aria-label": `Voxel size ${axis}, µm` }));
  const form = h("form", { class: "ask", "data-testid": "voxel-size" },
    h("p", {}, "This file states no voxel size. Lengths and the shape of the views depend on it."),
    h("p", { class: "soft" }, "Voxel size z, y, x in µm"), h("div", { class: "three" }, ...inputs),
    h("button", { type: "submit", "data-testid": "voxel-size-set" }, "Use it"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const size = inputs.map((input) => input.valueAsNumber) as Vec3;
    void setVoxelSize(path, size).then(async () => {
      await viewer.refresh("raw");
      viewer.showWhole();
      form.remove();
      context.succeed(`Voxel size ${size.join(" × ")} µm`);
    }).catch(context.fail);
  });
  return form;
}

function tools(viewer: Viewer, context: Context): HTMLElement {
  const movie = acting("Movie of a turn", "movie", () => saveMovie(viewer).then(() => context.succeed("The movie is saved.")), context.fail);
  const enhance = button("Enhance", "to-enhance", () => {
    const volume = context.params.get("volume");
    context.go("enhance", volume ? { volume } : {});
  });
  return h("div", { class: "row tools" }, button("Whole volume", "show-whole", () => viewer.showWhole()),
    button("Picture", "picture", () => void savePicture(viewer).catch(context.fail)), movie, enhance);
}

function keys(viewer: Viewer, context: Context): () => void {
  const { display } = viewer;
  const toggle = (key: "binary" | "showRaw" | "showProbability" | "showTrees") => () => display.set({ [key]: !display.state[key] });
  return bindKeys("Look", {
    "[": () => viewer.setThreshold(display.state.threshold - 0.02),
    "]": () => viewer.setThreshold(display.state.threshold + 0.02),
    b: toggle("binary"), "1": toggle("showRaw"), "2": toggle("showProbability"), "3": toggle("showTrees"),
    ArrowUp: () => viewer.step(1), ArrowDown: () => viewer.step(-1),
    "+": () => viewer.zoom(1.25), "-": () => viewer.zoom(1 / 1.25), "0": () => viewer.showWhole(),
    x: () => document.querySelector<HTMLElement>("[data-testid=draw-box]")?.click(),
    p: () => void savePicture(viewer).catch(context.fail),
  });
}

