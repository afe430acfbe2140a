/**
 * When a member that has failed is tried again, by the word of its definition (`retryDelay`). It is the code of a
 * user, so whatever it does harms no run. Asked by `outcome.ts` at each failure that is not a hold; where it says
 * nothing, the rule of `patience.ts` holds.
 */
import type { OperationDefinition } from '../../../config/define/tracker';
import { parseDuration } from '../../../config/values';
import { errorOf } from '../../lib/failures';

/** The shortest interval that an operation may have, too: a retry is a run as any other. Milliseconds. */
export const LEAST_DELAY_MS = 50;

/** Its answer: a time within the bounds, nothing (undefined), or something that is not a delay. */
export type OwnDelay = { ms: number } | { problem: Error } | undefined;

/** @param mostMs the operation's `maxBackoff`; 0: it is not asked */
export function ownDelay(
  { retryDelay }: Pick<OperationDefinition, 'retryDelay'>,
  attempt: number,
  error: Error,
  mostMs: number,
): OwnDelay {
  if (retryDelay === undefined || mostMs === 0) return undefined;
  let said: unknown;
  try {
    said = retryDelay(attempt, error);
  } catch (thrown) {
    return { problem: errorOf(thrown) };
  }
  if (said === undefined) return undefined;
  const ms = typeof said === 'string' ? parseDuration(said) : said;
  // Infinity is a number: as long as it may be.
  if (typeof ms === 'number' && ms >= 0)
    return { ms: Math.min(Math.max(ms, LEAST_DELAY_MS), Math.max(mostMs, LEAST_DELAY_MS)) };
  if (said instanceof Promise) said.catch(() => undefined);
  return { problem: new TypeError(`retryDelay must return a duration ('5s', or milliseconds) or undefined, at once`) };
}
