/**
 * The lane of a request, which says whose it is: requests of one lane stand in line behind each other, and the
 * connections are shared between lanes (`connections.ts`). The lane is the caller's `lane`, else the operation whose
 * code is running (noted by the shift while it calls `run`, so up to its first `await`), else the shape of the path.
 */

/** Across copies of this package, for a config that is loaded from its source brings a second one. */
const CURRENT = Symbol.for('longwatch.lane');
const holder = globalThis as typeof globalThis & { [CURRENT]?: string | undefined };

/** Notes who is running; undefined: nobody. Called by the shift around the code of an operation. */
export function enterLane(lane: string | undefined): void {
  holder[CURRENT] = lane;
}

export function laneOf(path: string): string {
  return holder[CURRENT] ?? shapeOf(path);
}

/** The path without its query, and a star for each segment that is an id: with a digit, or long. */
export function shapeOf(path: string): string {
  const end = path.search(/[?#]/);
  const bare = end < 0 ? path : path.slice(0, end);
  return bare.replace(/\/(?:[^/]*\d[^/]*|[^/]{20,})/g, '/*').slice(0, 200);
}
