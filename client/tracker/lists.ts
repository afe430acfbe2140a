/**
 * Lists of a tracker's members, a page at a time: by the beginning of their ids, those that fail, and what their errors
 * say. Each page reads a bounded number of rows of an index, so that it takes the same time at a million members.
 * Called by `reads.ts`; shown by the page and by `longwatch members` and `longwatch errors`.
 */
import type { Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';
import { unstorable } from '../../workflows/lib/text';
import { poolOf } from '../../workflows/tracker/plan';
import type { Connections } from '../connections';
import { foldAll } from '../fold-error';
import { iso } from '../iso';
import { cursorOf, pageSize, placeOf, type Page } from '../page';

export interface MembersFilter {
  /** Only ids that begin with it. */
  prefix?: string;
  /** Only ids after this one, in the order of their bytes. */
  after?: string;
  /** @default 100, at most 1,000 */
  limit?: number;
}

/** A member as a list shows it. */
export interface MemberSummary {
  id: string;
  pool: number;
  /** The node that keeps it, or kept it last; null: none did yet. */
  node: string | null;
  addedAt: string;
  /** Its last run that was stored, of any operation, good or bad. Null: none yet. */
  lastRunAt: string | null;
  /** Operations that fail for it. */
  failing: string[];
}

export interface FailingFilter {
  /** @default all */
  operation?: string;
  /** A page's `next`. */
  after?: string;
  /** @default 100, at most 1,000 */
  limit?: number;
}

/** One operation that has failed for one member since its last success. */
export interface FailingMember {
  id: string;
  pool: number;
  node: string | null;
  operation: string;
  /** In a row. */
  failures: number;
  error: string;
  failedAt: string | null;
  /** The last success; null: there was none. */
  fetchedAt: string | null;
  /** Left alone until then: by a back-off, or because the upstream asked for it. */
  heldUntil: string | null;
}

/** Failing members whose errors differ in numbers and ids alone. */
export interface ErrorGroup {
  operation: string;
  /** The error without what differs: `HttpError: 503 of /characters/#`. */
  text: string;
  members: number;
  /** One of them, with its own words. */
  example: { id: string; error: string; failedAt: string | null };
}

export interface ErrorReport {
  /** The most frequent first. */
  groups: ErrorGroup[];
  /** Failing members and operations that were looked at. */
  looked: number;
  /** False: there are more than were looked at, so the groups' numbers are those of a part. */
  complete: boolean;
}

/** 200 characters of three bytes (`workflows/tracker/id.ts`). */
const MOST_ID_BYTES = 600;
/**
 * Index rows that one page looks through, at most: removed members, and those of other trackers that fail, are among
 * them.
 */
const LOOKED = 10_000;
/** The same for a report of errors, of each operation. */
const REPORTED = 10_000;

const MEMBERS: Statement = {
  name: 'client-members',
  text: `select m.id, m.hash::float8 as hash, ${ms('m.added_at')} as added_at, p.node, v.failing, ${ms('v.last_run')} as last_run
         from (
           select * from (
             select key, id, hash, added_at, removed_at from longwatch.member
             where tracker = $1 and id > $2 and id >= $3 and id <= $4
             order by id limit $5
           ) looked
           where removed_at is null order by id limit $6
         ) m
         left join lateral (
           select array_agg(operation order by operation) filter (where failures > 0) as failing,
                  max(greatest(fetched_at, failed_at)) as last_run
           from longwatch.value where member = m.key offset 0
         ) v on true
         left join lateral (
           select node from longwatch.pool where tracker = $1 and pool = longwatch.pool_of(m.hash, $7) offset 0
         ) p on true
         order by m.id`,
};
/** Asked where a page is not full: whether it has seen all, and else up to which id. */
const MEMBERS_LOOKED: Statement = {
  name: 'client-members-looked',
  text: `select count(*)::int as looked, max(id) as last from (
           select id from longwatch.member where tracker = $1 and id > $2 and id >= $3 and id <= $4
           order by id limit $5
         ) looked`,
};

const FAILING: Statement = {
  name: 'client-failing',
  text: `select v.member::float8 as member, m.id, m.hash::float8 as hash, p.node, v.failures, v.error,
                ${ms('v.failed_at')} as failed_at, ${ms('v.fetched_at')} as fetched_at, ${ms('v.held_until')} as held_until
         from (
           select member, failures, error, failed_at, fetched_at, held_until from longwatch.value
           where operation = $2 and failures > 0 and member > $3 order by member limit $4
         ) v
         cross join lateral (
           select id, hash from longwatch.member where key = v.member and tracker = $1 and removed_at is null offset 0
         ) m
         left join lateral (
           select node from longwatch.pool where tracker = $1 and pool = longwatch.pool_of(m.hash, $6) offset 0
         ) p on true
         order by v.member limit $5`,
};
const FAILING_LOOKED: Statement = {
  name: 'client-failing-looked',
  text: `select count(*)::int as looked, max(member)::float8 as last from (
           select member from longwatch.value where operation = $1 and failures > 0 and member > $2
           order by member limit $3
         ) looked`,
};

/** Grouped as far as SQL does it quickly, which leaves few rows: digits become one sign each. */
const ERRORS: Statement = {
  name: 'client-errors',
  text: `with looked as materialized (
           select member, error from longwatch.value
           where operation = $2 and failures > 0 and member > 0 order by member limit $3
         ), met as (
           select v.* from looked v
           cross join lateral (
             select from longwatch.member where key = v.member and tracker = $1 and removed_at is null offset 0
           ) m
         ), grouped as (
           select translate(left(error, 300), '0123456789', '##########') as folded, count(*)::int as members,
                  max(member) as example
           from met group by 1 order by 2 desc limit 1000
         )
         select (select count(*)::int from looked) as looked, (select count(*)::int from met) as met, g.members,
                e.id, left(e.error, 1000) as error, ${ms('e.failed_at')} as failed_at
         from (select) as one left join grouped g on true
         left join lateral (
           select m.id, v.error, v.failed_at from longwatch.value v join longwatch.member m on m.key = v.member
           where v.member = g.example and v.operation = $2 offset 0
         ) e on true
         order by g.members desc`,
};

interface MemberRow {
  [column: string]: unknown;
  id: string;
  hash: number;
  added_at: number;
  node: string | null;
  failing: string[] | null;
  last_run: number | null;
}

interface FailingRow {
  [column: string]: unknown;
  member: number;
  id: string;
  hash: number;
  node: string | null;
  failures: number;
  error: string | null;
  failed_at: number | null;
  fetched_at: number | null;
  held_until: number | null;
}

interface ErrorRow {
  [column: string]: unknown;
  looked: number;
  met: number;
  /** Null: no member of the tracker was met. */
  members: number | null;
  id: string;
  error: string | null;
  failed_at: number | null;
}

/** Members in the order of their ids. `next` is an id. */
export async function listMembers(
  connections: Connections,
  { name, pools }: { name: string; pools: number },
  { prefix = '', after = '', limit }: MembersFilter,
): Promise<Page<MemberSummary>> {
  // No id is so.
  if (unstorable(prefix, MOST_ID_BYTES) !== undefined || unstorable(after, 2 * MOST_ID_BYTES) !== undefined)
    return { items: [], next: null };
  const size = pageSize(limit);
  const range = [name, after, prefix, lastWith(prefix), LOOKED];
  const rows = await connections.read<MemberRow>(MEMBERS, [...range, size + 1, pools]);
  const items = rows.slice(0, size).map((row) => ({
    id: row.id,
    pool: poolOf(row.hash, pools),
    node: row.node,
    addedAt: iso(row.added_at),
    lastRunAt: iso(row.last_run),
    failing: row.failing ?? [],
  }));
  if (rows.length > size) return { items, next: items.at(-1)!.id };
  const [seen] = await connections.read<{ looked: number; last: string | null }>(MEMBERS_LOOKED, range);
  return { items, next: seen!.looked < LOOKED ? null : seen!.last };
}

/** By operation, and in each in the order in which they were added. */
export async function listFailing(
  connections: Connections,
  { name, pools }: { name: string; pools: number },
  operations: readonly string[],
  { after, limit }: Pick<FailingFilter, 'after' | 'limit'>,
): Promise<Page<FailingMember>> {
  const size = pageSize(limit);
  const items: FailingMember[] = [];
  const place = placeOf(after, isFailingPlace);
  let left = LOOKED;
  for (const operation of [...operations].sort()) {
    if (place && operation < place[0]) continue;
    const from = place?.[0] === operation ? place[1] : 0;
    const room = size - items.length;
    if (room === 0 || left === 0) return { items, next: cursorOf([operation, from]) };
    const rows = await connections.read<FailingRow>(FAILING, [name, operation, from, left, room, pools]);
    items.push(...rows.map((row) => failingOf(row, operation, pools)));
    if (rows.length === room) {
      // The rest of this operation comes first on the next page.
      return { items, next: cursorOf([operation, rows.at(-1)!.member]) };
    }
    const [seen] = await connections.read<{ looked: number; last: number }>(FAILING_LOOKED, [operation, from, left]);
    if (seen!.looked === left) return { items, next: cursorOf([operation, seen!.last]) };
    left -= seen!.looked;
  }
  return { items, next: null };
}

/** Failing members by what their errors say. */
export async function reportErrors(
  connections: Connections,
  tracker: string,
  operations: readonly string[],
): Promise<ErrorReport> {
  const groups: ErrorGroup[] = [];
  let looked = 0;
  let complete = true;
  for (const operation of operations) {
    const rows = await connections.read<ErrorRow>(ERRORS, [tracker, operation, REPORTED]);
    looked += rows[0]!.met;
    complete &&= rows[0]!.looked < REPORTED && rows.length < 1_000;
    const counted = rows.flatMap(({ members, id, error, failed_at: failedAt }) => {
      const example = { id, error: error ?? '', failedAt: iso(failedAt) };
      return members === null ? [] : [{ error: example.error, count: members, example }];
    });
    groups.push(...foldAll(counted).map(({ text, count, example }) => ({ operation, text, members: count, example })));
  }
  groups.sort((a, b) => b.members - a.members);
  return { groups, looked, complete };
}

/** Operation, and the key of the member that was looked at last. */
function isFailingPlace(value: unknown): value is [string, number] {
  return Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && Number.isSafeInteger(value[1]);
}

function failingOf(row: FailingRow, operation: string, pools: number): FailingMember {
  return {
    id: row.id,
    pool: poolOf(row.hash, pools),
    node: row.node,
    operation,
    failures: row.failures,
    error: row.error ?? '',
    failedAt: iso(row.failed_at),
    fetchedAt: iso(row.fetched_at),
    heldUntil: iso(row.held_until),
  };
}

/** A text that no id with this beginning is after: ids have 200 characters, and this is the last one that there is. */
const lastWith = (prefix: string): string => prefix + '\u{10ffff}'.repeat(MOST_ID_BYTES / 6);
