/**
 * The things by which a pool's workflow schedules its shifts: the tracker's options, and the heartbeat timeout that
 * results from the wanted one and the size of the cluster. Told by each opening of a pool (`roster/layout.ts`) and by
 * the result of each shift (`keep.ts`).
 */
import type { ShiftOptions } from '../../../workflows/tracker/contract';
import { labelOf, type TrackerOptions } from '../../../workflows/tracker/options';
import type { Database } from '../../lib/database';
import { isDoneWithin } from '../../lib/sleep';
import { heartbeatFor } from '../placement/heartbeat';
import { countClusterPools } from '../store/trackers';

/** A shift that no node has begun after this long is reported. Milliseconds. */
export const BEGIN_WITHIN_MS = 60_000;
/** The pool has no keeper while its shift waits for this at its end. Milliseconds. */
const READ_MS = 1_000;

/** @param shifts of the whole cluster */
export function shiftOptionsOf(options: TrackerOptions, shifts: number): ShiftOptions {
  const { shiftMs, heartbeatTimeoutMs, historyEvents } = options;
  const label = labelOf(options);
  const { timeoutMs } = heartbeatFor(heartbeatTimeoutMs, shifts);
  return { shiftMs, heartbeatTimeoutMs: timeoutMs, historyEvents, ...(label === undefined ? {} : { label }) };
}

/**
 * The same at the end of a shift, which has its result whether or not the database answers: then the timeout stays what
 * it was.
 */
export async function readShiftOptions(
  database: Database,
  options: TrackerOptions,
  timeoutMs: number,
): Promise<ShiftOptions> {
  let shifts: number | undefined;
  const reading = database.transaction(countClusterPools).then((count) => (shifts = count));
  await isDoneWithin(READ_MS, reading);
  if (shifts !== undefined) return shiftOptionsOf(options, shifts);
  const stays = Math.max(options.heartbeatTimeoutMs, timeoutMs);
  return { ...shiftOptionsOf(options, 0), heartbeatTimeoutMs: stays };
}
