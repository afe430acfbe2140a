/**
 * The nodes' rows: what is wanted of each (`longwatch node …`), and what each says of itself. A process claims its
 * name once (`workers/node-name.ts`); from then on its attendance (`shift/attendance.ts`) writes the row each second
 * and reads the others'. The database's clock dates everything.
 *
 * Each process of a name has a greater **incarnation** than the one before it. A row is written only by the greatest,
 * so a process that was frozen while another one took its name changes nothing, and learns of it.
 */
import { crashesOf } from '../placement/health';
import { readRow, type PlacementRow, type WrittenRow } from '../placement/row';
import { run, type Queryable, type Statement } from '../../lib/database';
import { ms } from '../../lib/sql';
import { NOTIFY_CHANNEL, NODES_CHANGED } from '../../../workflows/lib/contract';
import type { NodeFigures } from './node-use';

/** The process of a node. */
export interface NodeRow {
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly metricsUrl: string | null;
  readonly version?: string;
  readonly labels?: readonly string[];
  /** The address that upstreams see; by default the host's name. */
  readonly address?: string;
}

/** A process that has claimed its name. */
export interface Incarnation {
  readonly number: number;
  /** Crashes of earlier processes of this name that are remembered. */
  readonly crashes: number;
  /** The last row of the process before it, where there was one a short while ago. */
  readonly before?: PlacementRow;
}

/** The wishes of operators for a node. */
export interface Wishes {
  readonly drained: boolean;
  /** Trackers of which it is to keep nothing. */
  readonly drainedFor: readonly string[];
  /** Pools at most; null: its share. */
  readonly target: number | null;
  readonly weight: number;
}

/** Another node of the last minute, for the number of nodes that are wanted. */
export interface Peer {
  readonly row: PlacementRow;
  /** The use of its event loop, 0 to 1; undefined: it does not say. */
  readonly eventLoop?: number;
}

export interface Attended {
  /** The database's time, epoch milliseconds. */
  readonly now: number;
  readonly wishes: Wishes;
  /** Also those that have been silent for up to a minute, but not those that have ended. */
  readonly peers: readonly Peer[];
}

export interface NodeWord {
  readonly placement: WrittenRow;
  readonly figures: NodeFigures;
}

const PAST: Statement = {
  name: 'node-past',
  text: `select incarnation::float8 as incarnation, crashes, ${ms('started_at')} as started_at, ${ms('seen_at')} as seen_at,
                ended_at is not null as ended, placement, ${ms('clock_timestamp()')} as now
         from longwatch.node where name = $1 for update`,
};
/** By the clock, so that it is greater than the last one also where that row was forgotten. */
const CLAIM: Statement = {
  name: 'node-claim',
  text: `insert into longwatch.node as n (name, host, pid, crashes, incarnation)
         values ($1, $2, $3, $4, floor(extract(epoch from clock_timestamp()) * 1000)::bigint)
         on conflict (name) do update
         set host = excluded.host, pid = excluded.pid, crashes = excluded.crashes,
             incarnation = greatest(n.incarnation + 1, excluded.incarnation), started_at = now(), seen_at = now(),
             ended_at = null, metrics_url = null, placement = null, use = null, poolless_since = null
         returning incarnation::float8 as incarnation`,
};
/** For the history: charts have a mark where a process began. */
const STARTED: Statement = {
  name: 'node-started',
  text: `insert into longwatch.node_start (node, incarnation, host, version, after_crash) values ($1, $2, $3, $4, $5)
         on conflict (node, incarnation) do nothing`,
};
const INCARNATION: Statement = {
  name: 'node-incarnation',
  text: `select incarnation::float8 as incarnation from longwatch.node where name = $1`,
};
const HOLDER: Statement = { name: 'node-holder', text: `select host, pid from longwatch.node where name = $1` };

/** The drains of a node's row `n` for one tracker each that are in force, as rows of `tracker` and `until`. */
export const DRAINS_FOR = `(select d.tracker, d.until from unnest(n.drained_for, n.drained_for_until) d (tracker, until)
            where d.tracker is not null and (d.until is null or d.until > clock_timestamp()))`;

/** A peer that has been silent for longer has nothing to say to anybody. */
const REMEMBERED = `interval '1 minute'`;
/** One answer: the wishes for this node, beside each of the others. No row: another process has the name. */
const ATTEND: Statement = {
  name: 'node-attend',
  text: `with mine as (
           insert into longwatch.node as n (name, incarnation, host, pid, metrics_url, version, labels, address,
                                            placement, use, poolless_since, seen_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, case when $11 then clock_timestamp() end, clock_timestamp())
           on conflict (name) do update
           set incarnation = excluded.incarnation, host = excluded.host, pid = excluded.pid,
               metrics_url = excluded.metrics_url, version = excluded.version, labels = excluded.labels,
               address = excluded.address, placement = excluded.placement, use = excluded.use,
               poolless_since = case when $11 then coalesce(n.poolless_since, clock_timestamp()) end,
               seen_at = clock_timestamp(), ended_at = null
           where n.incarnation <= excluded.incarnation
           returning n.name, n.target, n.weight, n.drained_at is not null and (n.drained_until is null or n.drained_until > clock_timestamp()) as drained,
                     array(select f.tracker from ${DRAINS_FOR} f order by f.tracker) as drained_for
         )
         select mine.*, ${ms('clock_timestamp()')} as now, p.name as peer, p.placement, ${ms('p.seen_at')} as at,
                p.use -> 'eventLoop' as event_loop
         from mine left join longwatch.node p
           on p.name <> mine.name and p.ended_at is null and p.seen_at > now() - ${REMEMBERED}`,
};
const ENDED: Statement = {
  name: 'node-ended',
  text: `update longwatch.node set ended_at = coalesce(ended_at, now()) where name = $1 and incarnation <= $2`,
};

const ANNOUNCE: Statement = { name: 'node-announce', text: `select pg_notify($1, $2)` };

/** Takes the name for a new process of it. Its lock was taken before. */
export async function claimNode(db: Queryable, { name, host, pid, version }: NodeRow): Promise<Incarnation> {
  type Past = { incarnation: number; crashes: number; started_at: number; seen_at: number; ended: boolean };
  const [past] = await run<Past & { placement: unknown; now: number }>(db, PAST, [name]);
  const crashes = crashesOf(
    past && { crashes: past.crashes, startedAt: past.started_at, seenAt: past.seen_at, ended: past.ended },
  );
  const [claimed] = await run<{ incarnation: number }>(db, CLAIM, [name, host, pid, crashes]);
  const afterCrash = past !== undefined && !past.ended;
  await run(db, STARTED, [name, claimed!.incarnation, host, version ?? null, afterCrash]);
  return { number: claimed!.incarnation, crashes, before: past && readRow(past.placement, past.seen_at) };
}

/** The incarnation that has the name; undefined: nobody has. */
export async function incarnationOf(db: Queryable, name: string): Promise<number | undefined> {
  return (await run<{ incarnation: number }>(db, INCARNATION, [name]))[0]?.incarnation;
}

export async function holderOf(db: Queryable, name: string): Promise<{ host: string; pid: number } | undefined> {
  return (await run<{ host: string; pid: number }>(db, HOLDER, [name]))[0];
}

/** Writes the row and reads the others. @returns undefined: another process has the name, and nothing was written */
export async function attendNode(
  db: Queryable,
  node: NodeRow,
  incarnation: number,
  { placement, figures }: NodeWord,
): Promise<Attended | undefined> {
  const rows = await run<AttendRow>(db, ATTEND, [
    node.name,
    incarnation,
    node.host,
    node.pid,
    node.metricsUrl,
    node.version ?? null,
    node.labels ?? [],
    node.address ?? null,
    JSON.stringify(placement),
    JSON.stringify(figures),
    placement.shifts === 0,
  ]);
  const [mine] = rows;
  if (!mine) return undefined;
  return {
    now: mine.now,
    wishes: {
      drained: mine.drained,
      drainedFor: mine.drained_for,
      target: mine.target,
      weight: mine.weight,
    },
    peers: rows.flatMap(({ peer, placement: json, at, event_loop: eventLoop }) => {
      const row = at === null ? undefined : readRow(json, at);
      // A row that speaks of another node would count that one twice.
      return row?.name === peer && row
        ? [{ row, eventLoop: typeof eventLoop === 'number' ? eventLoop : undefined }]
        : [];
    }),
  };
}

interface AttendRow {
  now: number;
  drained: boolean;
  drained_for: string[];
  target: number | null;
  weight: number;
  /** null: there is no peer. */
  peer: string | null;
  placement: unknown;
  at: number | null;
  event_loop: unknown;
}

/** The process has ended, where the name is still its own. */
export async function endNode(db: Queryable, name: string, incarnation: number): Promise<void> {
  await run(db, ENDED, [name, incarnation]);
}

/** All nodes look at once. The database does the same where a wish for a node is written (`db/migrations/0017`). */
export async function announceNodes(db: Queryable): Promise<void> {
  await run(db, ANNOUNCE, [NOTIFY_CHANNEL, NODES_CHANGED]);
}
