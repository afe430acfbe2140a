/**
 * The rows that hold entries: chunks that a shard has stored, and what was sent to it by reference; the keys beside
 * them, and the fence that orders a shard's stores. Written and read by the activities of a buffer
 * (`activities/buffer`) and by the client, for entries that are too large for a message.
 */
import type { StoreRow } from '../../../workflows/buffer/activities';
import type { Chunk, LaneName } from '../../../workflows/buffer/state';
import { ErrorType } from '../../../workflows/lib/errors';
import { utf8Bytes } from '../../../workflows/lib/size';
import { failure } from '../../lib/failures';
import { run, type Queryable, type Statement } from '../../lib/database';
import type { Json } from '../../../workflows/lib/json';
import { DAY_MS } from '../../../config/values';

type Fate = Pick<Chunk, 'attempts' | 'failed' | 'limit' | 'errors' | 'at' | 'ages'>;

/**
 * A row whose message or result never came to its shard is deleted then, if the shard has been heard of since. Seconds.
 */
export const ORPHAN_SECONDS = (7 * DAY_MS) / 1_000;

/**
 * The stores of a shard are ordered: one of a run that was ended, or that took too long, must not come after newer
 * ones.
 */
const FENCE: Statement = {
  name: 'chunk-fence',
  text: `insert into longwatch.buffer_fence as f (buffer, shard, moment) values ($1, $2, $3)
         on conflict (buffer, shard) do update set moment = excluded.moment where f.moment <= excluded.moment
         returning moment`,
};
/** Rows of a run that was ended in its last moments: it had the numbers that are used now. */
const GHOSTS: Statement = {
  name: 'chunk-ghosts',
  text: `delete from longwatch.buffer_chunk
         where buffer = $1 and shard = $2 and lane in ('front', 'back', 'later') and place = any($3::bigint[]) and id <> all($4)`,
};

/**
 * A number that was used in a shard's last moments, before it was reset, is used again: what is written last counts.
 */
const INSERT: Statement = {
  name: 'chunk-insert',
  text: `insert into longwatch.buffer_chunk (buffer, id, shard, lane, place, due_at, first, count, bytes, entries, keys, fate)
         select $1, r.id, $2, r.lane, r.place, r.due_at, r.first, r.count, r.bytes, r.entries,
                (select array_agg(k) from json_array_elements_text(r.keys) as k), r.fate
         from unnest($3::text[], $4::text[], $5::bigint[], $6::float8[], $7::bigint[], $8::int[], $9::int[], $10::text[],
                     $11::json[], $12::json[]) as r (id, lane, place, due_at, first, count, bytes, entries, keys, fate)
         on conflict (buffer, id) do update
         set shard = excluded.shard, lane = excluded.lane, place = excluded.place, due_at = excluded.due_at, token = null,
             first = excluded.first, count = excluded.count, bytes = excluded.bytes, entries = excluded.entries,
             keys = excluded.keys, fate = excluded.fate`,
};
const ADOPT: Statement = {
  name: 'chunk-adopt',
  text: `update longwatch.buffer_chunk c
         set shard = $2, lane = r.lane, place = r.place, due_at = r.due_at, first = r.first, fate = r.fate, expires_at = null
         from unnest($3::text[], $4::text[], $5::bigint[], $6::float8[], $7::bigint[], $8::json[], $9::int[])
           as r (id, lane, place, due_at, first, fate, count)
         where c.buffer = $1 and c.id = r.id and c.count = r.count
         returning c.id`,
};
const COUNTS: Statement = {
  name: 'chunk-counts',
  text: `select id, count from longwatch.buffer_chunk where buffer = $1 and id = any($2)`,
};
/** Rows that nobody is told of expire. */
export const SEND_ROW: Statement = {
  name: 'chunk-send',
  text: `insert into longwatch.buffer_chunk (buffer, id, count, bytes, entries, keys, expires_at)
         values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7::float8))
         on conflict (buffer, id) do nothing`,
};
const NOTE_KEYS: Statement = {
  name: 'chunk-note-keys',
  text: `insert into longwatch.buffer_key as k (buffer, shard, key, entry)
         select $1, $2, key, max(coalesce((c.fate -> 'ages' ->> (i::int - 1))::bigint, first + i - 1))
         from longwatch.buffer_chunk c, unnest(c.keys) with ordinality as u (key, i)
         where c.buffer = $1 and c.id = any($3) and key is not null
         group by key order by key
         on conflict (buffer, shard, key) do update set entry = excluded.entry where k.entry < excluded.entry`,
};
const FETCH: Statement = {
  name: 'chunk-fetch',
  text: `select id, place::float8 as place, first::float8 as first, count, bytes, fate
         from longwatch.buffer_chunk
         where buffer = $1 and shard = $2 and lane = $3 and place between $4 and $5
         order by place limit $6`,
};
const FETCHED_DUE: Statement = {
  name: 'chunk-fetched-due',
  text: `select id, place::float8 as place, first::float8 as first, count, bytes, fate
         from longwatch.buffer_chunk
         where buffer = $1 and shard = $2 and lane = 'later' and token = $3 and place <= $4
         order by due_at, place`,
};
const TAKE_DUE: Statement = {
  name: 'chunk-take-due',
  text: `update longwatch.buffer_chunk set token = $3
         where buffer = $1 and id in (
           select id from longwatch.buffer_chunk
           where buffer = $1 and shard = $2 and lane = 'later' and token is null and place <= $4 and due_at <= $5
           order by due_at, place limit $6)`,
};
const NEXT_DUE: Statement = {
  name: 'chunk-next-due',
  text: `select min(due_at) as due from longwatch.buffer_chunk
         where buffer = $1 and shard = $2 and lane = 'later' and token is null and place <= $3`,
};
const READ: Statement = {
  name: 'chunk-read',
  text: `select id, entries, keys from longwatch.buffer_chunk where buffer = $1 and id = any($2)`,
};
/** The newest entry of a key lies in a row that is put off for a while. */
const PUT_OFF: Statement = {
  name: 'chunk-put-off',
  text: `select e.i::int as i from unnest($3::text[]) with ordinality as e (key, i)
         join longwatch.buffer_key k on k.buffer = $1 and k.shard = $2 and k.key = e.key
         cross join lateral (
           select c.first + c.count as past from longwatch.buffer_chunk c
           where c.buffer = $1 and c.shard = $2 and c.lane = 'later' and c.token is null and c.first <= k.entry
                 and c.due_at > extract(epoch from clock_timestamp()) * 1000 + 1000
           order by c.first desc limit 1) as r
         where r.past > k.entry`,
};
const STALE: Statement = {
  name: 'chunk-stale',
  text: `select e.i::int as i from unnest($3::text[], $4::bigint[]) with ordinality as e (key, entry, i)
         join longwatch.buffer_key k on k.buffer = $1 and k.shard = $2 and k.key = e.key and k.entry > e.entry`,
};
const FORGET: Statement = {
  name: 'chunk-forget',
  text: `delete from longwatch.buffer_chunk where buffer = $1 and id = any($2)`,
};
/** Only when the shard has nothing stored: until then an older entry of a key may still be met. */
const FORGET_KEYS: Statement = {
  name: 'chunk-forget-keys',
  text: `delete from longwatch.buffer_key where buffer = $1 and shard = $2 and entry <= $3`,
};
const EXPIRE: Statement = {
  name: 'chunk-expire',
  text: `delete from longwatch.buffer_chunk where (buffer, id) in (
           select buffer, id from longwatch.buffer_chunk c
           where expires_at < now() and not exists (
             -- It may have been told of the row, and not have read it: its workers were away.
             select from longwatch.buffer_shard s
             where s.buffer = c.buffer and s.saved is null and s.reported_at < c.expires_at)
           limit 1000)`,
};

/**
 * Writes rows that come from a shard's memory or are parts of others, and takes over those that a sender has written.
 * @param moment orders the stores of a shard
 * @returns rows of senders that have another number of entries than they were said to have: they were not taken over
 * @throws Fenced where a newer store has been
 */
export async function storeRows(
  db: Queryable,
  buffer: string,
  shard: number,
  given: StoreRow[],
  { keyed, moment }: { keyed: boolean; moment: number },
): Promise<{ id: string; count: number }[]> {
  const current = await run(db, FENCE, [buffer, shard, moment]);
  if (current.length === 0) {
    throw failure(ErrorType.Fenced, `shard ${shard} of buffer ${buffer} has stored something newer since`);
  }
  const ids = given.map(({ id }) => id);
  await run(db, GHOSTS, [buffer, shard, given.map(({ number }) => number), ids]);
  const rows = await withParts(db, buffer, given);
  const fates = (of: StoreRow[]): string[] => of.map(({ chunk }) => JSON.stringify(fateOf(chunk)));
  const made = rows.filter((row) => row.chunk.entries !== undefined);
  if (made.length > 0) {
    await run(db, INSERT, [
      buffer,
      shard,
      made.map((row) => row.id),
      made.map((row) => row.lane),
      made.map((row) => row.place),
      made.map((row) => row.chunk.at ?? null),
      made.map((row) => row.chunk.first),
      made.map((row) => row.chunk.count),
      made.map((row) => row.chunk.bytes),
      made.map((row) => JSON.stringify(row.chunk.entries)),
      made.map((row) => (row.chunk.keys ? JSON.stringify(row.chunk.keys) : null)),
      fates(made),
    ]);
  }
  const sent = rows.filter((row) => row.chunk.entries === undefined);
  let miscounted: { id: string; count: number }[] = [];
  if (sent.length > 0) {
    const adopted = await run<{ id: string }>(db, ADOPT, [
      buffer,
      shard,
      sent.map((row) => row.id),
      sent.map((row) => row.lane),
      sent.map((row) => row.place),
      sent.map((row) => row.chunk.at ?? null),
      sent.map((row) => row.chunk.first),
      fates(sent),
      sent.map((row) => row.chunk.count),
    ]);
    const taken = new Set(adopted.map(({ id }) => id));
    const others = sent.flatMap(({ id }) => (taken.has(id) ? [] : [id]));
    // One that is not there at all is missed when it is its turn.
    if (others.length > 0) miscounted = await run<{ id: string; count: number }>(db, COUNTS, [buffer, others]);
  }
  const wrong = new Set(miscounted.map(({ id }) => id));
  const noted = rows.flatMap(({ id }) => (wrong.has(id) ? [] : [id]));
  if (keyed) await run(db, NOTE_KEYS, [buffer, shard, noted]);
  return miscounted;
}

/** Parts of rows get the entries that they stand for. */
async function withParts(db: Queryable, buffer: string, given: StoreRow[]): Promise<StoreRow[]> {
  const isPart = ({ id, chunk }: StoreRow): boolean => chunk.row !== undefined && chunk.row !== id;
  const ids = given.filter(isPart).map(({ chunk }) => chunk.row!);
  if (ids.length === 0) return given;
  const wholes = await readRows(db, buffer, [...new Set(ids)]);
  return given.map((row) => {
    if (!isPart(row)) return row;
    const { row: id, from = 0, ...rest } = row.chunk;
    const whole = wholes.get(id!);
    if (!whole) throw failure(ErrorType.BadValue, `row ${id} of buffer ${buffer} is gone`);
    const entries = whole.entries.slice(from, from + rest.count);
    const keys = whole.keys?.slice(from, from + rest.count);
    return { ...row, chunk: { ...rest, entries, ...(keys ? { keys } : {}) } };
  });
}

interface SentRow {
  buffer: string;
  id: string;
  entries: readonly Json[];
  /** The same as JSON. */
  json: string;
  keys?: (string | null)[];
}

/** The values of {@link SEND_ROW}. `seconds` null: the row does not expire. */
export function sendValues({ buffer, id, entries, json, keys }: SentRow, seconds: number | null): unknown[] {
  return [buffer, id, entries.length, utf8Bytes(json), json, keys ?? null, seconds];
}

/** A run of entries that is stored before its shard is told of it. */
export async function sendRow(db: Queryable, row: SentRow, seconds: number | null): Promise<void> {
  await run(db, SEND_ROW, sendValues(row, seconds));
}

interface ChunkRow {
  [column: string]: unknown;
  id: string;
  place: number;
  first: number;
  count: number;
  bytes: number;
  fate: Fate | null;
}

export async function fetchRows(
  db: Queryable,
  input: { buffer: string; shard: number; lane: LaneName; from: number; to: number; dueMs: number; limit: number },
): Promise<{ chunks: (Chunk & { row: string })[]; next: number; laterDue: number | null }> {
  const { buffer, shard, lane, from, to, limit } = input;
  if (lane !== 'later') {
    const rows = await run<ChunkRow>(db, FETCH, [buffer, shard, lane, from, to, limit]);
    return { chunks: rows.map(toChunk), next: (rows.at(-1)?.place ?? from - 1) + 1, laterDue: null };
  }
  const token = String(from);
  let rows = await run<ChunkRow>(db, FETCHED_DUE, [buffer, shard, token, to]);
  if (rows.length === 0) {
    await run(db, TAKE_DUE, [buffer, shard, token, to, input.dueMs, limit]);
    rows = await run<ChunkRow>(db, FETCHED_DUE, [buffer, shard, token, to]);
  }
  const [next] = await run<{ due: number | null }>(db, NEXT_DUE, [buffer, shard, to]);
  return { chunks: rows.map(toChunk), next: from + 1, laterDue: next?.due ?? null };
}

/** The entries (and keys) of rows, by id; what is not there is missing. */
export async function readRows(
  db: Queryable,
  buffer: string,
  ids: string[],
): Promise<Map<string, { entries: Json[]; keys: (string | null)[] | null }>> {
  type Row = { id: string; entries: string; keys: (string | null)[] | null };
  const rows = ids.length === 0 ? [] : await run<Row>(db, READ, [buffer, ids]);
  return new Map(rows.map(({ id, entries, keys }) => [id, { entries: JSON.parse(entries) as Json[], keys }]));
}

/** The entries (by position) that have a newer one of the same key in PostgreSQL. */
export async function staleEntries(
  db: Queryable,
  buffer: string,
  shard: number,
  entries: { key: string; number: number }[],
): Promise<Set<number>> {
  if (entries.length === 0) return new Set();
  const keys = entries.map((entry) => entry.key);
  const numbers = entries.map((entry) => entry.number);
  const rows = await run<{ i: number }>(db, STALE, [buffer, shard, keys, numbers]);
  return new Set(rows.map((row) => row.i - 1));
}

/** The keys (by position) that have their newest entry among the put-off rows of a shard. */
export async function putOffKeys(
  db: Queryable,
  buffer: string,
  shard: number,
  keys: readonly (string | null)[],
): Promise<Set<number>> {
  if (!keys.some((key) => key !== null)) return new Set();
  const rows = await run<{ i: number }>(db, PUT_OFF, [buffer, shard, keys]);
  return new Set(rows.map((row) => row.i - 1));
}

export async function forgetRows(db: Queryable, buffer: string, ids: string[]): Promise<void> {
  if (ids.length > 0) await run(db, FORGET, [buffer, ids]);
}

export async function forgetKeys(db: Queryable, buffer: string, shard: number, upTo: number): Promise<void> {
  await run(db, FORGET_KEYS, [buffer, shard, upTo]);
}

/** Rows whose sender never told of them. */
export async function expireRows(db: Queryable): Promise<void> {
  await run(db, EXPIRE);
}

function fateOf({ attempts, failed, limit, errors, at, ages }: Chunk): Fate {
  return { attempts, failed, limit, errors, at, ages };
}

function toChunk({ id, first, count, bytes, fate }: ChunkRow): Chunk & { row: string } {
  return { first, count, bytes, row: id, from: 0, since: 0, ...fate };
}
