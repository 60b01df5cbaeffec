// A report of a finished run, as it is, in a frame that may do nothing but be read.
import { ticket } from "../api";
import type { Mount } from "../context";
import { fill, h } from "../dom";
import { folderOf, nameOf } from "../paths";

export const mount: Mount = (root, context) => {
  const path = context.params.get("path") ?? "";
  const frame = h("iframe", { title: `Report ${path}`, "data-testid": "report", sandbox: "allow-scripts" });
  const back = h("a", { href: `#/browse?${new URLSearchParams({ path: folderOf(path) })}` }, "Back to the folder");
  fill(root, h("div", { class: "bar" }, h("h1", {}, nameOf(path)), back), frame);
  ticket(path).then((address) => { frame.src = address; }, (error: unknown) => {
    frame.remove();
    context.fail(error);
  });
  return () => undefined;
};
