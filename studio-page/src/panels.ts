// The panels of the studio: a line each, in the order of the navigation; a panel is loaded when it is opened.
import type { Mount } from "./context";

export interface Panel {
  route: string;
  title: string;
  load: () => Promise<{ mount: Mount }>;
  /** Not in the navigation: opened from another panel. */
  hidden?: boolean;
}

export const PANELS: readonly Panel[] = [
  { route: "browse", title: "Browse", load: () => import("./panels/browse") },
  { route: "look", title: "Look", load: () => import("./panels/look") },
  { route: "enhance", title: "Enhance", load: () => import("./panels/enhance") },
  { route: "trace", title: "Trace", load: () => import("./panels/trace") },
  { route: "run", title: "Training run", load: () => import("./panels/run"), hidden: true },
  { route: "report", title: "Report", load: () => import("./panels/report"), hidden: true },
  { route: "choose", title: "Choose", load: () => import("./panels/choose") },
  { route: "annotate", title: "Annotate", load: () => import("./panels/annotate") },
  { route: "check", title: "Check", load: () => import("./panels/check") },
  { route: "evaluate", title: "Evaluate", load: () => import("./panels/evaluate") },
  { route: "jobs", title: "Jobs", load: () => import("./panels/jobs") },
  { route: "help", title: "Help", load: () => import("./panels/help") },
];
