// What a panel is given, and what it gives back.

export interface Context {
  /** The part of the address after the route's `?`, with what is remembered. */
  params: URLSearchParams;
  /** Go to a route, as go("look", { path: "a/b.tif" }); not once the page has been left. */
  go(route: string, params?: Record<string, string>): void;
  /** Keep parameters in the address without going anywhere, so that a reload shows the same. */
  remember(params: Record<string, string | null>): void;
  /** Say something in the line at the bottom, which screen readers read. */
  say(message: string): void;
  /** What was asked for has been done: say it, or nothing; an error from before is no longer news. */
  succeed(message?: string): void;
  /** Show an error with its rule, finding, place and cure; once the page has been left, only of what was to be done. */
  fail(error: unknown): void;
}

/** Fill the root; the returned function is called when the panel goes away. */
export type Mount = (root: HTMLElement, context: Context) => () => void;
