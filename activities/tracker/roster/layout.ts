/**
 * The layout of a tracker: opening a pool by it, and growing it. A split is one short transaction: the number of pools,
 * the two pools' rows and an announcement. It moves no member and reads none; which of them belong to the new pool
 * follows from the number of pools.
 */
import { ErrorType } from '../../../workflows/lib/errors';
import { type PoolOpening } from '../../../workflows/tracker/contract';
import { effectivePoolSize, poolsFor } from '../../../workflows/tracker/plan';
import { failure } from '../../lib/failures';
import { reach } from '../../lib/points';
import type { Database, Queryable } from '../../lib/database';
import { countMembers, splitPool } from '../store/pools';
import { countClusterPools, notify, readTracker, setPools, type RowLock, type TrackerRow } from '../store/trackers';
import { BEGIN_WITHIN_MS, shiftOptionsOf } from '../shift/shift-options';
import { recountHalved } from './recount';
import { NOTIFY_CHANNEL } from '../../../workflows/lib/contract';

export async function readOpening(database: Database, tracker: string, pool: number): Promise<PoolOpening> {
  return database.transaction(async (db) => {
    const { state, pools, options } = await known(db, tracker, 'nothing');
    const members = await countMembers(db, tracker, pool);
    const shifts = await countClusterPools(db);
    await reach('open.read');
    return {
      ...{ state, members, pools, poolSize: options.poolSize, beginWithinMs: BEGIN_WITHIN_MS },
      ...shiftOptionsOf(options, shifts),
    };
  });
}

/**
 * As many splits as it takes until all members, or `members` where that is more, fit; then the pools that were halved
 * are counted. Each split is a transaction of its own, so that changes of the roster have their turn in between.
 */
export async function splitPools(
  database: Database,
  input: { tracker: string; members?: number },
  progress: () => void = () => undefined,
): Promise<{ pools: number; members: number }> {
  const wanted = await database.transaction(async (db) => {
    const { pools, options } = await known(db, input.tracker, 'nothing');
    const room = Math.max(await countMembers(db, input.tracker, null), input.members ?? 0);
    return poolsFor(room, effectivePoolSize(options.poolSize, room), pools);
  });
  while (await splitOnce(database, input.tracker, wanted)) progress();
  await recountHalved(database, input.tracker, progress);
  return database.transaction(async (db) => {
    const { pools } = await known(db, input.tracker, 'nothing');
    return { pools, members: await countMembers(db, input.tracker, null) };
  });
}

/** One pool more, unless there are `wanted` already. */
async function splitOnce(database: Database, tracker: string, wanted: number): Promise<boolean> {
  return database.transaction(async (db) => {
    const { pools } = await known(db, tracker, 'all');
    await reach('split.locked');
    if (pools >= wanted) return false;
    await setPools(db, tracker, pools + 1);
    const { source } = await splitPool(db, tracker, pools);
    await notify(db, NOTIFY_CHANNEL, { tracker, pools: [source, pools] });
    return true;
  });
}

async function known(db: Queryable, tracker: string, lock: RowLock): Promise<TrackerRow> {
  const row = await readTracker(db, tracker, lock);
  if (!row) throw failure(ErrorType.UnknownTracker, `there is no tracker ${tracker} in the database`);
  return row;
}
