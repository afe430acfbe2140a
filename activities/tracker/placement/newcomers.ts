/**
 * The pools that have come from another node a moment ago: part of what `placer.ts` remembers. Somebody has moved them
 * on purpose (an operator, or a node that was asked), and an ask that was made before that does not bring them back.
 */
import { PLACEMENT } from './constants';
import type { PlacementRow } from './row';

export class Newcomers {
  private readonly byId = new Map<string, { readonly from: string; readonly at: number }>();

  came(pool: string, from: string, nowMs: number): void {
    this.byId.set(pool, { from, at: nowMs });
  }

  /**
   * Forgets those that came longer ago, and those of a node that is drained or gone: nobody chose these pools, it had
   * to give them all. Started again, it may have any of them, and has no ask that is older.
   */
  tidy(rows: ReadonlyMap<string, PlacementRow>, nowMs: number): void {
    for (const [pool, { from, at }] of this.byId) {
      if (!isNew(at, nowMs) || rows.get(from)?.up !== true) this.byId.delete(pool);
    }
  }

  /** @returns by pool: the node that it came from */
  now(nowMs: number): ReadonlyMap<string, string> {
    const now = [...this.byId].filter(([, { at }]) => isNew(at, nowMs));
    return new Map(now.map(([pool, { from }]) => [pool, from]));
  }
}

function isNew(at: number, nowMs: number): boolean {
  return nowMs - at < PLACEMENT.newcomerMs;
}
