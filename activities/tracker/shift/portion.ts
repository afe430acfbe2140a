/**
 * A portion of results as it is written: first the values, then the failures beside them. Called by `flush.ts` for all
 * pools together and by `alone.ts` for one pool or row; the statements are in `store/values.ts`.
 */
import type { Logger } from 'pino';
import type { Queryable } from '../../lib/database';
import type { TrackerRow } from '../store/trackers';
import { writeFailures, writeSuccesses, type Rows } from '../store/values';
import type { Slots } from '../../../workflows/tracker/slots';
import type { Struck } from '../member/strikes';
import type { Clock } from './clock';
import type { FedEntries, ValueFeed } from './feed';
import type { Operation } from './host';
import type { Room } from './pending';
import type { Harvest } from './harvest';
import type { PoolShift } from './pool-shift';
import type { Failure, Success } from './results';
import type { ChangedRow } from '../../upstream/budget/spender';
import { writeMemberBuckets } from '../../upstream/store/purse';

/** The parts of a node that a flush needs. */
export interface FlushHost {
  readonly shifts: ReadonlySet<PoolShift>;
  readonly trackers: Map<string, TrackerRow>;
  readonly clock: Clock;
  readonly log: Logger;
  fenced(shift: PoolShift): void;
  /** A result that the store will not have is a failure of its member. */
  onError(error: Error, operation: Operation, id: string): void;
  /** Buffers that operations feed. */
  readonly feed?: ValueFeed;
  /** Turns of members wait for the connection: a transaction of values is to be short. Absent: there are none. */
  readonly turnsWait?: boolean;
  /** The turns of members; absent: no tracker of its config receives. */
  readonly turns?: { keep(shift: PoolShift, slots: Slots, struck: Struck): void } | undefined;
  /** The most that one transaction takes, and one statement of it; a simulated node has smaller ones. */
  readonly limits?: { readonly transaction: Readonly<Room>; readonly statement: Readonly<Room> };
}

/** The results that one flush takes from one shift. */
export interface Portion {
  shift: PoolShift;
  harvest: Harvest;
  /** The buckets of its members that have changed. */
  buckets: ChangedRow[];
}

/** Rows of buckets in one flush and shift: the others have changed still. */
const MOST_BUCKETS = 5_000;

export function portionOf(shift: PoolShift, room: Room): Portion {
  return { shift, harvest: shift.harvest(room), buckets: shift.purse?.harvest(MOST_BUCKETS) ?? [] };
}

/** It was written, or waits again. */
export function settlePortion({ shift, harvest, buckets }: Portion, isCommitted: boolean): void {
  if (!isCommitted) shift.putBack(harvest);
  shift.purse?.flushed(buckets, isCommitted);
}

/** Writes the buckets under the fence of each shift, as its values. */
export function writeBuckets(db: Queryable, portions: readonly Portion[]): Promise<void> {
  const rows = portions.flatMap(({ shift, buckets }) =>
    buckets.map(({ slot, ...row }) => ({ ...row, member: shift.members.key(slot) })),
  );
  return writeMemberBuckets(db, rows);
}

/** Successes and the entries of those that have changed, which are in the buffer if and only if the value is stored. */
export async function writeValues(
  db: Queryable,
  successes: Iterable<Rows<Success>>,
  fed: FedEntries | undefined,
  { clock, feed, limits }: FlushHost,
): Promise<void> {
  const as = { toStore: (ms: number) => clock.toStore(ms), slice: limits?.statement };
  if (!feed || !fed) return writeSuccesses(db, successes, as);
  // Read twice: what is written, and which of it has changed.
  const batches = Array.from(successes, ({ operation, rows }) => ({ operation, rows: [...rows] }));
  const names = new Set<string>();
  const onChanged = (member: number, operation: string) => void names.add(`${operation}/${member}`);
  await writeSuccesses(db, batches, { ...as, onChanged });
  if (names.size === 0) return;
  const changed = batches.flatMap(({ operation, rows }) => rows.filter(({ key }) => names.has(`${operation}/${key}`)));
  await feed.store(db, fed, changed);
}

export function writeFailed(db: Queryable, rows: Iterable<Rows<Failure>>, host: FlushHost): Promise<void> {
  return writeFailures(db, rows, { toStore: (ms) => host.clock.toStore(ms), slice: host.limits?.statement });
}
