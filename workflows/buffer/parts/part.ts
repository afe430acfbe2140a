/**
 * The things that the parts of a shard share: its state, the index of its keys, and what wakes its loop. Made by
 * `shard.ts`; each part beside this file has its own flags, says them in its `moment` (asked by `plan.ts`), and carries
 * its steps out.
 */
import { ActivityFailure, ApplicationFailure, log, TimeoutFailure } from '@temporalio/workflow';
import { ErrorType } from '../../lib/errors';
import { causeOf } from '../../lib/failed-activity';
import { errorMessage } from '../../lib/text';
import type { KeyIndex } from '../keys';
import { storeAnswered, storeFailed } from '../outage';
import type { ShardState } from '../state';

export interface Part {
  readonly state: ShardState;
  readonly index: KeyIndex;
  readonly where: { buffer: string; shard: number };
  /** Something has changed: the loop looks again, and the node is told. */
  happened(): void;
  /** The loop looks again; there is nothing to tell. */
  wake(): void;
  /** So many bytes go with this task. */
  spent(bytes: number): void;
}

/** Rows of a shard are named after it. */
export const prefixOf = ({ where: { buffer, shard } }: Part): string => `${buffer}.${shard}`;

/**
 * One activity that speaks to PostgreSQL, from its flag to what became of it. `nextShardStep` has a failed one tried
 * again, after a question with nothing in its hands if PostgreSQL was away.
 */
export async function underFlag<Flag extends string, T>(
  part: Part,
  flags: Record<Flag, boolean>,
  what: Flag,
  act: () => Promise<T>,
  ends: { done: (result: T) => void; failed?: () => void; isQuestion?: boolean },
): Promise<void> {
  const { state, where } = part;
  flags[what] = true;
  try {
    const result = await act();
    flags[what] = false;
    if (!ends.isQuestion) storeAnswered(state);
    ends.done(result);
  } catch (error) {
    flags[what] = false;
    ends.failed?.();
    state.lastError = failureText(error);
    storeFailed(state, Date.now(), isOutage(error));
    log.warn(`The buffer's store failed while ${what}; trying again`, { ...where, error });
  }
  part.happened();
}

/** False where PostgreSQL refused something; true where nobody answered, or no worker is there to ask it. */
export function isOutage(error: unknown): boolean {
  const cause = error instanceof ActivityFailure ? error.cause : error;
  return !(cause instanceof ApplicationFailure) || cause.type === ErrorType.StoreUnavailable;
}

export function failureText(error: unknown): string {
  const cause = causeOf(error);
  if (cause instanceof TimeoutFailure && cause.timeoutType === 'HEARTBEAT') return 'its worker was lost';
  return errorMessage(cause);
}
