/**
 * A limit that has nothing left, as those meet it who ask in its way: an error of the kind that the upstream's own
 * refusals are, so that whatever runs is put off, and does not count as failed. Thrown by `run.ts` and `in-line.ts`.
 */
import { HoldError } from '../../../config/define/errors';
import type { Shortage } from '../budget/spender';

/** For a bucket of which only its line knows how long. Milliseconds. */
const UNKNOWN_MS = 1_000;
/** Nobody asks again sooner. Milliseconds. */
const LEAST_MS = 50;

const SHORTAGE = Symbol.for('longwatch.shortage');

/** The member (or batch, page, activity) waits for the bucket; nobody else does. */
export class OutOfTokens extends HoldError {
  readonly [SHORTAGE]: Shortage;

  /** @param when `before` the code has begun: nothing of it has happened */
  constructor(
    shortage: Shortage,
    readonly when: 'before' | 'within' = 'within',
  ) {
    const afterMs = Number.isFinite(shortage.waitMs) ? Math.max(LEAST_MS, shortage.waitMs) : UNKNOWN_MS;
    const why = shortage.isClosed ? 'is closed' : 'has nothing left';
    super(`${bucketName(shortage)} ${why}`, { afterMs, scope: 'member' });
    this[SHORTAGE] = shortage;
  }
}

/** Also of another copy of this package, or behind an error of the user's that has it as its cause. */
export function shortageOf(error: unknown): Shortage | undefined {
  let at = error;
  for (let depth = 0; depth < 5 && typeof at === 'object' && at !== null; depth++) {
    if (SHORTAGE in at) return (at as OutOfTokens)[SHORTAGE];
    at = (at as { cause?: unknown }).cause;
  }
  return undefined;
}

/** `esi/group:90000001` */
export function bucketName({ upstream, limit, key }: Pick<Shortage, 'upstream' | 'limit' | 'key'>): string {
  return `${upstream}/${limit}:${key}`;
}
