/**
 * Says which turns may end their process. A handler that calls `process.exit`, fills the memory or never gives the
 * event loop back leaves nobody who could count a failure: its message would end one keeper of the pool after the
 * other. So a keeper that has its pool from one which did not end cleanly counts a **strike** for all that may have
 * been under way there, before its handler begins, and takes it back when the handler has come back, whatever it came
 * to. A **suspect** has a strike that nobody took back: one of them runs at a time, so that no other is counted with
 * it. With `MemberLimits.strikes` it is handled no more.
 *
 * `store/strikes.ts` reads and writes the strikes, `turns/strikes.ts` decides when. Times are by the database's clock.
 */
import type { Entry } from './mailbox';
import type { Turn } from './turn';

/** The strikes that a keeper finds when it takes a pool. */
export interface Struck {
  /** When it was last taken from a keeper that had not ended cleanly; undefined: never. */
  readonly before?: number | undefined;
  /** All that have a strike, by `ctx.key`. */
  readonly suspects: readonly string[];
}

export const NOTHING_STRUCK: Struck = { suspects: [] };

/** Its process has ended so often that it is handled no more: this failure is the last one. */
export class ProcessEnded extends Error {
  override readonly name = 'ProcessEnded';

  constructor(readonly strikes: number) {
    super(`its process ended ${strikes} times while it was being handled`);
  }
}

export class PoolStrikes {
  private readonly before: number;
  private readonly suspects: Set<string>;
  /** By key: turns that have been counted here and have not come back. One may be void, and another one run. */
  private readonly atWork = new Map<string, number>();

  constructor({ before = -Infinity, suspects }: Struck) {
    this.before = before;
    this.suspects = new Set(suspects);
  }

  /** Whether a strike of an earlier keeper is there. */
  isSuspect({ context }: Turn): boolean {
    return this.suspects.has(context.key);
  }

  /** Whether a strike is to be counted before its handler begins. */
  isCounted(turn: Turn): boolean {
    return this.isSuspect(turn) || dueAt(turn.entry) <= this.before;
  }

  /** It is counted, and may begin. */
  begins({ context: { key } }: Turn): void {
    this.atWork.set(key, (this.atWork.get(key) ?? 0) + 1);
  }

  /** It did not begin, or has come back. @returns whether no other turn of the same message is at work here */
  leaves({ context: { key } }: Turn): boolean {
    const left = (this.atWork.get(key) ?? 1) - 1;
    if (left > 0) this.atWork.set(key, left);
    else this.atWork.delete(key);
    return left === 0;
  }

  /** Whether a turn of the same message is at work here. */
  isAtWork({ context }: Turn): boolean {
    return this.atWork.has(context.key);
  }

  /** Its handler has come back, and its strikes are taken back. */
  cleared({ context }: Turn): void {
    this.suspects.delete(context.key);
  }
}

/** Since when a handler may have been at it. */
function dueAt({ what }: Entry): number {
  if (what.kind === 'mail') return what.mail.storedAt;
  return what.kind === 'timer' ? what.timer.at : what.brought.fetchedAt;
}
