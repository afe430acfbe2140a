/**
 * Which of a flush's values go to a buffer: those that have changed, of operations whose definition names one. Called by `flush.ts`: before
 * its transaction for the entries, since a buffer's `key` is the user's code, and within it for those whose values have changed.
 * Next: `activities/buffer/feed.ts`.
 */
import type { TrackerDefinition } from '../../workers/config/definition';
import type { Json } from '../../workflows/buffer/contract';
import type { BufferFeed, FedEntry, FeedMark } from '../buffer/feed';
import { errorOf } from '../failures';
import type { Queryable } from '../store/database';
import type { Clock } from './clock';
import type { Portion } from './flush';
import type { OperationLoop } from './operation';

/** What a buffer gets if the value has changed, by `operation/member`. */
export type FedEntries = ReadonlyMap<string, FedEntry>;

export class ValueFeed {
  constructor(
    private readonly trackers: ReadonlyMap<string, TrackerDefinition>,
    private readonly buffers: BufferFeed,
    private readonly clock: Clock,
    /** A `key` function that threw; its entry goes on without one. */
    private readonly keyFailed: (error: Error, buffer: string, operation: OperationLoop, id: string) => void,
  ) {}

  /** Undefined where nothing feeds a buffer. Never throws. */
  entriesOf(portions: readonly Portion[]): FedEntries | undefined {
    let entries: Map<string, FedEntry> | undefined;
    for (const { shift, harvest } of portions) {
      for (const [loop, { successes }] of harvest) {
        const buffer = this.trackers.get(shift.trackerName)?.operations[loop.name]?.buffer;
        if (buffer === undefined) continue;
        entries ??= new Map();
        for (const [slot, { key: member, json, fetchedAt }] of successes) {
          if (json === null) continue;
          const value = {
            tracker: shift.trackerName,
            operation: loop.name,
            id: shift.members.id(slot),
            value: JSON.parse(json) as Json,
            fetchedAt: this.clock.toStore(fetchedAt),
          };
          let key: string | null = null;
          try {
            key = this.buffers.keyOf(buffer, value);
          } catch (thrown) {
            this.keyFailed(errorOf(thrown), buffer, loop, value.id);
          }
          entries.set(`${loop.name}/${member}`, { buffer, value, key });
        }
      }
    }
    return entries;
  }

  /** @param changed `operation/member` of the values that are not what they were */
  store(db: Queryable, entries: FedEntries, changed: readonly string[]): Promise<void> {
    return this.buffers.store(
      db,
      changed.flatMap((name) => entries.get(name) ?? []),
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
