/**
 * An id that fails again and again is asked less often: its interval doubles with each failure, up to `maxBackoff`, and
 * is back at once after a success. Only what is the id's own counts (it is gone, it may not be read), and only while
 * most runs of the operation succeed: where all fail, it is the upstream that is away, and nobody waits longer for it.
 * Asked by `operation.ts` at each failure.
 */
import { HoldError } from '../../../config/define/errors';

/** Refusals that are not the id's: a login that is rate limited (420, 429), a slow or early request (408, 425). */
const NOT_ITS_OWN = new Set([408, 420, 425, 429]);

/** An error that says by `retryable: false` that asking again is of no use waits so many intervals at once. */
const OF_NO_USE = 4;

/** Whether most of the last runs of one operation on this node succeeded: an average over some fifty of them. */
export class Health {
  private share = 0.5;

  succeeded(): void {
    this.share += (1 - this.share) / RUNS;
  }

  failed(): void {
    this.share -= this.share / RUNS;
  }

  get isGood(): boolean {
    return this.share > 0.5;
  }
}

const RUNS = 50;

export class Patience {
  /** How long each failing member was left alone last, milliseconds. */
  private readonly last = new Map<number, number>();

  constructor(private readonly health: Health) {}

  succeeded(slot: number): void {
    this.health.succeeded();
    if (this.last.size > 0) this.last.delete(slot);
  }

  /** @returns milliseconds from now during which the member is left alone; 0: its interval is enough. */
  failed(slot: number, error: unknown, everyMs: number, mostMs: number): number {
    // A hold says nothing of whether the upstream is well, and has a time of its own.
    if (error instanceof HoldError) return 0;
    this.health.failed();
    const weight = ownFailure(error);
    if (weight === undefined || !this.health.isGood || mostMs <= everyMs) return 0;
    const before = this.last.get(slot);
    const next = Math.min(mostMs, before === undefined ? weight * everyMs : 2 * Math.max(before, everyMs));
    this.last.set(slot, next);
    return next > everyMs ? next : 0;
  }

  /** Takes in the interval that an earlier shift had come to. */
  recall(slot: number, ms: number): void {
    if (ms > 0) this.last.set(slot, ms);
  }

  forget(slot: number): void {
    this.last.delete(slot);
  }
}

/** How many intervals the first such failure waits; undefined: it is not the id's own. */
function ownFailure(error: unknown): number | undefined {
  let code: unknown;
  let retryable: unknown;
  try {
    const said = error as { status?: unknown; statusCode?: unknown; retryable?: unknown };
    code = typeof said.status === 'number' ? said.status : said.statusCode;
    retryable = said.retryable;
  } catch {
    // An error of a user may throw when it is read.
    return undefined;
  }
  if (typeof code === 'number' && NOT_ITS_OWN.has(code)) return undefined;
  if (retryable === false) return OF_NO_USE;
  return typeof code === 'number' && code >= 400 && code < 500 ? 1 : undefined;
}
