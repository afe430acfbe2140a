/**
 * How many members have an old value, without looking at each: of a large tracker some of every pool are looked at,
 * and the count is carried over to all. Called by `status.ts`. Slots are as good as dice (they come of a hash), so the
 * first ones of a pool's range stand for the whole pool; and every pool is looked at, since what makes values old often
 * keeps to one: a node, a quarantine, a shift. A few members are enough of a pool whose keeper tells that all its
 * values are young: they show a keeper that knows values which are not stored.
 */
import { slotsOf } from '../../workflows/tracker/slots';
import type { Connections } from '../connections';
import { STATUS_MAY_BE_STALE, STATUS_STALE } from './queries';

/** Members of a tracker that are looked at; up to so many there are, the figures are exact. */
const LOOKED_AT = 10_000;
/** The same in all pools that are told to have no old value, as a part of those. */
const PART_OF_YOUNG = 0.1;

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

/** The part of the slots of each of these pools that is looked at so that it comes to `limit` of their members. */
export function sampleOf(pools: number, members: number, limit: number, which = allOf(pools)): Sample {
  const part = Math.min(1, limit / Math.max(1, members));
  const sample: Sample = { pools: which, first: [], last: [] };
  for (const pool of which) {
    const { first, last } = slotsOf(pool, pools);
    sample.first.push(first);
    sample.last.push(part === 1 ? last : first + Math.ceil((last - first + 1) * part) - 1);
  }
  return sample;
}

interface Counted {
  name: string;
  pools: number;
  members: number;
}

interface AskedOperation {
  name: string;
  everyMs: number;
}

export async function countStale(
  connections: Connections,
  tracker: Counted,
  operations: AskedOperation[],
  limit = LOOKED_AT,
): Promise<StaleCount> {
  const all = allOf(tracker.pools);
  if (tracker.members <= limit) {
    return { stale: await countIn(connections, tracker, operations, all, limit), exact: true };
  }
  const suspects = await mayBeStale(connections, tracker, operations);
  const isSuspect = new Set(suspects.map(({ pool }) => pool));
  const young = all.filter((pool) => !isSuspect.has(pool));
  const suspected = suspects.reduce((sum, { members }) => sum + members, 0);
  const youngMembers = Math.max(0, tracker.members - suspected);
  const [among, against] = await Promise.all([
    countIn(connections, { ...tracker, members: suspected }, operations, [...isSuspect], limit),
    countIn(connections, { ...tracker, members: youngMembers }, operations, young, limit * PART_OF_YOUNG),
  ]);
  const stale = against.size === 0 ? among : await countIn(connections, tracker, operations, all, limit);
  return { stale, exact: false };
}

function mayBeStale(
  connections: Connections,
  { name, pools }: Counted,
  operations: AskedOperation[],
): Promise<{ pool: number; members: number }[]> {
  const values = [name, operations.map((one) => one.name), operations.map(({ everyMs }) => everyMs)];
  return connections
    .read<{ pool: number; members: number }>(STATUS_MAY_BE_STALE, values)
    .then((rows) => rows.filter(({ pool }) => pool < pools));
}

/** By operation, from `limit` of the members of these pools; `members` are all that they have. */
async function countIn(
  connections: Connections,
  { name, pools, members }: Counted,
  operations: AskedOperation[],
  which: number[],
  limit: number,
): Promise<Map<string, number>> {
  if (which.length === 0) return new Map();
  const sample = sampleOf(pools, members, limit, which);
  const rows = await connections.read<{ operation: string; stale: number; looked: number }>(STATUS_STALE, [
    name,
    operations.map((one) => one.name),
    operations.map(({ everyMs }) => everyMs),
    sample.pools,
    sample.first,
    sample.last,
  ]);
  const share = (count: number, looked: number) =>
    members <= limit ? count : Math.min(members, Math.round((count / looked) * members));
  return new Map(rows.map(({ operation, stale, looked }) => [operation, share(stale, looked)]));
}

const allOf = (pools: number): number[] => Array.from({ length: pools }, (_, pool) => pool);
