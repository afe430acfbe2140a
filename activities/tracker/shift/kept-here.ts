/** The pools of a node between the offer and the end of their shifts, as `placing.ts` remembers them. */
import type { PoolClaim } from '../store/fence';
import type { PoolShift } from './pool-shift';

/** A pool that this node keeps, or that has just ended here and comes back. */
export interface Kept {
  /** The shift that keeps it; undefined: it is between two of them. */
  claim?: PoolClaim;
  shift?: PoolShift;
  /** Known once it was taken. */
  token?: number;
  /** The node that it was given to. */
  to?: string;
  returnsUntil?: number;
  /**
   * An attempt that came here before this one, and of which Temporal has not heard any more: it keeps the pool unless
   * this one gets the fence.
   */
  other?: Kept;
}

/** The entry of an attempt, among those of its pool. */
export function attemptOf(kept: Kept | undefined, claim: PoolClaim): Kept | undefined {
  for (let at = kept; at; at = at.other) if (at.claim === claim) return at;
  return undefined;
}

/** The shift of an attempt before this one is over. */
export function forgetOther(kept: Kept, claim: PoolClaim): void {
  for (let at = kept; at.other; at = at.other) {
    if (at.other.claim !== claim) continue;
    at.other = at.other.other;
    return;
  }
}
