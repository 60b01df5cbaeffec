// Paths within the studio's folder, as text: their folder, their name, their stem.

/** "a/b/c.tif" → "a/b"; "" is the studio's folder itself. */
export function folderOf(path: string): string {
  return path.split("/").slice(0, -1).join("/");
}

/** "a/b/c.tif" → "c.tif". */
export function nameOf(path: string): string {
  return path.split("/").at(-1) ?? "";
}

/** "a/b/c.ome.zarr" → "c". */
export function stemOf(path: string): string {
  return nameOf(path).replace(/(\.ome)?\.[^.]+$/, "");
}

/** A path at which there is nothing yet: as given, or with _2, _3, ... before its ending. */
export function freeName(path: string, items: readonly { path: string }[]): string {
  const taken = new Set(items.map((item) => item.path));
  const [, stem = path, ending = ""] = /^(.*?)(\.[^./]+)$/.exec(path) ?? [];
  let free = path;
  for (let n = 2; taken.has(free); n++) free = `${stem}_${n}${ending}`;
  return free;
}

/** The path of a name in a folder. */
export function inFolder(folder: string, name: string): string {
  return folder ? `${folder}/${name}` : name;
}
