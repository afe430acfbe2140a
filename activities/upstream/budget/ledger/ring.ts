/**
 * Spent tokens by slots of the ledger's clock. A slot counts until its *last* moment is out of the
 * window, so that nothing comes back early. Slots may lie ahead of now: what a dead node may still send. Kept in the
 * bucket's row; used by `own.ts` and `others.ts`.
 */

/**
 * Plain data, for it is stored: the slots from `first` on, each `width` seconds long. Slot n is [n · width, (n + 1) ·
 * width).
 */
export interface Ring {
  width: number;
  first: number;
  tokens: number[];
}

export function emptyRing(width: number): Ring {
  return { width, first: 0, tokens: [] };
}

export function slotAt(ring: Ring, at: number): number {
  return Math.floor(at / ring.width);
}

/** Adds tokens to the slot of a moment; below zero takes some away, never more than it has. Answers what was added. */
export function charge(ring: Ring, at: number, tokens: number): number {
  return tokens === 0 ? 0 : chargeSlot(ring, slotAt(ring, at), tokens);
}

export function chargeSlot(ring: Ring, slot: number, tokens: number): number {
  const before = tokensOf(ring, slot);
  const after = Math.max(0, before + tokens);
  if (after === before) return 0;
  if (ring.tokens.length === 0) ring.first = slot;
  while (slot < ring.first) {
    ring.first--;
    ring.tokens.unshift(0);
  }
  while (slot >= ring.first + ring.tokens.length) ring.tokens.push(0);
  ring.tokens[slot - ring.first] = after;
  return after - before;
}

export function tokensOf(ring: Ring, slot: number): number {
  return ring.tokens[slot - ring.first] ?? 0;
}

/** Tokens in the slots that end after `since`: with `since` one window ago, what is spent and not back. */
export function endingAfter(ring: Ring, since: number): number {
  let sum = 0;
  for (let i = ring.tokens.length - 1; i >= 0; i--) {
    if ((ring.first + i + 1) * ring.width <= since) break;
    sum += ring.tokens[i]!;
  }
  return sum;
}

/** Tokens in the slots that begin after `at`: charged late, so that no upstream need have seen them yet. */
export function beginningAfter(ring: Ring, at: number): number {
  let sum = 0;
  for (let i = ring.tokens.length - 1; i >= 0; i--) {
    if ((ring.first + i) * ring.width <= at) break;
    sum += ring.tokens[i]!;
  }
  return sum;
}

/** Tokens in whole slots that begin after `from` and end at `until` or before. */
export function within(ring: Ring, from: number, until: number): number {
  let sum = 0;
  for (let i = 0; i < ring.tokens.length; i++) {
    const slot = ring.first + i;
    if ((slot + 1) * ring.width > until) break;
    if (slot * ring.width > from) sum += ring.tokens[i]!;
  }
  return sum;
}

/** Forgets the slots that end at `before` or earlier, and empty ones at both ends. */
export function forget(ring: Ring, before: number): void {
  const { tokens } = ring;
  let drop = 0;
  while (drop < tokens.length && (tokens[drop] === 0 || (ring.first + drop + 1) * ring.width <= before)) drop++;
  if (drop > 0) {
    tokens.splice(0, drop);
    ring.first += drop;
  }
  while (tokens.length > 0 && tokens[tokens.length - 1] === 0) tokens.pop();
}

/**
 * The same tokens in slots of another width, each in the slot in which its old one ends: later, never earlier.
 * @param latest no token is of a later moment than this
 */
export function regrid(ring: Ring, width: number, latest = Infinity): Ring {
  const next = emptyRing(width);
  // A hair before its end, for the end itself belongs to the next slot.
  const endOf = (i: number): number => (ring.first + i + 1) * ring.width - ring.width * 1e-6;
  ring.tokens.forEach((tokens, i) => charge(next, Math.min(endOf(i), latest), tokens));
  return next;
}
