/** Counts the stale members of an operation of a pool for the metrics (`telemetry.ts`), from what the shift knows. */
import type { OperationLoop } from './operation';

/** Members whose value is older than 3 × max(interval, expiry, hold), as `status` counts them from the store. */
export function staleCount({ options, members, known, host, standing }: OperationLoop, now: number): number {
  if (!options.enabled) return 0;
  const hold = Math.max(0, standing.heldUntil() - now);
  let stale = 0;
  members.forEach((slot) => {
    const fetchedAt = known.fetchedAt(slot) ?? host.clock.fromStore(members.addedAt(slot));
    const lifetime = Math.max(options.everyMs, known.expiresAt(slot) - fetchedAt, hold);
    if (now - fetchedAt > 3 * lifetime) stale++;
  });
  return stale;
}
