// Jobs: all that runs, waits or has ended, of every verb.
import type { Mount } from "../context";
import { fill, h } from "../dom";
import { JobList, watchJobs } from "../work";

export const mount: Mount = (root, context) => {
  const list = new JobList(context, () => watch.now(), "Nothing has been run in this folder from the studio.");
  const watch = watchJobs((all) => list.show(all), context.fail);
  fill(root, h("h1", {}, "Jobs"), h("p", {}, "A job goes on when this page or the studio is closed. Two run at a time; others wait."), list.element);
  return () => watch.stop();
};
