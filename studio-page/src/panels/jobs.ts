// Jobs: all that runs, waits or has ended, of every verb.
import type { Mount } from "../context";
import { fill, h } from "../dom";
import { following } from "./ordering";

export const mount: Mount = (root, context) => {
  const all = following(context, () => true, "Nothing has been run in this folder from the studio.");
  fill(root, h("h1", {}, "Jobs"), h("p", {}, "A job goes on when this page or the studio is closed. Two run at a time; others wait."), all.element);
  return all.stop;
};
