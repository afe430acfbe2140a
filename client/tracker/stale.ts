/**
 * How many members have an old value, without looking at each: of a large tracker some of every pool are looked at, and
 * the count is carried over to all. Called by `status.ts`. Slots are as good as dice (they come of a hash), so the
 * first ones of a pool's range stand for the whole pool; and every pool is looked at, since what makes values old often
 * keeps to one: a node, a quarantine, a shift.
 */
import { slotsOf } from '../../workflows/tracker/slots';
import type { Connections } from '../connections';
import { STATUS_STALE } from './queries';

/** Members of a tracker that are looked at; up to so many there are, the figures are exact. */
const LOOKED_AT = 10_000;

export interface StaleCount {
  /** By operation; none where it is missing. */
  stale: Map<string, number>;
  /** False: an estimate from some of the members. */
  exact: boolean;
}

interface Sample {
  pools: number[];
  first: number[];
  last: number[];
}

/** The part of each pool's slots that is looked at so that it comes to `limit` members. */
export function sampleOf(pools: number, members: number, limit: number): Sample {
  const part = Math.min(1, limit / Math.max(1, members));
  const sample: Sample = { pools: [], first: [], last: [] };
  for (let pool = 0; pool < pools; pool++) {
    const { first, last } = slotsOf(pool, pools);
    sample.pools.push(pool);
    sample.first.push(first);
    sample.last.push(part === 1 ? last : first + Math.ceil((last - first + 1) * part) - 1);
  }
  return sample;
}

export async function countStale(
  connections: Connections,
  tracker: { name: string; pools: number; members: number },
  operations: { name: string; everyMs: number }[],
  limit = LOOKED_AT,
): Promise<StaleCount> {
  const { pools, first, last } = sampleOf(tracker.pools, tracker.members, limit);
  const rows = await connections.read<{ operation: string; stale: number; looked: number }>(STATUS_STALE, [
    tracker.name,
    operations.map(({ name }) => name),
    operations.map(({ everyMs }) => everyMs),
    pools,
    first,
    last,
  ]);
  const exact = tracker.members <= limit;
  const share = (count: number, looked: number) =>
    exact ? count : Math.min(tracker.members, Math.round((count / looked) * tracker.members));
  return { stale: new Map(rows.map(({ operation, stale, looked }) => [operation, share(stale, looked)])), exact };
}
