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

const READ: Statement = {
  name: 'budget-member-read',
  text: `select member::float8 as member, upstream, limit_name as "limit", key_group as "group",
                window_seconds as "window", slot::float8 as slot, tokens, late_slot::float8 as "lateSlot",
                late_tokens as "lateTokens", closed_until as "closedUntil"
         from longwatch.budget_member where member = any($1::bigint[])`,
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

export async function readMemberBuckets(db: Queryable, members: readonly number[]): Promise<StoredBuckets> {
  type Read = Omit<PurseRow, 'stored' | 'closedUntil'> & {
    member: number;
    slot: number;
    tokens: number[];
    lateSlot: number | null;
    lateTokens: number | null;
    closedUntil: number | null;
  };
  const byMember = new Map<number, PurseRow[]>();
  for (let from = 0; from < members.length; from += SLICE) {
    const rows = await run<Read>(db, READ, [members.slice(from, from + SLICE)]);
    for (const { member, slot, tokens, lateSlot, lateTokens, closedUntil, ...name } of rows) {
      const late = lateSlot === null || lateTokens === null ? {} : { late: { slot: lateSlot, tokens: lateTokens } };
      const list = byMember.get(member) ?? [];
      list.push({ ...name, stored: { slot, tokens, ...late }, closedUntil: closedUntil ?? undefined });
      byMember.set(member, list);
    }
  }
  return byMember;
}
