/**
 * Messages of people to all nodes of a tracker: that a hold is over (`hold open`), that values are to be asked anew
 * (`refetch`); and the holds that upstreams have asked for (`hold list`). Rows of `longwatch.hold` and
 * `longwatch.refetch`, which every node reads each second and at an announcement. Used by `handle.ts`, `status.ts` and
 * `longwatch.ts`.
 */
import { run, type Queryable, type Statement } from '../../activities/lib/database';
import type { Connections } from '../connections';
import { TooManyIdsError } from '../errors';
import { iso } from '../iso';
import { ms } from '../../activities/lib/sql';

/** An upstream asked for an operation, or for a whole tracker, to be left alone. */
export interface HoldSummary {
  tracker: string;
  /** Null: the whole tracker. */
  operation: string | null;
  heldUntil: string;
  leftMs: number;
  /** When the upstream said so, to which node, and in which words. */
  toldAt: string;
  node: string;
  reason: string;
}

interface HoldRow {
  [column: string]: unknown;
  tracker: string;
  operation: string;
  held_until: number;
  told_at: number;
  left_ms: number;
  node: string;
  reason: string;
}

const COLUMNS = `tracker, operation, node, reason, ${ms('held_until')} as held_until, ${ms('told_at')} as told_at,
                ${ms('held_until - now()')} as left_ms`;

const HOLDS: Statement = {
  name: 'client-holds',
  text: `select ${COLUMNS} from longwatch.hold
         where held_until > now() and ($1::text is null or tracker = $1)
         order by held_until desc, tracker, operation`,
};

/**
 * One statement: the note that holds are lifted stays, so that a node which has not written its hold yet does not write
 * it after.
 */
const OPEN_HOLDS: Statement = {
  name: 'client-open-holds',
  text: `with held as (
           select ${COLUMNS} from longwatch.hold
           where tracker = $1 and held_until > now() and ($2::text is null or operation = $2)),
         others as (
           update longwatch.hold set held_until = least(held_until, now()), lifted_at = now()
           where tracker = $1 and $2::text is null and operation <> ''),
         noted as (
           insert into longwatch.hold as h (tracker, operation, held_until, told_at, node, reason, lifted_at)
           select t.name, coalesce($2, ''), now(), now(), '', '', now() from longwatch.tracker t where t.name = $1
           on conflict (tracker, operation) do update
           set held_until = least(h.held_until, now()), lifted_at = now())
         select * from held order by held_until desc, operation`,
};

const ASK_ANEW: Statement = {
  name: 'client-refetch',
  text: `with members as (
           select i.id from unnest($3::text[]) as i (id)
           join longwatch.member m on m.tracker = $1 and m.id = i.id and m.removed_at is null),
         scopes as (
           select id from members union all select '' where $3::text[] is null),
         asked as (
           insert into longwatch.refetch (tracker, operation, id, asked_at)
           select $1, o.operation, s.id, clock_timestamp()
           from unnest($2::text[]) as o (operation) cross join scopes s order by 2, 3
           on conflict (tracker, operation, id) do update set asked_at = excluded.asked_at)
         select (select array_agg(id) from members) as ids,
                (select coalesce(sum(members), 0)::int from longwatch.pool where tracker = $1) as members`,
};

/** More ids than this are asked anew as a whole tracker. */
const MOST_REFETCHED = 10_000;

export interface RefetchResult {
  tracker: string;
  operation: string | null;
  /** How many members are asked anew. */
  members: number;
  /** Ids that are not tracked. */
  notTracked: string[];
}

export async function readHolds(connections: Connections, tracker?: string): Promise<HoldSummary[]> {
  return (await connections.read<HoldRow>(HOLDS, [tracker ?? null])).map(summarize);
}

/** @returns those that were in force. Members that were held by themselves are asked again too. */
export async function openHolds(db: Queryable, tracker: string, operation?: string): Promise<HoldSummary[]> {
  return (await run<HoldRow>(db, OPEN_HOLDS, [tracker, operation ?? null])).map(summarize);
}

export async function askAnew(
  db: Queryable,
  tracker: string,
  operation: string | undefined,
  ids: readonly string[] | undefined,
): Promise<RefetchResult> {
  const given = ids && [...new Set(ids)];
  if (given && given.length > MOST_REFETCHED) throw new TooManyIdsError(given.length, MOST_REFETCHED);
  // Nothing can be tracked that PostgreSQL does not take.
  const values = [tracker, [operation ?? ''], given?.filter((id) => !id.includes('\0')) ?? null];
  const [row] = await run<{ ids: string[] | null; members: number }>(db, ASK_ANEW, values);
  const tracked = new Set(row!.ids ?? []);
  return {
    tracker,
    operation: operation ?? null,
    members: given ? tracked.size : row!.members,
    notTracked: given?.filter((id) => !tracked.has(id)) ?? [],
  };
}

function summarize(row: HoldRow): HoldSummary {
  return {
    tracker: row.tracker,
    operation: row.operation === '' ? null : row.operation,
    heldUntil: iso(row.held_until),
    leftMs: Math.max(0, Math.round(row.left_ms)),
    toldAt: iso(row.told_at),
    node: row.node,
    reason: row.reason,
  };
}
