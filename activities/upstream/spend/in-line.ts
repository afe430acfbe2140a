/**
 * Stands in the line of a bucket that has nothing left until what was asked for is there. Called by `run.ts`, for
 * requests by themselves, and by `before.ts`, for code that has not begun.
 */
import type { Class } from '../budget/classes';
import type { Shortage, Waiter } from '../budget/spender';
import { errorOf } from '../../lib/failures';
import { OutOfTokens } from './shortage';

export interface InLine {
  class: Class;
  /** Milliseconds. */
  inLineMs: number;
  /** Once it has fired, nobody wants the place any more. */
  signal?: AbortSignal | undefined;
  /** For the error. @default within */
  when?: OutOfTokens['when'];
}

/**
 * @param again asks once more, when it is its turn. @returns the bucket that has nothing; undefined: all is there
 * @throws OutOfTokens, at once where the bucket's time is further away than that; what `again` throws; the signal's
 *   reason
 */
export function inLine(
  shortage: Shortage,
  again: () => Shortage | undefined,
  { class: of, inLineMs, signal, when }: InLine,
): Promise<void> {
  if (Number.isFinite(shortage.waitMs) && shortage.waitMs > inLineMs) throw new OutOfTokens(shortage, when);
  return new Promise((resolve, reject) => {
    let last = shortage;
    let leave: () => void = () => undefined;
    const over = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', givenUp);
    };
    const waiter: Waiter = {
      class: of,
      requests: 1,
      wake: () => {
        try {
          const still = again();
          if (still) {
            last = still;
            leave = still.join(waiter);
            return;
          }
          resolve();
        } catch (thrown) {
          reject(errorOf(thrown));
        }
        over();
      },
    };
    const givenUp = (): void => {
      leave();
      over();
      reject(errorOf(signal!.reason));
    };
    const timer = setTimeout(() => {
      leave();
      over();
      reject(new OutOfTokens(last, when));
    }, inLineMs);
    signal?.addEventListener('abort', givenUp, { once: true });
    leave = shortage.join(waiter);
  });
}
