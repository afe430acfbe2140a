/**
 * Typed arrays that grow, for tables with a place for each member: the due times of a shift (`tracker/shift`), the
 * buckets of a purse (`upstream/budget`).
 */
type Numbers = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float64Array;

/** @returns `next`, which begins with all that `old` has */
export function longer<A extends Numbers>(old: A, next: A): A {
  next.set(old);
  return next;
}
