// Values become colours: the image in noise units, the probability in orange above its threshold.
import type { VolumeInfo } from "../api";
import type { DisplayState } from "./display";

export const PROBABILITY_RGB = [255, 158, 27] as const;
export const LABEL_RGBA = [[0, 0, 0, 0], [64, 224, 96, 150], [230, 80, 200, 120]] as const;
const TREE_COLOURS = ["#4cc9f0", "#f72585", "#80ed99", "#ffd166", "#b388ff", "#ff7b54", "#5eead4", "#fca5f1"];

export function treeColour(n: number): string {
  return TREE_COLOURS[n % TREE_COLOURS.length] ?? "#4cc9f0";
}

/** A function from grey levels to 0..255 on the screen, in noise units of the volume. */
export function toShade(info: VolumeInfo, state: DisplayState): (value: number) => number {
  const background = info.background ?? info.low ?? 0;
  const noise = info.noise || ((info.high ?? 1) - (info.low ?? 0)) / 20 || 1;
  const curve = state.compress ? Math.asinh : (x: number): number => x;
  const low = curve(state.low);
  const span = Math.max(curve(state.high) - low, 1e-6);
  const shade = (value: number): number => Math.min(255, Math.max(0, (255 * (curve((value - background) / noise) - low)) / span));
  if (info.dtype !== "uint8" && info.dtype !== "uint16") return shade;
  const table = Uint8Array.from({ length: info.dtype === "uint8" ? 256 : 65536 }, (_, value) => shade(value));
  return (value) => table[value]!;
}

/** Grey pixels of an image's plane; what has not come is transparent. */
export function grey(values: Float32Array, shade: (value: number) => number, out: Uint8ClampedArray): void {
  for (let n = 0; n < values.length; n++) {
    const value = values[n]!;
    if (Number.isNaN(value)) continue;
    out[4 * n] = out[4 * n + 1] = out[4 * n + 2] = shade(value);
    out[4 * n + 3] = 255;
  }
}

/** Pixels of a probability: as opaque as it is probable, and only from the threshold on. */
export function glow(values: Float32Array, full: number, state: DisplayState, out: Uint8ClampedArray): void {
  for (let n = 0; n < values.length; n++) {
    const probability = values[n]! / full;
    if (!(probability >= state.threshold) || probability <= 0) continue;
    out[4 * n] = PROBABILITY_RGB[0];
    out[4 * n + 1] = PROBABILITY_RGB[1];
    out[4 * n + 2] = PROBABILITY_RGB[2];
    out[4 * n + 3] = state.binary ? 255 : 255 * probability;
  }
}
