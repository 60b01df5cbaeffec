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

/** The path of a name in a folder. */
export function inFolder(folder: string, name: string): string {
  return folder ? `${folder}/${name}` : name;
}
