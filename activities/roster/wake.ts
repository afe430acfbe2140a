/**
 * Sees to it that every pool that should be kept has its workflow: on behalf of the root (start, growth, resume), and on the
 * patrol (`patrol.ts`).
 */
import type { Logger } from 'pino';
import type { WakeInput } from '../../workflows/tracker/contract';
import { poolWorkflowId, trackerWorkflowId } from '../../workflows/tracker/contract';
import type { Database, Statement } from '../store/database';
import { purgeTombstones } from '../store/members';
import type { TemporalLink } from '../temporal';
import { recountOne } from './recount';

/** Pool 0 always counts: it keeps the gate. One that was halved by a split, and not counted since, may have members. */
const POOLS: Statement = {
  name: 'wake-pools',
  text: `select 0 as pool where $2 = 0 and not $3
         union
         select p.pool from longwatch.pool p
         where p.tracker = $1 and p.pool >= $2
           and (p.quarantined_at is not null or ((p.members > 0 or p.recount) and not $3))
         order by pool`,
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

/** A tracker's part of the patrol (`patrol.ts`): its root and the pools that have members run, one pool is counted, and old tombstones go. */
export async function wakeMissingPools(
  database: Database,
  temporal: TemporalLink,
  running: ReadonlySet<string>,
  log: Logger,
): Promise<void> {
  for (const { name } of await database.rows<{ name: string }>(TRACKERS)) {
    if (!running.has(trackerWorkflowId(name)) && (await temporal.wakeTracker(name))) {
      log.warn({ tracker: name }, 'the tracker had no root workflow; it was started again');
    }
    const mended = await recountOne(database, name);
    if (mended)
      log.error({ tracker: name, ...mended }, 'a pool had another number of members than its row said; it is mended');
    const missing = (await poolsOf(database, name, 0, false)).filter(
      (pool) => !running.has(poolWorkflowId(name, pool)),
    );
    if (missing.length === 0) continue;
    log.warn(
      { tracker: name, pools: missing.slice(0, 20), count: missing.length },
      'pools without a workflow are woken',
    );
    await inParallel(missing, (pool) => temporal.wakePool(name, pool));
  }
  await purgeTombstones(database);
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
