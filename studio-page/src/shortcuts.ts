// Every keyboard shortcut of the studio: the help page lists this table, and no other key acts.

export interface Shortcut {
  group: string;
  key: string;
  does: string;
}

export const SHORTCUTS: readonly Shortcut[] = [
  { group: "Everywhere", key: "?", does: "open or close this help" },
  { group: "Everywhere", key: "g b", does: "go to Browse" },
  { group: "Everywhere", key: "g e", does: "go to Enhance" },
  { group: "Everywhere", key: "g d", does: "change between dark and light" },
  { group: "Look", key: "[", does: "lower the threshold by 0.02" },
  { group: "Look", key: "]", does: "raise the threshold by 0.02" },
  { group: "Look", key: "b", does: "binary preview on or off" },
  { group: "Look", key: "1", does: "show or hide the image" },
  { group: "Look", key: "2", does: "show or hide the probability" },
  { group: "Look", key: "3", does: "show or hide the trees" },
  { group: "Look", key: "ArrowUp", does: "next plane of the view in focus" },
  { group: "Look", key: "ArrowDown", does: "previous plane of the view in focus" },
  { group: "Look", key: "+", does: "zoom in" },
  { group: "Look", key: "-", does: "zoom out" },
  { group: "Look", key: "0", does: "show the whole volume" },
  { group: "Look", key: "x", does: "draw a box on a slice" },
  { group: "Look", key: "p", does: "save a picture of the four views" },
  { group: "Annotate", key: "1", does: "paint neurite" },
  { group: "Annotate", key: "2", does: "paint background: the eraser" },
  { group: "Annotate", key: "3", does: "paint ignore" },
  { group: "Annotate", key: "z", does: "undo the last stroke" },
  { group: "Annotate", key: "y", does: "redo it" },
  { group: "Annotate", key: "l", does: "show or hide the label" },
  { group: "Annotate", key: "s", does: "save the label" },
  { group: "Annotate", key: "ArrowUp", does: "next plane of the view in focus" },
  { group: "Annotate", key: "ArrowDown", does: "previous plane of the view in focus" },
  { group: "Annotate", key: "+", does: "zoom in" },
  { group: "Annotate", key: "-", does: "zoom out" },
  { group: "Check", key: "a", does: "accept what the tracer did here" },
  { group: "Check", key: "r", does: "reject it: the trees are corrected" },
  { group: "Check", key: "j", does: "next place" },
  { group: "Check", key: "k", does: "previous place" },
  { group: "Check", key: "z", does: "undo the last step" },
  { group: "Check", key: "y", does: "redo it" },
  { group: "Check", key: "c", does: "split the tree before the chosen node" },
  { group: "Check", key: "x", does: "delete the chosen part" },
  { group: "Check", key: "m", does: "join the chosen node to the one clicked next" },
  { group: "Check", key: "d", does: "draw: each click adds a node" },
  { group: "Check", key: "t", does: "trace: a click on a neurite traces it through the block around" },
  { group: "Check", key: "e", does: "mark an error: the next click puts it on the list" },
  { group: "Check", key: "Escape", does: "choose nodes again" },
  { group: "Check", key: "0", does: "show the whole volume" },
  { group: "Check", key: "ArrowUp", does: "next plane of the view in focus" },
  { group: "Check", key: "ArrowDown", does: "previous plane of the view in focus" },
  { group: "Check", key: "+", does: "zoom in" },
  { group: "Check", key: "-", does: "zoom out" },
  { group: "Choose", key: "t", does: "take the brushed cubes" },
  { group: "Choose", key: "d", does: "drop the brushed cubes" },
  { group: "Choose", key: "c", does: "clear the brush" },
];

type Actions = Record<string, () => void>;

/** Keys that act again and again while they are held. */
const REPEATED = ["ArrowUp", "ArrowDown", "+", "-", "[", "]", "j", "k", "z", "y"];

const bound = new Map<string, () => void>();
let first = "";

function typing(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement | null;
  const text = target?.closest("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]");
  return Boolean(text) || event.ctrlKey || event.metaKey || event.altKey;
}

function onKey(event: KeyboardEvent): void {
  if (typing(event) || (document.querySelector("dialog") && event.key !== "?")) return;
  const act = bound.get(first ? `${first} ${event.key}` : event.key) ?? bound.get(event.key);
  first = !first && event.key === "g" ? "g" : "";
  const slider = (event.target as HTMLElement | null)?.matches("input[type=range]");
  if (!act || (slider && event.key.startsWith("Arrow"))) return;
  event.preventDefault();
  if (event.repeat && !REPEATED.includes(event.key)) return;
  act();
}

document.addEventListener("keydown", onKey);

/** Bind keys of a group of SHORTCUTS; a key that the help page does not list is an error. Returns the undoing. */
export function bindKeys(group: string, actions: Actions): () => void {
  const listed = new Set(SHORTCUTS.filter((each) => each.group === group).map((each) => each.key));
  for (const [key, act] of Object.entries(actions)) {
    if (!listed.has(key)) throw new Error(`The key "${key}" of ${group} is not in SHORTCUTS.`);
    bound.set(key, act);
  }
  return () => {
    for (const key of Object.keys(actions)) if (bound.get(key) === actions[key]) bound.delete(key);
  };
}
