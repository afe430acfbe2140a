/**
 * The pools that this node has sent to others and that are not known to have arrived: part of what `placer.ts`
 * remembers. They stand in the row, bound how many more may be sent, and their times tell whether the server is behind.
 *
 * A hand-over begins when it is decided; the shift ends a moment later (`released`: runs that are under way end first),
 * and it is over when the fence of the pool shows another holder.
 */
import { PLACEMENT } from './constants';
import type { PlacedPool } from './types';
import type { HandOver, PlacementRow } from './row';

interface Sent {
  readonly pool: PlacedPool;
  readonly to: string;
  readonly decidedAt: number;
  releasedAt?: number;
  takenAt?: number;
}

export class HandOvers {
  private readonly sent = new Map<string, Sent>();
  /** How long the last one took from release to taking, and when that was known. */
  private last = { tookMs: 0, at: -Infinity };

  has(pool: string): boolean {
    return this.sent.has(pool);
  }

  begin(pool: PlacedPool, to: string, nowMs: number): void {
    this.sent.set(pool.id, { pool, to, decidedAt: nowMs });
  }

  /** Its shift here has ended. */
  released(pool: string, nowMs: number): void {
    const sent = this.sent.get(pool);
    if (sent) sent.releasedAt ??= nowMs;
  }

  /** Its fence has another holder since `takenAtMs`. It counts as the target's until the target's row is newer. */
  taken(pool: string, by: string, takenAtMs: number, nowMs: number): void {
    const sent = this.sent.get(pool);
    if (!sent || sent.takenAt !== undefined) return;
    this.last = { tookMs: takenAtMs - (sent.releasedAt ?? takenAtMs), at: nowMs };
    if (by === sent.to) sent.takenAt = takenAtMs;
    else this.sent.delete(pool);
  }

  forget(pool: string): void {
    this.sent.delete(pool);
  }

  /** Drops those that the rows show, and those of which nothing was heard. */
  tidy(rows: ReadonlyMap<string, PlacementRow>, nowMs: number): void {
    for (const [id, { to, takenAt, releasedAt }] of this.sent) {
      const shown = takenAt !== undefined && (rows.get(to)?.at ?? Infinity) > takenAt;
      const lost = releasedAt !== undefined && nowMs - releasedAt >= PLACEMENT.handOverMs;
      if (shown || lost) this.sent.delete(id);
    }
  }

  /** The pools whose fences the next flush should look at. */
  awaited(): string[] {
    return [...this.sent.values()].filter(({ takenAt }) => takenAt === undefined).map(({ pool }) => pool.id);
  }

  /** Counted against the limits. One that cannot end its shift does not block the others for ever. */
  inFlight(nowMs: number): { pools: number; members: number } {
    let [pools, members] = [0, 0];
    for (const { pool, decidedAt, releasedAt, takenAt } of this.sent.values()) {
      if (takenAt !== undefined || nowMs - (releasedAt ?? decidedAt) >= PLACEMENT.handOverMs) continue;
      pools++;
      members += pool.members;
    }
    return { pools, members };
  }

  isJammed(nowMs: number): boolean {
    if (this.last.tookMs > PLACEMENT.jamMs && nowMs - this.last.at < PLACEMENT.jamMemoryMs) return true;
    for (const { releasedAt, takenAt } of this.sent.values()) {
      if (takenAt === undefined && releasedAt !== undefined && nowMs - releasedAt > PLACEMENT.jamMs) return true;
    }
    return false;
  }

  listed(nowMs: number): (HandOver & { takenAt?: number })[] {
    return [...this.sent.values()].map(({ pool, to, releasedAt, takenAt }) => ({
      pool: pool.id,
      to,
      size: pool.size,
      kind: pool.kind,
      sentAt: releasedAt ?? nowMs,
      takenAt,
    }));
  }
}
