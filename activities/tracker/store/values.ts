/**
 * The latest value of each member and operation. Written by the node's flush (`flush.ts`), inside the transaction that
 * holds the fences; read by `show` and `status`.
 */
import { bytesOf, type Room } from '../shift/pending';
import type { Failure, Success } from '../shift/results';
import { LAST_TIME } from '../../../workflows/lib/time';
import { run, type Queryable, type Statement } from '../../lib/database';

/** The new value is the stored one: of equal text, in the same code. */
const SAME = `excluded.value = v.value and excluded.codec is not distinct from v.codec`;
/**
 * A value that did not change is not written as changed: it keeps `changed_at`, and with it its place on the page. Null
 * in `$3`: the stored value still holds. Written again (a commit whose answer was lost), a result changes nothing and
 * is not told as changed: a run's time is its name.
 */
const WRITE_SUCCESSES: Statement = {
  name: 'value-write',
  text: `insert into longwatch.value as v (member, operation, value, codec, etag, fetched_at, expires_at, changed_at)
         select r.member, r.operation, r.value, r.codec, r.etag, to_timestamp(r.fetched / 1000), to_timestamp(r.expires / 1000),
                case when r.value is not null then to_timestamp(r.fetched / 1000) end
         from unnest($1::bigint[], $2::text[], $3::jsonb[], $4::text[], $5::float8[], $6::float8[], $7::text[])
           as r (member, operation, value, etag, fetched, expires, codec)
         on conflict (member, operation) do update
         set value = case when excluded.value is null or ${SAME} then v.value else excluded.value end,
             codec = case when excluded.value is null or ${SAME} then v.codec else excluded.codec end,
             changed_at = case when excluded.value is null or ${SAME} then v.changed_at else excluded.fetched_at end,
             etag = excluded.etag,
             fetched_at = excluded.fetched_at,
             expires_at = excluded.expires_at,
             failures = 0, error = null, failed_at = null, held_until = null
         where v.fetched_at is distinct from excluded.fetched_at
            or (excluded.value is not null and (${SAME}) is not true)`,
};
/** The same, and says which values have changed: for operations that feed a buffer. */
const WRITE_AND_TELL: Statement = {
  name: 'value-write-and-tell',
  text: `${WRITE_SUCCESSES.text}
         returning v.member::float8 as member, v.operation, v.changed_at = v.fetched_at as changed`,
};
/**
 * How many in a row is the shift's to count: it is the only one that writes, and adding here would count a failure told
 * twice twice.
 */
const WRITE_FAILURES: Statement = {
  name: 'value-write-failure',
  text: `insert into longwatch.value as v (member, operation, failed_at, failures, error, held_until)
         select r.member, r.operation, to_timestamp(r.failed / 1000), r.in_a_row, r.error, to_timestamp(r.held / 1000)
         from unnest($1::bigint[], $2::text[], $3::float8[], $4::text[], $5::float8[], $6::int[])
           as r (member, operation, failed, error, held, in_a_row)
         on conflict (member, operation) do update
         set failed_at = excluded.failed_at, failures = excluded.failures, error = excluded.error,
             held_until = excluded.held_until`,
};

/** One statement has at most this much, so that what has piled up in an outage is not one enormous text. */
const SLICE: Readonly<Room> = { rows: 5_000, bytes: 4 * 2 ** 20 };

export interface Rows<T> {
  operation: string;
  rows: Iterable<T>;
}

interface Row<T> {
  operation: string;
  row: T;
}

interface WriteOptions {
  /** From the writer's clock to the database's, epoch milliseconds. @default the same */
  toStore?: (ms: number) => number;
  /** Told of each value that is not what it was. */
  onChanged?: (member: number, operation: string) => void;
  /** The most that one statement has. */
  slice?: Readonly<Room>;
}

const timeOf = (ms: number | null, toStore: (ms: number) => number): number | null =>
  ms === null ? null : Math.min(LAST_TIME, toStore(ms));

/** Writes results of any number of operations; a member and operation may appear once. */
export async function writeSuccesses(
  db: Queryable,
  batches: Iterable<Rows<Success>>,
  { toStore = (ms) => ms, onChanged, slice: most = SLICE }: WriteOptions = {},
): Promise<void> {
  type Told = { member: number; operation: string; changed: boolean };
  for (const slice of slices(batches, bytesOf, most)) {
    const told = await run<Told>(db, onChanged ? WRITE_AND_TELL : WRITE_SUCCESSES, [
      slice.map(({ row }) => row.key),
      slice.map(({ operation }) => operation),
      slice.map(({ row }) => row.json),
      slice.map(({ row }) => row.etag),
      slice.map(({ row }) => toStore(row.fetchedAt)),
      slice.map(({ row }) => timeOf(row.expiresAt, toStore)),
      slice.map(({ row }) => row.codec ?? null),
    ]);
    if (onChanged) for (const { member, operation, changed } of told) if (changed) onChanged(member, operation);
  }
}

export async function writeFailures(
  db: Queryable,
  batches: Iterable<Rows<Failure>>,
  { toStore = (ms) => ms, slice: most = SLICE }: Pick<WriteOptions, 'toStore' | 'slice'> = {},
): Promise<void> {
  for (const slice of slices(batches, ({ error }) => Buffer.byteLength(error), most)) {
    await run(db, WRITE_FAILURES, [
      slice.map(({ row }) => row.key),
      slice.map(({ operation }) => operation),
      slice.map(({ row }) => toStore(row.failedAt)),
      slice.map(({ row }) => row.error),
      slice.map(({ row }) => timeOf(row.heldUntil, toStore)),
      slice.map(({ row }) => row.inARow),
    ]);
  }
}

/** A row that alone has more bytes than a slice is a slice of its own. */
function* slices<T>(batches: Iterable<Rows<T>>, sizeOf: (row: T) => number, most: Room): Generator<Row<T>[]> {
  let slice: Row<T>[] = [];
  let bytes = 0;
  for (const { operation, rows } of batches) {
    for (const row of rows) {
      const size = sizeOf(row);
      if (slice.length >= most.rows || (slice.length > 0 && bytes + size > most.bytes)) {
        yield slice;
        slice = [];
        bytes = 0;
      }
      slice.push({ operation, row });
      bytes += size;
    }
  }
  if (slice.length > 0) yield slice;
}
