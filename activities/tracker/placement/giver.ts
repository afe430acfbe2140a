/**
 * The asks of others, as this node answers them: part of what `placer.ts` remembers. `surplus.ts` chooses the pools;
 * here is how much of each ask is still open, and to whom was said that nothing is left for them.
 */
import { PLACEMENT } from './constants';
import type { Request } from './surplus';
import type { PlacementRow } from './row';

interface Seen {
  readonly id: number;
  readonly deep: boolean;
  left: number;
  /** Since when nothing was found for it. */
  nothingSince?: number;
  done: boolean;
}

export class Giver {
  private readonly seen = new Map<string, Seen>();

  constructor(private readonly self: string) {}

  /** New asks are noted, and those that do not stand any more forgotten. */
  read(rows: ReadonlyMap<string, PlacementRow>): void {
    for (const [asker, { id }] of this.seen) if (rows.get(asker)?.ask?.id !== id) this.seen.delete(asker);
    for (const [asker, { ask }] of rows) {
      const left = ask?.from[this.self];
      if (ask && left && !this.seen.has(asker)) this.seen.set(asker, { id: ask.id, deep: ask.deep, left, done: false });
    }
  }

  requests(): Request[] {
    const open = [...this.seen].filter(([, { left, done }]) => left > 0 && !done);
    return open.map(([asker, { left, deep }]) => ({ asker, left, deep }));
  }

  /** This node's part of all that is asked for just now, 0 to 1: its part of the pools that may be on their way. */
  part(rows: ReadonlyMap<string, PlacementRow>): number {
    let [mine, all] = [0, 0];
    for (const { ask } of rows.values()) {
      mine += ask?.from[this.self] ?? 0;
      for (const load of Object.values(ask?.from ?? {})) all += load;
    }
    return all > 0 ? mine / all : 0;
  }

  gave(asker: string, size: number): void {
    const seen = this.seen.get(asker);
    if (!seen) return;
    seen.left -= size;
    seen.nothingSince = undefined;
  }

  /** Nothing helps this asker. It is told so if that stays true while the view gets newer. */
  nothing(asker: string, nowMs: number): void {
    const seen = this.seen.get(asker);
    if (!seen) return;
    seen.nothingSince ??= nowMs;
    if (nowMs - seen.nothingSince >= PLACEMENT.nothingToGiveMs) seen.done = true;
  }

  done(): Record<string, number> {
    return Object.fromEntries([...this.seen].filter(([, { done }]) => done).map(([asker, { id }]) => [asker, id]));
  }
}
