/**
 * Which of a flush's values go to a buffer: those that have changed, of operations whose definition names one. Called by
 * `writer.ts` within its transaction; next: `activities/buffer/feed.ts`.
 */
import type { TrackerDefinition } from '../../workers/config/definition';
import type { Json } from '../../workflows/buffer/contract';
import type { BufferFeed, FedValue } from '../buffer/feed';
import type { Queryable } from '../store/database';
import type { Harvest, PoolShift } from './pool-shift';

export class ValueFeed {
  constructor(
    private readonly trackers: ReadonlyMap<string, TrackerDefinition>,
    private readonly buffers: BufferFeed,
  ) {}

  wanted(harvests: ReadonlyMap<PoolShift, Harvest>): boolean {
    for (const [shift, harvest] of harvests) {
      for (const [loop, { successes }] of harvest) {
        if (successes.size > 0 && this.bufferOf(shift.trackerName, loop.name) !== undefined) return true;
      }
    }
    return false;
  }

  async store(db: Queryable, harvests: ReadonlyMap<PoolShift, Harvest>, changed: ReadonlySet<string>): Promise<void> {
    if (changed.size === 0) return;
    const byBuffer = new Map<string, FedValue[]>();
    for (const [shift, harvest] of harvests) {
      for (const [loop, { successes: rows }] of harvest) {
        const buffer = this.bufferOf(shift.trackerName, loop.name);
        if (buffer === undefined) continue;
        const values = byBuffer.get(buffer) ?? [];
        byBuffer.set(buffer, values);
        for (const [slot, { key, json, fetchedAt }] of rows) {
          if (json === null || !changed.has(`${loop.name}/${key}`)) continue;
          const id = shift.members.id(slot);
          const value = JSON.parse(json) as Json;
          values.push({ tracker: shift.trackerName, operation: loop.name, id, value, fetchedAt });
        }
      }
    }
    for (const [buffer, values] of byBuffer) if (values.length > 0) await this.buffers.store(db, buffer, values);
  }

  committed(): Promise<void> {
    return this.buffers.committed();
  }

  rolledBack(): void {
    this.buffers.rolledBack();
  }

  private bufferOf(tracker: string, operation: string): string | undefined {
    return this.trackers.get(tracker)?.operations[operation]?.buffer;
  }
}
