/**
 * The latest value of each member and operation. Written by the node's flush (`writer.ts`), inside the transaction that
 * holds the fences; read by `show` and `status`.
 */
import type { Failure, Success } from '../shift/results';
import { run, type Queryable, type Statement } from './database';

/**
 * A value that did not change is not written as changed: it keeps `changed_at`, and with it its place on
 * the page. Null in `$3`: the stored value still holds.
 */
const WRITE_SUCCESSES: Statement = {
  name: 'value-write',
  text: `insert into longwatch.value as v (member, operation, value, etag, fetched_at, expires_at, changed_at)
         select r.member, r.operation, r.value, r.etag, to_timestamp(r.fetched / 1000), to_timestamp(r.expires / 1000),
                to_timestamp(r.fetched / 1000)
         from unnest($1::bigint[], $2::text[], $3::jsonb[], $4::text[], $5::float8[], $6::float8[])
           as r (member, operation, value, etag, fetched, expires)
         on conflict (member, operation) do update
         set value = case when excluded.value is null or excluded.value = v.value then v.value else excluded.value end,
             changed_at = case when excluded.value is null or excluded.value = v.value then v.changed_at
                               else excluded.fetched_at end,
             etag = excluded.etag,
             fetched_at = excluded.fetched_at,
             expires_at = excluded.expires_at,
             failures = 0, error = null, failed_at = null, held_until = null`,
};
/** The same, and says which values have changed: for operations that feed a buffer. */
const WRITE_AND_TELL: Statement = {
  name: 'value-write-and-tell',
  text: `${WRITE_SUCCESSES.text}
         returning v.member::float8 as member, v.operation, v.changed_at = v.fetched_at as changed`,
};
const WRITE_FAILURES: Statement = {
  name: 'value-write-failure',
  text: `insert into longwatch.value as v (member, operation, failed_at, failures, error, held_until)
         select r.member, r.operation, to_timestamp(r.failed / 1000), 1, r.error, to_timestamp(r.held / 1000)
         from unnest($1::bigint[], $2::text[], $3::float8[], $4::text[], $5::float8[])
           as r (member, operation, failed, error, held)
         on conflict (member, operation) do update
         set failed_at = excluded.failed_at, failures = v.failures + 1, error = excluded.error,
             held_until = excluded.held_until`,
};

/** Rows of one statement at most, so that one flush after an outage is not one enormous statement. */
const CHUNK = 5_000;

export interface Rows<T> {
  operation: string;
  rows: T[];
}

/** Writes results of any number of operations; a member and operation may appear once. */
export async function writeSuccesses(
  db: Queryable,
  batches: Rows<Success>[],
  onChanged?: (member: number, operation: string) => void,
): Promise<void> {
  type Told = { member: number; operation: string; changed: boolean };
  for (const chunk of chunks(batches)) {
    const told = await run<Told>(db, onChanged ? WRITE_AND_TELL : WRITE_SUCCESSES, [
      numbers(chunk, (row) => row.key),
      operations(chunk),
      texts(chunk, (row) => row.json),
      texts(chunk, (row) => row.etag),
      numbers(chunk, (row) => row.fetchedAt),
      numbers(chunk, (row) => row.expiresAt),
    ]);
    if (onChanged) for (const { member, operation, changed } of told) if (changed) onChanged(member, operation);
  }
}

export async function writeFailures(db: Queryable, batches: Rows<Failure>[]): Promise<void> {
  for (const chunk of chunks(batches)) {
    await run(db, WRITE_FAILURES, [
      numbers(chunk, (row) => row.key),
      operations(chunk),
      numbers(chunk, (row) => row.failedAt),
      texts(chunk, (row) => row.error),
      numbers(chunk, (row) => row.heldUntil),
    ]);
  }
}

// ── PostgreSQL array literals: built here, since pg's own serializer is most of a flush's cost at thousands of rows ──

type Chunk<T> = Rows<T>[];

function* chunks<T>(batches: Rows<T>[]): Generator<Chunk<T>> {
  let chunk: Chunk<T> = [];
  let size = 0;
  for (const { operation, rows } of batches) {
    for (let from = 0; from < rows.length;) {
      const part = rows.slice(from, from + CHUNK - size);
      chunk.push({ operation, rows: part });
      from += part.length;
      size += part.length;
      if (size === CHUNK) {
        yield chunk;
        chunk = [];
        size = 0;
      }
    }
  }
  if (size > 0) yield chunk;
}

function numbers<T>(chunk: Chunk<T>, pick: (row: T) => number | null): string {
  const items: (number | string)[] = [];
  for (const { rows } of chunk) for (const row of rows) items.push(pick(row) ?? 'NULL');
  return `{${items.join(',')}}`;
}

function operations<T>(chunk: Chunk<T>): string {
  const items: string[] = [];
  for (const { operation, rows } of chunk) for (let i = 0; i < rows.length; i++) items.push(operation);
  return `{${items.join(',')}}`;
}

const SPECIAL = /["\\]/;

function texts<T>(chunk: Chunk<T>, pick: (row: T) => string | null): string {
  const items: string[] = [];
  for (const { rows } of chunk) {
    for (const row of rows) {
      const text = pick(row);
      items.push(text === null ? 'NULL' : `"${SPECIAL.test(text) ? text.replace(/["\\]/g, '\\$&') : text}"`);
    }
  }
  return `{${items.join(',')}}`;
}
