/**
 * Named points at which tests may stop, crash or pause the code, in place of kills by the clock:
 * `await reach('flush.locked')` stands where the order of two things decides whether a promise holds. In production a
 * point costs one comparison and does nothing: only `setPointHook`, which nothing but `test/` calls, gives it something
 * to do.
 */

/** Every point there is; what happens around it is in the name. */
export const POINTS = [
  /** A flush holds the fences of its pools and has written nothing yet. */
  'flush.locked',
  /** A flush has written everything and is about to commit. */
  'flush.written',
  /** The commit of a flush has been answered; the shifts have not been told. */
  'flush.committed',
  /** A commit of turns has been answered; the members have not been told. */
  'turns.committed',
  /** A node has the rows of its buckets locked, and has changed none. */
  'budget.locked',
  /** A change of a roster holds its pools. */
  'apply.locked',
  /** A tracker grows: its row is locked. */
  'split.locked',
  /** A pool is being opened: its row is read, nothing has been answered. */
  'open.read',
  /** A shift holds the fence and has not read its members. */
  'shift.fenced',
  /** A pass has found that the open tick goes along another key than the table has by now; it has changed nothing. */
  'tick.other key',
  /** A chunk of a regen or decay has its transaction, knows where it ends, and has changed nothing. */
  'chunk.begun',
  /** A chunk has been committed; the pass does not know it yet. */
  'chunk.committed',
] as const;

export type Point = (typeof POINTS)[number];

type PointHook = (point: Point) => void | Promise<void>;

let hook: PointHook | undefined;

/** Says that the code is at this point; what waits there waits for the hook, where there is one. */
export function reach(point: Point): void | Promise<void> {
  return hook?.(point);
}

/** For tests only. Undefined takes the hook away. */
export function setPointHook(next: PointHook | undefined): void {
  hook = next;
}
