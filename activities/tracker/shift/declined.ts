/** A pool that no node may keep now: how its shift fails, and when it is offered again. Asked by `keep.ts`. */
import { ErrorType } from '../../../workflows/lib/errors';
import { failure } from '../../lib/failures';
import { PLACEMENT } from '../placement/constants';
import type { PoolClaim } from '../store/fence';

/** The time after which it is offered again. Milliseconds. */
export const declinedFor = (attempt: number): number =>
  Math.min(PLACEMENT.nobodyMaxMs, PLACEMENT.nobodyMs * 2 ** Math.min(attempt - 1, 10));

/** No node that lives may keep the pool: it is offered again, later each time. */
export function declined(
  node: { readonly row: { readonly name: string } },
  { tracker, attempt }: PoolClaim,
  isDefined: boolean,
): Error {
  const nextRetryDelay = declinedFor(attempt);
  if (isDefined) {
    const message = `node ${node.row.name} may not keep pools of ${tracker} now (drained, or without its label), and no other node may`;
    return failure(ErrorType.Declined, message, { nextRetryDelay });
  }
  const message = `the config of node ${node.row.name} has no tracker ${tracker}, and no other node that lives has it`;
  return failure(ErrorType.NotDefinedHere, message, { nextRetryDelay });
}
