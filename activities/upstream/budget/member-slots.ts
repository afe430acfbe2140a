/**
 * The window of a member's bucket in slots, and its stored form: on the ledger's absolute grid, never re-dated. Used by
 * `member.ts`, and by those who read and write the rows.
 */

/** Slots of a window; one more is kept, for a slot comes back when its *last* moment is a window old. */
export const SLOTS = 30;
export const KEPT = SLOTS + 1;
/**
 * The stored form of a bucket: its newest slot on the grid, and the tokens of that and the slots before it, newest
 * first, without the empty ones at the end.
 */
export interface StoredMember {
  slot: number;
  tokens: number[];
  /** Tokens that may still be spent, until the end of this slot. */
  late?: { slot: number; tokens: number };
}

/** Slots are counted from here, in epoch seconds, so that they fit into 32 bits. */
export const ORIGIN = 1_704_067_200;

/** Tokens of a stored bucket that are spent and not back, or may still be spent. @param now epoch seconds */
export function spentOf({ slot, tokens, late }: StoredMember, window: number, now: number): number {
  const newest = Math.max(slot, Math.floor(((now - ORIGIN) * SLOTS) / window));
  const inWindow = tokens.filter((_, age) => slot - age > newest - KEPT);
  const isLate = late !== undefined && late.slot > newest - KEPT;
  return inWindow.reduce((sum, count) => sum + count, isLate ? late.tokens : 0);
}

/**
 * A stored bucket in slots of another window's width: each token in the slot in which its old one ends, so later, never
 * earlier.
 */
export function regridded(stored: StoredMember, from: number, to: number): StoredMember {
  if (from === to) return stored;
  const [before, after] = [from / SLOTS, to / SLOTS];
  // A hair before its end, for the end itself belongs to the next slot.
  const slotOf = (slot: number): number => Math.floor(((slot + 1) * before - before * 1e-6) / after);
  const slot = slotOf(stored.slot);
  const tokens: number[] = [];
  stored.tokens.forEach((count, age) => {
    const at = slot - slotOf(stored.slot - age);
    if (at >= KEPT) return;
    while (tokens.length <= at) tokens.push(0);
    tokens[at]! += count;
  });
  const { late } = stored;
  return { slot, tokens, ...(late && { late: { slot: slotOf(late.slot), tokens: late.tokens } }) };
}

/** The common part of all buckets of a limit's group: one answer tells it for all members. */
export interface MemberLimit {
  tokens: number;
  /** Seconds, three at least. */
  window: number;
  greatestCost: number;
  headroom: number;
}

export interface MemberTicket {
  readonly index: number;
  readonly reserved: number;
  /** Tokens that were settled when it was sent. */
  readonly spent: number;
  /** The take-over that it was sent under: what comes back after another one is counted in that one's reserve. */
  readonly life: number;
  /** It was settled or lost: an answer that comes after its time-out changes nothing. */
  isPaid: boolean;
}
