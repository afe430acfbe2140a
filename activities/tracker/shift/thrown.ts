/**
 * An error that an isolated operation threw, on its way out of the thread: an error loses its class and all it says but
 * its words when it is cloned, and a hold would be none any more. Packed by `workers/isolate-thread.ts`, unpacked by
 * `isolate.ts`.
 */
import { errorOf } from '../../lib/failures';
import { HoldError, LONGEST_HOLD_MS, type HoldScope } from '../../../config/define/errors';
import { readHold } from '../../upstream/errors';

export interface Thrown {
  name: string;
  message: string;
  stack: string | undefined;
  /** The scope in the word that it came with: the loop that reads it tells of one that there is not. */
  hold: { afterMs: number; scope: string } | undefined;
  /** The fields that say whether it is the id's own failure (`patience.ts`). */
  status: number | undefined;
  retryable: boolean | undefined;
}

export function packThrown(thrown: unknown): Thrown {
  const error = errorOf(thrown);
  const { status, statusCode, retryable } = error as { status?: unknown; statusCode?: unknown; retryable?: unknown };
  const code = typeof status === 'number' ? status : statusCode;
  const hold = readHold(error, LONGEST_HOLD_MS);
  return {
    name: String(error.name),
    message: String(error.message),
    stack: typeof error.stack === 'string' ? error.stack : undefined,
    hold: hold && { afterMs: hold.forMs, scope: hold.oddScope ?? hold.scope },
    status: typeof code === 'number' ? code : undefined,
    retryable: typeof retryable === 'boolean' ? retryable : undefined,
  };
}

export function unpackThrown({ name, message, stack, hold, status, retryable }: Thrown): Error {
  if (hold) return new HoldError(message, { afterMs: hold.afterMs, scope: hold.scope as HoldScope });
  const error = new Error(message);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  return Object.assign(error, status === undefined ? {} : { status }, retryable === undefined ? {} : { retryable });
}
