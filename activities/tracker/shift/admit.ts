/**
 * Members join an operation of a pool, with what is stored of their last runs of it. Called by `pool-operations.ts`.
 */
import type { FreshnessRow } from '../store/members';
import { ranAt } from './known';
import type { Members } from './members';
import type { OperationLoop } from './operation';

/** A member that joins an operation. */
export interface Admitted {
  slot: number;
  addedAt: number;
  freshness: FreshnessRow[];
}

export function admit(loop: OperationLoop, members: Members, joining: readonly Admitted[], now: number): void {
  const fresh = joining.map(({ freshness }) => freshness.find(({ operation }) => operation === loop.name));
  const never = fresh.filter((row) => ranAt(row) === undefined).length;
  joining.forEach(({ slot, addedAt }, i) => {
    const known = loop.known.recall(slot, members.id(slot), fresh[i]);
    const share = members.share(slot);
    loop.join(slot, { share, addedAt, ...known }, now, never > loop.options.concurrency);
  });
  loop.joined(now);
}
