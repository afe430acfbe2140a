/**
 * The pools that have come to this node a short while ago and could not be begun: reading them runs into a time-out
 * each time, say, or they have states that no node knows. Such a pool comes again, to some node, until it can be begun,
 * and has no keeper meanwhile. So the node says it in its row (`figures.ts`), for `longwatch nodes` and the doctor.
 * Told by `keep.ts` and `take-pool.ts`; one a node.
 */
import { storable } from '../../../workflows/lib/text';
import { idOf } from '../placement/types';
import type { NodeFigures } from '../store/node-use';
import type { PoolClaim } from '../store/fence';

/** Tried again every thirty seconds at least, it is heard of again by then, if only by another node. Milliseconds. */
const REMEMBERED_MS = 60_000;
/** Once may be somebody's lock, and a second attempt may be for a node that has died. */
const SAID_FROM = { times: 2, attempt: 3 };
const WHY_BYTES = 300;

interface Failing {
  readonly times: number;
  readonly attempt: number;
  readonly at: number;
  readonly why: string;
}

export class FailingPools {
  private readonly byId = new Map<string, Failing>();

  constructor(private readonly clock: { now(): number }) {}

  /**
   * @param inARow how often, where its keeper has counted: each time it was begun, and crashed
   * @returns whether nothing was known of that pool before
   */
  failed(claim: PoolClaim, why: string, inARow?: number): boolean {
    this.forget();
    const id = idOf(claim);
    const before = this.byId.get(id);
    // Behind those that failed before it.
    this.byId.delete(id);
    const times = inARow ?? (before?.times ?? 0) + 1;
    this.byId.set(id, { times, attempt: claim.attempt, at: this.clock.now(), why: storable(line(why), WHY_BYTES) });
    return before === undefined;
  }

  begun(claim: PoolClaim): void {
    this.byId.delete(idOf(claim));
  }

  said(): NodeFigures['failing'] {
    this.forget();
    const said = [...this.byId].filter(
      ([, { times, attempt }]) => times >= SAID_FROM.times || attempt >= SAID_FROM.attempt,
    );
    const last = said.at(-1);
    return { pools: said.length, example: last ? `${last[0]}: ${last[1].why}` : null };
  }

  private forget(): void {
    const since = this.clock.now() - REMEMBERED_MS;
    for (const [id, { at }] of this.byId) {
      if (at > since) break;
      this.byId.delete(id);
    }
  }
}

/** Errors may have several lines, and whatever a terminal obeys. */
const line = (text: string): string => text.replace(/[\p{Cc}\s]+/gu, ' ');
