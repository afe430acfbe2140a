/**
 * The ask of this node from its beginning to its end: part of what `placer.ts` remembers. `asks.ts` says what to ask
 * for; here is when, how much of it is still to come, and who gave nothing and is left alone for a while.
 */
import { askFor, isTooMuch } from './asks';
import { PLACEMENT } from './constants';
import type { Ask, Cluster } from './types';
import type { PlacementRow, WrittenAsk } from './row';

interface Standing {
  readonly id: number;
  readonly ask: Ask;
  readonly madeAt: number;
  heardAt: number;
  /** Load that has come, by giver, and the pools that it was. */
  readonly came: Map<string, number>;
  readonly pools: Set<string>;
}

/** Differences below this part of what was asked for are floating point. */
const NOTHING = 1e-6;

export class Asker {
  private standing: Standing | undefined;
  private lastId = 0;
  private silentUntil = -Infinity;
  private readonly refusedUntil = new Map<string, number>();
  /** From whom pools may still come that were asked for. */
  private readonly expectedUntil = new Map<string, number>();

  constructor(private readonly self: string) {}

  /**
   * Is a pool from there one that this node has asked for? Also when the ask has ended, for all of it was on its way.
   */
  hasAsked(giver: string, nowMs: number): boolean {
    return this.standing?.ask.from.has(giver) === true || (this.expectedUntil.get(giver) ?? -Infinity) > nowMs;
  }

  /** A pool that `giver` has sent was taken here. */
  arrived(pool: string, size: number, giver: string, nowMs: number): void {
    const { standing } = this;
    if (!standing?.ask.from.has(giver)) return;
    standing.heardAt = nowMs;
    standing.pools.add(pool);
    standing.came.set(giver, (standing.came.get(giver) ?? 0) + size);
  }

  /** Load units that have not been sent yet, by giver: not what has come, and not what its row says is on its way. */
  wants(rows: ReadonlyMap<string, PlacementRow>): Map<string, number> {
    const wants = new Map<string, number>();
    if (!this.standing) return wants;
    for (const [giver, asked] of this.standing.ask.from) {
      const left = asked - this.given(this.standing, giver, rows.get(giver));
      if (left > asked * NOTHING) wants.set(giver, left);
    }
    return wants;
  }

  /**
   * Ends an ask that is over, and makes the next one where something is lacking. @returns whether a new one was made
   */
  step(cluster: Cluster, rows: ReadonlyMap<string, PlacementRow>, nowMs: number): boolean {
    for (const times of [this.refusedUntil, this.expectedUntil]) {
      for (const [name, until] of times) if (until <= nowMs) times.delete(name);
    }
    if (this.standing) {
      const wants = this.wants(rows);
      let coming = 0;
      for (const load of wants.values()) coming += load;
      if (isTooMuch(cluster, coming, this.standing.ask.beyond)) {
        this.silentUntil = nowMs + PLACEMENT.tooMuchSilenceMs;
        this.standing = undefined;
      } else if (this.isOver(this.standing, wants, rows, nowMs)) this.end(this.standing, rows, nowMs);
    }
    if (this.standing || nowMs < this.silentUntil) return false;
    const ask = askFor(cluster, new Set(this.refusedUntil.keys()));
    if (!ask) return false;
    // By the clock, so that the first ask after a restart is a new one to everybody as well.
    this.lastId = Math.max(this.lastId + 1, Math.floor(nowMs));
    this.standing = { id: this.lastId, ask, madeAt: nowMs, heardAt: nowMs, came: new Map(), pools: new Set() };
    return true;
  }

  /** The ask makes no sense any more: this node was drained, or does not see the others. */
  drop(): void {
    this.standing = undefined;
  }

  written(): WrittenAsk | null {
    if (!this.standing) return null;
    const { id, ask } = this.standing;
    return { id, from: Object.fromEntries(ask.from), deep: ask.deep };
  }

  private isOver(
    standing: Standing,
    wants: ReadonlyMap<string, number>,
    rows: ReadonlyMap<string, PlacementRow>,
    nowMs: number,
  ) {
    if (nowMs - standing.heardAt > PLACEMENT.askMs) return true;
    return [...wants.keys()].every((giver) => {
      const row = rows.get(giver);
      return !row?.up || row.done[this.self] === standing.id;
    });
  }

  private end(standing: Standing, rows: ReadonlyMap<string, PlacementRow>, nowMs: number): void {
    for (const giver of standing.ask.from.keys()) {
      this.expectedUntil.set(giver, nowMs + PLACEMENT.handOverMs);
      if (this.given(standing, giver, rows.get(giver)) === 0) this.refusedUntil.set(giver, nowMs + PLACEMENT.refusedMs);
    }
    this.standing = undefined;
  }

  private given({ madeAt, came, pools }: Standing, giver: string, row: PlacementRow | undefined): number {
    let given = came.get(giver) ?? 0;
    for (const sent of row?.out ?? []) {
      const mine = sent.to === this.self && sent.sentAt > madeAt - PLACEMENT.clockErrorMs;
      if (mine && !pools.has(sent.pool)) given += sent.size;
    }
    return given;
  }
}
