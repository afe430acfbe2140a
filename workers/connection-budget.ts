/**
 * How many connections a worker opens to PostgreSQL, by what each is for; and whether the server has room for those of
 * all workers. Used by `parts.ts`, once at the start. docs/growth.md has the reasons and the measurement behind them.
 *
 * A server of c cores does nearly all it can with c statements at once, and up to 8c share the waits for the disk; more
 * only wait inside of it. So the sizes here are what is needed so that nothing waits for something it keeps from going
 * on, and no more.
 */
import type { Logger } from 'pino';
import type { Database, Statement } from '../activities/lib/database';

/** Parts of one worker, connections at most. */
export interface PoolSizes {
  /** The flush's own: whatever else goes on, results are written. */
  values: number;
  /** The node's row, each second: a node that waits for a connection there would look gone. */
  row: number;
  /** Pools that are taken and loaded, renewals of leases, the patrol, and room for short activities beside them. */
  kit: number;
  /** One for each transaction of a durable activity: it is held as long as the activity's code runs. */
  activities: number;
  /** The same for members whose messages have transactions of their own. */
  handlers: number;
  /**
   * One for each chunk or page at once, and two for progress and commands, which must not wait for the longest chunk;
   * at least twice the largest `concurrency`, for no job may use more than half of them.
   */
  jobs: number;
  /** The ledger of limits: renewals each second, and closings that wait for nobody. */
  budget: number;
  /** LISTEN: shifts, and keys that are waited for; closings; mail of members. */
  listeners: number;
}

export const KIT_CONNECTIONS = 6;
export const VALUES_CONNECTIONS = 1;
export const BUDGET_CONNECTIONS = 2;
export const ROW_CONNECTIONS = 1;
const LISTENERS = 2;
const PROGRESS = 2;
export const ACTIVITY_CONNECTIONS = 10;
const JOBS_MOST = 64;

export interface PoolDemand {
  durableActivities: number;
  /** `concurrency` of each job. */
  jobs: readonly number[];
  /** An upstream of the config has limits. */
  hasLimits?: boolean;
  /** Members of a tracker receive. */
  receives?: boolean;
  /** They have transactions of their own. */
  handlers?: boolean;
  /** Set by hand; wins. */
  activityConnections?: number;
  jobConnections?: number;
}

export function poolSizes(demand: PoolDemand): PoolSizes {
  const chunks = demand.jobs.reduce((sum, concurrency) => sum + concurrency, 0);
  const largest = Math.max(0, ...demand.jobs);
  return {
    values: VALUES_CONNECTIONS,
    row: ROW_CONNECTIONS,
    kit: KIT_CONNECTIONS,
    activities: demand.durableActivities === 0 ? 0 : (demand.activityConnections ?? ACTIVITY_CONNECTIONS),
    handlers: demand.handlers ? (demand.activityConnections ?? ACTIVITY_CONNECTIONS) : 0,
    jobs: chunks === 0 ? 0 : (demand.jobConnections ?? Math.min(Math.max(chunks + PROGRESS, 2 * largest), JOBS_MOST)),
    budget: demand.hasLimits ? BUDGET_CONNECTIONS : 0,
    listeners: LISTENERS + (demand.hasLimits ? 1 : 0) + (demand.receives ? 1 : 0),
  };
}

export const totalOf = ({ values, row, kit, activities, handlers, jobs, budget, listeners }: PoolSizes): number =>
  values + row + kit + activities + handlers + jobs + budget + listeners;

const ROOM: Statement = {
  name: 'pool-sizes-room',
  text: `select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as room,
                (select count(*)::int from longwatch.node where ended_at is null and seen_at > now() - interval '15 seconds') as nodes`,
};

/** Says what this worker may open, and warns when the server cannot take that of all workers that live. */
export async function tellRoom(database: Database, sizes: PoolSizes, log: Logger): Promise<void> {
  const total = totalOf(sizes);
  log.info({ connections: { ...sizes, total } }, 'connections to PostgreSQL at most');
  const [found] = await database.rows<{ room: number; nodes: number }>(ROOM);
  if (!found || found.nodes * total <= found.room) return;
  log.warn(
    { room: found.room, nodes: found.nodes, connections: total },
    `${found.nodes} workers like this one may open ${found.nodes * total} connections, and PostgreSQL takes ${found.room}: ` +
      'raise max_connections, lower concurrency, or put PgBouncer before it (docs/growth.md)',
  );
}
