/**
 * Sees to it that every pool that should be kept has its workflow: on behalf of the root (start, growth, resume), and
 * on the patrol (`patrol.ts`).
 */
import type { Logger } from 'pino';
import type { WakeInput } from '../../../workflows/tracker/contract';
import { poolWorkflowId, trackerWorkflowId } from '../../../workflows/tracker/contract';
import type { Database, Statement } from '../../lib/database';
import { purgeTombstones } from '../store/members';
import { effectivePoolSize, poolsFor } from '../../../workflows/tracker/plan';
import type { TemporalLink } from '../../lib/temporal';
import { recountOne } from './recount';

/**
 * Pool 0 always counts: it keeps the gate. One that was halved by a split, and not counted since, may have members. If
 * members receive, all pools count: a first message makes its member there.
 */
const POOLS: Statement = {
  name: 'wake-pools',
  text: `select 0 as pool where $2 = 0 and not $3
         union
         select p.pool from longwatch.pool p
         where p.tracker = $1 and p.pool >= $2
           and (p.quarantined_at is not null
                or (not $3 and (p.members > 0 or p.recount
                                or exists (select 1 from longwatch.tracker t where t.name = $1 and t.options ? 'receive'))))
         order by pool`,
};
/** Members that were made by their first message: no change of a roster has asked for growth because of them. */
const RECEIVING: Statement = {
  name: 'wake-receiving',
  text: `select t.name, t.pools, coalesce(t.changes ->> 'poolSize', t.options ->> 'poolSize')::int as pool_size,
                sum(p.members)::int as members
         from longwatch.tracker t join longwatch.pool p on p.tracker = t.name
         where t.options ? 'receive' and t.state <> 'stopped' group by t.name`,
};
const TRACKERS: Statement = {
  name: 'wake-trackers',
  text: `select name from longwatch.tracker where state <> 'stopped'`,
};
const AT_ONCE = 16;

export async function wakePools(
  database: Database,
  temporal: TemporalLink,
  input: WakeInput,
  progress: () => void,
): Promise<{ woken: number }> {
  const pools = await poolsOf(database, input.tracker, input.from, input.quarantinedOnly ?? false);
  await inParallel(pools, async (pool) => {
    await temporal.wakePool(input.tracker, pool, input.release);
    progress();
  });
  return { woken: pools.length };
}

/**
 * The trackers' part of the patrol (`patrol.ts`): each root and the pools that have members run, one pool of each is
 * counted, and old tombstones go. One tracker that cannot be mended keeps none of the others from it.
 */
export async function wakeMissingPools(
  database: Database,
  temporal: TemporalLink,
  running: ReadonlySet<string>,
  log: Logger,
  countWrong: (tracker: string) => void = () => undefined,
): Promise<void> {
  const failures: unknown[] = [];
  const failed = (error: unknown) => void failures.push(error);
  for (const { name } of await database.rows<{ name: string }>(TRACKERS)) {
    await wakeMissing(database, temporal, running, name, log).catch(failed);
    const wrong = await recountOne(database, name).catch(failed);
    if (!wrong) continue;
    countWrong(name);
    const { pool, was, members } = wrong;
    log.error(
      { tracker: name, pool, was, members },
      'a pool had another number of members than was noted; it is mended',
    );
  }
  await growReceiving(database, temporal).catch(failed);
  await purgeTombstones(database);
  if (failures.length > 0) throw failures[0];
}

async function growReceiving(database: Database, temporal: TemporalLink): Promise<void> {
  type Row = { name: string; pools: number; pool_size: number; members: number };
  for (const { name, pools, pool_size: poolSize, members } of await database.rows<Row>(RECEIVING)) {
    if (poolsFor(members, effectivePoolSize(poolSize, members), pools) > pools) await temporal.tellGrown(name);
  }
}

async function wakeMissing(
  database: Database,
  temporal: TemporalLink,
  running: ReadonlySet<string>,
  tracker: string,
  log: Logger,
): Promise<void> {
  if (!running.has(trackerWorkflowId(tracker)) && (await temporal.wakeTracker(tracker))) {
    log.warn({ tracker }, 'the tracker had no root workflow; it was started again');
  }
  const pools = await poolsOf(database, tracker, 0, false);
  const missing = pools.filter((pool) => !running.has(poolWorkflowId(tracker, pool)));
  if (missing.length === 0) return;
  log.warn({ tracker, pools: missing.slice(0, 20), count: missing.length }, 'pools without a workflow are woken');
  await inParallel(missing, (pool) => temporal.wakePool(tracker, pool));
}

async function poolsOf(database: Database, tracker: string, from: number, quarantinedOnly: boolean): Promise<number[]> {
  return (await database.rows<{ pool: number }>(POOLS, [tracker, from, quarantinedOnly])).map((row) => row.pool);
}

async function inParallel(pools: number[], work: (pool: number) => Promise<void>): Promise<void> {
  const line = [...pools];
  await Promise.all(
    Array.from({ length: Math.min(AT_ONCE, line.length) }, async () => {
      for (let pool = line.shift(); pool !== undefined; pool = line.shift()) await work(pool);
    }),
  );
}
