// Fields of forms about files: one of those that lie here, or another by its path; what its values and its unit are.
import type { Item, Kind } from "../api";
import { choice, h, labelled } from "../dom";
import { folderOf } from "../paths";

const OTHER = "\n";

interface Asked {
  name: string;
  testid: string;
  kinds: readonly Kind[];
  first?: string | undefined;
  note?: string;
  /** What an empty choice is called; without it, a file must be chosen. */
  none?: string;
  changed?: () => void;
}

/** A file of some kinds: one of those in the folder, or another whose path is typed. */
export class FileField {
  readonly element: HTMLElement;
  readonly other: HTMLInputElement;
  private chosen: string;

  constructor(private readonly items: readonly Item[], asked: Asked) {
    const { name, testid, kinds, first = "", none, changed = () => undefined } = asked;
    const here = items.filter((item) => kinds.includes(item.kind) && !item.growing && !item.error).map((item) => [item.path, shortest(item.path, items)] as const);
    const known = !first || here.some(([path]) => path === first) ? here : [[first, first] as const, ...here];
    const options = [...(none ? [["", none] as const] : []), ...known, [OTHER, "another file, by its path"] as const];
    this.chosen = first || options[0]![0];
    this.other = h("input", { type: "text", "data-testid": `${testid}-other`, "aria-label": `${name}: path in the studio's folder`, placeholder: "folder/name, in the studio's folder", spellcheck: "false" });
    this.other.addEventListener("change", changed);
    const select = choice(testid, options, this.chosen, (value) => {
      this.chosen = value;
      this.show();
      changed();
    });
    this.element = h("div", {}, labelled(name, select, asked.note), this.other);
    this.show();
  }

  get path(): string {
    return this.chosen === OTHER ? this.other.value.trim() : this.chosen;
  }

  /** The kind of the file; of one that does not lie here, as its name tells: trees, or else voxels. */
  get kind(): Kind {
    return this.items.find((item) => item.path === this.path)?.kind ?? (/\.swc$/i.test(this.path) ? "trees" : "volume");
  }

  private show(): void {
    this.other.hidden = this.other.disabled = this.chosen !== OTHER;
    this.other.required = this.chosen === OTHER;
  }
}

/** The path of a file from the folder in which most of the files lie that are listed first. */
function shortest(path: string, items: readonly Item[]): string {
  const base = folderOf(items[0]?.path ?? "");
  return base ? path.slice(base.length + 1) : path;
}

/** What the values of a label mean, as `--label-map` has it. */
export function legend(testid: string): HTMLInputElement {
  return h("input", { type: "text", "data-testid": testid, placeholder: "0=background,1=neurite,2=ignore", pattern: "[0-9a-z=,. \\-]{1,200}", spellcheck: "false" });
}

const UNITS = [["", "what their files state, else µm"], ["um", "µm"], ["voxel", "voxels"], ["nm", "nm"]] as const;

/** The unit of trees in SWC files. */
export function swcUnit(testid: string): HTMLSelectElement {
  return choice(testid, UNITS, "", () => undefined);
}
