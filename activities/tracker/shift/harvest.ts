/**
 * The results that one flush takes from a shift, to be put back when they could not be written: by operation, those
 * that have something. Called by `pool-shift.ts`.
 */
import type { Members } from './members';
import type { OperationLoop } from './operation';
import type { Room, Taken } from './pending';

export type Harvest = Map<OperationLoop, Taken>;

/** Takes what is to be written, as far as there is room; results that come meanwhile wait for the next flush. */
export function takeResults(loops: Iterable<OperationLoop>, room: Room): Harvest {
  const harvest: Harvest = new Map();
  for (const loop of loops) {
    if (room.rows <= 0 || room.bytes <= 0) break;
    if (loop.results.size > 0) harvest.set(loop, loop.results.take(room));
  }
  return harvest;
}

/** Drops the results of members that have left since they were taken. */
export function dropLeavers(harvest: Harvest, members: Members): void {
  for (const { successes, failures } of harvest.values()) {
    for (const [slot, { key }] of successes) if (!members.holds(slot, key)) successes.delete(slot);
    for (const [slot, { key }] of failures) if (!members.holds(slot, key)) failures.delete(slot);
  }
}
