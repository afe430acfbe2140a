/** A pool as placement knows it, made of the tracker's row and the number of its members. Used by `placing.ts`. */
import { labelOf } from '../../../workflows/tracker/options';
import { idOf, kindOf, loadOf, type PlacedPool } from '../placement/types';
import type { SeenFence } from '../store/fence';
import type { TrackerRow } from '../store/trackers';
import type { PoolShift } from './pool-shift';

/** A pool whose size differs by less than this part of it from what placement knows counts as before. */
const SAME_SIZE = 0.05;

/** Its load by the configuration, never measured. */
export function placedPool(
  { name, options }: Pick<TrackerRow, 'name' | 'options'>,
  pool: number,
  { members, states }: Pick<SeenFence, 'members' | 'states'>,
): PlacedPool {
  const intervals = Object.values(options.operations).flatMap(({ enabled, everyMs }) => (enabled ? [everyMs] : []));
  return {
    id: idOf({ tracker: name, pool }),
    kind: kindOf(name, labelOf(options)),
    size: loadOf(members, intervals),
    members,
    states,
  };
}

/** Members and operations change while a pool is kept. @returns undefined: placement knows it as it is */
export function grownPool(known: PlacedPool | undefined, shift: PoolShift): PlacedPool | undefined {
  if (!known) return undefined;
  const pool = placedPool({ name: shift.trackerName, options: shift.options }, shift.claim.pool, {
    members: shift.members.size,
  });
  const same = Math.abs(pool.size - known.size) <= SAME_SIZE * known.size && pool.kind === known.kind;
  return same ? undefined : pool;
}
