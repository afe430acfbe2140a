/**
 * How old the values of one operation of a pool are, from what its shift knows: counts by age, and the oldest members.
 * Pure. Called by `age-teller.ts`, which tells it to the database (`store/ages.ts`).
 */
import { bucketOf, LATE_BOUNDS_MS, percentile } from './lateness';

/** The oldest members of a pool and operation that people are shown. */
export const OLDEST = 20;

/** A member by how long its last success is past. */
export interface OldMember {
  slot: number;
  /** Epoch milliseconds; without a success: when it was added. */
  since: number;
  /** It has had no success yet. */
  never: boolean;
}

export interface Ages {
  members: number;
  /** Members without a success yet; they are as old as they are members. */
  never: number;
  /** Null: there is no member. */
  p50Ms: number | null;
  p95Ms: number | null;
  maxMs: number | null;
  /** The age of the most overdue one, in lifetimes of its own: 1 is due, above it is late. Null: there is no member. */
  lifetimes: number | null;
  /** Members by age, by the bounds of `lateness.ts`, without the zeros at the end. */
  buckets: number[];
  /** The oldest first, at most {@link OLDEST}. */
  oldest: OldMember[];
}

/** Its members, as far as ages go. All times are of one clock. */
export interface AgedMembers {
  forEach(visit: (slot: number) => void): void;
  addedAt(slot: number): number;
  /** The last success. */
  fetchedAt(slot: number): number | undefined;
  /** How old a value of that time may be before it is due, milliseconds (`stale.ts`). */
  lifetime(slot: number, since: number): number;
}

export function agesOf(members: AgedMembers, now: number): Ages {
  const buckets = new Array<number>(LATE_BOUNDS_MS.length + 1).fill(0);
  const oldest = new Oldest();
  let [count, never, earliest, overdue] = [0, 0, Infinity, 0];
  members.forEach((slot) => {
    const fetched = members.fetchedAt(slot);
    const since = fetched ?? members.addedAt(slot);
    overdue = Math.max(overdue, (now - since) / members.lifetime(slot, since));
    if (fetched === undefined) never++;
    if (since < earliest) earliest = since;
    count++;
    buckets[bucketOf(now - since)]!++;
    oldest.offer(slot, since, fetched === undefined);
  });
  while (buckets.at(-1) === 0) buckets.pop();
  const share = (part: number): number | null => {
    const bound = percentile(buckets, part);
    // Above the last bound nobody knows better than the oldest of all.
    return bound === null ? null : Math.min(bound, Math.max(0, now - earliest));
  };
  return {
    members: count,
    never,
    p50Ms: share(0.5),
    p95Ms: share(0.95),
    maxMs: count === 0 ? null : Math.max(0, now - earliest),
    lifetimes: count === 0 ? null : overdue,
    buckets,
    oldest: oldest.list,
  };
}

/** The few that are the oldest of many: most are turned down by one comparison. */
class Oldest {
  /** The oldest first. */
  readonly list: OldMember[] = [];

  offer(slot: number, since: number, never: boolean): void {
    const { list } = this;
    if (list.length === OLDEST && since >= list[OLDEST - 1]!.since) return;
    let at = list.length;
    while (at > 0 && list[at - 1]!.since > since) at--;
    list.splice(at, 0, { slot, since, never });
    if (list.length > OLDEST) list.pop();
  }
}
