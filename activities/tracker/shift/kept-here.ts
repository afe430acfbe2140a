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
   * An older attempt that Temporal has not heard of any more: it keeps the pool until this one has the fence, which may
   * never be.
   */
  older?: Kept;
}

/** The shift of an older attempt is over. */
export function forgetOlder(kept: Kept, claim: PoolClaim): void {
  for (let at = kept; at.older; at = at.older) {
    if (at.older.claim !== claim) continue;
    at.older = at.older.older;
    return;
  }
}
