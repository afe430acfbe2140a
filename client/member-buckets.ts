/**
 * Buckets of single members as people see them: a limit for one member that only the shift that keeps it spends from.
 * Read from what shifts store with the members' values, some seconds old. Called by `budget.ts`.
 */
import { spentOf } from '../activities/upstream/budget/member-slots';
import { countMemberBuckets, memberBucketsOf, type MemberBucketCount } from '../activities/upstream/store/purse';
import { readUpstreams } from '../activities/upstream/store/upstreams';
import { withUpstreamChanges } from '../workflows/upstream/options';
import type { Connections } from './connections';

export interface MemberBucket {
  /** `esi/group:char-location:90000001` */
  bucket: string;
  upstream: string;
  limit: string;
  /** A key that is a secret is a hash, of the key without the member. */
  key: string;
  tracker: string;
  member: string;
  /** As the config or a person says; null: headers tell it to whoever spends. */
  tokens: number | null;
  windowMs: number;
  /** Spent and not back yet, and what may still be spent. */
  spent: number;
  /** Null: not known here. */
  remaining: number | null;
  closedUntil: string | null;
  closedMs: number;
}

/** A member has one for each group of routes: tens. */
const MOST = 1_000;
/** More members than these are not counted. */
const MOST_COUNTED = 1_000_000;

export async function bucketsOfMember(
  connections: Connections,
  member: string,
  upstream: string | undefined,
): Promise<MemberBucket[]> {
  const { rows, upstreams } = await connections.readTransaction(async (db) => ({
    rows: await memberBucketsOf(db, member, upstream, MOST),
    upstreams: await readUpstreams(db),
  }));
  const limits = new Map(
    upstreams.map(({ name, options, changes }) => [name, withUpstreamChanges(options, changes).limits]),
  );
  return rows.map((row) => {
    const { limit, group, tracker, window, stored, now, closedUntil = 0 } = row;
    const key = group.startsWith('#') ? group : group.replace('*', () => member);
    const tokens = limits.get(row.upstream)?.[limit]?.tokens ?? null;
    const spent = spentOf(stored, window, now);
    const closedMs = Math.max(0, (closedUntil - now) * 1_000);
    return {
      bucket: `${row.upstream}/${limit}:${key}`,
      upstream: row.upstream,
      limit,
      key,
      tracker,
      member,
      tokens,
      windowMs: window * 1_000,
      spent,
      remaining: tokens === null ? null : Math.max(0, tokens - spent),
      closedUntil: closedMs > 0 ? new Date(closedUntil * 1_000).toISOString() : null,
      closedMs,
    };
  });
}

export function memberBucketCounts(
  connections: Connections,
  upstream: string | undefined,
): Promise<MemberBucketCount[]> {
  return connections.readTransaction((db) => countMemberBuckets(db, upstream, MOST_COUNTED));
}
