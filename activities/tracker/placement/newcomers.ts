/**
 * The pools that have come from another node a moment ago: part of what `placer.ts` remembers. Somebody has moved them
 * on purpose (an operator, or a node that was asked), and an ask that was made before that does not bring them back.
 */
import { PLACEMENT } from './constants';

export class Newcomers {
  private readonly byId = new Map<string, { readonly from: string; readonly until: number }>();

  came(pool: string, from: string, nowMs: number): void {
    // Behind those that came before it.
    this.byId.delete(pool);
    this.byId.set(pool, { from, until: nowMs + PLACEMENT.newcomerMs });
  }

  /** @returns by pool: the node that it came from */
  now(nowMs: number): ReadonlyMap<string, string> {
    for (const [pool, { until }] of this.byId) {
      if (until > nowMs) break;
      this.byId.delete(pool);
    }
    return new Map([...this.byId].map(([pool, { from }]) => [pool, from]));
  }
}
