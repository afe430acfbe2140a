/**
 * All that the doctor goes by, gathered in one go: a part that cannot be had is unknown, with the reason, and the
 * others are looked at all the same. Called by `doctor.ts`; judged by `checks.ts`.
 */
import type { BrokenCompensation } from '../durable/handle';
import type { Connections } from '../connections';
import { EncodingMismatchError, ForeignNamespaceError } from '../errors';
import { readNodes, type ClusterReport } from '../cluster/nodes';
import { readStatus, type Status } from '../status';
import { sharedShiftQueue } from '../../workflows/tracker/contract';
import type { Statement } from '../../activities/lib/database';
import { ms } from '../../activities/lib/sql';
import { NODE_GONE } from '../../activities/tracker/store/node-lives';
import { DRAINS_FOR } from '../../activities/tracker/store/nodes';
import { errorText } from '../../workflows/lib/text';
import { memberTroubles, type MemberTroubles } from './member-facts';

/** A part that was read, or why it could not be. */
export type Fact<T> = { readonly known: true; readonly value: T } | { readonly known: false; readonly why: string };

/** A pool that no node takes until somebody says so. */
interface QuarantinedPool {
  tracker: string;
  pool: number;
  lastError: string | null;
}

/** A node that has not ended and is not heard of. */
interface SilentNode {
  name: string;
  host: string;
  silentMs: number;
  pools: number;
}

/** A pool with members whose tracker runs, and that no live node keeps. */
interface UnkeptPool {
  tracker: string;
  pool: number;
  /** The node that kept it last. */
  node: string | null;
  /** Since when, milliseconds; null: no node has kept it yet, and that was not noticed yet. */
  forMs: number | null;
  /** The task queue on which its shift waits for a node, where that was written down (after a minute). */
  queue: string | null;
}

/** A node that is drained, wholly or for trackers, until somebody resumes it. */
interface Drain {
  node: string;
  whole: boolean;
  trackers: string[];
  /** Milliseconds; null: nobody has written down when it was drained. */
  forMs: number | null;
}

/** A label that trackers need, and whether a worker has asked Temporal for its work in the last minute. */
interface LabelQueue {
  label: string;
  trackers: string[];
  polled: boolean;
}

export interface Facts {
  /** From PostgreSQL: trackers, jobs, buffers, nodes. */
  readonly status: Fact<Status>;
  readonly quarantined: Fact<readonly QuarantinedPool[]>;
  readonly silent: Fact<readonly SilentNode[]>;
  readonly unkept: Fact<readonly UnkeptPool[]>;
  /** Every node, what it keeps and how it does. */
  readonly cluster: Fact<ClusterReport>;
  readonly drains: Fact<readonly Drain[]>;
  readonly labels: Fact<readonly LabelQueue[]>;
  /** Mail that waits for room, messages that may end processes, dead letters. */
  readonly members: Fact<MemberTroubles>;
  readonly compensations: Fact<readonly BrokenCompensation[]>;
  /** Why the namespace does not belong to this database; null: it does. */
  readonly namespace: Fact<string | null>;
  /** Why the workers could not read what this program would write; null: they can. */
  readonly encoding: Fact<string | null>;
  /** Whether a worker has asked Temporal for work in the last minute. */
  readonly polled: Fact<boolean>;
}

const QUARANTINED: Statement = {
  name: 'doctor-quarantined',
  text: `select tracker, pool, last_error as "lastError" from longwatch.pool
         where quarantined_at is not null order by tracker, pool limit 1000`,
};

const SILENT: Statement = {
  name: 'doctor-silent',
  text: `select n.name, n.host, (extract(epoch from now() - n.seen_at) * 1000)::float8 as "silentMs",
                (select count(*)::int from longwatch.pool p where p.node = n.name and p.released_at is null) as pools
         from longwatch.node n
         where n.ended_at is null and n.seen_at <= now() - ${NODE_GONE} and n.seen_at > now() - interval '1 day'
         order by n.seen_at desc limit 100`,
};

/** Between two shifts a pool is nobody's for a moment; that is not worth a word. */
const UNKEPT: Statement = {
  name: 'doctor-unkept',
  text: `select p.tracker, p.pool, p.node, p.unbegun_on as queue,
                ${ms('clock_timestamp() - coalesce(p.released_at, n.ended_at, n.seen_at, p.unbegun_since)')} as "forMs"
         from longwatch.pool p join longwatch.tracker t on t.name = p.tracker and p.pool < t.pools
         left join longwatch.node n on n.name = p.node
         where t.state = 'running' and p.members > 0 and p.quarantined_at is null
           and (p.node is null or n.name is null
                or coalesce(p.released_at, n.ended_at, n.seen_at) < clock_timestamp() - interval '5 seconds')
         order by p.tracker, p.pool limit 5000`,
};

/** The audit knows when a drain for a tracker was commanded. Other drains of the node have times of their own. */
const DRAINS: Statement = {
  name: 'doctor-drains',
  text: `select n.name as node, n.drained_at is not null and n.drained_until is null as whole, d.trackers,
                ${ms(`clock_timestamp() - coalesce(case when n.drained_until is null then n.drained_at end, (
                  select min(since) from unnest(d.trackers) tracker, lateral (
                    select max(a.at) as since from longwatch.audit a
                    where a.subject = 'node/' || n.name and a.what = 'node drain'
                      and a.after ->> ('drained for ' || tracker) is distinct from a.before ->> ('drained for ' || tracker)) s))`)} as "forMs"
         from longwatch.node n, lateral (
           select array(select f.tracker from ${DRAINS_FOR} f where f.until is null order by f.tracker) as trackers) d
         where n.drained_at is not null and n.drained_until is null or cardinality(d.trackers) > 0 order by n.name`,
};

const LABELS: Statement = {
  name: 'doctor-labels',
  text: `select label, array_agg(name order by name) as trackers
         from (select name, coalesce(changes ->> 'placement.on', options #>> '{placement,on}') as label
               from longwatch.tracker where state <> 'stopped') t
         where label is not null group by label order by label`,
};

/** Each part by itself: one that fails is unknown. */
export async function gatherFacts(
  connections: Connections,
  broken: () => Promise<readonly BrokenCompensation[]>,
): Promise<Facts> {
  return settled<Facts>({
    status: fact(() => readStatus(connections)),
    quarantined: fact(() => connections.rows<QuarantinedPool & Record<string, unknown>>(QUARANTINED)),
    silent: fact(() => connections.rows<SilentNode & Record<string, unknown>>(SILENT)),
    unkept: fact(() => connections.rows<UnkeptPool & Record<string, unknown>>(UNKEPT)),
    cluster: fact(() => readNodes(connections)),
    drains: fact(() => connections.rows<Drain & Record<string, unknown>>(DRAINS)),
    labels: fact(() => labelQueues(connections)),
    members: fact(() => memberTroubles(connections)),
    compensations: fact(broken),
    namespace: fact(() => refusal(ForeignNamespaceError, connections.ownNamespace())),
    encoding: fact(() => refusal(EncodingMismatchError, connections.mayWrite())),
    polled: fact(() => connections.workersPoll()),
  });
}

/** None of the parts rejects. */
async function settled<T extends object>(parts: { [K in keyof T]: Promise<T[K]> }): Promise<T> {
  const named = Object.entries<Promise<unknown>>(parts).map(async ([name, part]) => [name, await part] as const);
  return Object.fromEntries(await Promise.all(named)) as T;
}

async function labelQueues(connections: Connections): Promise<LabelQueue[]> {
  const rows = await connections.rows<{ label: string; trackers: string[] }>(LABELS);
  return Promise.all(
    rows.map(async (row) => ({ ...row, polled: await connections.isPolled(sharedShiftQueue(row.label)) })),
  );
}

/** An error of this kind is an answer. */
async function refusal(kind: new (...args: never[]) => Error, asked: Promise<void>): Promise<string | null> {
  try {
    await asked;
    return null;
  } catch (error) {
    if (error instanceof kind) return error.message;
    throw error;
  }
}

async function fact<T>(read: () => Promise<T>): Promise<Fact<T>> {
  try {
    return { known: true, value: await read() };
  } catch (error) {
    return { known: false, why: error instanceof Error ? error.message : errorText(error) };
  }
}
