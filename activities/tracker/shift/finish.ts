/** The last moments of a shift on its node, whatever has ended it. Called by `keep.ts` and `meanwhile.ts`. */
import { performance } from 'node:perf_hooks';
import { ErrorType } from '../../../workflows/lib/errors';
import type { Database } from '../../lib/database';
import { isDoneWithin, sleep } from '../../lib/sleep';
import { releaseFence } from '../store/fence';
import type { Node } from './node';
import type { Ending, PoolShift } from './pool-shift';
import { SHORT_RUN_MS } from './wind-down';

/**
 * A shift that has ended waits no longer than this for PostgreSQL, for its pool has no keeper meanwhile. The next shift
 * asks anew for all that is not written then. Milliseconds.
 */
const LAST_FLUSH_MS = 2_000;
const RELEASE_MS = 1_000;

/** Its runs end, what there is of it is written, it leaves the node, and its fence is free. */
export async function finish(
  { node, database }: { node: Node; database: Database },
  shift: PoolShift,
  ending: Ending,
): Promise<void> {
  shift.close();
  let isWritten = false;
  try {
    await Promise.all([lastRuns(shift), node.turns?.leave(shift, ending !== 'fenced')]);
    isWritten = await isAllWritten(node, shift, ending);
  } finally {
    // Whatever has failed: nothing of it may stay on the node, which would flush it for ever.
    node.leave(shift);
    if (shift.purse) node.spender?.release(shift.purse);
  }
  // Without an answer to the flush there would be none to this; the next holder takes the fence in any case.
  if (ending instanceof Error || (ending !== 'fenced' && !isWritten)) return;
  // The next holder believes it: whatever may still be under way of the members' buckets has been written.
  if (shift.purse?.isStored ?? true) await isDoneWithin(RELEASE_MS, releaseFence(database, shift.claim, shift.token));
}

/** Writes what there is, where anything can be written. */
async function isAllWritten(node: Node, shift: PoolShift, ending: Ending): Promise<boolean> {
  shift.purse?.end();
  // The database has refused everything for so long: one refusal more would only keep the pool from its next keeper.
  if (ending === 'fenced' || isStoreUnavailable(ending)) return false;
  if (isWrittenByWatch(shift, ending)) return true;
  const triedAt = performance.now();
  // A flush that was refused ends as well: the shift says whether it was looked at.
  shift.hinted = true;
  await isDoneWithin(LAST_FLUSH_MS, node.writer.flush());
  if (shift.checkedAt >= triedAt) return true;
  shift.log.warn('PostgreSQL has not taken the last results in time; they are asked for anew');
  return false;
}

/** Its watch has had everything written before it has ended it. */
const isWrittenByWatch = (shift: PoolShift, ending: Ending): boolean =>
  (ending === 'elapsed' || ending === 'asked' || ending === 'moved') && !shift.hasResults && !shift.purse;

const isStoreUnavailable = (ending: Ending): boolean =>
  ending instanceof Error && (ending as { type?: unknown }).type === ErrorType.StoreUnavailable;

/**
 * After an end that does not wait (a shutdown, a stop, a crash): the short ones may still end; the others are given up
 * and counted.
 */
async function lastRuns(shift: PoolShift): Promise<void> {
  const until = Date.now() + SHORT_RUN_MS;
  while (shift.inFlight > 0 && Date.now() < until) await sleep(5);
  if (shift.inFlight > 0) shift.log.warn({ runs: shift.inFlight }, 'runs are given up, for their shift must end');
  shift.abandon('the shift is over');
}
