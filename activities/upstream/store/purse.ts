/**
 * Buckets of members as rows of `longwatch.budget_member`: written by the flush that writes the members' values, under
 * the same fence, and read when a shift takes its members over.
 */
import { run, type Queryable, type Statement } from '../../lib/database';
import type { PurseRow } from '../budget/spender';

/** A row with the key of its member. */
export interface MemberBucketRow extends PurseRow {
  member: number;
}

/** One statement has at most this many: a row has some hundred bytes. */
const SLICE = 5_000;

const WRITE: Statement = {
  name: 'budget-member-write',
  text: `insert into longwatch.budget_member
           (member, upstream, limit_name, key_group, window_seconds, slot, tokens, late_slot, late_tokens, closed_until)
         select r.member, r.upstream, r.limit_name, r.key_group, r.window_seconds, r.slot, r.tokens::int[], r.late_slot,
                r.late_tokens, r.closed_until
         from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::bigint[], $7::text[],
                     $8::bigint[], $9::int[], $10::float8[])
           as r (member, upstream, limit_name, key_group, window_seconds, slot, tokens, late_slot, late_tokens,
                 closed_until)
         join longwatch.member m on m.key = r.member
         on conflict (member, upstream, limit_name, key_group) do update
         set window_seconds = excluded.window_seconds, slot = excluded.slot, tokens = excluded.tokens,
             late_slot = excluded.late_slot, late_tokens = excluded.late_tokens, closed_until = excluded.closed_until`,
};

const COLUMNS = `b.member::float8 as member, b.upstream, b.limit_name as "limit", b.key_group as "group",
  b.window_seconds as "window", b.slot::float8 as slot, b.tokens, b.late_slot::float8 as "lateSlot",
  b.late_tokens as "lateTokens", b.closed_until as "closedUntil"`;

const READ: Statement = {
  name: 'budget-member-read',
  text: `select ${COLUMNS} from longwatch.budget_member b where b.member = any($1::bigint[])`,
};

/** For people: the buckets of a member of any tracker, and what time it is. */
const OF_ID: Statement = {
  name: 'budget-member-of-id',
  text: `select ${COLUMNS}, m.tracker, extract(epoch from clock_timestamp())::float8 as now
         from longwatch.tracker t
         join longwatch.member m on m.tracker = t.name and m.id = $1 and m.removed_at is null
         join longwatch.budget_member b on b.member = m.key
         where $2::text is null or b.upstream = $2
         order by b.upstream, b.limit_name, b.key_group, m.tracker
         limit $3`,
};

/** How many there are, of the first so many. */
const COUNTS: Statement = {
  name: 'budget-member-counts',
  text: `select upstream, limit_name as "limit", count(*)::float8 as buckets
         from (select upstream, limit_name from longwatch.budget_member
               where $1::text is null or upstream = $1 limit $2) b
         group by upstream, limit_name order by upstream, limit_name`,
};

export async function writeMemberBuckets(db: Queryable, rows: readonly MemberBucketRow[]): Promise<void> {
  for (let from = 0; from < rows.length; from += SLICE) {
    const slice = rows.slice(from, from + SLICE);
    const column = <T>(of: (row: MemberBucketRow) => T): T[] => slice.map(of);
    await run(db, WRITE, [
      column(({ member }) => member),
      column(({ upstream }) => upstream),
      column(({ limit }) => limit),
      column(({ group }) => group),
      column(({ window }) => window),
      column(({ stored }) => stored.slot),
      column(({ stored }) => `{${stored.tokens.join(',')}}`),
      column(({ stored }) => stored.late?.slot ?? null),
      column(({ stored }) => stored.late?.tokens ?? null),
      column(({ closedUntil }) => closedUntil ?? null),
    ]);
  }
}

/** The rows of members, by the key of the member. */
export type StoredBuckets = ReadonlyMap<number, readonly PurseRow[]>;

type Read = Omit<PurseRow, 'stored' | 'closedUntil'> & {
  member: number;
  slot: number;
  tokens: number[];
  lateSlot: number | null;
  lateTokens: number | null;
  closedUntil: number | null;
};

export async function readMemberBuckets(db: Queryable, members: readonly number[]): Promise<StoredBuckets> {
  const byMember = new Map<number, PurseRow[]>();
  for (let from = 0; from < members.length; from += SLICE) {
    const rows = await run<Read>(db, READ, [members.slice(from, from + SLICE)]);
    for (const { member, ...row } of rows) {
      const list = byMember.get(member) ?? [];
      list.push(purseRowOf(row));
      byMember.set(member, list);
    }
  }
  return byMember;
}

function purseRowOf(row: Omit<Read, 'member'>): PurseRow {
  const { slot, tokens, lateSlot, lateTokens, closedUntil, upstream, limit, group, window } = row;
  const late = lateSlot === null || lateTokens === null ? {} : { late: { slot: lateSlot, tokens: lateTokens } };
  const stored = { slot, tokens, ...late };
  return { upstream, limit, group, window, stored, closedUntil: closedUntil ?? undefined };
}

/** A member's bucket as people see it: of which tracker, and at what time of the database. */
export interface ShownPurseRow extends PurseRow {
  tracker: string;
  now: number;
}

export async function memberBucketsOf(
  db: Queryable,
  id: string,
  upstream: string | undefined,
  most: number,
): Promise<ShownPurseRow[]> {
  const rows = await run<Read & { tracker: string; now: number }>(db, OF_ID, [id, upstream ?? null, most]);
  return rows.map((row) => ({ ...purseRowOf(row), tracker: row.tracker, now: row.now }));
}

export interface MemberBucketCount {
  upstream: string;
  limit: string;
  buckets: number;
}

/** @param most no more than these are counted */
export function countMemberBuckets(
  db: Queryable,
  upstream: string | undefined,
  most: number,
): Promise<MemberBucketCount[]> {
  return run<MemberBucketCount & Record<string, unknown>>(db, COUNTS, [upstream ?? null, most]);
}
