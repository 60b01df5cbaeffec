// A volume in the projection: a sub-box at one level as bytes, its maximum along each ray, coloured.
import type { Vec3 } from "../api";
import { LABEL_RGBA, PROBABILITY_RGB } from "./colour";
import type { Box, DisplayState } from "./display";
import type { LabelOverlay, Layers, Role } from "./layers";
import { extent, type Source } from "./source";
import { edge } from "./transform";
import { vtkColorTransferFunction, vtkDataArray, vtkImageData, vtkPiecewiseFunction, type vtkRenderer, vtkVolume, vtkVolumeMapper } from "./vtk";

/** Bytes of the image stand for asinh of noise units from LOW to HIGH. */
const LOW = Math.asinh(-3);
const HIGH = Math.asinh(3000);

export const MOST_VOXELS = 2 ** 24;

/** The finest level at which a box of level 0 has few enough voxels; or the level asked for. */
export function levelFor(source: Source, box: Box | null, wish: number | null): number {
  const last = source.levels.length - 1;
  if (wish !== null) return Math.min(wish, last);
  for (let n = 0; n < last; n++) if (count(atLevel(source, box, n)) <= MOST_VOXELS / 4) return n;
  return last;
}

function count(box: Box): number {
  const size = extent(box);
  return size[0] * size[1] * size[2];
}

/** A box, in voxels of what a volume is shown over, in voxels of a level of it; empty where they do not meet. */
export function atLevel(source: Source, box: Box | null, n: number): Box {
  const { shape, factor } = source.level(n);
  if (!box) return { lo: [0, 0, 0], hi: shape };
  const shift = source.info.shift ?? [0, 0, 0];
  const lo = (axis: 0 | 1 | 2): number => Math.min(shape[axis], Math.max(0, Math.floor((box.lo[axis] - shift[axis]) / factor[axis])));
  const hi = (axis: 0 | 1 | 2): number => Math.max(lo(axis), Math.min(shape[axis], Math.ceil((box.hi[axis] - shift[axis]) / factor[axis])));
  return { lo: [lo(0), lo(1), lo(2)], hi: [hi(0), hi(1), hi(2)] };
}

function bytes(values: Float32Array, role: Role, source: Source): Uint8Array {
  if (role === "probability") return Uint8Array.from(values, (value) => Math.min(255, Math.round((255 * value) / source.fullScale)));
  const background = source.info.background ?? source.info.low ?? 0;
  const noise = source.info.noise || ((source.info.high ?? 1) - (source.info.low ?? 0)) / 20 || 1;
  return Uint8Array.from(values, (value) => {
    const share = (Math.asinh((value - background) / noise) - LOW) / (HIGH - LOW);
    return Math.min(255, Math.max(0, Math.round(255 * share)));
  });
}

const byte = (noiseUnits: number): number => (255 * (Math.asinh(noiseUnits) - LOW)) / (HIGH - LOW);

/** One volume of the scene. */
export class Cloud {
  readonly actor = vtkVolume.newInstance();
  private readonly mapper = vtkVolumeMapper.newInstance();
  private readonly colours = vtkColorTransferFunction.newInstance();
  private readonly opacities = vtkPiecewiseFunction.newInstance();

  constructor(readonly role: Role) {
    this.mapper.setBlendModeToMaximumIntensity();
    this.mapper.setMaximumSamplesPerRay(2000);
    this.actor.setMapper(this.mapper);
    const property = this.actor.getProperty();
    property.setRGBTransferFunction(0, this.colours);
    property.setScalarOpacity(0, this.opacities);
    property.setInterpolationTypeToLinear();
  }

  /** Read a box at a level and show it; returns the number of voxels. */
  async load(source: Source, box: Box | null, level: number): Promise<number> {
    const part = atLevel(source, box, level);
    if (count(part) > MOST_VOXELS)
      throw new Error(`The projection holds ${MOST_VOXELS / 2 ** 20} million voxels; level ${level} of this box has ` +
        `${Math.ceil(count(part) / 2 ** 20)} million. Choose a coarser level, or draw a smaller box.`);
    if (!count(part)) return 0;
    const values = bytes(await source.read(level, part), this.role, source);
    this.mapper.setInputData(picture(values, source, part, level));
    const { factor } = source.level(level);
    this.mapper.setSampleDistance(0.7 * Math.min(...source.voxel.map((size, axis) => size * factor[axis as 0 | 1 | 2])));
    return values.length;
  }

  /** Take over contrast, threshold and opacity. */
  style(state: Readonly<DisplayState>, both: boolean): void {
    if (this.role === "raw") this.styleRaw(state, both ? Math.min(1, 2 - 2 * state.blend) : 1);
    else this.styleProbability(state, both ? Math.min(1, 2 * state.blend) : 1);
  }

  private styleRaw(state: Readonly<DisplayState>, share: number): void {
    const [low, high] = [byte(state.low), Math.max(byte(state.high), byte(state.low) + 1)];
    this.colours.removeAllPoints();
    this.colours.addRGBPoint(low, 0, 0, 0);
    this.colours.addRGBPoint(high, 1, 1, 1);
    this.opacities.removeAllPoints();
    this.opacities.addPoint(low, 0);
    this.opacities.addPoint(high, state.opacity * share);
  }

  private styleProbability(state: Readonly<DisplayState>, share: number): void {
    const [red, green, blue] = PROBABILITY_RGB.map((part) => part / 255) as Vec3;
    const from = 255 * state.threshold;
    this.colours.removeAllPoints();
    this.colours.addRGBPoint(0, red, green, blue);
    this.colours.addRGBPoint(255, red, green, blue);
    this.opacities.removeAllPoints();
    this.opacities.addPoint(Math.max(0, from - 1), 0);
    this.opacities.addPoint(from, state.opacity * share * (state.binary ? 1 : Math.max(0.15, state.threshold)));
    this.opacities.addPoint(256, state.opacity * share);
  }
}

/** Along a ray the highest is seen: by value of a label, so that neurite is before what is ignored. */
const RANKS = [0, 2, 1] as const;

/** A label that is painted, in its colours; over the volumes, which would hide it. */
export class LabelCloud {
  private readonly actor = vtkVolume.newInstance();
  private readonly mapper = vtkVolumeMapper.newInstance();
  private shown: LabelOverlay | null = null;
  private stamp = -1;

  constructor() {
    this.mapper.setBlendModeToMaximumIntensity();
    this.mapper.setMaximumSamplesPerRay(2000);
    this.actor.setMapper(this.mapper);
    const colours = vtkColorTransferFunction.newInstance();
    const opacities = vtkPiecewiseFunction.newInstance();
    RANKS.forEach((rank, value) => {
      const [red, green, blue] = LABEL_RGBA[value]!;
      colours.addRGBPoint(rank, red / 255, green / 255, blue / 255);
    });
    [[0, 0], [0.5, 0], [1, 0.15], [1.5, 0.15], [2, 0.7]].forEach(([rank, opacity]) => opacities.addPoint(rank!, opacity!));
    const property = this.actor.getProperty();
    property.setRGBTransferFunction(0, colours);
    property.setScalarOpacity(0, opacities);
    property.setInterpolationTypeToNearest();
  }

  /** Show the label of the layers, if there is one that is not too large; read anew when it has been painted on. */
  show(renderer: vtkRenderer, { label, base }: Layers, depthScale: number): void {
    this.actor.setScale(1, 1, depthScale);
    if (!label || !base || count(label.box) > MOST_VOXELS) {
      renderer.removeVolume(this.actor);
      this.shown = null;
      return;
    }
    if (this.shown?.data === label.data && this.stamp === label.stamp) return;
    this.mapper.setInputData(picture(label.data.map((value) => RANKS[value] ?? RANKS[1]!), base, label.box, 0));
    this.mapper.setSampleDistance(0.5 * Math.min(...base.voxel));
    if (!this.shown) renderer.addVolume(this.actor);
    [this.shown, this.stamp] = [label, label.stamp];
  }
}

function picture(values: Uint8Array, source: Source, part: Box, level: number): vtkImageData {
  const size = extent(part);
  const { factor } = source.level(level);
  const middle = (axis: 0 | 1 | 2): number => edge(source, level, axis, part.lo[axis]) + 0.5 * factor[axis] * source.voxel[axis];
  const image = vtkImageData.newInstance();
  image.setDimensions([size[2], size[1], size[0]]);
  image.setSpacing([factor[2] * source.voxel[2], factor[1] * source.voxel[1], factor[0] * source.voxel[0]]);
  image.setOrigin([middle(2), middle(1), middle(0)]);
  image.getPointData().setScalars(vtkDataArray.newInstance({ name: "values", values, numberOfComponents: 1 }));
  return image;
}
