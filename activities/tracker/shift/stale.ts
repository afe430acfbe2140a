/**
 * How old the values of an operation of a pool may be, from what the shift knows: the stale ones are counted for the
 * metrics (`telemetry.ts`), and the most overdue one is told to people (`age-teller.ts`).
 */
import type { OperationLoop } from './operation';

/**
 * How old a value may be before it is due: its interval; or as long as its answer is good, or its operation held, where
 * that is longer. Milliseconds.
 * @returns asked by slot and time of the last success, or of its beginning as a member
 */
export function lifetimes(
  { options, known, standing }: Pick<OperationLoop, 'options' | 'known' | 'standing'>,
  now: number,
): (slot: number, since: number) => number {
  const hold = Math.max(0, standing.heldUntil() - now);
  return (slot, since) => Math.max(options.everyMs, known.expiresAt(slot) - since, hold);
}

/** Members whose value is older than 3 × max(interval, expiry, hold), as `status` counts them from the store. */
export function staleCount(loop: OperationLoop, now: number): number {
  const { options, members, known, host } = loop;
  if (!options.enabled) return 0;
  const lifetimeOf = lifetimes(loop, now);
  let stale = 0;
  members.forEach((slot) => {
    const since = known.fetchedAt(slot) ?? host.clock.fromStore(members.addedAt(slot));
    if (now - since > 3 * lifetimeOf(slot, since)) stale++;
  });
  return stale;
}
