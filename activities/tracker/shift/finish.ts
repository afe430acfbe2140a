/** The last moments of a shift on its node, whatever has ended it. Called by `keep.ts` and `meanwhile.ts`. */
import { ErrorType } from '../../../workflows/lib/errors';
import type { Database } from '../../lib/database';
import { sleep } from '../../lib/sleep';
import { releaseFence } from '../store/fence';
import type { Node } from './node';
import type { Ending, PoolShift } from './pool-shift';
import { SHORT_RUN_MS } from './wind-down';

/** Its runs end, what there is of it is written, it leaves the node, and its fence is free. */
export async function finish(
  { node, database }: { node: Node; database: Database },
  shift: PoolShift,
  ending: Ending,
): Promise<void> {
  shift.close();
  await Promise.all([lastRuns(shift), node.turns?.leave(shift, ending !== 'fenced')]);
  if (shift.purse) {
    shift.purse.end();
    // There may be something to store of it, and nothing else.
    shift.hinted = true;
  }
  // The database has refused everything for so long: one refusal more would only keep the pool from its next keeper.
  if (ending !== 'fenced' && !isStoreUnavailable(ending)) await node.writer.flush();
  node.leave(shift);
  if (shift.purse) node.spender?.release(shift.purse);
  if (ending instanceof Error) return;
  // The next holder believes it: whatever may still be under way of the members' buckets has been written.
  if (shift.purse?.isStored ?? true) await releaseFence(database, shift.claim, shift.token).catch(() => undefined);
}

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
