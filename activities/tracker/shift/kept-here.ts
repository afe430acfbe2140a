/**
 * The pools of a node between the offer and the end of their shifts, as `placing.ts` remembers them: the attempt that
 * keeps each, the node to which it was given, and those that are to come back.
 */
import { idOf } from '../placement/types';
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

export class KeptHere {
  private readonly byId = new Map<string, Kept>();

  get(id: string): Kept | undefined {
    return this.byId.get(id);
  }

  all(): Iterable<[id: string, kept: Kept]> {
    return this.byId;
  }

  delete(id: string): void {
    this.byId.delete(id);
  }

  /** An attempt has come that may keep it, back from between two shifts or beside one that came before it. */
  came(id: string, claim: PoolClaim): void {
    const before = this.byId.get(id);
    this.byId.set(id, { claim, to: before?.to, other: before?.claim && before });
  }

  /** The attempt of that shift keeps its pool now. @returns its entry; undefined: it is not known any more */
  joined(shift: PoolShift): Kept | undefined {
    for (let kept = this.byId.get(idOf(shift.claim)); kept; kept = kept.other)
      if (kept.claim === shift.claim) return Object.assign(kept, { shift, token: shift.token });
    return undefined;
  }

  /**
   * An attempt is over. If it has failed, one that had come here before it has the pool again.
   * @returns its entry; undefined: it was not the last one, which goes on
   */
  over(claim: PoolClaim, failed: boolean): Kept | undefined {
    const id = idOf(claim);
    const kept = this.byId.get(id);
    if (kept?.claim !== claim) {
      if (kept) forgetOther(kept, claim);
      return undefined;
    }
    if (kept.other && failed) this.byId.set(id, kept.other);
    else this.byId.delete(id);
    return kept;
  }

  /** Its shift has ended here, and the next one is to come back by then. */
  returns(id: string, token: number | undefined, until: number): void {
    this.byId.set(id, { token, returnsUntil: until });
  }

  /** The pools between two shifts. */
  between(): [id: string, kept: Kept][] {
    return [...this.byId].filter(([, { claim }]) => claim === undefined);
  }

  /** The pools that have not come back in time. */
  overdue(nowMs: number): string[] {
    return this.between().flatMap(([id, { returnsUntil = Infinity }]) => (nowMs >= returnsUntil ? [id] : []));
  }
}

/** The shift of an attempt before this one is over. */
function forgetOther(kept: Kept, claim: PoolClaim): void {
  for (let at = kept; at.other; at = at.other) {
    if (at.other.claim !== claim) continue;
    at.other = at.other.other;
    return;
  }
}
