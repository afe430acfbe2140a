/**
 * Chooses the values of a flush that go to a buffer: those that have changed, of operations whose definition names one.
 * Called by `flush.ts`: before its transaction for the entries, since a buffer's `key` is the user's code, and within
 * it for those whose values have changed. Next: `activities/buffer/feed.ts`.
 */
import type { TrackerDefinition } from '../../../config/define/tracker';
import type { BufferFeed, FedEntry, FeedMark } from '../../buffer/feed';
import { errorOf } from '../../lib/failures';
import type { Queryable } from '../../lib/database';
import type { Clock } from './clock';
import type { Operation } from './host';
import type { Harvest } from './harvest';
import type { PoolShift } from './pool-shift';
import type { Success } from './results';
import type { Json } from '../../../workflows/lib/json';

/**
 * The entry that a buffer gets if the value has changed, by the result that brought it: after a split two shifts of one
 * flush may have a result for the same member, and only one of them is stored.
 */
export type FedEntries = ReadonlyMap<Success, FedEntry>;

export class ValueFeed {
  constructor(
    private readonly trackers: ReadonlyMap<string, TrackerDefinition>,
    private readonly buffers: BufferFeed,
    private readonly clock: Clock,
    /** A `key` function that threw; its entry goes on without one. */
    private readonly keyFailed: (error: Error, buffer: string, operation: Operation, id: string) => void,
  ) {}

  /** Undefined where nothing feeds a buffer. Never throws. */
  entriesOf(portions: readonly { shift: PoolShift; harvest: Harvest }[]): FedEntries | undefined {
    let entries: Map<Success, FedEntry> | undefined;
    for (const { shift, harvest } of portions) {
      for (const [loop, { successes }] of harvest) {
        const buffer = this.trackers.get(shift.trackerName)?.operations[loop.name]?.buffer;
        if (buffer === undefined) continue;
        entries ??= new Map();
        for (const [slot, success] of successes) {
          const { json, fetchedAt, fed = json } = success;
          if (json === null || fed === null) continue;
          const value = {
            tracker: shift.trackerName,
            operation: loop.name,
            id: shift.members.id(slot),
            value: JSON.parse(fed) as Json,
            fetchedAt: this.clock.toStore(fetchedAt),
          };
          let key: string | null = null;
          try {
            key = this.buffers.keyOf(buffer, value);
          } catch (thrown) {
            this.keyFailed(errorOf(thrown), buffer, loop, value.id);
          }
          entries.set(success, { buffer, value, key });
        }
      }
    }
    return entries;
  }

  /** @param changed the results whose values are not what was stored */
  store(db: Queryable, entries: FedEntries, changed: readonly Success[]): Promise<void> {
    return this.buffers.store(
      db,
      changed.flatMap((success) => entries.get(success) ?? []),
    );
  }

  /** Before a savepoint: what `undo` goes back to. */
  mark(): FeedMark {
    return this.buffers.mark();
  }

  undo(mark: FeedMark): void {
    this.buffers.undo(mark);
  }

  committed(): void {
    void this.buffers.committed();
  }

  rolledBack(): void {
    this.buffers.rolledBack();
  }
}
