/**
 * From a pool's workflow to the member rows: `applyRoster` writes what was accepted, in one transaction, and announces
 * it. The next reader is the shift that keeps the pool (`shift/keep.ts`), at once by NOTIFY or at its next flush.
 */
import { ErrorType } from '../../../workflows/lib/errors';
import { type RosterApplied, type RosterChange } from '../../../workflows/tracker/contract';
import { effectivePoolSize, poolOf } from '../../../workflows/tracker/plan';
import { failure } from '../../lib/failures';
import type { Database, Queryable } from '../../lib/database';
import { nextStamps, writeMembers, type MemberChange } from '../store/members';
import { addToCounts, countMembers, raiseVersions } from '../store/pools';
import { reach } from '../../lib/points';
import { notify, readTracker } from '../store/trackers';
import { NOTIFY_CHANNEL } from '../../../workflows/lib/contract';
import { hashId } from '../../../workflows/lib/hash';

export async function applyRoster(
  database: Database,
  input: { tracker: string; pool: number; changes: RosterChange[] },
): Promise<RosterApplied> {
  return database.transaction(async (db) => {
    // Shared: many pools apply at once, and none of them while the layout changes.
    const tracker = await readTracker(db, input.tracker, 'shared');
    if (!tracker) throw failure(ErrorType.UnknownTracker, `there is no tracker ${input.tracker} in the database`);

    const changes = await lastOfEach(db, input.changes, tracker.pools);
    const pools = [...new Set(changes.map((change) => change.pool))];
    await raiseVersions(db, input.tracker, pools);
    await reach('apply.locked');
    const { added, removed, counts } = await writeMembers(db, input.tracker, changes);
    await addToCounts(db, input.tracker, counts);
    await notify(db, NOTIFY_CHANNEL, { tracker: input.tracker, pools });

    const poolMembers = await countMembers(db, input.tracker, input.pool);
    return {
      added,
      removed,
      poolMembers,
      poolSize: effectivePoolSize(tracker.options.poolSize, poolMembers * tracker.pools),
    };
  });
}

/**
 * One change an id, the one with the greatest stamp, its pool by today's layout: a sender that knew an older one does
 * no harm. Changes without a stamp (typed by hand) get one each, in their order.
 */
async function lastOfEach(db: Queryable, changes: RosterChange[], pools: number): Promise<MemberChange[]> {
  const last = new Map<string, MemberChange>();
  const stamps = await nextStamps(db, changes.filter(({ stamp }) => stamp === undefined).length);
  let used = 0;
  for (const { id, change, stamp: given } of changes) {
    const stamp = given ?? stamps[used++]!;
    const earlier = last.get(id);
    if (earlier && earlier.stamp > stamp) continue;
    const hash = hashId(id);
    last.set(id, { id, hash, pool: poolOf(hash, pools), stamp, removed: change === 'remove' });
  }
  return [...last.values()];
}
