/**
 * The place of a pool's members: on one line of 2^32 slots, each pool in one range of it. Linear hashing (`poolOf` in
 * `plan.ts`) tells pools apart by the last bits of an id's hash. A slot is the hash read from the last bit to the
 * first, so those bits come first, and what they have in common is a range. A split gives the upper half of one range
 * to the new pool, and no member's row changes. Called by the roster's activities, by shifts and by the client. The
 * twin in SQL is `longwatch.slot_of`.
 */

const BITS = 32;

/** The slot of a hash: its 32 bits in the opposite order. */
export function slotOf(hash: number): number {
  let h = hash;
  h = ((h >>> 1) & 0x55555555) | ((h & 0x55555555) << 1);
  h = ((h >>> 2) & 0x33333333) | ((h & 0x33333333) << 2);
  h = ((h >>> 4) & 0x0f0f0f0f) | ((h & 0x0f0f0f0f) << 4);
  h = ((h >>> 8) & 0x00ff00ff) | ((h & 0x00ff00ff) << 8);
  return ((h >>> 16) | (h << 16)) >>> 0;
}

/** From the first slot to the last, both belong to it; no slot where `last` is below `first`. */
export interface Slots {
  first: number;
  last: number;
}

const NONE: Slots = { first: 1, last: 0 };

/**
 * The slots of a pool in a layout of `pools`. With 2^l the largest power of two not above `pools`, a pool that has been
 * split, or came of a split, since there were 2^l is told by l + 1 bits, the others by l.
 */
export function slotsOf(pool: number, pools: number): Slots {
  if (pool >= pools) return NONE;
  const l = BITS - 1 - Math.clz32(pools);
  const bits = pool >= 2 ** l || pool + 2 ** l < pools ? l + 1 : l;
  const first = slotOf(pool);
  return { first, last: first + 2 ** (BITS - bits) - 1 };
}

export function holds({ first, last }: Slots, slot: number): boolean {
  return first <= slot && slot <= last;
}

/** The pool that gives half of its slots away when a layout of `pools` gets one more, of that number. */
export function sourceOfSplit(pools: number): number {
  return pools - 2 ** (BITS - 1 - Math.clz32(pools));
}
