/**
 * The pools that a node keeps, with their sums: asked for with each pool that is offered, so they are not added up each
 * time. Part of what `placer.ts` remembers.
 */
import type { PlacedPool } from './types';

export class KeptPools {
  private readonly byId = new Map<string, PlacedPool>();
  private sums = { load: 0, loads: new Map<string, number>(), largest: undefined as PlacedPool | undefined };

  get pools(): ReadonlyMap<string, PlacedPool> {
    return this.byId;
  }

  has(id: string): boolean {
    return this.byId.has(id);
  }

  /** Adds it, or replaces what was known of it. */
  set(pool: PlacedPool): void {
    this.delete(pool.id);
    this.byId.set(pool.id, pool);
    this.count(pool);
  }

  delete(id: string): void {
    if (!this.byId.delete(id)) return;
    // Counted anew, not taken off: sums of which much was taken off are not exact, and may be below nothing.
    this.sums = { load: 0, loads: new Map(), largest: undefined };
    for (const pool of this.byId.values()) this.count(pool);
  }

  totals(): { load: number; loads: ReadonlyMap<string, number>; largest?: { size: number; kind: string } } {
    const { load, loads, largest } = this.sums;
    return { load, loads: new Map(loads), largest: largest && { size: largest.size, kind: largest.kind } };
  }

  private count(pool: PlacedPool): void {
    const { sums } = this;
    sums.load += pool.size;
    sums.loads.set(pool.kind, (sums.loads.get(pool.kind) ?? 0) + pool.size);
    if (!sums.largest || pool.size > sums.largest.size) sums.largest = pool;
  }
}
