/**
 * The layout of a tracker: opening a pool by it, and growing it. A split is one transaction that raises the number of pools,
 * moves the members whose pool changed and raises the rosters of both sides; there is no hand-over to lose anything in.
 */
import { ErrorType } from '../../workflows/lib/errors';
import { NOTIFY_CHANNEL, type PoolOpening } from '../../workflows/tracker/contract';
import { effectivePoolSize, poolsFor } from '../../workflows/tracker/plan';
import { failure } from '../failures';
import type { Database } from '../store/database';
import { countMembers, movedPools, moveMembers, raiseReloads, raiseVersions } from '../store/members';
import { notify, readTracker, setPools } from '../store/trackers';

export async function readOpening(database: Database, tracker: string, pool: number): Promise<PoolOpening> {
  return database.transaction(async (db) => {
    const row = await readTracker(db, tracker);
    if (!row) throw failure(ErrorType.UnknownTracker, `there is no tracker ${tracker} in the database`);
    const { shiftMs, heartbeatTimeoutMs, historyEvents, poolSize } = row.options;
    const members = await countMembers(db, tracker, pool);
    return { state: row.state, members, pools: row.pools, poolSize, shiftMs, heartbeatTimeoutMs, historyEvents };
  });
}

export async function splitPools(
  database: Database,
  input: { tracker: string; members?: number },
): Promise<{ pools: number; members: number }> {
  return database.transaction(async (db) => {
    const row = await readTracker(db, input.tracker, 'all');
    if (!row) throw failure(ErrorType.UnknownTracker, `there is no tracker ${input.tracker} in the database`);
    const members = await countMembers(db, input.tracker, null);
    const room = Math.max(members, input.members ?? 0);
    const pools = poolsFor(room, effectivePoolSize(row.options.poolSize, room), row.pools);
    if (pools === row.pools) return { pools, members };

    await setPools(db, input.tracker, pools);
    const moved = await movedPools(db, input.tracker, pools);
    const touched = [...new Set(moved.flatMap(({ source, target }) => [source, target]))];
    if (touched.length > 0) {
      await raiseVersions(db, input.tracker, touched);
      await raiseReloads(db, input.tracker, touched);
      await moveMembers(db, input.tracker, pools);
    }
    await notify(db, NOTIFY_CHANNEL, { tracker: input.tracker });
    // A payload holds 8,000 bytes; pools that are not named look for themselves at their next flush.
    if (touched.length > 0 && touched.length <= 500) {
      await notify(db, NOTIFY_CHANNEL, { tracker: input.tracker, pools: touched });
    }
    return { pools, members };
  });
}
