/**
 * Members that an empty bucket holds back, as their nodes tell it after some seconds: for `status` (how many, by which
 * limit) and `show` (this one, until when). Called by `status.ts` and `members.ts`.
 */
import type { Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';
import type { Connections } from '../connections';
import { iso } from '../iso';
import { lives } from './queries';

/** A member that waits for a bucket: one operation of it. */
export interface WaitSummary {
  operation: string;
  /** `esi/group:90000001` */
  bucket: string;
  /** The upstream, or a person, closed it; else it is empty. */
  closed: boolean;
  since: string;
  /** When it is worth asking again; null: when the bucket has something, which nobody knows. */
  until: string | null;
}

/** Members of one operation that one limit holds back. */
export interface HeldBackSummary {
  operation: string;
  upstream: string;
  limit: string;
  members: number;
  buckets: number;
  /** The bucket that holds most of them. */
  bucket: string;
  closed: boolean;
  /** The earliest time at which one of them goes on; null: nobody knows. */
  until: string | null;
}

/** Only what living nodes tell: the others' members are kept by somebody else by now, or will be. */
const LIVE = `join longwatch.node n on n.name = w.node and ${lives('n')}`;

const OF_MEMBER: Statement = {
  name: 'client-waits-of-member',
  text: `select w.operation, w.upstream, w.limit_name, w.key, w.closed, ${ms('w.since')} as since, ${ms('w.until')} as until
         from longwatch.budget_wait w ${LIVE}
         join longwatch.member m on m.key = w.member
         where m.tracker = $1 and m.id = $2
         order by w.operation`,
};
const OF_TRACKERS: Statement = {
  name: 'client-waits',
  text: `select w.tracker, w.operation, w.upstream, w.limit_name, sum(w.members)::int as members, count(*)::int as buckets,
                (array_agg(w.key order by w.members desc, w.key))[1] as key, bool_or(w.closed) as closed,
                ${ms('min(w.until)')} as until
         from (
           select w.tracker, w.operation, w.upstream, w.limit_name, w.key, count(*) as members, bool_or(w.closed) as closed,
                  min(w.until) as until
           from longwatch.budget_wait w ${LIVE}
           where $1::text is null or w.tracker = $1
           group by 1, 2, 3, 4, 5
         ) w
         group by 1, 2, 3, 4
         order by 1, 2, members desc`,
};

interface MemberRow {
  [column: string]: unknown;
  operation: string;
  upstream: string;
  limit_name: string;
  key: string;
  closed: boolean;
  since: number;
  until: number | null;
}

interface TrackerRow {
  [column: string]: unknown;
  tracker: string;
  operation: string;
  upstream: string;
  limit_name: string;
  members: number;
  buckets: number;
  key: string;
  closed: boolean;
  until: number | null;
}

export async function readWaits(connections: Connections, tracker: string, id: string): Promise<WaitSummary[]> {
  const rows = await connections.read<MemberRow>(OF_MEMBER, [tracker, id]);
  return rows.map((row) => ({
    operation: row.operation,
    bucket: `${row.upstream}/${row.limit_name}:${row.key}`,
    closed: row.closed,
    since: iso(row.since),
    until: iso(row.until),
  }));
}

/** By tracker. */
export async function readHeldBack(
  connections: Connections,
  tracker?: string,
): Promise<ReadonlyMap<string, HeldBackSummary[]>> {
  const byTracker = new Map<string, HeldBackSummary[]>();
  for (const row of await connections.read<TrackerRow>(OF_TRACKERS, [tracker ?? null])) {
    const list = byTracker.get(row.tracker) ?? [];
    byTracker.set(row.tracker, list);
    list.push({
      operation: row.operation,
      upstream: row.upstream,
      limit: row.limit_name,
      members: row.members,
      buckets: row.buckets,
      bucket: `${row.upstream}/${row.limit_name}:${row.key}`,
      closed: row.closed,
      until: iso(row.until),
    });
  }
  return byTracker;
}
